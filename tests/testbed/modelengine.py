"""Model engine's database as the testbed has it: its documented revisions, run by Alembic itself.

The tables hold the documented columns and no more than a few others; what they are for does not matter here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from mehc_checks.modelengine.schema import VERSION_TABLE
from testbed.postgres import Postgres
from testbed.tools import TESTBED


def migrate(postgres: Postgres, database: str, *, revision: str = "head", owner: str = "modelengine") -> None:
    """Bring ``database`` to ``revision``, up or down, as ``owner``; "base" is before the first."""
    with _engine(postgres, database) as engine, engine.connect() as connection:
        connection.execute(sa.text(f'SET ROLE "{owner}"'))
        connection.commit()
        config = configuration(connection)
        (command.upgrade if _is_upgrade(connection, revision) else command.downgrade)(config, revision)
        connection.commit()


def stamp(postgres: Postgres, database: str, revision: str, *, purge: bool = False) -> None:
    """Write ``revision`` into the version table, as ``alembic stamp`` does; ``purge`` empties it before."""
    with _engine(postgres, database) as engine, engine.connect() as connection:
        command.stamp(configuration(connection), revision, purge=purge)
        connection.commit()


def current(postgres: Postgres, database: str) -> tuple[str, ...]:
    """The revisions that Alembic finds in ``database``."""
    with _engine(postgres, database) as engine, engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "version_table_schema": "public"}
        )
        return context.get_current_heads()


def scripts() -> ScriptDirectory:
    """Alembic's view of the history."""
    return ScriptDirectory.from_config(configuration(None))


def configuration(connection: sa.Connection | None) -> Config:
    """Alembic's configuration for the testbed's history."""
    config = Config()
    config.set_main_option("script_location", str(TESTBED / "alembic"))
    config.attributes["connection"] = connection
    return config


def _is_upgrade(connection: sa.Connection, revision: str) -> bool:
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": "public"}
    )
    here = context.get_current_revision()
    connection.commit()
    if here is None or revision == "head":
        return True
    if revision == "base":
        return False
    older = {script.revision for script in scripts().iterate_revisions(here, "base")}
    return revision not in older


@contextmanager
def _engine(postgres: Postgres, database: str) -> Iterator[sa.Engine]:
    url = sa.URL.create(
        "postgresql+psycopg",
        username="postgres",
        database=database,
        query={"host": str(postgres.directory), "port": str(postgres.port)},
    )
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        yield engine
    finally:
        engine.dispose()
