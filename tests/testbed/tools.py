"""Builds and caches the Go programs of the testbed under ~/.cache/mehc. Standard library only."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTBED = Path(__file__).resolve().parent
ROOT = TESTBED.parents[1]
VENV_BIN = ROOT / ".venv" / "bin"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mehc"

KUBERNETES = "v1.36.3"
KUBECTL_AT_LEAST = (1, 34)

Say = Callable[[str], None]


class ToolError(RuntimeError):
    """A tool is missing or does not build; the message ends with the tail of the build's output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoTool:
    """A program of one Go module under tests/testbed/."""

    name: str
    module: str
    package: str
    version: str
    ldflags: str = "-s -w"

    @property
    def folder(self) -> Path:
        return TESTBED / self.module

    @property
    def path(self) -> Path:
        """Where the cached program is, or will be: the name changes with the version, the sources and the flags."""
        digest = hashlib.sha256(f"{self.package} {self.ldflags}".encode())
        for source in sorted([*self.folder.glob("go.*"), *self.folder.glob("*.go")]):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
        return CACHE / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    @property
    def go_line(self) -> tuple[int, ...]:
        """The `go` line of go.mod: the oldest toolchain that may build it."""
        return _go_line(self.folder)


def _component_version(version: str) -> str:
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())


CONTROL_PLANE = GoTool(
    name="controlplane",
    module="controlplane",
    package=".",
    version=KUBERNETES,
    ldflags=f"-s -w {_component_version(KUBERNETES)}",
)
KWOK = GoTool(name="kwok", module="kwok", package="sigs.k8s.io/kwok/cmd/kwok", version="v0.8.0")
KEDA = GoTool(
    name="keda", module="keda", package="github.com/kedacore/keda/v2/cmd/operator", version="v2.21.0"
)
HELM = GoTool(
    name="helm",
    module="helm",
    package="helm.sh/helm/v4/cmd/helm",
    version="v4.3.1",
    ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
)

DEMO_TOOLS = (CONTROL_PLANE, KWOK, HELM)
GO_TOOLS = (*DEMO_TOOLS, KEDA)


def resolve(tool: GoTool, say: Say | None = None) -> Path:
    """The program's path; builds it first if it is not cached. Raises ToolError."""
    path = tool.path
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(path.name + ".lock"), f"{tool.name} {tool.version}", say or _say):
            if not path.exists():  # another run may have built it while we waited
                _build(tool, path, say or _say)
    return path


def _build(tool: GoTool, path: Path, say: Say) -> None:
    go = toolchain(tool.go_line)
    began = time.monotonic()
    say(f"go: {tool.name} {tool.version} is built once, from source; minutes on a small machine …")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    arguments: list[str | Path] = [
        go,
        "build",
        "-trimpath",
        "-ldflags",
        tool.ldflags,
        "-o",
        unfinished,
        tool.package,
    ]
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
    }
    try:
        done = subprocess.run(
            arguments,
            cwd=tool.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-30:])
            raise ToolError(f"go build of {tool.name} failed with code {done.returncode}:\n{tail}")
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"go: {tool.name} {tool.version} built in {duration(time.monotonic() - began)}")


@contextlib.contextmanager
def locked(lock: Path, what: str, say: Say | None = None) -> Iterator[None]:
    """One run at a time builds ``what``; the others wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (say or _say)(f"{what} is being built by another run; waiting for it …")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def toolchain(at_least: tuple[int, ...]) -> Path:
    """A Go toolchain: the one on the PATH if it is new enough, else the one in the virtual environment."""
    candidates = [Path(found) for found in [shutil.which("go")] if found] + [VENV_BIN / "go"]
    for go in candidates:
        if go.exists() and _go_version(go) >= at_least:
            return go
    wanted = ".".join(map(str, at_least))
    raise ToolError(f"no Go {wanted} or newer on the PATH or in {VENV_BIN}; run `make setup`")


def module_folder(folder: Path, module: str) -> Path:
    """Where Go's module cache has ``module`` at the version of ``folder``'s go.mod; downloads it. Raises ToolError."""
    at_least = _go_line(folder)
    done = subprocess.run(
        [toolchain(at_least), "mod", "download", "-json", module],
        cwd=folder,
        env=os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolError(f"go mod download of {module} failed:\n{done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _go_line(folder: Path) -> tuple[int, ...]:
    found = re.search(r"^go (\S+)$", (folder / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{folder}/go.mod has no go line"
    return _numbers(found[1])


@functools.cache
def _go_version(go: Path) -> tuple[int, ...]:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [go, "env", "GOVERSION"], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    return _numbers(done.stdout.strip().removeprefix("go"))


@functools.cache
def kubectl() -> Path:
    """kubectl of the PATH if it is recent, else the one in the virtual environment. Raises ToolError."""
    for candidate in (shutil.which("kubectl"), VENV_BIN / "kubectl"):
        if candidate and Path(candidate).exists():
            done = subprocess.run(
                [candidate, "version", "--client"], capture_output=True, text=True, check=False, timeout=30
            )
            found = re.search(r"Client Version: v(\d+)\.(\d+)", done.stdout)
            if found and (int(found[1]), int(found[2])) >= KUBECTL_AT_LEAST:
                return Path(candidate)
    raise ToolError(f"no kubectl {'.'.join(map(str, KUBECTL_AT_LEAST))} or newer; run `make setup`")


def duration(seconds: float) -> str:
    """3m41s, 8.2s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:02.0f}s" if minutes else f"{rest:.1f}s"


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
