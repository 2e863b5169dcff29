"""Names of the objects that the chart makes. Source: the chart's ``_helpers.tpl``."""

from typing import Final

import yaml

from mehc_checks.values import Values

CHART: Final = "model-engine"
_LONGEST: Final = 40


def fullname(values: Values) -> str:
    """The prefix of the chart's objects: the override, else ``model-engine``, with the service identifier if set."""
    override = values.text("fullnameOverride")
    if override:
        return override[:_LONGEST].rstrip("-")
    identifier = values.text("serviceIdentifier")
    return f"{CHART}-{identifier}"[:_LONGEST].rstrip("-") if identifier else CHART


def service_config_map(values: Values) -> str:
    """The ConfigMap that the chart puts into both its own and the endpoint namespace."""
    return f"{fullname(values)}-service-config"


def gateway_namespace(config: str | None) -> str | None:
    """The namespace of the gateway that ``launch_service_config`` of that ConfigMap names; None if unreadable."""
    try:
        content = yaml.safe_load(config or "")
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    named = content.get("gateway_namespace") if isinstance(content, dict) else None
    return named if isinstance(named, str) else None
