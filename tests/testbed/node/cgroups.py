"""The cgroups of nodes, which are all that a killed test run leaves besides its folder."""

import contextlib
import os
import re
import time
from pathlib import Path

from testbed.process import ComponentError

RECORD = "cgroups"
"""The file in a node's folder that names its cgroups."""
_MOUNTED = Path("/sys/fs/cgroup")
_PATIENCE = 60.0


def sweep() -> None:
    """Remove those of dead test runs: their names have the run's process number."""
    for path in sorted(_MOUNTED.rglob("mehc-testbed-*")):
        owner = re.match(r"mehc-testbed-(\d+)-", path.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            with contextlib.suppress(ComponentError, OSError):
                _remove(path)


def remove(record: Path) -> None:
    """Remove the cgroups that ``record`` names. Raises ComponentError where one stays in use."""
    if record.exists():
        for line in record.read_text().splitlines():
            _remove(Path(line))


def _remove(path: Path) -> None:
    """They are empty as soon as the kernel has buried the last process."""
    deadline = time.monotonic() + _PATIENCE
    while path.exists():
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if path.exists():
            if time.monotonic() > deadline:
                raise ComponentError(f"{path} is still in use")
            time.sleep(0.01)
