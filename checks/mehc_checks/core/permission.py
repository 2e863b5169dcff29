"""What a check must be allowed to ask of the Kubernetes API."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """A request to the Kubernetes API that a check makes; the operator's RBAC rules are generated from these.

    ``scope`` is where: "own" (the resource's namespace), "endpoints" (the endpoint namespace), "operator" (the
    operator's own namespace) or "cluster".
    ``switch`` names the chart's value that grants it, for what is off by default; "" is granted always.
    ``followed``: the operator watches these objects too, and runs the check again when one changes. ``watched``: it
    watches them so that they need not be read again.
    ``lost`` says what is lost without it, where that is not that the check is Unknown.
    """

    resource: str
    verbs: tuple[str, ...] = ("get",)
    group: str = ""
    scope: str = "own"
    switch: str = ""
    followed: bool = False
    watched: bool = False
    lost: str = ""

    @property
    def all_verbs(self) -> tuple[str, ...]:
        """The verbs of the operator; a command needs no more than ``verbs``."""
        return (
            *self.verbs,
            *(
                verb
                for verb in ("list", "watch")
                if (self.followed or self.watched) and verb not in self.verbs
            ),
        )
