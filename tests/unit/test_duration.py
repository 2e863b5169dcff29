from datetime import timedelta

import pytest

from mehc_checks.core import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("0s", 0), ("2h5m1s", 7501)],
)
def test_parse(text: str, seconds: float) -> None:
    assert duration.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m", "-5m", "1d", "5m ", "٣s", "5mm", "9" * 400 + "h", "1s" * 99]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.85, "850ms"),
        (1.24, "1.2s"),
        (12.2, "12s"),
        (250, "4m10s"),
        (3600, "1h"),
        (7500, "2h5m"),
    ],
)
def test_show(seconds: float, text: str) -> None:
    assert duration.show(timedelta(seconds=seconds)) == text
