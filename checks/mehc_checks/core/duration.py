"""Durations as Kubernetes resources write them: "90s", "5m", "1h30m", "500ms"."""

import math
import re
from datetime import timedelta

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
"""What the API server accepts for a duration; the same words as metav1.Duration, without signs and days."""

LONGEST = 1e10
"""Seconds: three centuries, which fit into every calendar."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_LONGEST_TEXT = 64
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse(text: str) -> timedelta:
    """Read a duration. Raises ValueError naming the text."""
    seconds = math.inf
    if len(text) <= _LONGEST_TEXT and re.fullmatch(PATTERN, text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not seconds <= LONGEST:
        raise ValueError(f"{text[:_LONGEST_TEXT]!r} is not a duration such as 30s, 5m or 1h30m")
    return timedelta(seconds=seconds)


def show(duration: timedelta) -> str:
    """Write a duration for people, at most two units: "850ms", "12s", "4m10s", "2h5m"."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    return f"{rest}s"
