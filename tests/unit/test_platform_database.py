"""The database's URL: its source, and how the platform's own SQLAlchemy takes it apart."""

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.modelengine import schema
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.database import (
    Driver,
    Role,
    SourceKind,
    default_secret,
    faults,
    of_parts,
    of_secret,
    of_text,
    sessions,
    source_kind,
)
from mehc_checks.modelengine.databaseurl import URLProblem, for_asyncpg, for_psycopg2, take_apart
from mehc_checks.modelengine.environment import by_values, expanded
from mehc_checks.modelengine.pools import pools, unusable
from mehc_checks.modelengine.values import Layer, Values

SECRET = {
    "username": "u",
    "password": "p",
    "clusterHost": "rw",
    "clusterHostRo": "ro",
    "port": "5432",
    "dbname": "d",
}


def configuration(tree: dict[str, Any]) -> Configuration:
    return Configuration(Values.merged([Layer(source="", values={}), Layer(source="test", values=tree)]))


@pytest.mark.parametrize(
    ("cloud", "named", "kind"),
    [
        ("aws", True, SourceKind.AWS_SECRET),
        ("aws", False, SourceKind.AWS_SECRET),
        ("AWS", False, SourceKind.AWS_SECRET),
        ("azure", False, SourceKind.KEY_VAULT),
        ("gcp", True, SourceKind.GCP_SECRET),
        ("gcp", False, SourceKind.PARTS),
        ("onprem", True, SourceKind.PARTS),
    ],
)
def test_source(cloud: str, named: bool, kind: SourceKind) -> None:
    assert source_kind(cloud, secret_named=named) is kind


def test_the_secret_that_is_read_where_none_is_named() -> None:
    assert default_secret("aws", "my-training") == "my-prod/ml_infra_pg"
    assert default_secret("azure", "prod-new") == "prod-ml-infra-pg"


def test_the_chart_names_one_secret_and_appends_extra_variables() -> None:
    both = {"kubernetesDatabaseSecretName": "k", "cloudDatabaseSecretName": "c"}
    extra = [{"name": "DB_HOST", "value": "h"}]
    env = by_values(configuration({"secrets": both, "extraEnvVars": extra})).env
    assert [item["name"] for item in env] == ["ML_INFRA_DATABASE_URL", "DB_HOST"]
    env = by_values(configuration({"secrets": {"cloudDatabaseSecretName": "c"}})).env
    assert env == ({"name": "DB_SECRET_NAME", "value": "c"},)


@pytest.mark.parametrize(
    ("text", "result"),
    [("$(A):$(B)", "1:$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("a$", "a$"), ("$(A)$(A)", "11")],
)
def test_references_are_expanded_as_the_kubelet_does(text: str, result: str) -> None:
    assert expanded(text, {"A": "1"}) == result


TEXTS = st.text(st.sampled_from("ab1:/@?#%[]=&+ ,.\n40"), max_size=24)


@given(
    st.sampled_from(["postgresql", "postgresql+asyncpg", "postgresql+psycopg2"]),
    st.one_of(TEXTS, st.tuples(TEXTS, TEXTS, TEXTS).map(lambda parts: "{}@{}/{}".format(*parts))),
)
def test_a_url_is_taken_apart_as_sqlalchemy_does(scheme: str, rest: str) -> None:
    text = f"{scheme}://{rest}"
    try:
        theirs = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        with pytest.raises(URLProblem):
            take_apart(text)
        return
    if "@" in f"{theirs.host}{theirs.database}":
        with pytest.raises(URLProblem, match="not encoded"):  # which SQLAlchemy does not tell
            take_apart(text)
        return
    try:
        ours = take_apart(text)
    except URLProblem:
        assert "@" in rest.partition("?")[2]  # where an option without a value has one
        return
    assert (ours.user, ours.password) == (theirs.username, theirs.password)
    assert (ours.host, ours.port, ours.database) == (theirs.host, theirs.port, theirs.database)
    assert dict(ours.query) == dict(theirs.query)


def test_what_connects() -> None:
    url = "postgresql://us%40er:p%2Fw:x@db.example.com:6432/engine?sslmode=require"
    server = for_psycopg2(url, {})
    assert (server.user, server.password, str(server)) == ("us@er", "p/w:x", "db.example.com:6432/engine")
    assert server.options == {"sslmode": "require"}
    assert "p/w" not in repr(server)
    assert for_asyncpg(url, {}) == server
    assert for_psycopg2("postgresql://u:p@[::1]/x", {}).host == "::1"
    assert for_psycopg2("postgresql://u@h", {}).database == "u"
    several = for_psycopg2("postgresql://u@/x?host=a:1&host=b:2", {})
    assert several.places == (("a", 1), ("b", 2))
    assert for_asyncpg("postgresql://u@/x?host=a,b&port=1,2", {}).places == several.places
    of_environment = for_psycopg2("postgresql:///x", {"PGHOST": "h", "PGUSER": "u", "PGPORT": "7"})
    assert (of_environment.address, of_environment.user) == ("h:7", "u")


@pytest.mark.parametrize(
    ("url", "reason", "words"),
    [
        ("", "DatabaseURLUnparsable", "it is blank"),
        ("postgres://h/x", "DatabaseURLUnparsable", "its scheme is postgres, not postgresql"),
        ("mysql://h/x", "DatabaseURLUnparsable", "its scheme is mysql"),
        ("x", "DatabaseURLUnparsable", "it has no scheme"),
        ('"postgresql://h/x"', "DatabaseURLUnparsable", "it begins with a quotation mark"),
        ("host=h dbname=x", "DatabaseURLUnparsable", "it is a list of keywords"),
        ("jdbc:postgresql://h/x", "DatabaseURLUnparsable", "it does not begin with postgresql://"),
        ("postgresql://u@h:54x/x", "DatabaseURLUnparsable", "its port is not a number"),
        ("postgresql://u@h:99999/x", "DatabaseURLUnparsable", "its port is not from 1 to 65535"),
        ("postgresql://u@h\0/x", "DatabaseURLUnparsable", "it contains a NUL character"),
        ("postgresql:///x", "DatabaseURLIncomplete", "names no host"),
        ("postgresql://h/x", "DatabaseURLIncomplete", "names no user"),
        ("postgresql+psycopg://u@h/x", "DatabaseURLNamesDriver", "names the driver psycopg:"),
        ("postgresql+asyncpg://u@h/x", "DatabaseURLNamesDriver", "names the driver asyncpg:"),
        ("postgresql://u@h/x?foo=1", "DatabaseURLOptionRejected", "psycopg2 rejects the option foo"),
        ("postgresql://u@h/x?sslmode=on", "DatabaseURLOptionRejected", "psycopg2 rejects sslmode=on"),
        ("postgresql://u@h/x?sslmode=verify-full", "RootCertificateMissing", "sslmode=verify-full"),
    ],
)
def test_urls_that_psycopg2_cannot_use(url: str, reason: str, words: str) -> None:
    with pytest.raises(URLProblem) as raised:
        for_psycopg2(url, {})
    assert (raised.value.reason.name, words in str(raised.value)) == (reason, True), str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter@secret@h/x",
        "postgresql://us/er:hunter2@h/x",
        "postgresql://u:hunter@ss/w?x=1&secret@h/x",
    ],
)
def test_no_part_of_a_password_passes_for_a_host_or_database(url: str) -> None:
    with pytest.raises(URLProblem, match="not encoded") as refused:
        for_psycopg2(url, {})
    assert "hunter" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_on_premises_prefers_the_read_only_host_even_for_writes() -> None:
    urls = of_parts({"DB_HOST": "rw", "DB_HOST_RO": "ro"})
    assert urls.writer == urls.reader == "postgresql://postgres:postgres@ro:5432/llm_engine"
    assert "@localhost:" in of_parts({"DB_HOST_RO": ""}).writer


def test_faults_name_the_sessions_that_have_them() -> None:
    def effects(secret: dict[str, str]) -> list[tuple[str, str]]:
        found = faults(sessions(of_secret(secret), {}))
        return [(fault.problem.reason.name, fault.effect) for fault in found]

    lacking = {name: value for name, value in SECRET.items() if name != "clusterHostRo"}
    assert effects(SECRET) == []
    assert effects(lacking) == [("CloudSecretUnusable", "every GET request fails")]
    at = effects({**SECRET, "password": "p@ss"})
    assert at == [("DatabasePasswordNotEncoded", "every API request fails")]
    none = effects({name: value for name, value in SECRET.items() if name != "port"})
    assert none == [("CloudSecretUnusable", "the platform can open no session at all")]
    option = effects({**SECRET, "dbname": "d?connect_timeout=3"})
    assert option == [("DatabaseURLOptionRejected", "every API request fails, although migrations work")]
    cached = faults(sessions(of_text("postgresql://u@h/d?prepared_statement_cache_size=0"), {}))
    assert [fault.effect for fault in cached] == ["migrations fail, although the API works"]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u@h/d\n", "ends with a newline"),
        ("postgresql://u@h/d ", "ends with a space"),
        ("\tpostgresql://u@h/d", "begins with a tab"),
    ],
)
def test_white_space_around_a_url(url: str, where: str) -> None:
    (fault,) = faults(sessions(of_text(url), {}))
    assert where in str(fault.problem)
    assert (fault.roles, fault.drivers) == (set(Role), set(Driver))


def test_white_space_that_sqlalchemy_ignores() -> None:
    assert faults(sessions(of_text("postgresql://u@h/d?sslmode=require\n"), {})) == []


@pytest.mark.parametrize(
    ("tree", "ceiling"),
    [
        ({}, 320),
        ({"autoscaling": {"horizontal": {"enabled": True, "maxReplicas": 10}}}, 1600),
        ({"replicaCount": {"gateway": 3}}, 480),
        ({"replicaCount": {"gateway": 0}}, 0),
    ],
)
def test_pools(tree: dict[str, Any], ceiling: int) -> None:
    assert pools(configuration(tree)).ceiling == ceiling


@pytest.mark.parametrize(
    ("value", "works"), [(10, False), ("10", False), (0, False), (None, False), (True, True)]
)
@pytest.mark.parametrize("name", ["db_engine_pool_size", "db_engine_max_overflow"])
def test_settings_of_pools_that_reach_sqlalchemy_as_text(name: str, value: Any, works: bool) -> None:
    found = unusable(configuration({"config": {"values": {"infra": {name: value}}}}))
    assert found == (() if works else (f"config.values.infra.{name}",))


def columns(upto: str) -> set[str]:
    """All that a database at revision ``upto`` has."""
    found = {f"{table}.{name}" for table, names in schema.INITIAL.items() for name in names}
    for step in schema.CHAIN[: (schema.position(upto) or 0) + 1]:
        found.update(step.full_names)
    return found


def test_every_column_of_a_revision_is_missed() -> None:
    whole = columns(schema.HEAD)
    for column in whole:
        assert schema.missing(schema.HEAD, schema.TABLES, whole - {column}) == [column]
    assert schema.missing("never-heard", schema.TABLES, whole) == []
    assert schema.missing("never-heard", schema.TABLES, columns("62da4f8b3403")) != []


@pytest.mark.parametrize("revision", [step.id for step in schema.CHAIN])
def test_the_revision_that_a_schema_corresponds_to(revision: str) -> None:
    found = schema.corresponding(schema.TABLES, columns(revision))
    assert found is not None
    assert found.id == revision


def test_what_of_later_migrations_exists_already() -> None:
    steps = schema.between("fa3267c80731", schema.HEAD)
    assert schema.applied(steps, columns("fa3267c80731")) == ([], [])
    whole, rest = schema.applied(steps, columns("f55525c81eb5"))
    assert ([step.id for step in whole], rest) == (["b574e9711e35", "f55525c81eb5"], [])
    one = "hosted_model_inference.bundles.runnable_image_worker_env"
    assert schema.applied(steps, columns("fa3267c80731") | {one}) == ([], [one])
