"""What was found out about an installation before any check runs: its release, its live objects, its values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.delivery import HELM, Delivery
from mehc_checks.installation.helm import ReleaseFacts
from mehc_checks.modelengine.fields import CHART_DEFAULTS
from mehc_checks.modelengine.values import Layer, Part, Values
from mehc_checks.modelengine.versions import UNDETECTED, Platform


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveConfig:
    """The service ConfigMap as it is in one namespace.

    ``values`` is None where it does not exist or cannot be read; ``trouble`` then says why in a few words.
    ``changed`` is when it was last written, None where the cluster does not tell.
    """

    namespace: str
    name: str
    values: Mapping[str, Any] | None = None
    trouble: str = ""
    changed: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A value that the cluster has otherwise than what should have made it so. ``where`` names the live object.

    ``live`` and ``given`` are texts, "" for not set.
    """

    path: str
    where: str
    live: str
    given: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """One installation of model engine in ``namespace``.

    ``layers`` are its values, weakest first, none where nothing of model engine was found; ``whole`` the parts and
    top-level keys of them of which nothing is hidden; ``delivery`` how its objects are applied; ``config`` and
    ``endpoint_config`` the live configuration in its own and the endpoint namespace (None: not looked at); ``drift``
    what is otherwise in the cluster than in the release; ``left_over`` StatefulSets of Celery autoscalers for
    another broker than the present one, looked for where there is no release; ``platform`` the version that its objects
    show; ``lost`` what could not be asked, each as (what is lost, why).
    """

    namespace: str
    fullname: str
    release: ReleaseFacts | None = None
    layers: tuple[Layer, ...] = ()
    whole: frozenset[str] = frozenset()
    delivery: Delivery = HELM
    config: LiveConfig | None = None
    endpoint_config: LiveConfig | None = None
    drift: tuple[Difference, ...] = ()
    platform: Platform = UNDETECTED
    left_over: tuple[str, ...] = ()
    lost: tuple[tuple[str, CannotEvaluate], ...] = ()

    def under(self, given: Iterable[Layer]) -> Values:
        """The effective values: what was found, and over it what the user gives."""
        return Values.merged([*(self.layers or [Layer(source="", values={})]), *given])


WITHOUT_CLUSTER: Final = Installation(
    namespace="",
    fullname="",
    layers=(Layer(source="the chart's values.yaml", values=CHART_DEFAULTS),),
    whole=frozenset[str](Part),
)
"""What there is before an install, or where only values files are judged: the chart's own defaults."""
