"""Model engine's database schema: its Alembic revisions, in order, and the tables that they leave.

Source: model engine's ``db/migrations/alembic/versions`` and ``initial.sql``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

VERSION_TABLE = "alembic_version_model_engine"
"""In schema ``public``: Alembic's record of the current revision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One migration. ``columns`` are those it adds, by table of ``hosted_model_inference``."""

    id: str
    adds: str
    columns: Mapping[str, tuple[str, ...]]


CHAIN = (
    Revision(id="fa3267c80731", adds="the initial schema", columns={}),
    Revision(
        id="b574e9711e35",
        adds="bundles.runnable_image_extra_routes",
        columns={"bundles": ("runnable_image_extra_routes",)},
    ),
    Revision(
        id="f55525c81eb5",
        adds="bundles.runnable_image_worker_command and runnable_image_worker_env",
        columns={"bundles": ("runnable_image_worker_command", "runnable_image_worker_env")},
    ),
    Revision(
        id="e580182d6bfd",
        adds="bundles.runnable_image_forwarder_type",
        columns={"bundles": ("runnable_image_forwarder_type",)},
    ),
    Revision(
        id="221aa19d3f32",
        adds="bundles.runnable_image_routes",
        columns={"bundles": ("runnable_image_routes",)},
    ),
    Revision(
        id="62da4f8b3403",
        adds="endpoints.task_expires_seconds",
        columns={"endpoints": ("task_expires_seconds",)},
    ),
    Revision(
        id="a1b2c3d4e5f6",
        adds="endpoints.queue_message_timeout_seconds",
        columns={"endpoints": ("queue_message_timeout_seconds",)},
    ),
    Revision(id="c4d5e6f7a8b9", adds="endpoints.status_reason", columns={"endpoints": ("status_reason",)}),
)
"""Oldest first; each revision's parent is the one before it."""

HEAD = CHAIN[-1].id

TABLES = (
    "hosted_model_inference.batch_jobs",
    "hosted_model_inference.bundles",
    "hosted_model_inference.docker_image_batch_job_bundles",
    "hosted_model_inference.endpoints",
    "hosted_model_inference.triggers",
    "model.model_artifacts",
    "model.model_versions",
    "model.models",
)
"""What the initial revision creates."""

SCHEMAS = ("hosted_model_inference", "model")


def position(revision: str) -> int | None:
    """Where ``revision`` stands in the chain, 0 for the first; None where it is not known."""
    return next((index for index, known in enumerate(CHAIN) if known.id == revision), None)


def between(current: str, target: str) -> tuple[Revision, ...]:
    """The revisions that an upgrade from ``current`` to ``target`` runs, oldest first; both must be known."""
    first, last = position(current), position(target)
    if first is None or last is None:
        raise ValueError(f"revision {current if first is None else target} is not in the chain")
    return CHAIN[first + 1 : last + 1]


def missing(revision: str, tables: Collection[str], columns: Collection[str]) -> list[str]:
    """What a database at ``revision`` lacks: tables ("schema.table") and columns ("schema.table.column")."""
    reached = CHAIN[: (position(revision) or 0) + 1]
    absent = [table for table in TABLES if table not in tables]
    for step in reached:
        for table, names in step.columns.items():
            full = f"hosted_model_inference.{table}"
            absent += [
                f"{full}.{name}" for name in names if full in tables and f"{full}.{name}" not in columns
            ]
    return absent
