"""Judges what a session saw of the schema: which revision it is at, and what is really there."""

from collections.abc import Iterator, Sequence
from typing import Any

from mehc_checks.checks.database.facts import Schema
from mehc_checks.checks.database.reasons import DatabaseReasons as R
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import schema


def judged(found: Schema, expected: str, database: str) -> Iterator[Finding]:
    """At least one finding, unless the role may not even read the version table."""
    if not found.has_version_table:
        yield _without_version(found, expected, database)
    elif not found.revisions:
        if f"table public.{schema.VERSION_TABLE}" not in found.denied:
            yield R.VERSION_EMPTY(database=database)
    elif len(found.revisions) > 1:
        yield R.SEVERAL_HEADS(database=database, revisions=", ".join(found.revisions))
    else:
        yield from _at(found.revisions[0], found, expected, database)


def _without_version(found: Schema, expected: str, database: str) -> Finding:
    if not found.tables and not found.schemas:
        return R.NEVER_MIGRATED(database=database)
    target = expected if schema.position(expected) is not None else schema.HEAD
    absent = schema.missing(target, found.tables, found.columns)
    reached = schema.corresponding(found.tables, found.columns)
    if not absent and reached:
        return R.INITIALIZED_WITHOUT_VERSION(database=database, stamp=reached.id)
    words: dict[str, Any] = {"database": database, "missing": some(absent)}
    if reached is None:
        return R.INCOMPLETE_WITHOUT_VERSION(**words)
    fix = (
        f"Set db.runDbInitScript: false, run `alembic stamp {reached.id}` in model_engine_server/db/migrations of a "
        "gateway pod, then run helm upgrade with db.runDbMigrationScript: true."
    )
    return R.INCOMPLETE_WITHOUT_VERSION(**words, fix=fix)


def _at(current: str, found: Schema, expected: str, database: str) -> Iterator[Finding]:
    words: dict[str, Any] = {"database": database, "revision": current}
    absent = schema.missing(current, found.tables, found.columns)
    if absent:
        yield R.DRIFT(**words, missing=some(absent))
    if current == expected:
        if not absent:
            yield R.AT_HEAD(**words)
    elif schema.position(current) is None:
        if not absent:
            yield R.UNKNOWN_REVISION(**words, head=schema.HEAD)
    elif schema.position(expected) is None:
        yield R.UNEXPECTED(**words, expected=expected)
    else:
        yield _elsewhere(words, current, expected, found)


def _elsewhere(words: dict[str, Any], current: str, expected: str, found: Schema) -> Finding:
    """Both revisions are known, and not the same."""
    if newer := schema.between(expected, current):
        return R.AHEAD(**words, expected=expected, newer=", ".join(revision.id for revision in newer))
    steps = schema.between(current, expected)
    whole, partly = schema.applied(steps, found.columns)
    if partly:
        return R.HALF_APPLIED(**words, columns=some(partly))
    if whole:
        then = ", then run helm upgrade with db.runDbMigrationScript: true" if len(whole) < len(steps) else ""
        return R.NOT_STAMPED(**words, stamp=whole[-1].id, then=then)
    missing = [f"{revision.adds} ({revision.id})" for revision in steps]
    return R.BEHIND(**words, expected=expected, steps=len(steps), missing=some(missing, 2))


def pending(found: Schema, expected: str) -> tuple[schema.Revision, ...]:
    """The revisions that an upgrade to ``expected`` would run, as far as that is known."""
    known = [*found.revisions, expected]
    if len(known) != 2 or any(schema.position(revision) is None for revision in known):
        return ()
    return schema.between(*known)


def some(names: Sequence[str], most: int = 4) -> str:
    """ "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
