"""Findings that a user has muted for a while: they are shown, and decide neither health, Ready, Degraded nor alerts.

A mute covers what was found when it was first seen. It ends with its time, and before that where the check gets worse:
with another reason, or with more endpoints that are not ready. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import RootCause
from mehc_operator.models import Mute
from mehc_operator.status import CheckStatus, MuteState, MuteStatus

ENDPOINTS: Final = "EndpointsReady"
"""The check that counts endpoints."""
_FINE: Final = frozenset({Status.PASS, Status.SKIP})
_WORST: Final = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS)


def settled(
    mutes: Iterable[Mute],
    previous: Sequence[MuteStatus],
    checks: Iterable[CheckStatus],
    endpoints: int,
    now: datetime,
) -> list[MuteStatus]:
    """What has become of each mute. ``endpoints`` is how many are not ready."""
    known = {_key(one): one for one in previous}
    by_name = {check.name: check for check in checks}
    return [_settled(mute, known.get(_key(mute)), by_name.get(mute.check), endpoints, now) for mute in mutes]


def _key(mute: Mute | MuteStatus) -> tuple[str, str | None, datetime]:
    """What makes a mute of the spec and one of the status the same; a status has whole seconds."""
    return mute.check, mute.reason, mute.until.replace(microsecond=0)


def _settled(
    mute: Mute, before: MuteStatus | None, check: CheckStatus | None, endpoints: int, now: datetime
) -> MuteStatus:
    found = [reason for reason in _reasons(check) if mute.reason in (None, reason)]
    covers = list(before.covers) if before and before.covers else found
    most = before.endpoints if before and before.covers else endpoints
    grew = check is not None and check.name == ENDPOINTS and bool(found) and endpoints > most
    worse = grew or bool({*found} - {*covers}) or (before is not None and before.state is MuteState.WORSE)
    if mute.until <= now:
        state = MuteState.ENDED
    elif worse:
        state = MuteState.WORSE
    else:
        state = MuteState.ACTIVE if found else MuteState.UNUSED
    return MuteStatus(
        check=mute.check,
        reason=mute.reason,
        until=mute.until,
        why=mute.why,
        state=state,
        covers=covers,
        endpoints=most,
    )


@dataclass(frozen=True, slots=True)
class Muted:
    """What active mutes cover, by check."""

    reasons: Mapping[str, frozenset[str]]

    @classmethod
    def by(cls, mutes: Iterable[MuteStatus]) -> "Muted":
        """What ``mutes`` cover."""
        found: dict[str, set[str]] = {}
        for one in mutes:
            if one.state is MuteState.ACTIVE:
                found.setdefault(one.check, set()).update(one.covers)
        return cls({check: frozenset(reasons) for check, reasons in found.items()})

    def causes(self, causes: Sequence[RootCause]) -> tuple[list[RootCause], frozenset[str]]:
        """The root causes that are not muted, and the checks that are failing for muted ones alone."""
        left = [cause for cause in causes if cause.reason not in self.reasons.get(cause.check, ())]
        gone = [cause for cause in causes if cause not in left]
        still = {name for cause in left for name in (cause.check, *cause.explains)}
        return left, frozenset(name for cause in gone for name in cause.explains) - still

    def counted(self, check: CheckStatus, explained: frozenset[str]) -> CheckStatus:
        """``check`` as it counts: without what is muted, and passing where nothing else is found.

        ``explained``: the checks whose failures follow from muted ones.
        """
        if check.name in explained:
            return check.model_copy(update={"status": Status.PASS, "findings": []})
        reasons = self.reasons.get(check.name)
        if not reasons or check.status in _FINE:
            return check
        left = [found for found in check.findings if found.reason not in reasons]
        if len(left) == len(check.findings) and check.reason not in reasons:
            return check
        status = min((found.status for found in left), key=_WORST.index, default=Status.PASS)
        first = {"reason": left[0].reason, "message": left[0].message} if left else {}
        return check.model_copy(update={"status": status, "findings": left, **first})


def _reasons(check: CheckStatus | None) -> list[str]:
    """What does not pass."""
    if check is None or check.status in _FINE:
        return []
    return list(dict.fromkeys(found.reason for found in check.findings)) or [check.reason]
