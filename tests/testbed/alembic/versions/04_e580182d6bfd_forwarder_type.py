import sqlalchemy as sa
from alembic import op

revision = "e580182d6bfd"
down_revision = "f55525c81eb5"


def upgrade() -> None:
    op.add_column(
        "bundles", sa.Column("runnable_image_forwarder_type", sa.Text()), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("bundles", "runnable_image_forwarder_type", schema="hosted_model_inference")
