"""A report as a web page: complete, inert, and in one file."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from mehc_checks.engine.check import catalogue
from mehc_checks.render.terminal import Style
from mehc_operator.cli import main
from mehc_operator.pages import bars, page
from mehc_operator.screen import screen
from mehc_operator.stored import Resource
from testbed.installation import overlaid
from testbed.sound import AWS
from testbed.stored import HOSTILE, NOW, ago, failing, healthy, resource

VOID = {"meta", "link", "br", "rect", "input", "img"}


class Read(HTMLParser):
    """The elements of a page with their attributes, and its text. Notes what is not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self._open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(status: dict[str, object]) -> Read:
    read = Read(page(Resource.of(resource(**status)), catalogue(), NOW))
    assert read.wrong == []
    return read


def test_it_says_what_the_screen_says() -> None:
    read = shown(failing())
    of = Resource.of(resource(**failing()))
    for line in screen(of, catalogue(), NOW, style=Style(plain=True, width=1000)).splitlines():
        for word in re.findall(r"[\w./-]{4,}", line):
            known = word.lower() in read.text.lower() or any(
                word in (each.get("href") or "") for each in read.all("a")
            )
            assert known or word in ("took", "above"), line
    assert "Secret redis-auth (2m before)" in read.text
    assert "until 2026-11-28T08:00Z: known, OPS-12" in read.text


def test_it_is_one_file_that_loads_nothing() -> None:
    source = page(Resource.of(resource(**failing())), catalogue(), NOW)
    read = Read(source)
    (policy,) = [each["content"] for each in read.all("meta") if "http-equiv" in each]
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in (policy or "")
    assert (policy or "").startswith("default-src 'none'; ")
    for _, attributes in read.elements:
        assert "style" not in attributes
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    assert [each["href"] for each in read.all("link")] == ["data:,"]
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {(each["href"] or "")[1:] for each in read.all("a") if (each["href"] or "").startswith("#")}
    assert inside <= set(ids)


def test_a_hostile_text_is_text() -> None:
    status = failing(message=HOSTILE)
    status["rootCauses"][0]["docs"] = "javascript:alert(1)"
    status["checks"][0]["findings"][0]["docs"] = "https://[x"
    status["mutes"][0]["why"] = HOSTILE
    status["history"][0]["changes"][0]["what"] = HOSTILE
    status["release"]["name"] = HOSTILE
    read = shown(status)
    assert read.text.count("<script>document.title='taken'</script>") == 4
    assert len(read.all("script")) == 1
    assert read.all("img") == []
    assert "javascript:alert(1)" in read.text
    assert not [each for each in read.all("a") if not re.match("https://|#", each["href"] or "")]


def test_headings_and_landmarks_are_in_order() -> None:
    read = shown(failing())
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(read.all("main")) == 1
    assert [each["lang"] for each in read.all("html")] == ["en"]
    assert all("aria-label" in each for each in (*read.all("nav"), *read.all("svg")))


def test_what_is_not_probed_or_stale_is_said() -> None:
    assert "Not probed" in shown({}).text
    assert "STALE: no operator has probed this resource since 2026-11-25T04:00Z" in shown({}).text
    late = shown({**healthy(), "lastProbeTime": ago(hours=2)})
    assert "STALE: no probe run since 2026-11-28T02:00Z; what follows may no longer hold" in late.text
    assert "History" not in late.text


def test_a_day_of_a_check() -> None:
    (bar,) = bars(Resource.of(resource(**failing())), NOW)
    assert bar.said == "Pass from 00:20, Fail from 03:20"
    assert [(part.start, part.length, str(part.status)) for part in bar.parts] == [
        (1220, 180, "Pass"),
        (1400, 40, "Fail"),
    ]


def test_check_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(overlaid(AWS, {"tag": HOSTILE})))
    assert main(["check", "-f", str(path), "--only", "ConfigValid,DatabaseMigrated", "-o", "html"]) == 1
    read = Read(capsys.readouterr().out)
    assert "Failing 0 of 1 checks pass" in read.text
    assert "ConfigValid/TagNotText" in read.text
    assert "Skipped: " in read.text
    assert len(read.all("script")) == 1
