"""A stand-in for the image that the Dockerfile begins from: Debian's packages by mmdebstrap, its own Python among them.

No registry is asked, and it is the same on every machine. That Python is of the official image's minor version, and
lies elsewhere: in /usr and not in /usr/local. Needs root. Standard library only.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # run as a file: import testbed as the package it is
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from testbed import tools

DOCKERFILE = tools.ROOT / "Dockerfile"
SUITE = "trixie"
NAME = f"localhost/mehc-base:{SUITE}"
"""Of the base in the store."""
_MIRROR = "http://deb.debian.org/debian/"
_PACKAGES = ("ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata")
_DEBIAN = (
    *("--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
    '--aptopt=Apt::Install-Recommends "false"',
    *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")),
    *('--customize-hook=ln -s python3 "$1/usr/bin/python"', "--skip=output/dev"),
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BuildError(RuntimeError):
    """A command of the build failed; the message ends with its output."""


def name() -> str:
    """What the Dockerfile's stages begin from by themselves, such as python:3.13.16-slim-trixie@sha256:….

    Raises ValueError where the base that is made here is not of the same Debian.
    """
    found: str
    (found,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    if not found.partition("@")[0].endswith(f"-slim-{SUITE}"):
        raise ValueError(f"{found} is not of Debian {SUITE}, which is what is made here")
    return found


def digest() -> str:
    """Changes with what the base is made of."""
    return hashlib.sha256(repr((name(), SUITE, _DEBIAN, _PATH)).encode()).hexdigest()[:12]


def impossible() -> str:
    """Why no image can be built on this machine, or ""."""
    if os.geteuid() != 0:
        return "building an image without Docker needs root"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"this machine refuses namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def store() -> Path:
    """Where buildah keeps the base, and what is built on it."""
    return tools.CACHE / f"containers-{digest()}"


def buildah(folder: Path) -> list[str | Path]:
    """buildah with that store, and without what this machine says of registries. ``folder`` gets its settings."""
    registries = folder / "registries.conf"
    registries.write_text('unqualified-search-registries = ["docker.io"]\n')
    words: list[str | Path] = ["env", f"CONTAINERS_REGISTRIES_CONF={registries}", "buildah"]
    return [*words, "--root", store() / "images", "--runroot", store() / "run"]


def is_made() -> bool:
    return (store() / "made").exists()


def make() -> None:
    """Make it as ``NAME`` in buildah's store, where it is kept. Raises BuildError."""
    with (
        tools.locked(tools.CACHE / "baseimage.lock", "the base image"),
        tempfile.TemporaryDirectory() as here,
    ):
        if is_made():
            return
        shutil.rmtree(store(), ignore_errors=True)
        store().mkdir(parents=True, exist_ok=True)
        archive = Path(here) / "debian.tar"
        run("unshare", "--mount", "mmdebstrap", *_DEBIAN, SUITE, archive, mirror())
        building = buildah(Path(here))
        container = run(*building, "from", "scratch").strip()
        run(*building, "add", "--quiet", container, archive, "/")
        run(*building, "config", "--env", f"PATH={_PATH}", container)
        run(*building, "commit", "--quiet", "--rm", container, NAME)
        (store() / "made").touch()


def mirror() -> str:
    """Where this machine's apt gets Debian; Debian's own mirror where its sources do not say."""
    words = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    found = run(*words, "Origin: Debian", "Label: Debian").split()
    return next((each for each in found if each.startswith("http")), _MIRROR)


def run(*words: str | Path) -> str:
    """What a command prints. Raises BuildError."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        output = f"{done.stdout}\n{done.stderr}"[-4000:]
        raise BuildError(f"{' '.join(map(str, words))} failed with code {done.returncode}:\n{output}")
    return done.stdout


if __name__ == "__main__":
    make()
