import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "f55525c81eb5"
down_revision = "b574e9711e35"


def upgrade() -> None:
    op.add_column(
        "bundles",
        sa.Column("runnable_image_worker_command", ARRAY(sa.Text())),
        schema="hosted_model_inference",
    )
    op.add_column(
        "bundles", sa.Column("runnable_image_worker_env", sa.JSON()), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("bundles", "runnable_image_worker_env", schema="hosted_model_inference")
    op.drop_column("bundles", "runnable_image_worker_command", schema="hosted_model_inference")
