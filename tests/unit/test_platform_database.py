from typing import Any

import pytest

from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.database import SourceKind, from_environment, parse, pools, source
from mehc_checks.modelengine.values import Layer, Values


def values(tree: dict[str, Any]) -> Values:
    return Values.merged([Layer(source="test", values=tree)])


@pytest.mark.parametrize(
    ("tree", "kind", "name"),
    [
        ({"secrets": {"kubernetesDatabaseSecretName": "k"}}, SourceKind.KUBERNETES_SECRET, "k"),
        (
            {"secrets": {"kubernetesDatabaseSecretName": "k", "cloudDatabaseSecretName": "c"}},
            SourceKind.KUBERNETES_SECRET,
            "k",
        ),
        ({"secrets": {"cloudDatabaseSecretName": "c"}}, SourceKind.CLOUD_SECRET, "c"),
        ({"context": "prod-1"}, SourceKind.CLOUD_SECRET, "prod-1/ml_infra_pg"),
        ({"context": "training"}, SourceKind.CLOUD_SECRET, "prod/ml_infra_pg"),
        (
            {"context": "c", "config": {"values": {"infra": {"cloud_provider": "azure"}}}},
            SourceKind.CLOUD_SECRET,
            "c-ml-infra-pg",
        ),
        ({"config": {"values": {"infra": {"cloud_provider": "onprem"}}}}, SourceKind.ENVIRONMENT, "DB_HOST"),
        ({"config": {"values": {"infra": {"cloud_provider": "gcp"}}}}, SourceKind.ENVIRONMENT, "DB_HOST"),
        (
            {
                "secrets": {"cloudDatabaseSecretName": "c"},
                "config": {"values": {"infra": {"cloud_provider": "gcp"}}},
            },
            SourceKind.CLOUD_SECRET,
            "c",
        ),
    ],
)
def test_source(tree: dict[str, Any], kind: SourceKind, name: str) -> None:
    found = source(values(tree))
    assert (found.kind, found.name) == (kind, name)


def test_the_url_is_taken_apart_as_sqlalchemy_does() -> None:
    address = parse("postgresql+asyncpg://us%40er:p%2Fw:x@db.example.com:6432/engine?sslmode=require")
    assert (address.user, address.password, str(address)) == ("us@er", "p/w:x", "db.example.com:6432/engine")
    assert address.options == {"sslmode": "require"}
    assert "p/w" not in repr(address)
    assert parse("postgresql://u:p@[::1]/x").host == "::1"
    assert parse("postgresql://u@h").database == "u"


@pytest.mark.parametrize(
    "url", ["", "postgres://h/x", "mysql://h/x", "postgresql:///x", "postgresql://h:0/x", "x"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"its? "):
        parse(url)


@pytest.mark.parametrize("url", ["postgresql://u:hunter@secret@h/x", "postgresql://us/er:hunter2@h/x"])
def test_no_part_of_a_password_passes_for_a_host_or_database(url: str) -> None:
    with pytest.raises(ValueError, match="not percent-encoded") as refused:
        parse(url)
    assert "hunter" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_port_on_premises_that_is_no_number_is_named() -> None:
    listed = [{"name": "DB_HOST", "value": "h"}, {"name": "DB_PORT", "value": "tcp://10.0.0.1:5432"}]
    with pytest.raises(UsageError, match="DB_PORT"):
        from_environment(values({"extraEnvVars": listed}))


def test_on_premises_prefers_the_read_only_host_even_for_writes() -> None:
    listed = [
        {"name": "DB_HOST", "value": "rw"},
        {"name": "DB_HOST_RO", "value": "ro"},
        {"name": "DB_USER", "valueFrom": {}},
    ]
    address = from_environment(values({"extraEnvVars": listed}))
    assert address is not None
    assert (str(address), address.user) == ("ro:5432/llm_engine", "postgres")
    assert from_environment(values({})) is None


@pytest.mark.parametrize(
    ("tree", "ceiling"),
    [
        ({}, 320),
        ({"autoscaling": {"horizontal": {"enabled": True, "maxReplicas": 10}}}, 1600),
        (
            {"replicaCount": {"gateway": 3}, "config": {"values": {"infra": {"db_engine_pool_size": "5"}}}},
            360,
        ),
    ],
)
def test_pools(tree: dict[str, Any], ceiling: int) -> None:
    assert pools(values(tree)).ceiling == ceiling
