"""A pooler between the gateway and its server. The platform's own asyncpg, eight sessions at once, is the oracle."""

import asyncio
import sys
from typing import Any, Literal

import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from mehc_checks.core.outcome import Status
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.pgbouncer import PgBouncer
from testbed.postgres import Postgres

PASSWORD = "pooled-pw"


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    """A migrated database of role "pooled"."""
    postgres.create_role("pooled", PASSWORD)
    name = postgres.create_database("pooled", owner="pooled")
    migrate(postgres, name, owner="pooled")
    return name


def values(url: str) -> dict[str, Any]:
    return {
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
        "replicaCount": {"gateway": 10},
        "extraEnvVars": [{"name": "ML_INFRA_DATABASE_URL", "value": url}],
    }


WORKER = """
import asyncio, sys
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

async def main(url):
    engine = create_async_engine(url, pool_size=8)
    async def one():
        for _ in range(8):
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT pg_sleep(0.02)"))
    found = await asyncio.gather(*(one() for _ in range(8)), return_exceptions=True)
    print(*(str(error).replace(chr(10), " ") for error in found if error), sep=chr(10))

asyncio.run(main(sys.argv[1]))
"""
"""A worker of the gateway: eight sessions at once, each with the same statement a few times."""


async def failures(url: str) -> str:
    """What two workers say, whose asyncpg counts its statements from the same number on."""
    asynchronous = url.replace("postgresql://", "postgresql+asyncpg://")

    async def worker() -> str:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, asynchronous, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
        return out.decode()

    return "".join(await asyncio.gather(worker(), worker())).strip()


@pytest.mark.parametrize(("mode", "pool_size"), [("transaction", 5), ("transaction", 1), ("session", 20)])
async def test_a_pooler(
    postgres: Postgres, database: str, mode: Literal["session", "transaction"], pool_size: int
) -> None:
    with PgBouncer(postgres, "pooled", PASSWORD, mode=mode, pool_size=pool_size) as pooler:
        oracle = await failures(pooler.url(database))
        result = await judged("DatabaseMigrated", values(pooler.url(database)))
        assert result.evidence["pooler"] is True
        reasons = {found.reason for found in result.findings}
        assert (
            "PoolsExceedServer" not in reasons
        )  # the server behind the pooler is not what the gateway fills
        if mode == "session":
            assert not oracle
            assert (result.status, result.reason) == (Status.PASS, "SchemaAtHead"), result.message
        else:
            assert "prepared statement" in oracle
            assert (result.status, result.reason) == (Status.FAIL, "TransactionPooling"), result.message
            assert f"{pooler.host}:{pooler.port} is a pooler in transaction mode" in result.message
            assert "Point " in result.remediation
            assert "to the server itself, set pool_mode=session" in result.remediation


@pytest.mark.parametrize(
    ("reason", "says", "password", "settings"),
    [
        ("PasswordRejected", "rejected the password of user pooled", "guess", {}),
        ("TooManyConnections", "no connection slot left", PASSWORD, {"max_client_conn": "1"}),
        (
            "PoolerTimeout",
            "has no connection to the server for database",
            PASSWORD,
            {"default_pool_size": "1", "query_wait_timeout": "1"},
        ),
    ],
)
async def test_a_pooler_that_gives_no_session(
    postgres: Postgres,
    database: str,
    reason: str,
    says: str,
    password: str,
    settings: dict[str, str],
) -> None:
    """The one place of the pool, or of the pooler's clients, is taken by a session that stays in its transaction."""
    with (
        PgBouncer(postgres, "pooled", PASSWORD, settings=settings) as pooler,
        psycopg.connect(pooler.url(database)) as other,
    ):
        other.execute("SELECT 1")
        url = pooler.url(database).replace(f":{PASSWORD}@", f":{password}@")
        result = await judged("DatabaseMigrated", values(url))
    assert (result.status, result.reason) == (Status.FAIL, reason), result.message
    assert says in result.message


async def test_no_pooler_and_nothing_left(postgres: Postgres, database: str) -> None:
    url = postgres.url("pooled", PASSWORD, database)
    result = await judged("DatabaseMigrated", values(url))
    assert result.evidence["pooler"] is False
    with PgBouncer(postgres, "pooled", PASSWORD) as pooler:
        await judged("DatabaseMigrated", values(pooler.url(database)))
        engine = create_async_engine(
            pooler.url(database).replace("postgresql://", "postgresql+asyncpg://"),
            connect_args={"statement_cache_size": 0},
            execution_options={"isolation_level": "AUTOCOMMIT"},
        )
        async with engine.connect() as connection:
            driver = await connection.get_raw_connection()
            rows = await driver.driver_connection.fetch(  # type: ignore[union-attr]
                "SELECT name FROM pg_prepared_statements WHERE name LIKE 'mehc%'"
                " UNION ALL SELECT setting FROM pg_settings WHERE name = 'statement_timeout' AND setting <> '0'"
            )
        await engine.dispose()
    assert rows == []
