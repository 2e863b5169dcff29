"""The values that the templates of endpoints' objects show. Pure.

They are text in a ConfigMap, with placeholders for what differs by endpoint; most are no YAML before these are filled
in. Source: the chart's service template ConfigMap.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from mehc_checks.core import yamltext

_CACHE: Final = re.compile(r"image-cache-(.+)\.yaml")
_ACCOUNT: Final = re.compile(r"^ +serviceAccount(?:Name)?: *[\"']?([a-z0-9.-]+)[\"']? *$", re.MULTILINE)
_BROKER: Final = re.compile(r"^ +- --broker-type\n +- [\"']?([^\s\"']+)", re.MULTILINE)
_FORWARDER: Final = re.compile(
    r"^ +- name: (?:http|celery)-forwarder\n +image: [\"']?([^\s\"'$]+):\$", re.MULTILINE
)
_INFRA_MOUNT: Final = "${INFRA_SERVICE_CONFIG_VOLUME_MOUNT_PATH}"
_DATADOG: Final = "- ddtrace-run\n"
_SCALED: Final = "keda-scaled-object.yaml"
_ISTIO: Final = {"virtualservice": "virtual-service.yaml", "destinationrule": "destination-rule.yaml"}
"""Templates that are there where the value is on."""
_ENDPOINTS: Final = "deployment-runnable-image-"
SHOWN_WHOLE: Final = frozenset({"imageCache", "keda"})
"""Top-level keys of which the templates show all."""


def shown(
    templates: Mapping[str, str], name: str, authentication: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What ``templates``, by their keys, show of the installation ``name``.

    ``authentication`` is the TriggerAuthentication that ScaledObjects name, None where there is none or it is not read.
    """
    values = _of_scaled_object(read_yaml(templates.get(_SCALED, "")), authentication)
    devices = []
    for key, text in sorted(templates.items()):
        if match := _CACHE.fullmatch(key):
            pods = pods_of(read_yaml(text))
            device = {"name": match[1], **{k: pods[k] for k in ("nodeSelector", "tolerations") if k in pods}}
            devices.append(device)
    values["imageCache"] = {"devices": devices}
    for key, template in _ISTIO.items():
        values[key] = {"enabled": template in templates}
    endpoints = "\n".join(text for key, text in sorted(templates.items()) if key.startswith(_ENDPOINTS))
    return merged(values, _of_endpoints(endpoints, name)) if endpoints else values


def _of_endpoints(text: str, name: str) -> dict[str, Any]:
    """What the templates of endpoints' Deployments show, ``text`` being all of them."""
    values: dict[str, Any] = {"datadog": {"enabled": _DATADOG in text}, "serviceTemplate": {}}
    if _INFRA_MOUNT in text:  # without it the placeholder can have another name
        values["serviceTemplate"]["mountInfraConfig"] = True
    if (account := _ACCOUNT.search(text)) and account[1] != name:
        values["serviceTemplate"]["serviceAccountName"] = account[1]
    if broker := _BROKER.search(text):
        values["celeryBrokerType"] = broker[1]
    if forwarder := _FORWARDER.search(text):
        values["image"] = {"forwarderRepository": forwarder[1]}
    return values


def _of_scaled_object(scaled: Any, authentication: Mapping[str, Any] | None) -> dict[str, Any]:
    spec = scaled.get("spec") if isinstance(scaled, Mapping) else None
    if not isinstance(spec, Mapping):
        return {}
    found: dict[str, Any] = {}
    if spec.get("cooldownPeriod") is not None:
        found["keda"] = {"cooldownPeriod": spec["cooldownPeriod"]}
    for trigger in spec.get("triggers") or ():
        if trigger.get("type") != "redis":
            continue
        asked = trigger.get("metadata") or {}
        redis: dict[str, Any] = {
            key: _flag(asked[key]) for key in ("enableTLS", "unsafeSsl") if asked.get(key) is not None
        }
        redis["enableAuth"] = bool((trigger.get("authenticationRef") or {}).get("name"))
        for reference in ((authentication or {}).get("spec") or {}).get("secretTargetRef") or ():
            redis["kedaSecretName"] = reference.get("name")
        found["redis"] = redis
    return found


def _flag(text: Any) -> Any:
    return {"true": True, "false": False}.get(str(text), text)


def pods_of(workload: Any) -> Mapping[str, Any]:
    """The pods that a workload makes; empty where it is none."""
    for key in ("spec", "template", "spec"):
        workload = workload.get(key) if isinstance(workload, Mapping) else None
    return workload if isinstance(workload, Mapping) else {}


def read_yaml(text: str) -> Any:
    """What YAML reads, None for what is none."""
    try:
        return yamltext.load(text)
    except yaml.YAMLError:
        return None


def merged(values: dict[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """``layer`` over ``values``, maps key by key."""
    found = dict(values)
    for key, value in layer.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found
