"""A component that is one subprocess: started, waited for, paused, restarted, and always stopped."""

import atexit
import contextlib
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

log = logging.getLogger("testbed")

_PREFIX = "mehc-testbed"
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "USER", "LOGNAME")

# The kernel's parent-death signal follows the *thread* that forked, so all children are forked by one
# thread that lives as long as this process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="testbed-spawner")
_owner_pid = os.getpid()
_live: "weakref.WeakSet[Process]" = weakref.WeakSet()
_directories: set[Path] = set()
_sweep_once = threading.Lock()


class ComponentError(RuntimeError):
    """A component did not start, or died; the message ends with the tail of its log."""


class Ensemble(contextlib.ExitStack):
    """Components that start together on entering, all or none, and end with the block."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        """Enter the components."""
        raise NotImplementedError


class Process:
    """One subprocess with its own temporary directory and log file.

    Subclasses give `command()` and `ready()`, and may give `prepare()`, which runs once before the first start.
    `stop()` ends the process and keeps its data, so that `start()` brings it back on the same port; `close()` (or
    leaving the `with` block) also removes the directory.
    """

    start_timeout = 180.0  # seconds: a busy machine is slow, and no fault
    stop_timeout = 5.0  # seconds between stop_signal and SIGKILL
    stop_signal = signal.SIGTERM
    parent_death_signal = signal.SIGKILL

    def __init__(self, name: str, *, user: str | None = None) -> None:
        """`user`: the account to run as; needs root, the directory then belongs to that account."""
        self.name = name
        self.user = user
        self.directory = temporary_directory(name, user=user)
        self.log_path = self.directory / "log"
        self._child: subprocess.Popen[bytes] | None = None
        self._prepared = False

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether the component serves; an exception counts as "not yet"."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Write configuration and data; called once."""

    def environment(self) -> Mapping[str, str]:
        """What is added to the few inherited variables."""
        return {}

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ComponentError(f"{self.name} is not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> Self:
        """Spawn and wait until ready.

        Raises ComponentError, with the tail of the log, if it exits or is not ready after `start_timeout`.
        """
        began = time.monotonic()
        self.spawn()
        self.wait_ready()
        log.info("%s ready in %.2f s (pid %d)", self.name, time.monotonic() - began, self.pid)
        return self

    def spawn(self) -> None:
        """Start without waiting; does nothing if it runs already."""
        if self.running:
            return
        if not self._prepared:
            self.prepare()
            self._prepared = True
        _live.add(self)
        # setpriv execs the program, so its pid is the component's own. It sets the parent-death signal after the
        # change of user, which would clear it.
        argv = ["setpriv", f"--pdeathsig={self.parent_death_signal.name.removeprefix('SIG')}"]
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            argv += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        argv += ["--", *map(str, self.command())]
        self._child = _spawner.submit(self._popen, argv).result()

    def _popen(self, argv: list[str]) -> subprocess.Popen[bytes]:
        kept = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        with self.log_path.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=kept | {"LC_ALL": "C.UTF-8"} | dict(self.environment()),
                start_new_session=True,  # Ctrl-C is for us; we stop our children in order
            )

    def wait_ready(self, timeout: float | None = None) -> None:
        limit = self.start_timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        last: Exception | None = None
        while time.monotonic() < deadline:
            if not self.running:
                self._fail(
                    f"exited with code {self._child.returncode if self._child else None} while starting"
                )
            try:
                if self.ready():
                    return
            except Exception as error:  # any refusal means "not yet"; the last one is shown at the deadline
                last = error
            time.sleep(0.02)
        self._fail(f"not ready after {limit:g} s" + (f" ({last})" if last else ""))

    def _fail(self, what: str) -> None:
        tail = self.log_tail()
        self.stop()
        raise ComponentError(f"{self.name} {what}; the end of its log:\n{tail}")

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def stop(self) -> None:
        """End the process, also when it is paused or deaf; its data stays."""
        child = self._child
        if child is None:
            return
        self._child = None
        if child.poll() is None:
            family = _family(child.pid)
            child.send_signal(self.stop_signal)
            _signal_all(family, signal.SIGCONT)  # a paused process would not see the signal
            try:
                child.wait(self.stop_timeout)
            except subprocess.TimeoutExpired:
                log.info("%s (pid %d) ignored %s; killing it", self.name, child.pid, self.stop_signal.name)
            _signal_all(family, signal.SIGKILL)
        child.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it; its data stays."""
        if self._child is not None:
            _signal_all(_family(self._child.pid), signal.SIGKILL)
            self._child.wait()
            self._child = None

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freeze it with its children: connections open and nothing answers. Undone by `resume()`."""
        family = _family(self.pid)
        _signal_all(family, signal.SIGSTOP)
        while any(member.is_running() and member.status() == psutil.STATUS_RUNNING for member in family):
            time.sleep(0.001)

    def resume(self) -> None:
        _signal_all(_family(self.pid), signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        _live.discard(self)
        remove_directory(self.directory)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _family(pid: int) -> list[psutil.Process]:
    """The process and its descendants; PostgreSQL's backends leave the process group, so a group is not enough."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal_all(processes: Sequence[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(what)  # psutil compares the creation time, so a reused pid is safe


def temporary_directory(name: str, *, user: str | None = None) -> Path:
    """A new private directory, removed at exit at the latest; those of dead runs are removed on first use."""
    if _sweep_once.acquire(blocking=False):
        _sweep()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-{name}-"))
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    _directories.add(path)
    return path


def is_temporary(path: Path) -> bool:
    """Whether the file is in a directory that this process made here."""
    return any(path.is_relative_to(directory) for directory in _directories)


def remove_directory(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    _directories.discard(path)


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        owner = re.match(rf"{_PREFIX}-(\d+)-", path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True)


@atexit.register
def _stop_all() -> None:
    if os.getpid() != _owner_pid:  # a fork of ours (a prefork worker, say) owns nothing here
        return
    for process in list(_live):
        process.close()
    for path in list(_directories):
        remove_directory(path)
