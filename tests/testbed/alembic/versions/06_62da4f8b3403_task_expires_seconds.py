import sqlalchemy as sa
from alembic import op

revision = "62da4f8b3403"
down_revision = "221aa19d3f32"


def upgrade() -> None:
    op.add_column(
        "endpoints", sa.Column("task_expires_seconds", sa.Integer()), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("endpoints", "task_expires_seconds", schema="hosted_model_inference")
