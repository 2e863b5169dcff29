"""Options of a URL, held against the platform's own drivers: SQLAlchemy with psycopg2 and with asyncpg."""

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mehc_checks.modelengine.databaseurl import URLProblem, asynchronous, for_asyncpg, for_psycopg2
from testbed.postgres import Postgres

PASSWORD = "driven-pw"
OPTIONS = [
    "application_name=x",
    "channel_binding=bogus",
    "client_encoding=utf8",
    "command_timeout=0",
    "command_timeout=5",
    "connect_timeout=3",
    "connect_timeout=x",
    "connection_class=x",
    "database=driven",
    "dbname=driven",
    "direct_tls=true",
    "fallback_application_name=x",
    "foo=1",
    "gssencmode=disable",
    "gsslib=gssapi",
    "gsslib=x",
    "host=127.0.0.1",
    "hostaddr=127.0.0.1",
    "keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3",
    "krbsrvname=x",
    "load_balance_hosts=random",
    "loop=x",
    "max_cached_statement_lifetime=0",
    "options=-csearch_path=public",
    "passfile=/x",
    "pool_size=5",
    "prepared_statement_cache_size=0",
    "prepared_statement_cache_size=x",
    "record_class=x",
    "server_settings=x",
    "service=x",
    "servicefile=/x",
    "ssl=disable",
    "ssl=true",
    "sslcert=/x",
    "sslcompression=0",
    "sslkey=/x",
    "sslmode=allow",
    "sslmode=bogus",
    "sslmode=disable",
    "sslmode=disable&sslmode=prefer",
    "sslmode=prefer",
    "sslmode=verify-ca",
    "sslmode=verify-full",
    "sslnegotiation=postgres",
    "sslsni=1",
    "statement_cache_size=0",
    "target_session_attrs=any",
    "target_session_attrs=bogus",
    "target_session_attrs=read-write",
    "tcp_user_timeout=1000",
    "timeout=5",
    "user=driven",
]


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    postgres.create_role("driven", PASSWORD)
    postgres.create_database("driven", owner="driven")
    return postgres.url("driven", PASSWORD, "driven")


def accepted(read: object, url: str) -> bool:
    try:
        read(url, {})  # type: ignore[operator]
    except URLProblem:
        return False
    return True


@pytest.mark.parametrize("option", OPTIONS)
async def test_an_option(url: str, option: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no certificates, as in the image
    given = f"{url}?{option}"
    engine = sa.create_engine(given, poolclass=sa.NullPool)
    try:
        engine.connect().close()
        sync = True
    except Exception:
        sync = False
    try:
        async_engine = create_async_engine(asynchronous(given), poolclass=sa.NullPool)
        await (await async_engine.connect()).close()
        api = True
    except Exception:
        api = False
    assert (accepted(for_psycopg2, given), accepted(for_asyncpg, given)) == (sync, api)
