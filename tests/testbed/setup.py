"""`make setup`: brings everything that the tests and the demo need, side by side. Standard library only.

Debian packages by apt-get, Python packages by uv from the hash-locked list, Go programs from source. Idempotent; does
nothing, at once, when all is there.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a file: import testbed as the package it is
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from testbed import baseimage, tools

PYTHON_AT_LEAST = "3.11"

# package -> what shows that it is there
DEBIAN = {
    "postgresql": "/usr/lib/postgresql/*/bin/postgres",
    "redis-server": "/usr/bin/redis-server",
    "prometheus": "/usr/bin/prometheus",
    "prometheus-alertmanager": "/usr/bin/prometheus-alertmanager",
    "docker-registry": "/usr/bin/docker-registry",
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iptables": "/usr/sbin/iptables",
    "iproute2": "/usr/sbin/ip",
    "dnsmasq-base": "/usr/sbin/dnsmasq",
    "busybox-static": "/var/lib/dpkg/info/busybox-static.list",  # the package busybox has the same file, not static
    "skopeo": "/usr/bin/skopeo",
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "pgbouncer": "/usr/sbin/pgbouncer",
}
# What only the tests in a browser need; they are skipped where a distribution has no such packages.
BROWSER = {
    "chromium-headless-shell": "/usr/bin/chromium-headless-shell",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
}
NO_BROWSER = tools.CACHE / "no-browser"
"""Says that this machine's distribution has none."""
DEMO_DEBIAN = ("postgresql", "redis-server", "prometheus", "docker-registry")
POLICY = Path("/usr/sbin/policy-rc.d")

LOCK = tools.ROOT / "requirements-dev.lock"
VENV = tools.ROOT / ".venv"
STAMP = VENV / ".mehc-setup"

_printing = threading.Lock()
_venv_done = threading.Event()
_debian_done = threading.Event()


class SetupError(RuntimeError):
    """A step failed; the message ends with the tail of its output."""


def main() -> int:
    """Set up what tests need, or with --demo what the demo needs: KEDA alone takes longer than all the rest."""
    demo = "--demo" in sys.argv[1:]
    wanted = tools.DEMO_TOOLS if demo else tools.GO_TOOLS
    packages = {name: DEBIAN[name] for name in DEMO_DEBIAN} if demo else DEBIAN
    began = time.monotonic()
    steps: dict[str, Callable[[], None]] = {}
    if missing := missing_packages(packages):
        steps["debian"] = lambda: install_packages(missing)
    else:
        _debian_done.set()
    if not demo and not NO_BROWSER.exists() and (browser := missing_packages(BROWSER)):
        steps["browser"] = lambda: install_browser(browser)
    if not venv_is_current():
        steps["python"] = install_python
    else:
        _venv_done.set()
    if unbuilt := [tool for tool in wanted if not tool.path.exists()]:
        steps["go"] = lambda: build(unbuilt)
        if demo:
            steps["first look"] = first_look
    if not demo and not baseimage.impossible() and not baseimage.is_made():
        steps["image"] = make_base_image
    if not steps:
        say("setup: everything is there")
        return 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running: dict[concurrent.futures.Future[None], str] = {
            pool.submit(step): name for name, step in steps.items()
        }
        failed = []
        for done in concurrent.futures.as_completed(running):
            name = running[done]
            if not _succeeded(done, name):
                failed.append(name)
    took = tools.duration(time.monotonic() - began)
    if failed:
        say(f"setup: failed after {took}: {', '.join(failed)} (see above)")
        return 1
    say(f"setup: done in {took}")
    return 0


def _succeeded(done: concurrent.futures.Future[None], name: str) -> bool:
    error = done.exception()
    if isinstance(error, SetupError | tools.ToolError | OSError):
        say(f"{name}: {error}")
    elif error is not None:
        raise error
    return error is None


def missing_packages(known: Mapping[str, str]) -> list[str]:
    root = Path("/")
    return [package for package, shown_by in known.items() if not any(root.glob(shown_by.lstrip("/")))]


def install_packages(missing: Sequence[str]) -> None:
    began = time.monotonic()
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise SetupError(f"no apt-get here; install what provides these Debian packages: {names}")
    say(f"debian: installing {names} …")
    root, apt = _apt()
    try:
        run([*apt, "update"])
        with _services_not_started(root):
            run([*apt, "install", "-y", "--no-install-recommends", *missing])
    finally:
        _debian_done.set()
    say(f"debian: {names} installed in {tools.duration(time.monotonic() - began)}")


def install_browser(missing: Sequence[str]) -> None:
    """Where it cannot be had, that is said and is no failure: few tests need it."""
    _debian_done.wait()
    began = time.monotonic()
    _, apt = _apt()
    try:
        run([*apt, "update"])
        if subprocess.run(["apt-cache", "show", *missing], capture_output=True, check=False).returncode:
            tools.CACHE.mkdir(parents=True, exist_ok=True)
            NO_BROWSER.touch()
            raise SetupError(f"this distribution has no {' '.join(missing)}")  # noqa: TRY301 - said as the others are
        run([*apt, "install", "-y", "--no-install-recommends", *missing])
    except (SetupError, OSError) as error:
        say(f"browser: tests in a browser will be skipped: {error}")
        return
    say(f"browser: {' '.join(missing)} installed in {tools.duration(time.monotonic() - began)}")


def _apt() -> tuple[list[str], list[str]]:
    """What a command of root begins with, and apt-get."""
    root = [] if os.geteuid() == 0 else ["sudo"]
    options = ["-o", "DPkg::Lock::Timeout=300", "-qq"]
    return root, [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options]


def make_base_image() -> None:
    _debian_done.wait()
    began = time.monotonic()
    say("image: making the base of the operator's image, of Debian …")
    try:
        baseimage.make()
    except baseimage.BuildError as error:
        raise SetupError(str(error)) from None
    say(f"image: base made in {tools.duration(time.monotonic() - began)}")


@contextlib.contextmanager
def _services_not_started(root: Sequence[str]) -> Iterator[None]:
    """The packages would start their daemons; invoke-rc.d asks policy-rc.d first, and 101 forbids it."""
    if POLICY.exists():
        yield
        return
    run([*root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"])
    try:
        yield
    finally:
        run([*root, "rm", "-f", str(POLICY)])


def venv_is_current() -> bool:
    return (VENV / "bin" / "python").exists() and STAMP.exists() and STAMP.read_text() == stamp()


def stamp() -> str:
    """Changes with what is installed, and with where: console scripts hold the absolute path."""
    digest = hashlib.sha256(str(VENV).encode())
    for source in (LOCK, tools.ROOT / "pyproject.toml"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def install_python() -> None:
    began = time.monotonic()
    say(f"python: installing {LOCK.name} into {VENV.name} …")
    try:
        program = uv()
        # uv would fetch an interpreter from elsewhere; the machine's own will do
        environment = {"VIRTUAL_ENV": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
        if not (VENV / "bin" / "python").exists():
            run([program, "venv", "--quiet", "--python", f">={PYTHON_AT_LEAST}", str(VENV)], environment)
        run([program, "pip", "sync", "--quiet", "--require-hashes", str(LOCK)], environment)
        run([program, "pip", "install", "--quiet", "--no-deps", "-e", "."], environment)
        STAMP.write_text(stamp())
    finally:
        _venv_done.set()
    say(f"python: {VENV.name} ready in {tools.duration(time.monotonic() - began)}")


def uv() -> str:
    """uv of the PATH, else one of our own: plain pip does not get through this dependency tree."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found
    own = tools.CACHE / "uv"
    executable = own / "bin" / "uv"
    if not executable.exists():
        try:
            run([sys.executable, "-m", "venv", "--clear", str(own)])
            run([str(own / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"])
        except SetupError:  # Debian splits ensurepip off; pip alone may still be there
            run([sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(own), "uv"])
    return str(executable)


def build(unbuilt: Sequence[tools.GoTool]) -> None:
    """One after the other: `go build` uses all cores, and the modules share what is compiled."""
    for tool in unbuilt:
        try:
            tools.toolchain(tool.go_line)
        except tools.ToolError:
            _venv_done.wait()  # the virtual environment brings one
        tools.resolve(tool, say)


def first_look() -> None:
    """Show what needs no cluster while the rest is built. Where it fails, that is shown and stops nothing."""
    _debian_done.wait()
    _venv_done.wait()
    subprocess.run([VENV / "bin" / "python", tools.ROOT / "tests" / "demo" / "first.py"], check=False)


def run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        argv,
        cwd=tools.ROOT,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-20:])
        raise SetupError(f"`{' '.join(argv)}` failed with code {done.returncode}\n{tail}")


def say(line: str) -> None:
    with _printing:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
