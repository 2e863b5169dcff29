"""The plugin archive of a release: its manifest fits it, and its launcher finds mehc or says what to install."""

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from hack import release


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The unpacked archive."""
    release.krew(tmp_path)
    archive = tmp_path / f"kubectl-mehc-{release.VERSION}.tar.gz"
    (platform,) = yaml.safe_load((tmp_path / "mehc.yaml").read_text())["spec"]["platforms"]
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert platform["uri"].endswith(archive.name)
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "plugin", filter="data")
    return tmp_path / "plugin" / platform["bin"]


def programs(folder: Path, *names: str) -> Path:
    """A folder with programs of ``names`` that print their name and arguments."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("there", "runs"),
    [
        (("mehc", "uvx", "pipx"), "mehc status -A"),
        (("uvx", "pipx"), f"uvx --from mehc=={release.VERSION} mehc status -A"),
        (("pipx",), f"pipx run --spec mehc=={release.VERSION} mehc status -A"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_runs_what_is_there(plugin: Path, tmp_path: Path, there: tuple[str, ...], runs: str) -> None:
    path = programs(tmp_path / "bin", *there)
    done = subprocess.run(
        ["/bin/sh", plugin, "status", "-A"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{runs}\n"


def test_without_any_it_says_what_to_install(plugin: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", plugin], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "kubectl mehc: install mehc (pipx install mehc), or uv or pipx, which run it\n"
