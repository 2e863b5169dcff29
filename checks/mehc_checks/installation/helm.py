"""Helm releases as Helm 3 and 4 store them: Secrets of the type ``helm.sh/release.v1``.

The key ``release`` holds base64 of gzip of JSON; the oldest releases are not compressed. Source:
``pkg/storage/driver`` of Helm.
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mehc_checks.core.bounds import oversized
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.text import shortened
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine.names import CHART, fullname
from mehc_checks.modelengine.values import Layer, Values

SECRET_TYPE: Final = "helm.sh/release.v1"  # noqa: S105 - a type, not a secret
SECRET_PREFIX: Final = "sh.helm.release.v1."  # noqa: S105 - the beginning of a name
LARGEST: Final = 16 * 1024 * 1024
"""Bytes that a release may unpack to. A Secret holds 1 MiB, and real charts shrink to about a tenth."""
_MOST_SEPARATORS: Final = 500_000
"""Of JSON, in an unpacked release: each may become an object of Python's, of some hundred bytes."""
_READ: Final = ("name", "version", "info", "config")
_LONGEST_DESCRIPTION: Final = 400
_SOURCE: Final = re.compile(r"^# Source: ([^\n]+?)/templates/", re.MULTILINE)
_LABEL: Final = re.compile(r"^ +product: [\"']?model-engine[\"']?$", re.MULTILINE)
_GZIP: Final = b"\x1f\x8b\x08"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class Unreadable(CannotEvaluate):
    """A release Secret holds no release. The message names the Secret and quotes nothing of it."""

    def __init__(self, secret: str, why: str) -> None:
        super().__init__(R.RELEASE_UNREADABLE, secret=secret, detail=why)
        self.secret = secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A revision, as its Secret's metadata tell it. ``status`` is in Helm's words: "pending-upgrade".

    ``created`` is when its install or upgrade began; it applied its objects after that.
    """

    secret: str
    name: str
    revision: int
    status: str
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseFacts:
    """One revision of a release. ``updated`` is None where Helm wrote no time that can be read.

    ``chart`` is name and version, the wrapper's where model engine is its subchart; ``path`` is then the
    key of the wrapper's values under which model engine's are, dotted if it lies deeper, else "".
    """

    name: str
    revision: int
    secret: str
    chart: str
    status: str
    description: str
    updated: datetime | None
    path: str = ""

    def __str__(self) -> str:
        return f"Helm release {self.name} revision {self.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release of model engine and its values: layers in the shape of the model engine chart."""

    facts: ReleaseFacts
    layers: tuple[Layer, ...]


def stored(metadata: Mapping[str, Any]) -> Stored | None:
    """The revision that a Secret's metadata describes, or None if it is not one of Helm's."""
    labels = metadata.get("labels") or {}
    revision = labels.get("version", "")
    if labels.get("owner") != "helm" or not labels.get("name") or not re.fullmatch(r"[0-9]{1,9}", revision):
        return None
    return Stored(
        secret=metadata["name"],
        name=labels["name"],
        revision=int(revision),
        status=labels.get("status", "unknown"),
        created=_time(metadata.get("creationTimestamp")),
    )


def newest(revisions: Sequence[Stored]) -> list[Stored]:
    """The newest revision of each release, by name. What was uninstalled, its history kept, is left out."""
    latest: dict[str, Stored] = {}
    for revision in revisions:
        known = latest.get(revision.name)
        if known is None or revision.revision > known.revision:
            latest[revision.name] = revision
    return [latest[name] for name in sorted(latest) if latest[name].status != "uninstalled"]


def read(payload: bytes, secret: str) -> Release | None:
    """The release in ``payload`` if it is one of model engine. Takes a while where it is large. Raises Unreadable."""
    return model_engine(decode(payload, secret=secret), secret=secret)


def decode(payload: bytes, *, secret: str) -> dict[str, Any]:
    """The release in ``payload``, the Secret's key ``release`` after Kubernetes' own base64.

    Raises Unreadable for what is no release, unpacks to more than LARGEST bytes, or is more than JSON of this size
    ever is.
    """
    try:
        packed = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable(secret, "it is not base64") from None
    content = _unpacked(packed, secret)
    if sum(map(content.count, (b",", b"[", b"{"))) > _MOST_SEPARATORS:
        raise Unreadable(secret, f"it has more than {_MOST_SEPARATORS:,} values")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # JSON or UTF-8
        raise Unreadable(secret, "it is not JSON") from None
    if not isinstance(document, dict):
        raise Unreadable(secret, "it is not a JSON object")
    return document


def slim(text: bytes) -> bytes:
    """A release's Secret, as the API has it, of which ``read`` makes the same: without templates, files and hooks.

    One that is not to be read stays as it is.
    """
    try:
        secret = json.loads(text)
        payload = base64.b64decode(secret["data"]["release"])
        document = decode(payload, secret="")
        chart = _table(document.get("chart"))
        kept: dict[str, Any] = {key: document[key] for key in _READ if key in document}
        kept["chart"] = {key: chart[key] for key in ("metadata", "values") if key in chart}
        if _table(chart.get("metadata")).get("name") != CHART:
            kept["manifest"] = document.get("manifest")
        payload = base64.b64encode(json.dumps(kept).encode())
        return json.dumps({**secret, "data": {"release": base64.b64encode(payload).decode()}}).encode()
    except (KeyError, TypeError, ValueError, RecursionError, Unreadable):
        return text


def _unpacked(packed: bytes, secret: str) -> bytes:
    if not packed.startswith(_GZIP):
        return packed
    unpack = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = unpack.decompress(packed, LARGEST)
    except zlib.error:
        raise Unreadable(secret, "it is not gzip") from None
    if unpack.unconsumed_tail:
        raise Unreadable(secret, f"it unpacks to more than {LARGEST // 1024**2} MiB")
    if not unpack.eof:
        raise Unreadable(secret, "it ends early")
    return content


def model_engine(document: Mapping[str, Any], *, secret: str) -> Release | None:
    """The release in a decoded ``document`` if its chart is model engine or contains it, else None.

    Raises Unreadable where the document lacks what every release has.
    """
    chart = _table(document.get("chart"))
    metadata = _table(chart.get("metadata"))
    if not isinstance(metadata.get("name"), str) or not isinstance(document.get("name"), str):
        raise Unreadable(secret, "it names no release or no chart")
    path = _path(metadata, document)
    if path is None:
        return None
    info = _table(document.get("info"))
    defaults, config = _table(chart.get("values")), _table(document.get("config"))
    revision = document.get("version")
    facts = ReleaseFacts(
        name=document["name"],
        revision=revision if isinstance(revision, int) else 0,
        secret=secret,
        chart=f"{metadata['name']}-{metadata.get('version', '')}".rstrip("-"),
        status=str(info.get("status", "unknown")),
        description=shortened(str(info.get("description", "")), _LONGEST_DESCRIPTION),
        updated=_time(info.get("last_deployed")),
        path=path,
    )
    for what, values in (("its values", config), ("its chart's values", defaults)):
        if too_large := oversized(values):
            raise Unreadable(secret, f"{what}: {too_large}")
    given = str(facts)
    layers = [
        Layer(source=f"{given}, chart defaults", values=_below(defaults, path)),
        Layer(source=given, values=_below(config, path)),
    ]
    called = (path or metadata["name"]).rpartition(".")[2]
    if called != CHART:
        own = Values.merged(layers)
        if not own.text("fullnameOverride"):
            layers.append(Layer(source=given, values={"fullnameOverride": fullname(own, chart=called)}))
    # A parent chart's globals win over its subchart's own.
    for parent in _parents(path):
        for source, values in ((f"{given}, chart defaults", defaults), (given, config)):
            shared = _below(values, parent).get("global")
            if isinstance(shared, Mapping):
                layers.append(Layer(source=source, values={"global": shared}))
    return Release(facts=facts, layers=tuple(layers))


def _path(metadata: Mapping[str, Any], document: Mapping[str, Any]) -> str | None:
    """Where in the release's values model engine's are: "" for its own chart, None if it is not in there.

    A release does not store its subcharts, and an alias takes the place of a subchart's name everywhere. What tells
    then is the label that the chart gives its objects, and the comment before each object of the manifest.
    """
    if metadata["name"] == CHART:
        return ""
    manifest = document.get("manifest")
    for rendered in (manifest if isinstance(manifest, str) else "").split("\n---\n"):
        if source := _SOURCE.search(rendered):
            *charts, name = source[1].split("/charts/")
            if name == CHART or _LABEL.search(rendered):
                return ".".join([*charts, name][1:])
    dependencies = metadata.get("dependencies")
    for dependency in dependencies if isinstance(dependencies, list) else []:  # nothing was rendered yet
        if isinstance(dependency, Mapping) and dependency.get("name") == CHART:
            return CHART
    return None


def _parents(path: str) -> Iterator[str]:
    """The charts above ``path``, nearest first: "a" and "" for "a.b"."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def _below(values: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    for key in filter(None, path.split(".")):
        values = _table(values.get(key))
    return values


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _time(text: Any) -> datetime | None:
    """Go writes nanoseconds, which Python reads from 3.11 on by cutting them off."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
