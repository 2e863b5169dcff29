"""Waiting for what a real system does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(ask: Callable[[], T], accept: Callable[[T], bool], seconds: float = 90) -> T:
    """The first answer that is accepted. Raises AssertionError with the last one after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if accept(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still {answer!r}")
        time.sleep(0.02)
