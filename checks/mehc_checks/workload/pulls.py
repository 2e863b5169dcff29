"""Why a node cannot pull an image, from the words of its runtime.

Sources: kubelet's ``images/image_manager.go`` and ``images/types.go`` (Kubernetes 1.20 to 1.36); containerd's
``core/remotes/docker`` (1.4 to 2.3) and CRI-O's ``containers/image`` (1.20 to 1.33), whose errors the kubelet quotes;
Go's ``net``, ``crypto/tls`` and ``crypto/x509``.
"""

import re
from collections.abc import Iterable
from typing import Final

from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload import runtime
from mehc_checks.workload.objects import Event
from mehc_checks.workload.reasons import EXPLAINED_BY_IMAGE, OF_PROXY, ON_NODE, PLATFORM, PULL, PULL_WORDS
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

_RULES: Final[tuple[tuple[str, Reason], ...]] = (
    (r"invalid reference format|couldn't parse image name|InvalidImageName", R.IMAGE_NAME_INVALID),
    (r"is not present with pull policy of Never", R.IMAGE_NEVER_PULLED),
    (r"toomanyrequests|too many requests|\b429\b|rate limit", R.REGISTRY_LIMITED),
    (r"no space left on device|disk quota exceeded|ENOSPC", R.IMAGE_NO_SPACE),
    (
        r"no match for platform|no matching manifest for|"
        r"no image found in (?:manifest list|image index)|does not match the specified platform",
        R.IMAGE_PLATFORM_MISSING,
    ),
    (
        r"from content store|prepare extraction snapshot|parent snapshot|unexpected media type|"
        r"failed to extract layer",
        R.IMAGE_PULL_FAILED,
    ),
    (
        r"no longer supported since containerd|unsupported manifest media type.*manifest\.v1\+|"
        r"schema ?1 (?:manifest )?is (?:no longer|not) supported",
        R.SCHEMA_1,
    ),
    (
        r"not yet valid: current time \S+ is before|(?<!expired or )certificate is not yet valid",
        R.TLS_NOT_YET_VALID,
    ),
    (r"certificate has expired", R.TLS_EXPIRED),
    (
        r"certificate is (?:not )?valid for|legacy Common Name field|"
        r"doesn't contain any IP SANs|cannot validate certificate for",
        R.TLS_WRONG_HOST,
    ),
    (
        r"unknown authority|certificate is not trusted|x509: certificate signed by|self-signed",
        R.TLS_UNTRUSTED,
    ),
    (r"server gave HTTP response to HTTPS|first record does not look like a TLS", R.SERVER_NOT_TLS),
    (r"HTTP request to an HTTPS server", R.TLS_REQUIRED),
    (r"TLS handshake timeout", R.CONNECTION_TIMEOUT),
    (r"x509:|tls: |remote error: tls", R.TLS_HANDSHAKE_FAILED),
    (
        r"\b50[0-9] (?:Internal|Bad|Service|Gateway)|unexpected status(?: code)?[^:]*: 50[0-9]\b|"
        r"\b5\d\d status code|status code from registry 5\d\d",
        R.REGISTRY_ERROR,
    ),
    (r"no such host", R.HOST_UNRESOLVABLE),
    (
        r"server misbehaving|Temporary failure in name resolution|"
        r"lookup \S+(?: on \S+)?: .*(?:i/o timeout|connection refused|unreachable|no route to host)",
        R.DNS_TIMEOUT,
    ),
    (r"connection refused", R.CONNECTION_REFUSED),
    (r"no route to host|network is unreachable", R.HOST_UNREACHABLE),
    (
        r"i/o timeout|Client\.Timeout|context deadline exceeded|DeadlineExceeded|connection timed out",
        R.CONNECTION_TIMEOUT,
    ),
    (r"connection reset by peer|unexpected EOF|: EOF\b|server closed", R.CONNECTION_CLOSED),
    (r"registry is unavailable|RegistryUnavailable|pull QPS exceeded", R.IMAGE_PULL_FAILED),
    (
        r"\b401\b|\b403\b|[Uu]nauthorized|[Ff]orbidden|pull access denied|insufficient_scope|authorization failed|"
        r"authentication required|no basic auth credentials|access to the resource is denied|denied:|"
        r"not authorized|invalid username/password|authorization token has expired|failed to authorize|"
        r"failed to fetch (?:anonymous|oauth) token|ExpiredToken|AccessDenied",
        R.IMAGE_DENIED,
    ),
    (
        r"httpReade?r?Seeker: failed open: (?:content at \S+ not found|could not fetch content descriptor (?!\S+ "
        r"\(\S*manifest))|BLOB_UNKNOWN|blob unknown|fetching blob: .*(?:404|unknown|not found)",
        R.BLOBS_MISSING,
    ),
    (
        r"not found|manifest unknown|name unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN|does not exist|NotFound|"
        r"\b404\b|did not resolve",
        R.IMAGE_NOT_FOUND,
    ),
)
"""In this order: a denial quotes the name it denies, and registries that hide names say both at once."""

_WORDS: Final = tuple((re.compile(pattern), reason) for pattern, reason in _RULES)
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(?:: )?')
_GENERIC = re.compile(
    r"^(?:Error: |ErrImagePull: |Failed to pull image \"[^\"]*\": |rpc error: code = \w+ desc = )+"
)
_DIALLED = re.compile(r"dial tcp (?P<address>\[?[0-9a-fA-F.:]+\]?:\d+)")
_ASKED = re.compile(r"https?://(?P<host>[^/\s\"?]+)")
_OPENED = re.compile(
    r"failed open: unexpected status(?: code)?(?: from GET request to)? https?://(?P<host>[^/\s]+)(?P<path>/[^\s:]*)"
)
_LOOKED_UP = re.compile(r"lookup (?P<host>[^\s:]+)")
_NO_SECRET = re.compile(r"Unable to retrieve some image pull secrets \((?P<names>[^)]+)\)")
_DIGEST = re.compile(r"(?P<digest>sha256:[0-9a-f]+)")
_STATUS = re.compile(r"\b(?P<code>[45]\d\d)\b")
_DEFAULT_REGISTRY: Final = "docker.io"


def read(message: str, image: str, events: Iterable[Event] = ()) -> Trouble:
    """Name why ``image`` cannot be pulled, from the message of the state or of the Event Failed.

    Of ``events`` of the pod, one may say that its pull secret does not exist.
    """
    text = _BACK_OFF.sub("", " ".join(message.split()))
    named = shortened(image, 160) or "it"
    host = _registry(image)
    if not text:
        return Trouble(reason=R.IMAGE_PULL_FAILED, words={"image": named}, vague=True)
    detail = shortened(_GENERIC.sub("", text), 160)
    words = {
        "image": named,
        "host": host,
        "detail": detail,
        "repository": _repository(image),
        "code": "5xx",
        "digest": "unknown",
    }
    # Of names only what is outside of them says why: an image may well be called "not-found:403".
    plain = text
    for name in sorted(_names(image), key=len, reverse=True):
        plain = plain.replace(name, "IMAGE")
    if fault := runtime.down(text):
        return fault
    reason = next((reason for pattern, reason in _WORDS if pattern.search(plain)), R.IMAGE_PULL_FAILED)
    if reason is R.IMAGE_DENIED and (store := _store(text, host)):
        reason, words["store"] = R.LAYER_STORE_ERROR, store
    if reason is R.IMAGE_DENIED:
        missing = (_NO_SECRET.search(event.message) for event in events)
        if found := next((match for match in missing if match), None):
            words |= {"secret": found["names"], "account": "the pod"}
            return Trouble(
                reason=R.PULL_SECRET_MISSING, words=words, prefix=PULL, explained_by=EXPLAINED_BY_IMAGE
            )
    if reason is R.IMAGE_PLATFORM_MISSING:
        words |= {"architecture": PLATFORM}
        return Trouble(reason=reason, words=words, prefix=ON_NODE, explained_by=EXPLAINED_BY_IMAGE)
    if reason not in _OF_FAMILIES:
        return Trouble(reason=reason, words=words)
    server = _server(text, host)
    words |= {key: value.format(host=server["host"]) for key, value in PULL_WORDS.items()} | server
    if reason is R.LAYER_STORE_ERROR:
        words["host"] = host
    words["detail"] = detail.rpartition("x509: ")[2] if "x509: " in detail else detail.rpartition(": ")[2]
    if found := _DIGEST.search(text):
        words["digest"] = found["digest"][:19]
    if found := _STATUS.search(plain):
        words["code"] = found["code"]
    return Trouble(reason=reason, words=words, prefix=PULL, explained_by=EXPLAINED_BY_IMAGE)


_OF_FAMILIES: Final = frozenset(
    {
        *NetworkReasons.all(),
        R.REGISTRY_ERROR,
        R.REGISTRY_LIMITED,
        R.BLOBS_MISSING,
        R.LAYER_STORE_ERROR,
        R.SCHEMA_1,
    }
)


def _store(text: str, registry: str) -> str:
    """The host, other than ``registry``, that denies a layer: where the registry redirects to. "" for none."""
    found = _OPENED.search(text)
    if found is None or found["host"].endswith(registry) or "?ns=" in found[0]:
        return ""
    return "" if found["path"].startswith("/v2/") and ".cloudfront." not in found["host"] else found["host"]


def _server(text: str, registry: str) -> dict[str, str]:
    """The host that ``text`` is about, the registry's or its token server's, and the address that was dialled."""
    looked_up, asked, dialled = _LOOKED_UP.search(text), _ASKED.search(text), _DIALLED.search(text)
    if "proxyconnect" in text:
        proxy = looked_up["host"] if looked_up else dialled["address"] if dialled else "that its runtime uses"
        address = proxy if looked_up else f"the proxy {proxy}"
        return {"host": proxy, "service": proxy, "address": address, "source": OF_PROXY}
    host = looked_up["host"] if looked_up else asked["host"] if asked else registry
    other = dialled and dialled["address"] != host
    address = f"{host} ({dialled['address']})" if dialled and other else host
    return {"host": host, "service": host, "address": address}


def _registry(image: str) -> str:
    """The host, with its port, that ``image`` is pulled from."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _DEFAULT_REGISTRY


def _repository(image: str) -> str:
    """``image`` without registry, tag and digest."""
    name = image.partition("@")[0]
    bare = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return shortened(bare.removeprefix(f"{_registry(image)}/"), 120) or "it"


def _names(image: str) -> set[str]:
    """The ways in which messages write the image."""
    if not image:
        return set()
    bare, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "")
    names = {image, bare, bare.partition("/")[2] or bare}
    return {name for name in names | ({tag} if len(tag) > 2 else set()) if name}
