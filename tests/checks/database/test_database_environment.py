"""DatabaseMigrated by the environment that the gateway has: Secrets, ConfigMaps, and the live Deployment."""

from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.controlplane import ControlPlane
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.ports import free_port
from testbed.postgres import Postgres

PASSWORD = "pw-of-the-environment"
Env = list[dict[str, Any]]


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    postgres.create_role("surrounded", PASSWORD)
    name = postgres.create_database("surrounded", owner="surrounded")
    migrate(postgres, name, owner="surrounded")
    return name


class Place:
    """A namespace that gets objects."""

    def __init__(self, control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str) -> None:
        self._control_plane, self._cluster, self.namespace = control_plane, cluster, namespace

    def add(self, kind: str, name: str, data: dict[str, str]) -> None:
        content = {"stringData" if kind == "secrets" else "data": data}
        body = {"metadata": {"name": name}, **content}
        self._control_plane.api("POST", f"/api/v1/namespaces/{self.namespace}/{kind}", body)

    def deploy(
        self, env: Env, *, name: str = "model-engine", sidecar: str = "istio-proxy", **container: Any
    ) -> None:
        """A Deployment of the chart's name, the gateway's unless another is named."""
        identifier = {"name": "SERVICE_IDENTIFIER"}
        own = {"name": name, "image": "model-engine:1", "env": [identifier, *env], **container}
        labels = {"app": name}
        spec = {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": sidecar, "image": "proxy:1"}, own]},
            },
        }
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        self._control_plane.api("POST", path, {"metadata": {"name": name}, "spec": spec})

    def serve(self, name: str, port: int) -> None:
        spec = {"selector": {"app": name}, "ports": [{"port": port}]}
        path = f"/api/v1/namespaces/{self.namespace}/services"
        self._control_plane.api("POST", path, {"metadata": {"name": name}, "spec": spec})

    async def judge(self, env: Env, cloud: str = "onprem", **values: Any) -> CheckResult:
        result = await judged(
            "DatabaseMigrated",
            {
                "config": {"values": {"infra": {"cloud_provider": cloud}}},
                "replicaCount": {"gateway": 1},
                "extraEnvVars": env,
                **values,
            },
            cluster=self._cluster,
            namespace=self.namespace,
            seconds=60,
        )
        assert PASSWORD not in repr(result)
        return result


@pytest.fixture
def place(control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str) -> Place:
    return Place(control_plane, cluster, namespace)


def key(name: str, kind: str = "secret", **reference: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {f"{kind}KeyRef": {"name": "pg", **reference}}}


def plain(postgres: Postgres, database: str, **changed: str | None) -> Env:
    values = {
        "DB_HOST": postgres.host,
        "DB_PORT": str(postgres.port),
        "DB_USER": "surrounded",
        "DB_NAME": database,
        "DB_PASSWORD": PASSWORD,
        **changed,
    }
    return [{"name": name, "value": value} for name, value in values.items() if value is not None]


def is_at_head(result: CheckResult) -> bool:
    return (result.status, result.reason) == (Status.PASS, "SchemaAtHead")


async def test_all_of_a_secret(place: Place, postgres: Postgres, database: str) -> None:
    env = plain(postgres, database)
    place.add("secrets", "pg", {item["name"]: item["value"] for item in env})
    result = await place.judge([key(item["name"], key=item["name"]) for item in env])
    assert is_at_head(result), result.message
    assert result.evidence["address"] == f"{postgres.host}:{postgres.port}/{database}"  # which is no secret
    place.deploy([], envFrom=[{"secretRef": {"name": "pg"}}])
    assert is_at_head(await place.judge([]))


async def test_of_a_config_map_and_a_secret(place: Place, postgres: Postgres, database: str) -> None:
    place.add("configmaps", "pg", {"host": postgres.host})
    place.add("secrets", "pg", {"password": PASSWORD})
    env = plain(postgres, database, DB_HOST=None, DB_PASSWORD=None)
    env += [key("DB_HOST", "configMap", key="host"), key("DB_PASSWORD", key="password")]
    result = await place.judge(env)
    assert is_at_head(result), result.message
    assert result.evidence["source"] == "key password of Secret pg"


async def test_a_url_that_refers_to_other_variables(place: Place, postgres: Postgres, database: str) -> None:
    place.add("secrets", "pg", {"password": PASSWORD})
    text = f"postgresql://surrounded:$(PASSWORD)@{postgres.host}:{postgres.port}/{database}"
    env = [key("PASSWORD", key="password"), {"name": "ML_INFRA_DATABASE_URL", "value": text}]
    assert is_at_head(await place.judge(env, cloud="aws"))


async def test_a_url_goes_before_the_secret_that_the_values_name(
    place: Place, postgres: Postgres, database: str
) -> None:
    url = postgres.url("surrounded", PASSWORD, database)
    place.add("secrets", "db", {"database_url": "postgresql://nobody@127.0.0.9/x"})
    place.add("secrets", "pg", {"uri": url})
    named = {"secrets": {"kubernetesDatabaseSecretName": "db"}}
    assert is_at_head(await place.judge([key("ML_INFRA_DATABASE_URL", key="uri")], **named))
    written = [{"name": "ML_INFRA_DATABASE_URL", "value": url}]
    assert is_at_head(await place.judge(written, **named))


async def test_the_live_deployment_goes_before_the_values(
    place: Place, postgres: Postgres, database: str
) -> None:
    dead = plain(postgres, database, DB_HOST="127.0.0.9")
    place.deploy(plain(postgres, database))
    assert is_at_head(await place.judge(dead))


async def test_the_values_where_nothing_is_deployed(place: Place, postgres: Postgres, database: str) -> None:
    result = await place.judge(plain(postgres, database, DB_HOST="127.0.0.9"))
    assert result.reason == "ConnectionRefused"
    assert "correct the host and port in DB_HOST in extraEnvVars" in result.remediation


@pytest.mark.parametrize(
    ("item", "data", "reason", "says"),
    [
        (key("DB_HOST", key="host"), None, "SecretNotFound", "pods read DB_HOST from its key host"),
        (key("DB_HOST", key="host"), {"hots": "x"}, "SecretKeyNotFound", "Secret pg has no key host"),
        (
            key("DB_HOST", "configMap", key="host"),
            None,
            "ConfigMapNotFound",
            "ConfigMap pg with key host does not exist",
        ),
        (
            {"name": "DB_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            None,
            "VariableNotRead",
            "DB_HOST of the gateway cannot be resolved: it is status.hostIP of its pod",
        ),
    ],
    ids=["no Secret", "no key", "no ConfigMap", "known to the pod alone"],
)
async def test_what_cannot_be_resolved_is_named(
    place: Place,
    postgres: Postgres,
    database: str,
    item: dict[str, Any],
    data: dict[str, str] | None,
    reason: str,
    says: str,
) -> None:
    if data:
        place.add("secrets", "pg", data)
    result = await place.judge([*plain(postgres, database, DB_HOST=None), item])
    assert (result.reason, says in result.message) == (reason, True), result.message
    expected = Status.ERROR if reason == "VariableNotRead" else Status.FAIL
    assert result.status is expected


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@/db?host=/cloudsql/a:b:c", "postgresql://u:p@h/db?host=/run/pg"]
)
async def test_a_socket_of_the_pods_is_unknown(place: Place, url: str) -> None:
    result = await place.judge([{"name": "ML_INFRA_DATABASE_URL", "value": url}])
    assert (result.status, result.reason) == (Status.ERROR, "SocketNotTested"), result.message
    assert url.partition("host=")[2] in result.message


async def test_an_optional_key_that_is_missing(place: Place, postgres: Postgres, database: str) -> None:
    env = [*plain(postgres, database), key("DB_HOST_RO", key="host", optional=True)]
    assert is_at_head(await place.judge(env))


async def test_a_later_variable_replaces_an_earlier_one(
    place: Place, postgres: Postgres, database: str
) -> None:
    env = [{"name": "DB_HOST", "value": "127.0.0.9"}, *plain(postgres, database)]
    assert is_at_head(await place.judge(env))


@pytest.mark.parametrize(
    ("password", "reason", "says"),
    [
        (f"{PASSWORD}\n", "PasswordWhitespace", "it begins or ends with white space"),
        ("p@ss", "DatabasePasswordNotEncoded", "the password in key password of Secret pg contains @"),
        ("wrong", "PasswordRejected", "rejected the password of user surrounded"),
    ],
)
async def test_passwords_of_secrets(
    place: Place, postgres: Postgres, database: str, password: str, reason: str, says: str
) -> None:
    place.add("secrets", "pg", {"password": password})
    env = [*plain(postgres, database, DB_PASSWORD=None), key("DB_PASSWORD", key="password")]
    result = await place.judge(env)
    assert (result.reason, says in result.message) == (reason, True), result.message
    assert "key password of Secret pg" in f"{result.message} {result.remediation}"


@pytest.mark.parametrize("sidecar", ["cloud-sql-proxy", "istio-proxy"])
async def test_a_database_of_the_pods_own(
    place: Place, postgres: Postgres, database: str, sidecar: str
) -> None:
    """As a proxy beside the gateway serves it: from elsewhere, nothing listens there."""
    place.deploy(plain(postgres, database, DB_HOST="127.0.0.1", DB_PORT=str(free_port())), sidecar=sidecar)
    result = await place.judge([])
    if sidecar == "istio-proxy":
        assert (result.status, result.reason) == (Status.FAIL, "ConnectionRefused")
        return
    assert (result.status, result.reason) == (Status.ERROR, "ReachableOnlyInPod")
    assert "127.0.0.1 is the gateway's own pod, where sidecar cloud-sql-proxy may serve it" in result.message
    assert (
        f"kubectl logs -n {place.namespace} deployment/model-engine -c cloud-sql-proxy" in result.remediation
    )


async def test_a_service_named_db(place: Place, postgres: Postgres, database: str) -> None:
    """Kubernetes then sets DB_PORT to a URL, which is no port."""
    place.serve("db", 5432)
    place.deploy(plain(postgres, database, DB_PORT=None))
    result = await place.judge([])
    assert (result.status, result.reason) == (Status.FAIL, "ServiceLinkVariable")
    assert "DB_PORT is tcp://" in result.message


BUILDER = "model-engine-endpoint-builder"


@pytest.mark.parametrize(
    ("changed", "reason", "says"),
    [
        ({}, None, ""),
        ({"DB_PASSWORD": "stale"}, "PasswordRejected", "rejected the password of user surrounded"),
        ({"DB_HOST": "127.0.0.9"}, "ConnectionRefused", "127.0.0.9:"),
        ({"DB_HOST": "localhost"}, "ComponentUsesAnotherDatabase", "the builder uses localhost:"),
        ({"DB_HOST": None, "DB_PORT": None}, "DatabaseNotConfigured", "no database is configured"),
    ],
    ids=["the same", "another password", "another host", "another name", "no host"],
)
async def test_the_builder_by_its_own_environment(
    place: Place,
    postgres: Postgres,
    database: str,
    changed: dict[str, str | None],
    reason: str | None,
    says: str,
) -> None:
    place.deploy(plain(postgres, database))
    place.deploy(plain(postgres, database, **changed), name=BUILDER)
    place.deploy(plain(postgres, database), name="model-engine-cacher")
    result = await place.judge([])
    found = [each for each in result.findings if each.subject == "builder"]
    assert [each.reason for each in found] == ([reason] if reason else [])
    assert all(says in each.message for each in found)
    assert "SchemaAtHead" in [each.reason for each in result.findings]


async def test_a_secret_that_only_the_builder_reads(place: Place, postgres: Postgres, database: str) -> None:
    place.deploy(plain(postgres, database))
    place.deploy([*plain(postgres, database, DB_HOST=None), key("DB_HOST", key="host")], name=BUILDER)
    result = await place.judge([])
    assert (result.findings[0].subject, result.findings[0].reason) == ("builder", "SecretNotFound")
