"""A report as a web page: one file that needs nothing else, works without JavaScript, and prints.

Texts go through autoescape, so what another component says is shown and never obeyed. Style and script are in the page
and are named by their hashes in its Content-Security-Policy: nothing else can run or load.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mehc_checks.core.outcome import Status
from mehc_checks.core.text import ago, counted
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import Health
from mehc_checks.engine.report import Report
from mehc_checks.render.grouping import shown
from mehc_checks.render.page import Page, Served
from mehc_checks.render.terminal import Style
from mehc_checks.render.text import place, verdict

_TEMPLATES: Final = "templates"
_STYLE: Final = (files(__package__) / _TEMPLATES / "page.css").read_text()
_SCRIPT: Final = (files(__package__) / _TEMPLATES / "page.js").read_text()
_TONES: Final[Mapping[str, str]] = {
    Status.PASS: "pass",
    Status.WARN: "warn",
    Status.FAIL: "fail",
    Status.ERROR: "error",
    Status.SKIP: "skip-tone",
    Health.HEALTHY: "pass",
    Health.DEGRADED: "warn",
    Health.FAILING: "fail",
    Health.UNKNOWN: "error",
    Health.SUSPENDED: "skip-tone",
}
"""Classes of the style by status and health."""
_CODE: Final = re.compile("`([^`]+)`")


def html(report: Report, *, now: datetime, context: str = "") -> str:
    """The page of a report that was just made, without a final newline. ``context`` names the cluster asked."""
    health, _, rest = verdict(report).partition(": ")
    endpoints = next((check.endpoints for check in report.checks if check.endpoints), ())
    page = Page(
        title=report.namespace or "Values files",
        place=place(report, context),
        health=health,
        verdict=rest,
        report=report,
        probed=report.started,
        endpoints=endpoints or (),
        explain=f"mehc explain -n {report.namespace}" if report.namespace else "",
    )
    return installation(page, now=now)


def installation(page: Page, *, now: datetime, served: Served | None = None) -> str:
    """The page of one installation: a file of its own, or as a server has it."""
    report = page.report
    return rendered(
        "installation.html",
        now=now,
        served=served,
        page=page,
        checks=list(shown(report)) if report else [],
        causes=report.root_causes[:SHOWN] if report else (),
        more=max(0, len(report.root_causes) - SHOWN) if report else 0,
    )


def rendered(template: str, *, now: datetime, served: Served | None, **facts: object) -> str:
    """``template`` with ``facts``."""
    return _ENVIRONMENT.get_template(template).render(
        now=now,
        site=served.root if served else None,
        revision=served.revision if served else "",
        policy=policy(),
        style=Markup(_STYLE),  # noqa: S704 - a file of this package
        script=Markup(_SCRIPT),  # noqa: S704 - a file of this package
        version=version("mehc"),
        **facts,
    )


def policy(*, served: bool = False) -> str:
    """The Content-Security-Policy of a page. What only a header can say is left out unless it is ``served``."""
    rules = [
        "default-src 'none'",
        f"style-src '{_hash(_STYLE)}'",
        f"script-src '{_hash(_SCRIPT)}'",
        "img-src data:",
        "base-uri 'none'",
        f"form-action {_OWN if served else _NONE}",
    ]
    if served:
        rules += [f"connect-src {_OWN}", f"frame-ancestors {_NONE}"]
    return "; ".join(rules)


_OWN: Final = "'self'"
_NONE: Final = "'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _sign(status: Status) -> str:
    return Style().mark(status)


def _dated(then: datetime) -> str:
    return f"{then.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _tone(word: str | None) -> str:
    return _TONES.get(word or "", "skip-tone")


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader(__package__, _TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {
    "aged": lambda then, now: ago(now, then),
    "counted": counted,
    "dated": _dated,
    "parts": _CODE.split,
    "sign": _sign,
    "tone": _tone,
}
_ENVIRONMENT.tests["web_address"] = _is_web
