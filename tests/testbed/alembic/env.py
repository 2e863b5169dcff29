"""Alembic's entry: migrates the connection that the caller passes in the configuration's attributes."""

from alembic import context

from mehc_checks.modelengine.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema="public",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
