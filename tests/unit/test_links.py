"""Every link that is printed opens: the page exists, and the anchor in it."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.core.links import DOCS_URL, VARIABLE, docs_url
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.reasons import COMMON
from mehc_operator.alerts import ALERTS, RUNBOOKS
from mehc_operator.reasons import OperatorReasons

ROOT = Path(__file__).resolve().parents[2]


def links() -> Iterator[tuple[str, str]]:
    """What has a link, and the link."""
    for check in catalogue().values():
        yield check.name, docs_url(check.docs)
        for reason in check.reasons.all():
            yield f"{check.name}/{reason.name}", docs_url(check.docs_of(reason))
    for family in (*COMMON, OperatorReasons):
        for reason in family.all():
            yield reason.name, docs_url(f"{reason.page}#{reason.anchor}")
    for rule in all_rules().values():
        yield rule.id, docs_url(f"docs/rules.md#{rule.id.lower()}")
    for alert in ALERTS:
        yield alert.name, f"{RUNBOOKS}/{alert.name}.md"


@pytest.mark.parametrize(("what", "link"), list(links()), ids=[what for what, _ in links()])
def test_it_opens(what: str, link: str) -> None:
    assert link.startswith(f"{DOCS_URL}/"), what
    path, _, anchor = link.removeprefix(f"{DOCS_URL}/").partition("#")
    page = (ROOT / path).read_text()
    assert not anchor or f'<a id="{anchor}"></a>' in page


def test_they_lead_to_the_released_version() -> None:
    assert docs_url("docs/x.md#y").endswith(f"/blob/v{version('mehc')}/docs/x.md#y")
    assert docs_url("") == ""


def test_the_documentation_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "https://git.example.com/mehc/")
    assert docs_url("docs/x.md") == "https://git.example.com/mehc/docs/x.md"


def test_links_between_pages_open() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "charts").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
