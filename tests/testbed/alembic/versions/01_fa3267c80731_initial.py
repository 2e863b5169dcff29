import sqlalchemy as sa
from alembic import op

revision = "fa3267c80731"
down_revision = None

TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "hosted_model_inference": {
        "bundles": ("name", "created_by", "created_at"),
        "endpoints": (
            "name",
            "created_by",
            "endpoint_type",
            "endpoint_status",
            "current_bundle_id",
            "creation_task_id",
        ),
        "batch_jobs": ("status", "created_by"),
        "docker_image_batch_job_bundles": ("name", "created_by"),
        "triggers": ("name", "created_by"),
    },
    "model": {
        "models": ("name",),
        "model_versions": ("model_id",),
        "model_artifacts": ("name",),
    },
}

TIMES = {"endpoints": ("created_at", "last_updated_at")}


def upgrade() -> None:
    for schema, tables in TABLES.items():
        op.execute(f"CREATE SCHEMA {schema}")
        for table, columns in tables.items():
            op.create_table(
                table,
                sa.Column("id", sa.Text(), primary_key=True),
                *(sa.Column(column, sa.Text()) for column in columns),
                *(
                    sa.Column(column, sa.DateTime(timezone=True), server_default=sa.func.now())
                    for column in TIMES.get(table, ())
                ),
                schema=schema,
            )


def downgrade() -> None:
    for schema in TABLES:
        op.execute(f"DROP SCHEMA {schema} CASCADE")
