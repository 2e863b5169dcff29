"""Forms of a report besides text, JSON and YAML: a line for a chat, Markdown for a ticket, JUnit for CI."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from mehc_checks.render.markdown import plain
from mehc_operator.cli import main
from testbed.installation import overlaid
from testbed.sound import AWS


def written(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], **changes: object) -> str:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(overlaid(AWS, changes)))
    main(["check", "-f", str(path), "--only", "ConfigValid,DatabaseMigrated", "-o", form])
    return capsys.readouterr().out


def test_a_line_names_the_first_cause_and_its_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = written("short", tmp_path, capsys, tag=None)
    assert line.startswith("Failing: 0 of 1 checks pass (")
    assert "; ConfigValid/TagUnset: tag is not set" in line
    assert " Fix: Set tag to " in line
    assert line.count("\n") == 1


def test_junit_has_a_case_for_each_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = ElementTree.fromstring(written("junit", tmp_path, capsys, tag="<a>&'\"\x00")).find("testsuite")  # noqa: S314
    assert suite is not None
    cases = {case.get("name"): case for case in suite}
    failure = cases["ConfigValid"].find("failure")
    assert failure is not None
    assert failure.get("type")
    assert "Fix: " in (failure.text or "")
    skipped = cases["DatabaseMigrated"].find("skipped")
    assert skipped is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("1", str(len(cases) - 1))


def test_markdown_reads_no_text_as_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = written("markdown", tmp_path, capsys, tag=None)
    assert text.startswith("## Failing: 0 of 1 checks pass")
    assert "1. **ConfigValid/TagUnset** (critical): " in text
    assert "| ConfigValid | Fail | " in text
    assert plain("a|b\n# *c* <script> [x](y)") == r"a\|b \# \*c\* \<script\> \[x\](y)"
