"""How long the texts of a status may be, and how large a status: an object that is too large is never written."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from mehc_operator.status import MOST_ENDPOINTS, StatusReport

MESSAGE: Final = 1024
SUMMARY: Final = 120
CAUSE: Final = 480
ENDPOINT: Final = 400
LARGEST: Final = 256 * 1024
"""Bytes. The API server takes 1.5 MB for the whole object, of which the user's spec is a part."""
_EVIDENCE: Final = 256
_MOST_EVIDENCE: Final = 20


def cut(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, cut in the middle: errors end in their cause."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head].rstrip()} … {text[len(text) - (limit - head - 3) :].lstrip()}"


def with_fix(text: str, remedy: str, limit: int) -> str:
    """``text`` and what to do about it, in at most ``limit`` characters. The remedy has two thirds of them at most."""
    if not remedy:
        return cut(text, limit)
    fix = cut(f"Fix: {remedy}", limit * 2 // 3)
    return f"{cut(text.rstrip('.'), limit - len(fix) - 2)}. {fix}"


def evidence(found: dict[str, object]) -> dict[str, object]:
    """``found`` without nothing, and short."""
    kept = [(key, value) for key, value in found.items() if value is not None][:_MOST_EVIDENCE]
    return {key: cut(value, _EVIDENCE) if isinstance(value, str) else value for key, value in kept}


def fitting(status: StatusReport, limit: int = LARGEST) -> StatusReport:
    """``status`` in at most ``limit`` bytes, as far as that goes: what says least is left out first."""
    for smaller in _reductions():
        if len(status.model_dump_json(by_alias=True, exclude_defaults=True).encode()) <= limit:
            break
        status = smaller(status)
    return status


def conforming(value: Any, schema: Mapping[str, Any]) -> Any:
    """``value``, JSON that ``schema`` describes, with its texts and lists cut to what the schema takes."""
    if isinstance(value, str):
        return cut(value, schema.get("maxLength", len(value)))
    if isinstance(value, list):
        items = schema.get("items", {})
        return [conforming(item, items) for item in value[: schema.get("maxItems")]]
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return {name: conforming(item, fields.get(name, {})) for name, item in value.items()}
    return value


def least(status: StatusReport) -> StatusReport:
    """The verdict and its first root cause alone, for a resource whose spec leaves no room, or that takes no more."""
    kept = {
        name
        for name in StatusReport.model_fields
        if name not in ("checks", "endpoints", "history", "release")
    }
    short = _with_texts(status, length=SUMMARY).model_dump(include=kept)
    short |= {
        "conditions": [each for each in short["conditions"] if each["type"] in ("Ready", "Degraded")],
        "causes": short["causes"][:1],
        "root_causes": short["root_causes"][:1],
    }
    return StatusReport.model_validate(short)


_Reduction = Callable[[StatusReport], StatusReport]


def _reductions() -> Iterator[_Reduction]:
    """In their order: evidence, old history, endpoints, all history, findings, long texts, further root causes, and
    at last all findings.
    """
    yield partial(_of_checks, evidence={})
    yield partial(_with_history, most=5)
    for most in (MOST_ENDPOINTS // 4, MOST_ENDPOINTS // 20, 0):
        yield partial(_with_endpoints, most=most)
    yield partial(_with_history, most=0)
    for most in (5, 1):
        yield partial(_with_findings, most=most)
    for length in (MESSAGE // 4, SUMMARY):
        yield partial(_with_texts, length=length)
    yield lambda status: status.model_copy(update={"root_causes": status.root_causes[:3]})
    yield partial(_with_findings, most=0)


def _of_checks(status: StatusReport, **update: object) -> StatusReport:
    return status.model_copy(update={"checks": [check.model_copy(update=update) for check in status.checks]})


def _with_endpoints(status: StatusReport, *, most: int) -> StatusReport:
    return status.model_copy(update={"endpoints": status.endpoints[:most]})


def _with_history(status: StatusReport, *, most: int) -> StatusReport:
    return status.model_copy(update={"history": status.history[:most]})


def _with_findings(status: StatusReport, *, most: int) -> StatusReport:
    checks = [check.model_copy(update={"findings": check.findings[:most]}) for check in status.checks]
    return status.model_copy(update={"checks": checks})


def _with_texts(status: StatusReport, *, length: int) -> StatusReport:
    def short(item: object) -> dict[str, object]:
        return {
            name: cut(text, length)
            for name in ("message", "remediation")
            if isinstance(text := getattr(item, name, None), str)
        }

    return status.model_copy(
        update={
            "causes": [cut(line, length) for line in status.causes],
            "root_causes": [cause.model_copy(update=short(cause)) for cause in status.root_causes],
            "conditions": [each.model_copy(update=short(each)) for each in status.conditions],
            "checks": [
                check.model_copy(
                    update={
                        **short(check),
                        "findings": [each.model_copy(update=short(each)) for each in check.findings],
                    }
                )
                for check in status.checks
            ],
        }
    )
