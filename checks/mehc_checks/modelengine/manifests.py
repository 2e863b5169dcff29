"""The values that the chart's objects show, where no Helm release says them. Pure. Source: the chart's templates."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mehc_checks.modelengine import templates, workloads
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, CPU_DEVICE, GPU
from mehc_checks.modelengine.gpu import BALLOON_PREFIX
from mehc_checks.modelengine.names import CHART
from mehc_checks.modelengine.templates import merged, pods_of, read_yaml

Manifest = Mapping[str, Any]

AWS_VOLUME: Final = "config-volume"
"""Of the control plane's pods: the AWS configuration."""
_KUBECTL: Final = "kubectl.kubernetes.io/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """``values`` in the chart's shape; ``whole`` are the top-level keys of which nothing is hidden."""

    values: dict[str, Any]
    whole: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """The objects of the installation ``name``.

    ``deployments`` are all of its namespace, ``autoscalers`` the Celery autoscalers' StatefulSets (None: not readable).
    ``objects`` has the others by what they are for (``objects_of``), None where one does not exist; what is missing
    could not be read. ``aws_namespaces`` are those that have the ConfigMap with the AWS configuration.
    """

    name: str
    deployments: Sequence[Manifest]
    autoscalers: Sequence[Manifest] | None = None
    objects: Mapping[str, Manifest | None] = field(default_factory=dict)
    aws_namespaces: Sequence[str] | None = None


def shown(live: Live) -> Shown:
    """The values that ``live`` shows, besides the gateway's environment and the service ConfigMap."""
    by_name = {item["metadata"]["name"]: item for item in live.deployments}
    values: dict[str, Any] = {}
    whole = {"balloons"}
    for layer in (
        _of_name(live),
        _of_deployments(live.name, by_name),
        _ofpods_of(by_name.get(live.name), whole),
        _of_aws(by_name.get(live.name), live.aws_namespaces),
        _of_balloons(live.deployments),
        _of_autoscalers(live),
        _of_objects(live.objects, whole),
        _of_templates(live, whole),
    ):
        values = merged(values, layer)
    if any(each["metadata"].get("name") == live.name for each in live.deployments):
        whole |= workloads.SHOWN_WHOLE
    return Shown(values=values, whole=frozenset(whole))


def volume(gateway: Manifest, name: str) -> str:
    """The ConfigMap that the gateway mounts as ``name``, whatever suffix Kustomize gave it; ``name`` itself where it
    mounts none."""
    for item in pods_of(gateway).get("volumes") or ():
        mounted = str((item.get("configMap") or {}).get("name", ""))
        if mounted == name or re.fullmatch(rf"{re.escape(name)}-[a-z0-9]{{10}}", mounted):
            return mounted
    return name


def aws_config_map(gateway: Manifest) -> str:
    """The ConfigMap that is mounted as the AWS configuration, "" for none."""
    for item in pods_of(gateway).get("volumes") or ():
        if item.get("name") == AWS_VOLUME:
            return str((item.get("configMap") or {}).get("name", ""))
    return ""


def _of_name(live: Live) -> dict[str, Any]:
    name = live.name
    gateway = next((each for each in live.deployments if each["metadata"]["name"] == name), None)
    identifier = workloads.environment_values(gateway).get("serviceIdentifier") if gateway else None
    if identifier and name == f"{CHART}-{identifier}":
        return {"serviceIdentifier": identifier}
    return {} if name == CHART else {"fullnameOverride": name}


def _of_deployments(name: str, by_name: Mapping[str, Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = {"image": {}, "replicaCount": {}}
    for key, deployment in (
        ("builder", name + workloads.BUILDER),
        ("cacher", name + workloads.CACHER),
        ("gateway", name),
    ):
        item = by_name.get(deployment)
        if item is None:
            continue
        found["replicaCount"][key] = item["spec"].get("replicas", 1)
        container = workloads.container(item)
        repository, tag = _image(str(container.get("image", "")))
        if repository:
            found["image"][f"{key}Repository"] = repository
        if tag:
            found["tag"] = tag
        if key == "gateway" and container.get("imagePullPolicy"):
            found["image"]["pullPolicy"] = container["imagePullPolicy"]
    return found


def _image(reference: str) -> tuple[str, str]:
    """Repository and tag, either "" where it is not known; a digest is neither."""
    repository, _, tag = reference.partition("@")[0].rpartition(":")
    if not repository or "/" in tag:
        return tag if "@" in reference else "", ""
    return repository, tag


def _ofpods_of(gateway: Manifest | None, whole: set[str]) -> dict[str, Any]:
    if gateway is None:
        return {}
    pods, container = pods_of(gateway), workloads.container(gateway)
    found = {
        "nodeSelector": pods.get("nodeSelector"),
        "tolerations": pods.get("tolerations"),
        "podSecurityContext": pods.get("securityContext"),
        "containerSecurityContext": container.get("securityContext"),
        "resources": container.get("resources"),
        "extraPodEnvFrom": container.get("envFrom"),
    }
    whole.update(found)
    return {key: value for key, value in found.items() if value}


def _of_aws(gateway: Manifest | None, namespaces: Sequence[str] | None) -> dict[str, Any]:
    name = aws_config_map(gateway) if gateway else ""
    if gateway is None or not name:
        return {}
    mounts = workloads.container(gateway).get("volumeMounts") or ()
    made: dict[str, Any] = {"name": name, "create": True}
    for mount in mounts:
        if mount.get("name") == AWS_VOLUME:
            made["mountPath"] = mount.get("mountPath")
    if namespaces is not None:
        made["namespaces"] = list(namespaces)
    return {"aws": {"configMap": made}}


def _of_balloons(deployments: Sequence[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = {"balloons": []}
    for item in deployments:
        name = item["metadata"]["name"]
        if not name.startswith(BALLOON_PREFIX):
            continue
        accelerator, pods = name.removeprefix(BALLOON_PREFIX), pods_of(item)
        balloon = {"acceleratorName": accelerator, "replicaCount": item["spec"].get("replicas", 1)}
        limits = (workloads.container(item).get("resources") or {}).get("limits") or {}
        if GPU in limits:
            balloon["gpuCount"] = _number(limits[GPU])
        found["balloons"].append(balloon)
        selector = dict(pods.get("nodeSelector") or {})
        if accelerator != CPU_DEVICE:
            selector.pop(ACCELERATOR_LABEL, None)
            keys = [
                each["key"] for each in pods.get("tolerations") or () if each.get("key") not in (None, GPU)
            ]
            found["gpuTolerations"] = [{"key": key, "operator": "Exists"} for key in keys]
        found["balloonNodeSelector"] = selector
    return found


def _of_autoscalers(live: Live) -> dict[str, Any]:
    if live.autoscalers is None:
        return {}
    # Of several all but one are left over from an earlier celeryBrokerType; the templates of endpoints know which.
    made = sorted(live.autoscalers, key=lambda item: str(item["metadata"].get("creationTimestamp")))
    if not made:
        # With a serviceIdentifier the chart makes none, whatever the value is.
        return {"celery_autoscaler": {"enabled": "serviceIdentifier" in _of_name(live)}}
    return {
        "celery_autoscaler": {"enabled": True, "num_shards": made[-1]["spec"].get("replicas", 1)},
        "celeryBrokerType": made[-1]["metadata"]["name"].removeprefix(workloads.AUTOSCALER),
    }


def _of_objects(objects: Mapping[str, Manifest | None], whole: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "scaler" in objects:
        found["autoscaling"] = {"horizontal": _of_scaler(objects["scaler"])}
    if "budget" in objects:
        whole.add("podDisruptionBudget")
        found["podDisruptionBudget"] = _of_budget(objects["budget"])
    if service := objects.get("service"):
        spec = service["spec"]
        found["service"] = {"type": spec.get("type"), "port": next(_ports(spec), None)}
    if account := objects.get("account"):
        annotations = account["metadata"].get("annotations") or {}
        given = {key: text for key, text in annotations.items() if not key.startswith(_KUBECTL)}
        found["serviceAccount"] = {"annotations": given}
    if priority := objects.get("priority"):
        found["balloonConfig"] = {"reserveHighPriority": priority.get("preemptionPolicy") == "Never"}
    for key, name in (("hardware", "recommendedHardware"), ("frameworks", "inferenceFramework")):
        if key not in objects:
            continue
        whole.add(name)
        data = (objects[key] or {}).get("data") or {}
        if data:
            found[name] = {
                each: read_yaml(text) if key == "hardware" else text for each, text in data.items()
            }
    return found


def _of_scaler(scaler: Manifest | None) -> dict[str, Any]:
    if scaler is None:
        return {"enabled": False}
    spec = scaler["spec"]
    found = {
        "enabled": True,
        "minReplicas": spec.get("minReplicas", 1),
        "maxReplicas": spec.get("maxReplicas"),
    }
    for metric in spec.get("metrics") or ():
        wanted = ((metric.get("pods") or {}).get("target") or {}).get("averageValue")
        if wanted is not None:
            found["targetConcurrency"] = _number(wanted)
    return found


def _of_budget(budget: Manifest | None) -> dict[str, Any]:
    if budget is None:
        return {"enabled": False}
    spec = budget["spec"]
    kept = {key: spec[key] for key in ("minAvailable", "maxUnavailable") if spec.get(key) is not None}
    return {"enabled": True, **kept}


def _ports(spec: Mapping[str, Any]) -> Iterator[int]:
    ports = spec.get("ports") or ()
    yield from (port["port"] for port in ports if port.get("name") == "http")
    yield from (port["port"] for port in ports)


def _of_templates(live: Live, whole: set[str]) -> dict[str, Any]:
    found = live.objects.get("templates")
    if found is None:
        return {}
    whole.update(templates.SHOWN_WHOLE)
    return templates.shown(found.get("data") or {}, live.name, live.objects.get("authentication"))


def _number(quantity: Any) -> Any:
    """A whole number that the API server has as text."""
    return int(quantity) if isinstance(quantity, str) and quantity.isdecimal() else quantity
