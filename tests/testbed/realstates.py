"""Endpoints on a real node: what is asked of the kubelet, and the cause that mehc must name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from testbed.installation import Tree
from testbed.node import GPU

SERVES: Final = "echo hi > /tmp/index.html; exec httpd -f -p 5005 -h /tmp"
WAITS: Final = "exec sleep 1000"
TOO_MUCH: Final = "dd if=/dev/zero of=/dev/null bs=200M count=1"
CLOUD: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DROPPED: Final = "203.0.113.1"
"""An address to which the node sends nothing."""


@dataclass(frozen=True, kw_only=True)
class State:
    """``cause`` is the reason that must be named, "" where nothing is wrong; what follows changes the pod."""

    cause: str = ""
    main: Tree = field(default_factory=dict)
    forwarder: Tree = field(default_factory=dict)
    init: Tree | None = None
    pod: Tree = field(default_factory=dict)
    replicas: int = 1


def runs(script: str, **container: Any) -> Tree:
    return {"command": ["/bin/sh", "-c", script], **container}


def _volume(source: Tree, cause: str) -> State:
    mounts = [{"name": "v", "mountPath": "/v"}]
    return State(cause=cause, pod={"volumes": [{"name": "v", **source}]}, main={"volumeMounts": mounts})


def _variable(source: Tree) -> State:
    return State(cause="ContainerConfigMissing", main={"env": [{"name": "A", "valueFrom": source}]})


def _flapping(cause: str, end: str, **main: Any) -> State:
    """It serves a moment and ends so, three times; the fourth time it serves for longer."""
    first = f"echo x >> /v/runs; if [ $(wc -l < /v/runs) -lt 4 ]; then sleep 2; {end}; fi"
    serve = "echo ok > /tmp/health; httpd -p 5005 -h /tmp"
    probe = {"httpGet": {"port": 5005, "path": "/health"}, "periodSeconds": 1}
    mounts = [{"name": "v", "mountPath": "/v"}]
    return State(
        cause=cause,
        pod={"volumes": [{"name": "v", "emptyDir": {}}]},
        main=runs(f"{serve}; {first}; {WAITS}", volumeMounts=mounts, readinessProbe=probe, **main),
    )


def states(host: Mapping[str, str]) -> dict[str, State]:
    """By name. ``host`` has the registries' addresses by what is wrong with them."""
    health = {"httpGet": {"port": 5005, "path": "/health"}, "periodSeconds": 1}
    small = {"limits": {"memory": "48Mi"}}

    def image(cause: str, name: str, **more: Any) -> State:
        return State(cause=cause, main={"image": name}, **more)

    return {
        "tag": image("ImageNotFound", f"{host['plain']}/vllm:9.9.9"),
        "repository": image("ImageNotFound", f"{host['plain']}/no/such:1"),
        "digest": image("ImageNotFound", f"{host['plain']}/vllm@sha256:{'0' * 64}"),
        "no-login": image("ImageAccessDenied", f"{host['basic']}/vllm:1"),
        "wrong-login": image(
            "ImageAccessDenied", f"{host['basic']}/vllm:1", pod={"imagePullSecrets": [{"name": "bad"}]}
        ),
        "no-pull-secret": image(
            "PullSecretMissing", f"{host['basic']}/vllm:1", pod={"imagePullSecrets": [{"name": "nowhere"}]}
        ),
        "no-token": image("ImageAccessDenied", f"{host['token']}/vllm:1"),
        "wrong-login-token": image(
            "ImageAccessDenied", f"{host['token']}/vllm:1", pod={"imagePullSecrets": [{"name": "bad"}]}
        ),
        "pulled-by-another": image("ImageAccessDenied", f"{host['basic']}/private:1"),
        "forbidden": image("ImageAccessDenied", f"{host['forbidden']}/vllm:1"),
        "untrusted": image("TLSUntrusted", f"{host['untrusted']}/vllm:1"),
        "wrong-host": image("TLSWrongHost", f"{host['wrong host']}/vllm:1"),
        "expired": image("TLSExpired", f"{host['expired']}/vllm:1"),
        "plain": image("ServerNotTLS", f"{host['no TLS']}/vllm:1"),
        "rate": image("RegistryRateLimited", f"{host['429']}/vllm:1"),
        "down": image("RegistryServerError", f"{host['503']}/vllm:1"),
        "error": image("RegistryServerError", f"{host['500']}/vllm:1"),
        "cloud-untrusted": image("TLSUntrusted", f"{CLOUD}/llm-engine/inference/vllm:2e9d00786419"),
        "dropped": image("ConnectionTimeout", f"{host['dropped']}/vllm:1"),
        "slow": image("ImagePullSlow", f"{host['slow']}/vllm:1"),
        "refused": image("ConnectionRefused", f"127.0.0.1:{host['closed']}/vllm:1"),
        "unknown-host": image("HostUnresolvable", "registry.invalid/vllm:1"),
        "platform": image("ImagePlatformMissing", f"{host['plain']}/vllm-arm-index:1"),
        "lost-layer": image("BlobsMissing", f"{host['plain']}/lost-layer:1"),
        "invalid-name": image("ImageNameInvalid", "Registry.example/UPPER:1"),
        "never": State(
            cause="ImagePullPolicyNever",
            main={"image": f"{host['plain']}/never:1", "imagePullPolicy": "Never"},
        ),
        "crash": State(cause="ContainerCrashing", main=runs("echo boom >&2; sleep 1; exit 3")),
        "crash-log": State(
            cause="ContainerCrashing",
            main=runs(
                "echo 'ValueError: no model' >&2; exit 1", terminationMessagePolicy="FallbackToLogsOnError"
            ),
        ),
        "segfault": State(cause="ContainerCrashing", main=runs("kill -SEGV $$; sleep 5")),
        "read-only": State(
            cause="ContainerCrashing",
            main=runs(
                f"echo x > /etc/x || exit 1; {WAITS}", securityContext={"readOnlyRootFilesystem": True}
            ),
        ),
        "ends": State(cause="ContainerCrashing", main=runs("sleep 1; exit 0")),
        "memory": State(
            cause="OutOfMemory",
            main=runs(f"sleep 1; exec {TOO_MUCH}", resources=small),
        ),
        "memory-of-child": State(
            cause="OutOfMemory",
            main=runs(f"sleep 1; {TOO_MUCH}; exit 1", resources=small),
        ),
        "arm": State(
            cause="ContainerCrashing", main={"image": f"{host['plain']}/arm:1", "command": ["/bin/main"]}
        ),
        "secret": _variable({"secretKeyRef": {"name": "absent", "key": "k"}}),
        "secret-key": _variable({"secretKeyRef": {"name": "present", "key": "absent"}}),
        "map-key": _variable({"configMapKeyRef": {"name": "present", "key": "absent"}}),
        "map": State(
            cause="ContainerConfigMissing", main={"envFrom": [{"configMapRef": {"name": "absent"}}]}
        ),
        "root": State(cause="RunAsRootForbidden", main={"securityContext": {"runAsNonRoot": True}}),
        "no-program": State(cause="ContainerStartFailed", main={"command": ["/opt/none"]}),
        "not-on-path": State(cause="ContainerStartFailed", main={"command": ["uvicorn"]}),
        "no-binary": State(
            cause="ContainerCrashing",
            main={"image": f"{host['plain']}/text:1", "command": ["/etc/plain"]},
        ),
        "workdir": State(cause="ContainerStartFailed", main={"workingDir": "/bin/busybox"}),
        "hook": State(
            cause="PostStartHookFailed",
            main=runs(WAITS, lifecycle={"postStart": {"exec": {"command": ["/bin/false"]}}}),
        ),
        "volume-map": _volume({"configMap": {"name": "absent"}}, "VolumeSourceMissing"),
        "volume-secret": _volume({"secret": {"secretName": "absent"}}, "VolumeSourceMissing"),
        "volume-key": _volume(
            {"configMap": {"name": "present", "items": [{"key": "absent", "path": "x"}]}},
            "VolumeSourceMissing",
        ),
        "volume-subpath": State(
            cause="ContainerStartFailed",
            pod={"volumes": [{"name": "v", "hostPath": {"path": "/run", "type": "Directory"}}]},
            main={"volumeMounts": [{"name": "v", "mountPath": "/bin/busybox", "subPath": "absent"}]},
        ),
        "volume-nfs": _volume({"nfs": {"server": "203.0.113.1", "path": "/x"}}, "VolumeMountFailed"),
        "volume-path": _volume({"hostPath": {"path": "/no/such", "type": "Directory"}}, "VolumeMountFailed"),
        "volume-claim": _volume({"persistentVolumeClaim": {"claimName": "absent"}}, "VolumeUnbound"),
        "volume-driver": _volume({"csi": {"driver": "secrets-store.csi.k8s.io"}}, "VolumeMountFailed"),
        "probe-refused": State(cause="ReadinessFailing", main=runs(WAITS, readinessProbe=health)),
        "probe-404": State(cause="ReadinessFailing", main=runs(SERVES, readinessProbe=health)),
        "probe-slow": State(
            cause="ReadinessFailing",
            main=runs("while :; do nc -l -p 5005 -e sleep 30; done", readinessProbe=health),
        ),
        "probe-command": State(
            cause="ReadinessFailing",
            main=runs(
                SERVES, readinessProbe={"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1}
            ),
        ),
        "probe-no-command": State(
            cause="ProbeCommandMissing",
            main=runs(SERVES, readinessProbe={"exec": {"command": ["celery"]}, "periodSeconds": 1}),
        ),
        "liveness": State(
            cause="KilledByProbe", main=runs(WAITS, livenessProbe={**health, "failureThreshold": 2})
        ),
        "startup": State(
            cause="KilledByProbe", main=runs(WAITS, startupProbe={**health, "failureThreshold": 2})
        ),
        "forwarder": State(
            cause="ForwarderNotReady",
            main=runs(SERVES),
            forwarder=runs(WAITS, readinessProbe={"httpGet": {"port": 5000, "path": "/readyz"}}),
        ),
        "forwarder-crash": State(
            cause="ForwarderNotReady", main=runs(SERVES), forwarder=runs("echo no main >&2; exit 1")
        ),
        "init-crash": State(cause="ContainerCrashing", init=runs("exit 5")),
        "init-hangs": State(cause="InitContainerRunning", init=runs(WAITS)),
        "init-image": State(cause="ImageNotFound", init={"image": f"{host['plain']}/no/init:1"}),
        "gpu": State(cause="NodesTooSmall", main={"resources": {"limits": {GPU: "9"}}}),
        "cpu": State(cause="NodesTooSmall", main={"resources": {"requests": {"cpu": "640"}}}),
        "host-port": State(
            cause="HostPortsInUse",
            main={"ports": [{"containerPort": 5005, "hostPort": 5999}]},
            replicas=2,
        ),
        "gated": State(cause="NotScheduled", pod={"schedulingGates": [{"name": "example.com/wait"}]}),
        "runtime-class": State(cause="RuntimeHandlerMissing", pod={"runtimeClassName": "nvidia"}),
        "account": State(cause="ServiceAccountMissing", pod={"serviceAccountName": "absent"}),
        "readiness-gate": State(
            cause="ReadinessGateUnmet",
            main=runs(SERVES),
            pod={"readinessGates": [{"conditionType": "example.com/lb"}]},
        ),
        "evicted": State(
            cause="PodEvicted",
            main=runs(
                "dd if=/dev/zero of=/v/x bs=1M count=30; exec sleep 1000",
                volumeMounts=[{"name": "v", "mountPath": "/v"}],
            ),
            pod={"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
        ),
        "flaps": _flapping("ContainerCrashing", "echo 'CUDA out of memory' >&2; exit 1"),
        "flaps-memory": _flapping("OutOfMemory", f"exec {TOO_MUCH}", resources=small),
        "sound": State(main=runs(SERVES)),
        "login": State(
            main={"image": f"{host['basic']}/private:1", **runs(SERVES)},
            pod={"imagePullSecrets": [{"name": "good"}]},
        ),
    }
