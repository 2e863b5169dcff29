"""Names of the objects that the chart makes. Source: the chart's ``_helpers.tpl``."""

from typing import Final

from mehc_checks.modelengine.values import Values

CHART: Final = "model-engine"
PRIORITY_CLASSES: Final = ("model-engine-high-priority", "model-engine-default-priority")
"""What pods of the gateway and of endpoints name, whatever the fullname."""
BALLOON_PRIORITY_CLASS: Final = "model-engine-low-priority"
"""What pods of balloons name."""
CHART_VOLUMES: Final = frozenset(
    {
        "config-volume",
        "dshm",
        "infra-service-config-volume",
        "model-engine-service-config-volume",
        "service-template-config",
    }
)
"""Volumes of the control plane's pods."""
_LONGEST: Final = 40


def fullname(values: Values, *, chart: str = CHART) -> str:
    """The prefix of the chart's objects: the override, else the chart's name, with the service identifier if set."""
    override = values.text("fullnameOverride")
    if override:
        return override[:_LONGEST].removesuffix("-")
    identifier = values.text("serviceIdentifier")
    return (f"{chart}-{identifier}" if identifier else chart)[:_LONGEST].removesuffix("-")


def service_config_map(values: Values) -> str:
    """The ConfigMap that the chart puts into both its own and the endpoint namespace."""
    return f"{fullname(values)}-service-config"
