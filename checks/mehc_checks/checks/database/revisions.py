"""Judges what a session saw of the schema: which revision it is at, and what is really there."""

from collections.abc import Iterator, Sequence
from typing import Any

from mehc_checks.checks.database.facts import Expected, Schema
from mehc_checks.checks.database.reasons import DatabaseReasons as R
from mehc_checks.core.outcome import Finding, Status
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.versions import NEWEST


def judged(found: Schema, expected: Expected, database: str) -> Iterator[Finding]:
    """At least one finding, unless the role may not even read the version table.

    What the database is, holds of every platform. What a platform needs is known of few: of others it is a warning.
    """
    if not found.has_version_table:
        yield _without_version(found, expected, database)
    elif not found.revisions:
        if f"table public.{schema.VERSION_TABLE}" not in found.denied:
            yield R.VERSION_EMPTY(database=database)
    elif len(found.revisions) > 1:
        yield R.SEVERAL_HEADS(database=database, revisions=", ".join(found.revisions))
    else:
        yield from _at(found.revisions[0], found, expected, database)


def _without_version(found: Schema, expected: Expected, database: str) -> Finding:
    if not found.tables and not found.schemas:
        return R.NEVER_MIGRATED(database=database)
    target = expected.least if schema.position(expected.least) is not None else schema.HEAD
    absent = schema.missing(target, found.tables, found.columns)
    reached = schema.corresponding(found.tables, found.columns)
    if not absent and reached:
        return R.INITIALIZED_WITHOUT_VERSION(database=database, stamp=reached.id)
    lacking: dict[str, Any] = {"database": database, "missing": some(absent), "doubt": _doubt(expected)}
    if expected.is_newer or not expected.least:
        lacking["status"] = Status.WARN
    if reached is None:
        return R.INCOMPLETE_WITHOUT_VERSION(**lacking)
    fix = (
        f"Set db.runDbInitScript: false, run `alembic stamp {reached.id}` in model_engine_server/db/migrations of a "
        "gateway pod, then run helm upgrade with db.runDbMigrationScript: true."
    )
    return R.INCOMPLETE_WITHOUT_VERSION(**lacking, fix=fix)


def _at(current: str, found: Schema, expected: Expected, database: str) -> Iterator[Finding]:
    words: dict[str, Any] = {"database": database, "revision": current}
    absent = schema.missing(current, found.tables, found.columns)
    reached = schema.corresponding(found.tables, found.columns)
    if reached and (lacks := _foreign(current, expected)):
        missing = f", and lacks {some(absent)}" if absent else ""
        yield R.FOREIGN(**words, lacks=lacks, missing=missing, stamp=reached.id)
        return
    if absent:
        status = Status.WARN if expected.is_newer else None
        yield R.DRIFT(**words, missing=some(absent), doubt=_beyond(expected), status=status)
    if current == expected.revision:
        if not absent:
            yield R.AT_HEAD(**words)
    elif schema.position(current) is None:
        if not absent:
            yield R.UNKNOWN_REVISION(**words, head=schema.HEAD, doubt=_beyond(expected))
    elif schema.position(expected.revision) is None:
        yield R.UNEXPECTED(**words, expected=expected.revision)
    else:
        yield _elsewhere(words, current, expected, found)


def _foreign(current: str, expected: Expected) -> str:
    """Why the platform cannot have revision ``current``, "" where it may."""
    platform = expected.platform
    if schema.position(current) is not None or current == expected.revision:
        return ""
    if platform.has_known_images:
        return f"which images of tag {platform.tag} do not have"
    if (column := schema.BRANCHES.get(current)) and not platform.is_newer:
        return f"which is of a branch ({column}) and in no release up to {NEWEST}"
    return ""


def _elsewhere(words: dict[str, Any], current: str, expected: Expected, found: Schema) -> Finding:
    """Both revisions are known, and not the same."""
    if newer := schema.between(expected.revision, current):
        return R.AHEAD(
            **words, expected=expected.revision, newer=", ".join(revision.id for revision in newer)
        )
    steps = schema.between(current, expected.revision)
    whole, partly = schema.applied(steps, found.columns)
    if partly:
        return R.HALF_APPLIED(**words, columns=some(partly))
    if whole:
        then = ", then run helm upgrade with db.runDbMigrationScript: true" if len(whole) < len(steps) else ""
        return R.NOT_STAMPED(**words, stamp=whole[-1].id, then=then)
    missing = [f"{revision.adds} ({revision.id})" for revision in steps]
    return R.BEHIND(
        **words,
        expected=expected.revision,
        steps=len(steps),
        missing=some(missing, 2),
        doubt=_doubt(expected),
        status=Status.WARN if expected.is_newer or _suffices(current, expected) else None,
    )


def _suffices(current: str, expected: Expected) -> bool:
    """Whether ``current`` may be all that an older platform needs."""
    if expected.least == expected.revision:
        return False
    return not expected.least or not schema.between(current, expected.least)


def _doubt(expected: Expected) -> str:
    """What is known of the migrations of a platform that is not the known one."""
    platform = expected.platform
    if expected.is_newer or expected.least == expected.revision:
        return _beyond(expected)
    if expected.least:
        return f"; {platform} needs at least {expected.least}"
    return f"; mehc does not know what {platform} needs (it knows 0.2.5 to 0.2.7)"


def _beyond(expected: Expected) -> str:
    return (
        f"; {expected.platform} is newer than {NEWEST}, the newest that mehc knows"
        if expected.is_newer
        else ""
    )


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
