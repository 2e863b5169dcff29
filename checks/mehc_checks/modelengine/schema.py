"""Model engine's database schema: its Alembic revisions, in order, and the tables that they leave.

Source: model engine's ``db/migrations/alembic/versions`` and ``initial.sql``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

VERSION_TABLE = "alembic_version_model_engine"
"""In schema ``public``: Alembic's record of the current revision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One migration. ``columns`` are those it adds, by table of ``hosted_model_inference``."""

    id: str
    adds: str
    columns: Mapping[str, tuple[str, ...]]

    @property
    def full_names(self) -> list[str]:
        """ "schema.table.column" of what it adds."""
        return [
            f"hosted_model_inference.{table}.{name}"
            for table, names in self.columns.items()
            for name in names
        ]


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

BRANCHES: Final = {
    "6f04b2bc9af4": "request_timeout_seconds",
    "b2c3d4e5f6g7": "temporal_task_queue",
}
"""Revisions of branches that were published and are in no chart up to 0.2.7, each with the column that it adds."""

_INITIAL: Final = {
    "hosted_model_inference.batch_jobs": """
        id created_at completed_at status created_by owner model_bundle_id model_endpoint_id
        task_ids_location result_location
    """,
    "hosted_model_inference.bundles": """
        id name created_by created_at location version registered_model_name bundle_metadata requirements
        env_params packaging_type app_config model_artifact_ids schema_location owner flavor
        artifact_requirements artifact_app_config artifact_framework_type artifact_pytorch_image_tag
        artifact_tensorflow_version artifact_image_repository artifact_image_tag
        cloudpickle_artifact_load_predict_fn cloudpickle_artifact_load_model_fn
        zip_artifact_load_predict_fn_module_path zip_artifact_load_model_fn_module_path
        runnable_image_repository runnable_image_tag runnable_image_command runnable_image_env
        runnable_image_protocol artifact_location runnable_image_readiness_initial_delay_seconds
        triton_enhanced_runnable_image_model_repository triton_enhanced_runnable_image_model_replicas
        triton_enhanced_runnable_image_num_cpu triton_enhanced_runnable_image_commit_tag
        triton_enhanced_runnable_image_storage triton_enhanced_runnable_image_memory
        triton_enhanced_runnable_image_readiness_initial_delay_seconds
        streaming_enhanced_runnable_image_streaming_command runnable_image_predict_route
        streaming_enhanced_runnable_image_streaming_predict_route runnable_image_healthcheck_route
    """,
    "hosted_model_inference.docker_image_batch_job_bundles": """
        id name created_by created_at owner image_repository image_tag command env mount_location cpus
        memory storage gpus gpu_type public
    """,
    "hosted_model_inference.endpoints": """
        id name created_by created_at last_updated_at current_bundle_id endpoint_metadata creation_task_id
        endpoint_type destination endpoint_status owner public_inference
    """,
    "hosted_model_inference.triggers": """
        id name owner created_by created_at cron_schedule docker_image_batch_job_bundle_id
        default_job_config default_job_metadata
    """,
    "model.model_artifacts": """
        id name description is_public created_by owner created_at input_schema output_schema config location
        format format_metadata source source_metadata
    """,
    "model.model_versions": """
        id model_id version_number tags created_by created_at launch_model_bundle_id nucleus_model_id
        metadata
    """,
    "model.models": "id name description task_types created_by owner created_at",
}
INITIAL: Final = {table: tuple(columns.split()) for table, columns in _INITIAL.items()}
"""What the initial revision creates: columns by table. The platform's models select every one of them."""

TABLES: Final = tuple(INITIAL)
SCHEMAS: Final = ("hosted_model_inference", "model")


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
    """What a database at ``revision`` lacks: tables ("schema.table") and columns ("schema.table.column").

    Of a revision that is not known, what all known ones need.
    """
    index = position(revision)
    reached = CHAIN if index is None else CHAIN[: index + 1]
    absent = [table for table in TABLES if table not in tables]
    needed = [f"{table}.{name}" for table, names in INITIAL.items() for name in names if table in tables]
    for step in reached:
        needed += [name for name in step.full_names if name.rpartition(".")[0] in tables]
    return absent + [name for name in needed if name not in columns]


def corresponding(tables: Collection[str], columns: Collection[str]) -> Revision | None:
    """The last revision of which, and of those before it, nothing is missing; None where even the first lacks some."""
    complete = [step for step in CHAIN if not missing(step.id, tables, columns)]
    return complete[-1] if complete else None


def applied(steps: Iterable[Revision], columns: Collection[str]) -> tuple[list[Revision], list[str]]:
    """Of ``steps`` that did not run by their record: the first ones of which everything exists, and what exists of the
    others. A migration ends in DuplicateColumn at the first column that exists.
    """
    whole: list[Revision] = []
    rest = list(steps)
    while rest and all(name in columns for name in rest[0].full_names):
        whole.append(rest.pop(0))
    return whole, [name for step in rest for name in step.full_names if name in columns]
