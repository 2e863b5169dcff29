"""Images of one layer, made here: what `docker save` would write of them."""

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.process import ComponentError

BUSYBOX = Path("/bin/busybox")
"""Of Debian's busybox-static: it needs no library."""
BUSYBOX_IMAGE = "docker.io/testbed/busybox:1"
"""The image that the tests' node has."""
_APPLETS = (
    "cat dd echo env false hostname httpd id ip kill ls mount nc nslookup ps sh sleep tail touch true wc wget"
)


def archive(
    name: str,
    files: Mapping[str, bytes],
    *,
    links: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    architecture: str = "amd64",
) -> bytes:
    """An image called ``name``; all of ``files`` may be executed. ``links``: from path to target."""
    layer = _layer(files, links or {})
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Cmd": list(command) or None,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    document = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(document).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return _tar({config_name: document, "layer.tar": layer, "manifest.json": manifest}, {})


def busybox(name: str, files: Mapping[str, bytes] | None = None) -> bytes:
    """An image with a shell, a web server and what else a test's container does."""
    links = {f"bin/{applet}": "busybox" for applet in _APPLETS.split()}
    content = {"bin/busybox": BUSYBOX.read_bytes(), **(files or {})}
    return archive(name, content, links=links, command=["/bin/sh"])


def push(image: bytes, name: str) -> None:
    """Push an image to a plain registry: ``name`` is HOST:PORT/REPOSITORY:TAG. Raises ComponentError."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(image)
        file.flush()
        words = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
        places = [f"docker-archive:{file.name}", f"docker://{name}"]
        done = subprocess.run([*words, *places], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentError(f"skopeo: {done.stderr.strip()}")


def _layer(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    return _tar(files, links, folders=("tmp",))


def _tar(files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str] = ()) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        above = {
            "/".join(parts[:depth])
            for parts in (path.split("/") for path in (*files, *links))
            for depth in range(1, len(parts))
        }
        for folder in sorted(above | {*folders}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return content.getvalue()
