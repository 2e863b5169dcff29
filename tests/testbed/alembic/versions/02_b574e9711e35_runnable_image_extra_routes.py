import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "b574e9711e35"
down_revision = "fa3267c80731"


def upgrade() -> None:
    op.add_column(
        "bundles", sa.Column("runnable_image_extra_routes", ARRAY(sa.Text())), schema="hosted_model_inference"
    )


def downgrade() -> None:
    op.drop_column("bundles", "runnable_image_extra_routes", schema="hosted_model_inference")
