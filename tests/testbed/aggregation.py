"""APIs that the API server only forwards to, such as the metrics that KEDA serves."""

import contextlib

from testbed.controlplane import ApiError, ControlPlane
from testbed.waiting import eventually

API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


def register(
    plane: ControlPlane, name: str, *, namespace: str, service: str, port: int, available: bool = True
) -> None:
    """Make an APIService (`name` is version.group) served on loopback, in place of one that may be there.

    A Service of type ExternalName leads to `port`. Returns when the API server says that it is `available` or not.
    """
    with contextlib.suppress(ApiError):
        manifest = {
            "metadata": {"name": service},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        plane.api("POST", f"/api/v1/namespaces/{namespace}/services", manifest)
    version, _, group = name.partition(".")
    spec = {
        "group": group,
        "version": version,
        "service": {"namespace": namespace, "name": service, "port": port},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    unregister(plane, name)
    plane.api("POST", API_SERVICES, {"metadata": {"name": name}, "spec": spec})
    eventually(lambda: _available(plane, name), lambda state: state is available)


def unregister(plane: ControlPlane, name: str) -> None:
    """Does nothing if it is not there."""
    with contextlib.suppress(ApiError):
        plane.api("DELETE", f"{API_SERVICES}/{name}")


def _available(plane: ControlPlane, name: str) -> bool | None:
    found = plane.api("GET", f"{API_SERVICES}/{name}")
    for condition in found.get("status", {}).get("conditions", []):
        if condition["type"] == "Available":
            return bool(condition["status"] == "True")
    return None
