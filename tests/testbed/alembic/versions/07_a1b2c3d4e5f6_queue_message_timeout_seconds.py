import sqlalchemy as sa
from alembic import op

revision = "a1b2c3d4e5f6"
down_revision = "62da4f8b3403"


def upgrade() -> None:
    op.add_column(
        "endpoints", sa.Column("queue_message_timeout_seconds", sa.Integer()), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("endpoints", "queue_message_timeout_seconds", schema="hosted_model_inference")
