import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "221aa19d3f32"
down_revision = "e580182d6bfd"


def upgrade() -> None:
    op.add_column(
        "bundles", sa.Column("runnable_image_routes", ARRAY(sa.Text())), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("bundles", "runnable_image_routes", schema="hosted_model_inference")
