"""The end of the process, which nothing puts off for longer than its grace period."""

import logging
import os
import threading
from typing import Final

log = logging.getLogger(__name__)

_GRACE: Final = 20.0
"""Seconds from being asked to end until the end; the chart's grace period is 30."""


def end_in_time() -> None:
    """From now on this process ends within its grace period, whatever its threads and its libraries wait for."""

    def end() -> None:
        log.warning("something did not end within %g s of being asked to", _GRACE)
        logging.shutdown()
        os._exit(0)

    last = threading.Timer(_GRACE, end)
    last.daemon = True
    last.start()
