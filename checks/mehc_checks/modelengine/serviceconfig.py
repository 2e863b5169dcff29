"""The service ConfigMap: the configuration as the platform's processes read it.

The chart writes ``config.values.launch`` and ``config.values.infra`` as two YAML texts, numbers quoted, with a few
keys of its own before them. Source: ``service_config_map.yaml`` of the chart; the platform reads with PyYAML.
"""

from collections.abc import Mapping
from typing import Any, Final

import yaml

from mehc_checks.core import yamltext
from mehc_checks.core.bounds import oversized
from mehc_checks.core.errors import UsageError
from mehc_checks.core.memo import Memo
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import BARE_FLAGS, Configuration, printed

LAUNCH_KEY: Final = "launch_service_config"
INFRA_KEY: Final = "infra_service_config"
_ENVIRONMENT: Final = "env"
"""The key of infra that shows ``context``."""
_TRACING: Final = "dd_trace_enabled"
_NAMESPACE: Final = "gateway_namespace"


def owner(data: Mapping[str, str]) -> str | None:
    """The namespace of the gateway whose configuration this is; None where it does not say, or is not readable."""
    try:
        named = dict(_pairs(data, LAUNCH_KEY)).get(_NAMESPACE)
    except UsageError:
        return None
    return named if isinstance(named, str) else None


def values(data: Mapping[str, str]) -> dict[str, Any]:
    """The values, in the chart's shape, that the ConfigMap's ``data`` shows; the flags that the chart adds to infra
    are True or False, whatever they were made from.

    Raises UsageError where a key is missing, or is not a YAML map: no process of the platform can start with it.
    """
    shown: dict[str, Any] = dict.fromkeys(BARE_FLAGS, False)
    infra = {}
    for key, value in _pairs(data, INFRA_KEY):
        if key in BARE_FLAGS:
            shown[key] = bool(value)
        elif key == _ENVIRONMENT:
            shown[paths.CONTEXT] = value
        else:
            infra[key] = value
    launch = {}
    for key, value in _pairs(data, LAUNCH_KEY):
        if key == _TRACING and _TRACING not in shown:  # the first is the chart's, a second one launch's own
            shown[_TRACING] = value
        elif key != _NAMESPACE:
            launch[key] = value
    return {**shown, "config": {"values": {"infra": infra, "launch": launch}}}


def expected(configuration: Configuration) -> dict[str, Any]:
    """What ``values`` would return of the ConfigMap that the chart makes of ``configuration``."""
    tables = {
        part: {key: configuration.read(f"{path}.{key}") for key in configuration.table(path)}
        for part, path in (("infra", paths.INFRA), ("launch", paths.LAUNCH))
    }
    for flag in BARE_FLAGS:
        tables["infra"].pop(flag, None)
    return {
        **{flag: configuration.flag(flag) for flag in BARE_FLAGS},
        paths.CONTEXT: printed(configuration.raw(paths.CONTEXT)),
        paths.DD_TRACE_ENABLED: printed(configuration.raw(paths.DD_TRACE_ENABLED)),
        "config": {"values": tables},
    }


def _pairs(data: Mapping[str, str], key: str) -> list[tuple[str, Any]]:
    """The pairs of the YAML map at ``key``, as PyYAML reads each; a key that is given twice comes twice."""
    if key not in data:
        raise UsageError(f"it has no key {key}")
    try:
        return _READ(data[key])
    except UsageError as error:
        raise UsageError(f"its key {key} {error}") from None


def _read(text: str) -> list[tuple[str, Any]]:
    try:
        loader = yamltext.Loader(text)
        node = loader.get_single_node()
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            raise UsageError("is not a YAML map")
        pairs = [
            (str(loader.construct_object(key_node)), loader.construct_object(value_node, deep=True))
            for key_node, value_node in node.value
        ]
    except yamltext.TooLarge as error:
        raise UsageError(f"is too large: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError("is not YAML") from None
    if too_large := oversized([value for _, value in pairs]):
        raise UsageError(f"is too large: {too_large}")
    return pairs


_READ: Final = Memo(_read)
"""Each text of it is read by several in a probe run, and is the same in the next."""
