"""Kubernetes quantities ("100m", "24Gi", "1e3"), exactly, in the whole numbers that kube-scheduler compares."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

CPU: Final = "cpu"
_LARGEST: Final = 2**63 - 1
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_FORM: Final = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i|)|[eE]([+-]?[0-9]{1,3}))", re.ASCII
)


def parse(text: str) -> Fraction:
    """The value of a quantity. Raises ValueError for what the API server would refuse."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity such as 500m, 10 or 24Gi")
    number, suffix, exponent = match.groups()
    value = Fraction(Decimal(number))
    if exponent is not None:
        return value * _power(10, int(exponent))
    if suffix in _BINARY:
        return value * _power(2, _BINARY[suffix])
    return value * _power(10, _DECIMAL[suffix])


@lru_cache(maxsize=4096)
def amount(resource: str, text: str) -> int:
    """The quantity as the scheduler counts ``resource``: CPU in thousandths, all else in ones, rounded up.

    Raises ValueError for what is no quantity.
    """
    value = parse(text) * (1000 if resource == CPU else 1)
    return min(-(-value.numerator // value.denominator), _LARGEST)


def show(resource: str, count: int) -> str:
    """``count`` of ``resource``, in the unit that people write."""
    if resource == CPU:
        return f"{count / 1000:g}"
    if resource in ("memory", "ephemeral-storage"):
        return f"{count / 2**30:.4g}Gi"
    return str(count)


def _power(base: int, exponent: int) -> Fraction:
    return Fraction(base**exponent) if exponent >= 0 else Fraction(1, base**-exponent)
