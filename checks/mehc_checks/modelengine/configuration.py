"""The one view of an installation's configuration: what the chart and the platform make of its values.

``Configuration(values)`` in pure code, ``context.configuration`` in gatherers. Paths are constants of ``paths``::

    configuration.flag(paths.HPA_ENABLED)     # True for the quoted "false" too: the chart's templates ask `if`
    configuration.cloud                       # "aws" where nothing is set

No reader raises for what a user wrote.
"""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from mehc_checks.core import yamltext
from mehc_checks.modelengine import fieldtypes, paths
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.values import Values

AWS: Final = "aws"
BARE_FLAGS: Final = (paths.CELERY_BROKER_TYPE_REDIS, paths.CELERY_ENABLE_SHA256, paths.DEBUG_MODE)
"""Flags that the chart writes into the infra configuration without quotes, if a template takes them for true; the key
of the same name in ``config.values.infra`` comes after them, and wins."""
_PARSED: Final = frozenset({paths.REDIS_ENABLE_TLS, paths.REDIS_UNSAFE_SSL, paths.DD_TRACE_ENABLED})
"""Flags that the chart passes on as text. KEDA and ddtrace parse it."""
_PARSED_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})


class Configuration:
    """``values`` as the chart's templates and the platform's processes read them."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def flag(self, path: str) -> bool:
        """Whether what ``path`` switches is on.

        A template's ``if`` takes any text that is not empty for true, "false" included; so do processes with the
        quoted values of ``config.values``. Only what the chart writes without quotes (``BARE_FLAGS``), or what KEDA
        parses, is off by the text "false".
        """
        if path in BARE_FLAGS:
            of_infra = f"{paths.INFRA}.{path}"
            if self.values.has(of_infra):
                return bool(self.read(of_infra))
            value = self.values.get(path)
            return bool(value) and bool(_bare(printed(value)))
        if path in _PARSED:
            return printed(self.values.get(path)) in _PARSED_TRUE
        if path.startswith(f"{paths.CONFIG}."):
            return bool(self.read(path))
        return bool(self.values.get(path))

    def read(self, path: str) -> bool | str | None:
        """What the platform's processes read for ``path``, which is below ``config.values``.

        The chart quotes everything but booleans, in Go's notation: 1000000 arrives as "1e+06". None both for null,
        which reaches the process, and for an absent key, for which it has its own default; ``has`` tells them apart.
        """
        value = self.values.get(path)
        return value if value is None or isinstance(value, bool) else printed(value)

    def has(self, path: str) -> bool:
        """Whether the key is there, also with a null.

        Below ``config.values`` Helm keeps a null, and the process gets None in place of its own default.
        """
        return self.values.has(path)

    def raw(self, path: str) -> Any:
        """The value as it is given, None where it or a parent is missing or null."""
        return self.values.get(path)

    def text(self, path: str) -> str:
        """The value as text without spaces around it, "" where it is not set, or is a map or list."""
        return (self.values.text(path) or "").strip()

    def number(self, path: str) -> int | None:
        """The value as an integer, quoted ones included; None where it is none."""
        return as_number(self.raw(path))

    def table(self, path: str) -> Mapping[str, Any]:
        """The map at ``path``, empty where there is none."""
        value = self.raw(path)
        return value if isinstance(value, Mapping) else {}

    def items(self, path: str) -> list[Any]:
        """The list at ``path``, empty where there is none."""
        value = self.raw(path)
        return value if isinstance(value, list) else []

    def entries(self, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The maps of the list at ``path``, each with its own path."""
        for index, item in enumerate(self.items(path)):
            if isinstance(item, Mapping):
                yield f"{path}[{index}]", item

    @property
    def fullname(self) -> str:
        """The prefix of the chart's objects."""
        return fullname(self.values)

    @property
    def cloud(self) -> str:
        """``cloud_provider``; "aws" where it is not set, as the platform takes it."""
        return self.text(paths.CLOUD_PROVIDER) or AWS

    @property
    def region(self) -> str:
        return self.text(paths.DEFAULT_REGION)

    @property
    def account(self) -> str:
        """``ml_account_id``."""
        return self.text(paths.ML_ACCOUNT_ID)

    @property
    def endpoint_namespace(self) -> str:
        """ "" where it is not set."""
        return self.text(paths.ENDPOINT_NAMESPACE)

    @property
    def inference_account(self) -> str:
        """The ServiceAccount of endpoint pods, "" where none is named."""
        return self.text(paths.INFERENCE_ACCOUNT)

    @property
    def service_identifier(self) -> str:
        return self.text(paths.SERVICE_IDENTIFIER)

    @property
    def gateway_is_scaled(self) -> bool:
        """Whether the chart makes a HorizontalPodAutoscaler of the gateway."""
        return self.flag(paths.HPA_ENABLED)

    @property
    def has_celery_autoscaler(self) -> bool:
        """Whether the chart makes the StatefulSet of the Celery autoscaler."""
        return self.flag(paths.CELERY_AUTOSCALER_ENABLED) and not self.flag(paths.SERVICE_IDENTIFIER)


def as_number(value: Any) -> int | None:
    """``value`` as an integer, quoted ones included; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        return int(number) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None


def printed(value: Any) -> str:
    """``value`` as a Go template prints it: every number is a float64, maps are ``map[a:1]``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _printed_number(float(value))
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_inside(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_inside, value))}]"
    return str(value)


def displayed(value: Any) -> str:
    """``value`` as text, but of a map or a list, which may hold anything, no more than what it is.

    In all that is made of it that is as wrong as what the chart writes there, and it can be shown.
    """
    if isinstance(value, Mapping | list):
        return fieldtypes.shown(value)
    text = printed(value)
    return "the text of a map" if text.startswith(("map[", "[map[")) else text


def _inside(value: Any) -> str:
    return "<nil>" if value is None else printed(value)


def _printed_number(number: float) -> str:
    """Go's %v: the shortest digits that read back as the same number, with an exponent below -4 and from 6 on."""
    if not math.isfinite(number):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(number, "NaN")
    shortest = Decimal(repr(number)).normalize()
    exponent = shortest.adjusted()
    if number == 0 or -4 <= exponent < 6:
        return f"{shortest:f}"
    sign, digits, _ = shortest.as_tuple()
    first, *others = map(str, digits)
    fraction = f".{''.join(others)}" if others else ""
    return f"{'-' if sign else ''}{first}{fraction}e{exponent:+03d}"


def _bare(text: str) -> Any:
    """What a process reads where the chart writes ``text`` without quotes."""
    try:
        return yamltext.load(text)
    except yaml.YAMLError:
        return text
