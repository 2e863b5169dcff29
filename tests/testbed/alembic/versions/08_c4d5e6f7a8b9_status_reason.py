import sqlalchemy as sa
from alembic import op

revision = "c4d5e6f7a8b9"
down_revision = "a1b2c3d4e5f6"


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("status_reason", sa.Text()), schema="hosted_model_inference")


def downgrade() -> None:
    op.drop_column("endpoints", "status_reason", schema="hosted_model_inference")
