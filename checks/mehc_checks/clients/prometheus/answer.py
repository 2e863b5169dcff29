"""What the query API returns."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of an instant vector. ``value`` is as Go parses it: NaN and infinities included."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An instant vector, and the seconds from sending the request to the last byte."""

    elements: tuple[Element, ...]
    seconds: float
