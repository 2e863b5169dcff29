"""The same text is worked on once, and another one is another."""

from typing import Any

import pytest

from mehc_checks.core.memo import LARGEST, Memo


def test_a_text_is_worked_on_once_and_who_asks_has_it_alone() -> None:
    made: list[str] = []

    def make(text: str) -> list[Any]:
        made.append(text)
        return [text, {}]

    memo = Memo(make)
    memo("a")[1]["changed"] = True
    assert memo("a") == ["a", {}]
    assert memo("b") == ["b", {}]
    assert made == ["a", "b"]


def test_what_cannot_be_made_is_tried_again() -> None:
    tried: list[str] = []

    def make(text: str) -> str:
        tried.append(text)
        raise ValueError(text)

    memo = Memo(make)
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            memo("a")
    assert tried == ["a", "a"]


def test_what_is_kept_is_bounded() -> None:
    memo = Memo(lambda text: text * 1000, most=5000)
    for text in "abcdefgh":
        assert memo(text) == text * 1000
    assert 0 < len(memo) < 8
    assert memo.size <= 5000
    large = Memo(lambda text: text * LARGEST)
    large("a")
    assert len(large) == 0
