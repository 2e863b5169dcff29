"""The service ConfigMap: the configuration as the platform's processes read it.

The chart writes ``config.values.launch`` and ``config.values.infra`` as two YAML texts, numbers quoted, with a few
keys of its own before them. Source: ``service_config_map.yaml`` of the chart; the platform reads with PyYAML.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from mehc_checks.core.errors import UsageError

LAUNCH_KEY: Final = "launch_service_config"
INFRA_KEY: Final = "infra_service_config"
_ADDED_TO_INFRA: Final = {
    "env": "context",
    "celery_enable_sha256": "celery_enable_sha256",
    "debug_mode": "debug_mode",
    "celery_broker_type_redis": "celery_broker_type_redis",
}
"""Keys of infra that the chart takes from elsewhere, and the values that they show."""
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
    """The values, in the chart's shape, that the ConfigMap's ``data`` shows.

    Raises UsageError where a key is missing, or is not a YAML map: no process of the platform can start with it.
    """
    shown: dict[str, Any] = {}
    infra = {}
    for key, value in _pairs(data, INFRA_KEY):
        if key in _ADDED_TO_INFRA:
            shown[_ADDED_TO_INFRA[key]] = value
        else:
            infra[key] = value
    launch = {}
    for key, value in _pairs(data, LAUNCH_KEY):
        if key == _TRACING and _TRACING not in shown:  # the first is the chart's, a second one launch's own
            shown[_TRACING] = value
        elif key != _NAMESPACE:
            launch[key] = value
    return {**shown, "config": {"values": {"infra": infra, "launch": launch}}}


def _pairs(data: Mapping[str, str], key: str) -> Iterator[tuple[str, Any]]:
    """The pairs of the YAML map at ``key``, as PyYAML reads each; a key that is given twice comes twice."""
    if key not in data:
        raise UsageError(f"it has no key {key}")
    loader = yaml.SafeLoader(data[key])
    try:
        node = loader.get_single_node()
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"its key {key} is not a YAML map")
        for key_node, value_node in node.value:
            yield str(loader.construct_object(key_node)), loader.construct_object(value_node, deep=True)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"its key {key} is not YAML") from None
    finally:
        loader.dispose()
