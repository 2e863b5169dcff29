"""What a check must be allowed to ask of the Kubernetes API."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """A request to the Kubernetes API that a check makes; the operator's RBAC rules are generated from these.

    ``scope`` is where: "own" (the resource's namespace), "endpoints" (the endpoint namespace), "operator" (the
    operator's own namespace) or "cluster".
    ``switch`` names the chart's value that grants it, for what is off by default; "" is granted always.
    ``lost`` says what is lost without it, where that is not that the check is Unknown.
    """

    resource: str
    verbs: tuple[str, ...] = ("get",)
    group: str = ""
    scope: str = "own"
    switch: str = ""
    lost: str = ""
