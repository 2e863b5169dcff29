"""Build what a release publishes into ``dist/`` (``make release``). Nothing is pushed and nothing is signed.

- ``mehc-VERSION-py3-none-any.whl`` and ``mehc-VERSION.tar.gz``: for PyPI, so for pipx and uvx
- ``mehc-VERSION.cdx.json``: what the image and the wheel are made of (CycloneDX), from ``requirements.lock``
- ``model-engine-health-check-VERSION.tgz``: the chart
- ``kubectl-mehc-VERSION.tar.gz`` and ``mehc.yaml``: the archive and the manifest of krew
- ``mehc-VERSION-image.tar``: the image as an OCI archive, on the stand-in of the base that tests use
- ``SHA256SUMS``
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Final

import yaml

from testbed import operatorimage
from testbed.setup import uv
from testbed.tools import HELM, resolve

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "charts" / "model-engine-health-check"
VERSION: Final[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
HOME: Final[str] = yaml.safe_load((CHART / "Chart.yaml").read_text())["home"]
_SBOM: Final = "cyclonedx-bom==7.5.0"
_LAUNCHER: Final = f"""\
#!/bin/sh
# kubectl mehc: the command mehc, which is a Python program.
if command -v mehc >/dev/null 2>&1; then exec mehc "$@"; fi
if command -v uvx >/dev/null 2>&1; then exec uvx --from mehc=={VERSION} mehc "$@"; fi
if command -v pipx >/dev/null 2>&1; then exec pipx run --spec mehc=={VERSION} mehc "$@"; fi
echo "kubectl mehc: install mehc (pipx install mehc), or uv or pipx, which run it" >&2
exit 2
"""


def main() -> int:
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for step in (python_packages, chart, krew, bill_of_materials, image):
            step(folder)
    except subprocess.CalledProcessError as failed:
        print(f"release: {Path(failed.cmd[0]).name} failed\n{failed.stdout}{failed.stderr}", file=sys.stderr)
        return 1
    made = sorted(folder.iterdir())
    sums = "".join(f"{sha256(path)}  {path.name}\n" for path in made)
    (folder / "SHA256SUMS").write_text(sums)
    for path in made:
        print(f"{path.stat().st_size / 1e6:8.2f} MB  dist/{path.name}")
    print("To publish: docs/release.md")
    return 0


def python_packages(folder: Path) -> None:
    """The wheel, and the sources that it is made from; the build's own packages are those of the lock."""
    lock = ROOT / "requirements-build.lock"
    _run(uv(), "build", "--quiet", "--require-hashes", "--build-constraints", lock, "--out-dir", folder, ROOT)
    (folder / ".gitignore").unlink(missing_ok=True)


def chart(folder: Path) -> None:
    _run(resolve(HELM), "package", CHART, "--destination", folder)


def krew(folder: Path) -> None:
    """The plugin is a launcher, the same on each platform that has a shell."""
    archive = folder / f"kubectl-mehc-{VERSION}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name, content, mode in (
            ("kubectl-mehc", _LAUNCHER.encode(), 0o755),
            ("LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            packed.addfile(entry, io.BytesIO(content))
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "mehc"},
        "spec": {
            "version": f"v{VERSION}",
            "homepage": HOME,
            "shortDescription": "Diagnose installations of model engine",
            "description": "Says what is broken in an installation of model engine, why, and how to fix it: endpoints "
            "that stay INITIALIZING, databases without their schema, Redis, queues, images, GPU nodes, scaling.",
            "caveats": "Needs Python 3.11 or newer with mehc (pipx install mehc), or uv or pipx, which run it.",
            "platforms": [
                {
                    "selector": {
                        "matchExpressions": [{"key": "os", "operator": "In", "values": ["linux", "darwin"]}]
                    },
                    "uri": f"{HOME}/releases/download/v{VERSION}/{archive.name}",
                    "sha256": sha256(archive),
                    "bin": "kubectl-mehc",
                }
            ],
        },
    }
    (folder / "mehc.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def bill_of_materials(folder: Path) -> None:
    output = folder / f"mehc-{VERSION}.cdx.json"
    _run(
        *(
            uv(),
            "tool",
            "run",
            "--quiet",
            "--from",
            _SBOM,
            "cyclonedx-py",
            "requirements",
            ROOT / "requirements.lock",
        ),
        *("--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--output-file", output),
    )


def image(folder: Path) -> None:
    """Raises CalledProcessError or BuildError."""
    with operatorimage.served() as served:
        archive = folder / f"mehc-{VERSION}-image.tar"
        target = f"oci-archive:{archive}:mehc:{VERSION}"
        _run(
            "skopeo",
            "copy",
            "--quiet",
            "--insecure-policy",
            "--src-tls-verify=false",
            f"docker://{served.reference}",
            target,
        )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
