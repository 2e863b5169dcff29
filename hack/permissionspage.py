"""The tables of permissions in docs/permissions.md: what may be asked where, who needs it, what is lost without it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import Check

PLACES = {
    "own": "In the namespace of each ModelEngineHealthCheck",
    "endpoints": "In the namespace of its endpoints",
    "operator": "In the operator's own namespace",
    "cluster": "In the whole cluster",
}


@dataclass(slots=True)
class _Row:
    verbs: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Checks that are Unknown without it."""
    lost: dict[str, None] = field(default_factory=dict)
    """What else is lost, each once, in order."""


def tables(checks: Iterable[Check], own: Iterable[Permission]) -> list[str]:
    """The lines of the tables, one table for each place."""
    rows: dict[str, dict[tuple[str, str], _Row]] = defaultdict(lambda: defaultdict(_Row))
    for who, permission in (
        *(("", each) for each in own),
        *((check.name, each) for check in checks for each in check.permissions),
    ):
        row = rows[permission.scope][
            f"{permission.resource}.{permission.group}".rstrip("."), permission.switch
        ]
        row.verbs |= set(permission.all_verbs)
        if permission.lost:
            row.lost[permission.lost] = None
        elif who:
            row.unknown.add(who)
        else:
            row.lost["the operator does not work"] = None
    lines: list[str] = []
    for scope, title in PLACES.items():
        if rows[scope]:
            lines += ["", f"### {title}", "", "| resource | verbs | without it |", "|---|---|---|"]
            lines += [_line(*key, row) for key, row in sorted(rows[scope].items())]
    return [*lines, ""]


def _line(resource: str, switch: str, row: _Row) -> str:
    names = [f"[{name}](checks/{name}.md)" for name in sorted(row.unknown)]
    unknown = [f"Unknown: {', '.join(names)}"] if names else []
    switched = f" (`{switch}.enabled`)" if switch else ""
    return f"| `{resource}` | {', '.join(sorted(row.verbs))}{switched} | {'; '.join([*unknown, *row.lost])} |"
