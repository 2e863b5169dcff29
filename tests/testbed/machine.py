"""The machine that something was measured on."""

import os
import platform
from datetime import UTC, datetime


def described() -> str:
    """When and on what, in a sentence for a page of figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} CPUs, {memory >> 30} GiB, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, load average {os.getloadavg()[2]:.0f}."
    )
