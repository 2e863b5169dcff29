"""What a node's kubelet, containerd and network plugin are told."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAUSE = "testbed/pause:1"
"""The image of each pod's sandbox: a busybox, so that no registry is needed."""
_CNI_PROGRAMS = "/usr/lib/cni"
_LEFT_OUT = (
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
)


def containerd(here: Path) -> str:
    """containerd.toml. Lowering oom_score_adj needs a capability that the machine may lack."""
    plugins = ", ".join(f'"{name}"' for name in _LEFT_OUT)
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f'''version = 2
root = "{here}/containerd"
state = "/run/containerd"
disabled_plugins = [{plugins}]
[grpc]
address = "{here}/containerd.sock"
[{cri}]
sandbox_image = "docker.io/{PAUSE}"
restrict_oom_score_adj = true
[{cri}.cni]
bin_dir = "{_CNI_PROGRAMS}"
conf_dir = "{here}/cni"
[{cri}.registry]
config_path = "{here}/registries"
'''


def network(pods: str) -> dict[str, Any]:
    """The CNI configuration: each pod has an address of ``pods``, and a link to the node."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(here: Path, address: str, taints: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A KubeletConfiguration. The kubelet asks for no credentials: only this machine reaches it.

    ``address`` is the node's, where its DNS is.
    """
    never = {"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{here}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "address": "0.0.0.0",
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDNS": [address],
        "clusterDomain": "cluster.local",
        "resolvConf": str(here / "resolv.conf"),
        "podLogsDir": str(here / "podlogs"),
        "volumePluginDir": str(here / "kubelet" / "plugins-exec"),
        "makeIPTablesUtilChains": False,
        "enforceNodeAllocatable": ["pods"],
        "evictionHard": never,
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 40,
        "syncFrequency": "5s",
        "volumeStatsAggPeriod": "10s",  # how soon it is seen that a volume exceeds its limit
        "registerWithTaints": list(taints) or None,
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
    }


def endpoints(namespace: str, service: str, address: str, port: int, name: str = "") -> dict[str, Any]:
    """Where a Service without a selector leads to."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-testbed",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
    }
