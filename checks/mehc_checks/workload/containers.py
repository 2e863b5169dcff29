"""What a container's state says: why it waits, and how it ended.

Sources: kubelet's ``kuberuntime/kuberuntime_container.go`` and ``container/sync_result.go`` (Kubernetes 1.20 to 1.36);
runc's and crun's errors, which the kubelet quotes.
"""

import re
from collections.abc import Iterable
from typing import Final

from mehc_checks.core.text import shortened
from mehc_checks.workload import pulls, runtime
from mehc_checks.workload.objects import PULLING, Container, Event
from mehc_checks.workload.reasons import COMMAND, EXPLAINED_BY_IMAGE, ON_NODE, PLATFORM
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

_IMAGE: Final = frozenset(
    {
        *PULLING,
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
_STARTING: Final = frozenset(
    {
        "CreateContainerError",
        "RunContainerError",
        "StartError",
        "ContainerCannotRun",
        "RunInitContainerError",
        "PreCreateHookError",
        "PreStartHookError",
    }
)
CREATING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})
LOOPING: Final = 2
"""Restarts after which a container that runs and is not ready counts as one that keeps exiting."""

_EXEC = re.compile(
    r"exec:? \\?[\"`](?P<name>[^\"`\\]+)\\?[\"`]:? ?(?P<why>[^:]*)|executable file `(?P<crun>[^`]+)` not found|"
    r"exec (?P<path>/\S+?): (?P<said>no such file or directory|permission denied)"
)
_WRONG_PLATFORM = re.compile(r"exec format error")
_GPU = re.compile(
    r"nvidia-container-cli(?:\.real)?: (?P<why>.+?)(?:\\+n|: unknown|$)|(?P<cdi>unresolvable CDI devices [^:]+)|"
    r"(?P<hook>nvidia-ctk.*?)(?:: unknown|$)|"
    r"(?P<device>/dev/nvidia\S*: no such file or directory|could not select device driver \S*nvidia\S*)|"
    r"(?P<runtime>nvidia-container-runtime)[^:\s]*: (?:no such file or directory|executable file not found)"
)
_ENVIRONMENT = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found')
_ENVIRONMENT_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)")
_KUBELET = re.compile(r"failed to sync (?:configmap|secret) cache|services have not yet been read")
"""What the kubelet has not heard of the API server yet."""
_INSPECTED = re.compile(r'^Failed to inspect image "[^"]*": ')
_MEMORY = re.compile(
    r"OOM-killed|memory limit could be too low|unable to set memory limit|"
    r"memory\.limit_in_bytes: device or resource busy"
)
"""How runtimes say that a limit is below what a process needs to start."""
_USER = re.compile(
    r"container has runAsNonRoot and .+?(?= \(pod:|$)|container's runAsUser breaks non-root policy"
)
_RUNC = re.compile(
    r"^(?:Error: |rpc error: code = \w+ desc = |failed to (?:create|start) (?:containerd|shim) task: |"
    r"OCI runtime create failed: |runc create failed: |unable to start container process: |"
    r"error during container init: |failed to (?:create|generate|start) container \"?\w*\"?:? ?(?:spec: )?)+"
)
"""What every such error begins with."""


def read(container: Container, events: Iterable[Event] = ()) -> Trouble | None:
    """Why ``container`` does not run, or None where it does, or has not been asked to yet."""
    if container.waiting == "InvalidImageName":
        return Trouble(reason=R.IMAGE_NAME_INVALID, words={"image": repr(shortened(container.image, 160))})
    if container.waiting == "ImageInspectError" and (
        fault := runtime.fault(_INSPECTED.sub("", container.message))
    ):
        return fault
    if container.waiting in _IMAGE:
        found = pulls.read(container.message, container.image, events)
        if found.vague and container.waiting == "RegistryUnavailable":
            return pulls.read(container.waiting, container.image)
        return found
    if container.waiting == "CreateContainerConfigError":
        return _configuration(container)
    if container.waiting == "PostStartHookError":
        return _post_start(container.message)
    if container.waiting in _STARTING:
        return _start(container)
    if container.waiting == "CrashLoopBackOff":
        return _ended(container, last=True)
    if container.waiting not in CREATING:
        return _waits(container)
    if container.exit_code is not None and not (container.init and container.exit_code == 0):
        return _ended(container)
    if container.running_since and container.restarts >= LOOPING and not container.ready:
        return _ended(container, last=True)
    return None


def _waits(container: Container) -> Trouble:
    """In the kubelet's own words."""
    phase = f"container {container.name} waits, {shortened(container.waiting, 60)},"
    detail = shortened(container.message) or "no message"
    return Trouble(reason=R.POD_NOT_READY, words={"phase": phase, "detail": detail})


def ending(container: Container) -> Trouble:
    """How the run before this one ended."""
    return _ended(container, last=True)


def _ended(container: Container, *, last: bool = False) -> Trouble:
    """How a container ended: killed for its memory, not started at all, or by itself."""
    code, reason, message = (
        (container.last_exit_code, container.last_exit_reason, container.last_exit_message)
        if last
        else (container.exit_code, container.exit_reason, container.exit_message)
    )
    if reason == "OOMKilled":
        return Trouble(reason=R.OUT_OF_MEMORY)
    if reason in ("StartError", "ContainerCannotRun"):
        return _start(container, message)
    if code is None:
        return Trouble(reason=R.CRASHING, vague=True)
    said = f": {shortened(message.strip().splitlines()[-1], 140)}" if message.strip() else ""
    if _WRONG_PLATFORM.search(message):
        return _start(container, message)
    return Trouble(reason=R.CRASHING, words={"detail": f" with {_code(code)}{said}"})


_CODES: Final = {
    0: "code 0, but it is expected to keep running",
    126: "code 126: its command cannot be executed",
    127: "code 127: its command does not exist",
    132: "code 132 (SIGILL: the CPU lacks an instruction)",
    134: "code 134 (SIGABRT)",
    135: "code 135 (SIGBUS: /dev/shm may be too small)",
    137: "code 137 (SIGKILL)",
    139: "code 139 (SIGSEGV)",
    143: "code 143 (SIGTERM)",
}


def _code(code: int) -> str:
    return _CODES.get(code, f"code {code}")


def _configuration(container: Container) -> Trouble:
    text = container.message
    if _KUBELET.search(text):
        return _waits(container)
    if match := _ENVIRONMENT_KEY.search(text):
        missing = f"key {match['key']} of {match['kind']} {match['name'].rpartition('/')[2]}"
        return Trouble(reason=R.CONFIGURATION_MISSING, words={"object": missing})
    if match := _ENVIRONMENT.search(text):
        kind = "Secret" if match["kind"] == "secret" else "ConfigMap"
        return Trouble(reason=R.CONFIGURATION_MISSING, words={"object": f"{kind} {match['name']}"})
    if match := _USER.search(text):
        return Trouble(reason=R.USER_REFUSED, words={"detail": shortened(match[0], 140)})
    return _start(container)


def _post_start(message: str) -> Trouble:
    return Trouble(reason=R.POST_START_FAILED, words={"detail": shortened(message, 140)} if message else {})


def _start(container: Container, message: str | None = None) -> Trouble:
    text = container.message if message is None else message
    if _MEMORY.search(text):
        return Trouble(reason=R.OUT_OF_MEMORY)
    if found := runtime.fault(text):
        return found
    if match := _GPU.search(text):
        detail = shortened(next(word for word in match.groups() if word), 140)
        return Trouble(reason=R.GPU_NOT_GIVEN, words={"detail": detail})
    if _WRONG_PLATFORM.search(text):
        words = {
            "image": shortened(container.image, 160),
            "architecture": PLATFORM,
            "detail": "exec format error",
        }
        return Trouble(
            reason=R.IMAGE_PLATFORM_MISSING, words=words, prefix=ON_NODE, explained_by=EXPLAINED_BY_IMAGE
        )
    if match := _EXEC.search(text):
        command = match["name"] or match["crun"] or match["path"]
        why = match["why"] or match["said"] or "executable file not found"
        detail = COMMAND.format(command=shortened(command, 80), why=shortened(why, 80).strip())
        return Trouble(reason=R.START_FAILED, words={"detail": detail})
    if not text:
        return Trouble(reason=R.START_FAILED, vague=True)
    detail = re.sub(r": unknown$", "", _RUNC.sub("", " ".join(text.split())))
    return Trouble(reason=R.START_FAILED, words={"detail": shortened(detail, 160)})
