from typing import Any

import sqlalchemy as sa
from alembic import op

from mehc_checks.modelengine.schema import INITIAL, SCHEMAS

revision = "fa3267c80731"
down_revision = None

TIMES = ("created_at", "last_updated_at")


def upgrade() -> None:
    """The documented columns, as text but for times: what they are for does not matter here."""
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    for full, columns in INITIAL.items():
        schema, _, table = full.partition(".")
        op.create_table(
            table,
            sa.Column("id", sa.Text(), primary_key=True),
            *(_column(table, column) for column in columns if column != "id"),
            schema=schema,
        )


def _column(table: str, name: str) -> sa.Column[Any]:
    if table == "endpoints" and name in TIMES:
        return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now())
    return sa.Column(name, sa.Text())


def downgrade() -> None:
    for schema in SCHEMAS:
        op.execute(f"DROP SCHEMA {schema} CASCADE")
