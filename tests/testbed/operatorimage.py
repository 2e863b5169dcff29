"""The operator's image: built from the project's own Dockerfile without Docker, kept, and served by a registry.

buildah carries the Dockerfile out in a chroot, so this needs root and no daemon. What is kept is a registry's storage
per state of what goes into the image; those that were not used for a day go with the next build.
"""

import configparser
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed import baseimage, tools
from testbed.baseimage import run
from testbed.registry import Registry

REPOSITORY = "mehc"
_KEPT = tools.CACHE / "image"
_DAY = 24 * 3600
_AUTHORITIES = Path("/etc/ssl/certs")
_OF_PIP = (
    *("index-url", "extra-index-url", "no-index", "find-links", "trusted-host"),
    *("proxy", "timeout", "default-timeout", "retries"),
)
"""How this machine's pip gets packages."""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """The image in a started registry without TLS, which nodes reach at the same address of their own loopback."""

    registry: Registry

    @property
    def repository(self) -> str:
        return f"{self.registry.address}/{REPOSITORY}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{tag()}"


@contextlib.contextmanager
def served() -> Iterator[ServedImage]:
    """Raises BuildError."""
    with Registry(storage=storage()) as registry:
        yield ServedImage(registry)


def context() -> list[str]:
    """What .dockerignore leaves of the project, as it names it."""
    lines = (tools.ROOT / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


@functools.cache
def tag() -> str:
    """The image's, which changes with whatever goes into it."""
    made_of = hashlib.sha256(Path(__file__).read_bytes() + baseimage.digest().encode())
    for path in _files():
        made_of.update(f"{path.relative_to(tools.ROOT)}\0".encode() + path.read_bytes())
    return made_of.hexdigest()[:12]


def _files() -> Iterator[Path]:
    yield tools.ROOT / "Dockerfile"
    for each in map(tools.ROOT.joinpath, context()):
        yield from (
            path
            for path in (sorted(each.rglob("*")) if each.is_dir() else [each])
            if path.is_file() and "__pycache__" not in path.parts
        )


def storage() -> Path:
    """The storage of a registry that has the image as ``mehc:<tag()>``; built first if it is not kept.

    Raises BuildError.
    """
    kept = _KEPT / tag()
    with tools.locked(_KEPT.with_name("image.lock"), "the operator's image"):
        if not kept.exists():
            _KEPT.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=_KEPT, prefix="unfinished-"))
            try:
                _build(unfinished)
                unfinished.rename(kept)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            _forget()
        os.utime(kept)
    return kept / "registry"


def _build(folder: Path) -> None:
    baseimage.make()
    buildah = baseimage.buildah(folder)
    policy = folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    pip = folder / "pip.conf"
    settings = _pip_configuration()
    with pip.open("w") as file:
        settings.write(file)
    wheels = [Path(each) for each in settings.get("global", "find-links", fallback="").split()]
    shared = (_AUTHORITIES, Path("/etc/resolv.conf"), *(each for each in wheels if each.is_absolute()))
    mounted = {pip: Path("/etc/pip.conf"), **{each: each for each in shared}}
    run(
        *(*buildah, "bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers"),
        *("--signature-policy", policy),
        *(f"--volume={here}:{there}:ro" for here, there in mounted.items() if here.exists()),
        *("--build-arg", f"BASE={baseimage.NAME}"),
        *("--tag", f"localhost/{REPOSITORY}:{tag()}", "--file", baseimage.DOCKERFILE, tools.ROOT),
    )
    images = folder / "registry"
    images.mkdir()
    with Registry(storage=images) as registry:
        run(
            *(*buildah, "push", "--quiet", "--tls-verify=false", "--signature-policy", policy),
            *(f"localhost/{REPOSITORY}:{tag()}", f"docker://{registry.address}/{REPOSITORY}:{tag()}"),
        )
    for path in (policy, pip, folder / "registries.conf"):
        path.unlink()


def _pip_configuration() -> configparser.RawConfigParser:
    """This machine's, by its files and variables: the index of packages, and how it is reached."""
    here = configparser.RawConfigParser(strict=False)
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    here.read([*files, os.environ.get("PIP_CONFIG_FILE", os.devnull)])
    found = {
        key: here.get(part, key) for part in here.sections() for key in _OF_PIP if here.has_option(part, key)
    }
    for key in _OF_PIP:
        if value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            found[key] = value
    if (bundle := _AUTHORITIES / "ca-certificates.crt").exists():
        found["cert"] = str(bundle)
    there = configparser.RawConfigParser()
    there["global"] = found
    return there


def _forget() -> None:
    """What was not used for a day."""
    old = [each for each in _KEPT.iterdir() if each.stat().st_mtime < time.time() - _DAY]
    for each in old:
        shutil.rmtree(each, ignore_errors=True)
    if old:
        with tempfile.TemporaryDirectory() as folder:
            buildah = baseimage.buildah(Path(folder))
            for each in old:
                subprocess.run(
                    [*buildah, "rmi", f"localhost/{REPOSITORY}:{each.name}"], capture_output=True, check=False
                )
            subprocess.run([*buildah, "rmi", "--prune"], capture_output=True, check=False)
