"""DatabaseMigrated against its oracle: Alembic says which revision it is, SQLAlchemy which queries work."""

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from mehc_checks.core.outcome import Status
from mehc_checks.modelengine import schema
from testbed.judging import judged
from testbed.modelengine import current, migrate, scripts
from testbed.postgres import Postgres

PASSWORD = "oracle"
HISTORY = [revision.id for revision in schema.CHAIN]


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    postgres.create_role("oracle", PASSWORD)
    return postgres.create_database("oracle", owner="oracle")


@pytest.fixture
def values(postgres: Postgres, database: str) -> Mapping[str, Any]:
    return values_for(postgres, database)


def values_for(postgres: Postgres, database: str) -> Mapping[str, Any]:
    """An on-premises gateway reads plain variables, so these cases need no cluster."""
    variables = {
        "DB_HOST": postgres.host,
        "DB_PORT": str(postgres.port),
        "DB_USER": "oracle",
        "DB_PASSWORD": PASSWORD,
        "DB_NAME": database,
    }
    return {
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
        "replicaCount": {"gateway": 1},
        "extraEnvVars": [{"name": name, "value": value} for name, value in variables.items()],
    }


def test_the_known_chain_is_alembics() -> None:
    """One head, and the same revisions in the same order."""
    directory = scripts()
    assert directory.get_heads() == [schema.HEAD]
    assert [script.revision for script in reversed(list(directory.walk_revisions()))] == HISTORY


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_every_step_is_judged_as_alembic_sees_it(
    direction: str, postgres: Postgres, database: str, values: Mapping[str, Any]
) -> None:
    for revision in HISTORY if direction == "up" else reversed(HISTORY):
        migrate(postgres, database, revision=revision, owner="oracle")
        result = await judged("DatabaseMigrated", values)
        (here,) = current(postgres, database)
        assert result.evidence["revision"] == here == revision
        pending = [script.revision for script in scripts().iterate_revisions("head", here)]
        pending.reverse()
        if pending:
            assert result.reason == "RevisionBehind"
            assert f"{len(pending)} behind {schema.HEAD}" in result.message
            assert result.evidence["missingRevisions"] == ", ".join(pending)
        else:
            assert result.reason == "SchemaAtHead"
        assert platform_works(postgres, database) == (result.status is Status.PASS)


@pytest.mark.parametrize("table", schema.TABLES)
async def test_a_missing_table_is_what_sqlalchemy_trips_over(
    table: str, postgres: Postgres, values: Mapping[str, Any], database: str
) -> None:
    migrate(postgres, database, revision="head", owner="oracle")
    postgres.execute(f"ALTER TABLE {table} RENAME TO away", db=database)
    try:
        result = await judged("DatabaseMigrated", values)
        assert result.reason == "SchemaDrift"
        assert table in result.message
        assert not platform_works(postgres, database)
    finally:
        postgres.execute(
            f"ALTER TABLE {table.split('.')[0]}.away RENAME TO {table.split('.')[1]}", db=database
        )
    assert (await judged("DatabaseMigrated", values)).status is Status.PASS


async def test_what_the_init_script_leaves_breaks_alembics_next_upgrade(
    postgres: Postgres, database: str
) -> None:
    """Schemas and tables without a version: we say that the migration will fail, and it does."""
    initialized = postgres.create_database("initialized", owner="oracle")
    migrate(postgres, initialized, revision="head", owner="oracle")
    postgres.execute("DROP TABLE public.alembic_version_model_engine", db=initialized)
    result = await judged("DatabaseMigrated", values_for(postgres, initialized))
    assert result.reason == "InitializedWithoutVersion"
    with pytest.raises(sa.exc.ProgrammingError, match="DuplicateSchema"):
        migrate(postgres, initialized, revision="head", owner="oracle")


async def test_several_heads_are_what_alembic_refuses(
    postgres: Postgres, values: Mapping[str, Any], database: str
) -> None:
    migrate(postgres, database, revision="head", owner="oracle")
    postgres.execute("INSERT INTO public.alembic_version_model_engine VALUES ('0123456789ab')", db=database)
    try:
        result = await judged("DatabaseMigrated", values)
        assert result.reason == "SeveralHeads"
        assert set(current(postgres, database)) == {schema.HEAD, "0123456789ab"}
    finally:
        postgres.execute(
            "DELETE FROM public.alembic_version_model_engine WHERE version_num = '0123456789ab'", db=database
        )


def platform_works(postgres: Postgres, database: str) -> bool:
    """Whether a session with the platform's settings can select every column that its models name."""
    engine = sa.create_engine(
        sa.URL.create("postgresql+psycopg", "oracle", PASSWORD, postgres.host, postgres.port, database),
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
    )
    named: dict[str, list[str]] = {table: ["id"] for table in schema.TABLES}
    for revision in schema.CHAIN:
        for table, columns in revision.columns.items():
            named[f"hosted_model_inference.{table}"] += columns
    try:
        with engine.connect() as connection:
            for table, columns in named.items():
                namespace, _, name = table.partition(".")
                model = sa.table(name, *map(sa.column, columns), schema=namespace)
                connection.execute(sa.select(model).limit(1))
    except sa.exc.ProgrammingError:
        return False
    finally:
        engine.dispose()
    return True
