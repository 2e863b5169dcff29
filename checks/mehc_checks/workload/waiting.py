"""What a container's state says: why it waits, and how it ended.

Sources: kubelet's ``images/image_manager.go``, ``images/types.go``, ``kuberuntime/kuberuntime_container.go`` and
``container/sync_result.go`` (Kubernetes 1.20 to 1.36); containerd's ``core/remotes/docker`` (1.4 to 2.1) and CRI-O's
``containers/image`` (1.20 to 1.33), whose errors the kubelet quotes.
"""

import re
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.objects import Container
from mehc_checks.workload.reasons import EndpointReasons as R


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why, in words. ``vague``: the state names no cause, an Event may."""

    reason: Reason
    message: str
    vague: bool = False


_PULLING: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "InvalidImageName",
        "SignatureValidationFailed",
        "ErrImageNeverPullSecret",
    }
)
_STARTING: Final = frozenset(
    {
        "CreateContainerError",
        "RunContainerError",
        "StartError",
        "ContainerCannotRun",
        "PostStartHookError",
        "RunInitContainerError",
        "PreCreateHookError",
        "PreStartHookError",
    }
)
CREATING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})

_IMAGE_RULES: Final = (
    (r"invalid reference format|couldn't parse image name|InvalidImageName", R.IMAGE_NAME_INVALID),
    (r"toomanyrequests|too many requests|\b429\b|rate limit|pull QPS exceeded", R.REGISTRY_LIMITED),
    (r"no space left on device|disk quota exceeded|ENOSPC", R.IMAGE_NO_SPACE),
    (
        r"no match for platform|no image found in (?:manifest list|image index)|does not match the specified platform",
        R.IMAGE_WRONG_PLATFORM,
    ),
    (r"from content store|prepare extraction snapshot|parent snapshot", R.IMAGE_PULL_FAILED),
    (
        r"x509:|certificate (?:signed by|has expired|is valid for|verify)|server gave HTTP response to HTTPS|"
        r"tls: |TLS handshake timeout|remote error: tls|first record does not look like a TLS",
        R.REGISTRY_UNREACHABLE,
    ),
    (
        r"no such host|server misbehaving|Temporary failure in name resolution|connection refused|i/o timeout|"
        r"no route to host|network is unreachable|connection reset by peer|Client\.Timeout|"
        r"context deadline exceeded|DeadlineExceeded|registry is unavailable|RegistryUnavailable|"
        r"\b50[0234] (?:Internal|Bad|Service|Gateway)|unexpected EOF|connect: connection timed out",
        R.REGISTRY_UNREACHABLE,
    ),
    (
        r"\b401\b|\b403\b|[Uu]nauthorized|[Ff]orbidden|pull access denied|insufficient_scope|authorization failed|"
        r"authentication required|no basic auth credentials|access to the resource is denied|denied:|"
        r"not authorized|invalid username/password|authorization token has expired|failed to authorize|"
        r"failed to fetch (?:anonymous|oauth) token|ExpiredToken|AccessDenied",
        R.IMAGE_DENIED,
    ),
    (
        r"not found|manifest unknown|name unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN|does not exist|NotFound|"
        r"\b404\b|not present with pull policy|did not resolve",
        R.IMAGE_NOT_FOUND,
    ),
)
"""In this order: a denial quotes the name it denies, and registries that hide names say both at once."""

_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(?:: )?')
_GENERIC = re.compile(r"^(?:Error|ErrImagePull|rpc error: code = \w+ desc = )")
_QUOTED = re.compile(r'"[^"]*"')
_EXEC = re.compile(
    r"exec:? \\?[\"`](?P<name>[^\"`\\]+)\\?[\"`]:? ?(?P<why>[^:]*)|executable file `(?P<crun>[^`]+)` not found"
)
_GPU = re.compile(
    r"nvidia-container-cli: (?P<why>.+?)(?:: unknown|$)|(?P<cdi>unresolvable CDI devices [^:]+)"
)
_ENVIRONMENT = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found')
_ENVIRONMENT_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)")


def read_pull(message: str, image: str) -> Trouble:
    """Name why ``image`` cannot be pulled, from the message of the state or of the Event Failed."""
    text = _BACK_OFF.sub("", " ".join(message.split()))
    if not text:
        return Trouble(reason=R.IMAGE_PULL_FAILED, message=f"image {image} cannot be pulled", vague=True)
    # Of names only what is outside of them says why: an image may well be called "not-found:403".
    plain = text
    for name in sorted(_names(image), key=len, reverse=True):
        plain = plain.replace(name, "IMAGE")
    for words, reason in _IMAGE_RULES:
        if re.search(words, plain):
            if reason not in _SAYS:
                break
            return Trouble(reason=reason, message=_SAYS[reason].format(image=shortened(image or "it", 160)))
    said = shortened(_GENERIC.sub("", text))
    return Trouble(reason=R.IMAGE_PULL_FAILED, message=f"image {image} cannot be pulled: {said}")


_SAYS: Final = {
    R.IMAGE_NAME_INVALID: "{image} is no image name",
    R.REGISTRY_LIMITED: "the registry limits pulls of {image}",
    R.IMAGE_NO_SPACE: "the node has no room for {image}",
    R.IMAGE_WRONG_PLATFORM: "{image} is not there for the node's architecture",
    R.REGISTRY_UNREACHABLE: "the node cannot reach the registry of {image}",
    R.IMAGE_DENIED: "the registry does not let the node pull {image}",
    R.IMAGE_NOT_FOUND: "the registry has no {image}",
}


def _names(image: str) -> set[str]:
    """The ways in which messages write the image."""
    if not image:
        return set()
    bare, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "")
    names = {image, bare, bare.partition("/")[2] or bare}
    return {name for name in names | ({tag} if len(tag) > 2 else set()) if name}


def read_container(container: Container) -> Trouble | None:
    """Why ``container`` does not run, or None where it does, or has not been asked to yet."""
    if container.waiting in _PULLING:
        if container.waiting == "InvalidImageName":
            return Trouble(
                reason=R.IMAGE_NAME_INVALID, message=f"{shortened(container.image, 160)!r} is no image name"
            )
        found = read_pull(container.message, container.image)
        if found.vague and container.waiting == "RegistryUnavailable":
            return Trouble(
                reason=R.REGISTRY_UNREACHABLE,
                message=f"the node cannot reach the registry of {container.image}",
            )
        return found
    if container.waiting == "CreateContainerConfigError":
        return Trouble(reason=R.CONFIGURATION_MISSING, message=_configuration(container))
    if container.waiting in _STARTING:
        return Trouble(reason=R.START_FAILED, message=_start(container.name, container.message))
    if container.waiting == "CrashLoopBackOff":
        return _ended(
            container, container.last_exit_code, container.last_exit_reason, container.last_exit_message
        )
    if container.waiting not in CREATING:
        said = f": {shortened(container.message)}" if container.message else ""
        return Trouble(
            reason=R.POD_NOT_READY,
            message=f"container {container.name} waits, {shortened(container.waiting, 60)}{said}",
        )
    if container.exit_code is not None and not (container.init and container.exit_code == 0):
        return _ended(container, container.exit_code, container.exit_reason, container.exit_message)
    if container.running_since and container.restarts >= 2 and not container.ready:
        return _ended(
            container, container.last_exit_code, container.last_exit_reason, container.last_exit_message
        )
    return None


def _ended(container: Container, code: int | None, reason: str, message: str) -> Trouble:
    """How a container ended: killed for its memory, not started at all, or by itself."""
    name = container.name
    if reason == "OOMKilled":
        return Trouble(
            reason=R.OUT_OF_MEMORY,
            message=f"container {name} was killed because it used more memory than it may",
        )
    if reason in ("StartError", "ContainerCannotRun"):
        return Trouble(reason=R.START_FAILED, message=_start(name, message))
    if code is None:
        return Trouble(reason=R.CRASHING, message=f"container {name} ends again and again")
    said = f": {shortened(message.strip().splitlines()[-1], 140)}" if message.strip() else ""
    return Trouble(
        reason=R.CRASHING, message=f"container {name} ends again and again with {_code(code)}{said}"
    )


_CODES: Final = {
    0: "exit code 0 although it shall run on",
    126: "exit code 126: its command cannot be executed",
    127: "exit code 127: its command does not exist",
    132: "exit code 132 (SIGILL: the CPU lacks an instruction)",
    134: "exit code 134 (SIGABRT)",
    135: "exit code 135 (SIGBUS: /dev/shm may be too small)",
    137: "exit code 137 (SIGKILL)",
    139: "exit code 139 (SIGSEGV)",
    143: "exit code 143 (SIGTERM)",
}


def _code(code: int) -> str:
    return _CODES.get(code, f"exit code {code}")


def _configuration(container: Container) -> str:
    text = container.message
    if match := _ENVIRONMENT_KEY.search(text):
        return f"container {container.name}: {match['kind']} {match['name']} has no key {match['key']}"
    if match := _ENVIRONMENT.search(text):
        kind = "Secret" if match["kind"] == "secret" else "ConfigMap"
        return f"container {container.name}: {kind} {match['name']} does not exist"
    if "runAsNonRoot" in text:
        return f"container {container.name}: its image runs as root, and runAsNonRoot forbids that"
    return f"container {container.name}: {shortened(text)}"


def _start(name: str, text: str) -> str:
    if match := _GPU.search(text):
        return (
            f"container {name}: the GPU cannot be given to it: {shortened(match['why'] or match['cdi'], 140)}"
        )
    if match := _EXEC.search(text):
        return f"container {name}: its command {match['name'] or match['crun']} cannot be executed"
    if not text:
        return f"container {name}: the runtime cannot start it"
    return f"container {name}: {shortened(_GENERIC.sub('', text))}"
