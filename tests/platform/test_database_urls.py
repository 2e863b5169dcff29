"""The database's URLs as the platform makes and uses them: what it opens, we open; what it cannot, we report."""

import getpass
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.clients.google import identity
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.postgres.client import session
from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.database import (
    Driver,
    Role,
    SourceKind,
    URLs,
    default_secret,
    of_key_vault,
    of_parts,
    of_secret,
    of_text,
    sessions,
    source_kind,
)
from mehc_checks.modelengine.databaseurl import asynchronous
from mehc_checks.modelengine.environment import by_values
from mehc_checks.modelengine.values import Layer, Values
from testbed.aws import REGION, Aws
from testbed.controlplane import ControlPlane
from testbed.google import GoogleCloud
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.rulejudging import at

Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads(
    Path(__file__).with_name("vectors").joinpath("database_urls.json").read_text()
)
NAMES = {
    (Role.WRITER, Driver.PSYCOPG2): "sync_rw",
    (Role.READER, Driver.PSYCOPG2): "sync_ro",
    (Role.WRITER, Driver.ASYNCPG): "async_rw",
    (Role.READER, Driver.ASYNCPG): "async_ro",
}
_FILE = "a file of the image, which is not here: TLS is required, and not verified"
DELIBERATE: dict[str, str] = {
    "679db5365187": "an empty clusterHostRo: asyncpg falls back to localhost, which in a pod is no database",
    "3a4d4f3afdd8": f"sslrootcert is {_FILE}; that asyncpg rejects it is a failure in any case",
}
"""Where a session is judged otherwise than it went for the platform, and why."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """The server of the vectors: TLS on, one role that must use it, two migrated databases."""
    with Postgres(tls="on", ca=CertificateAuthority(), max_connections=200) as found:
        for role, password in (("simple", "simple"), ("tlsonly", "simple"), ("me", "p@ss/w%rd:x?y#z")):
            found.create_role(role, password)
        ((path,),) = found.execute("SHOW hba_file")
        rules = Path(path)
        rules.write_text(f"hostnossl all tlsonly all reject\n{rules.read_text()}")
        found.execute("SELECT pg_reload_conf()")
        for name in ("chain", "llm_engine"):
            found.create_database(name, owner="simple")
            migrate(found, name, owner="simple")
            found.execute(
                "GRANT USAGE ON SCHEMA hosted_model_inference, model TO PUBLIC;"
                "GRANT ALL ON ALL TABLES IN SCHEMA hosted_model_inference, model, public TO PUBLIC",
                db=name,
            )
        yield found


def placed(value: Any, server: Postgres) -> Any:
    """``value`` with the places of this run."""
    if isinstance(value, Mapping):
        return {key: placed(item, server) for key, item in value.items()}
    if isinstance(value, list):
        return [placed(item, server) for item in value]
    if value == "{port:int}":
        return server.port
    if value == "{port:float}":
        return float(server.port)
    if not isinstance(value, str):
        return value
    for name, place in (("{port}", server.port), ("{ca}", server.ca_file), ("{wrongca}", "/etc/hostname")):
        value = value.replace(name, str(place))
    return value.replace("{os_user}", getpass.getuser())


def environment(given: Mapping[str, Any]) -> dict[str, str]:
    """What the gateway's container gets of a vector of the kind "values"."""
    values = Values.merged([Layer(source="", values={}), Layer(source="vector", values=given["values"])])
    found: dict[str, str] = {}
    for item in by_values(Configuration(values)).env:
        reference = (item.get("valueFrom") or {}).get("secretKeyRef")
        value = (
            given["cluster_secrets"][reference["name"]][reference["key"]] if reference else item.get("value")
        )
        found[item["name"]] = value
    return found


def read(secret: Any) -> Mapping[str, str]:
    """The fields as ``installation.cloudsecrets`` hands them on."""
    return {key: str(value) for key, value in secret.items() if value is not None}


def derived(vector: Vector, given: Mapping[str, Any]) -> URLs | None:
    """The URLs by our derivation; None where no URL can be made."""
    kind, cloud = vector["kind"], given["cloud"]
    if kind == "key-vault":
        return of_key_vault(given["secret_text"], user=given["identity_name"], token=given["token"])
    if kind == "cloud-secret":
        fields = given.get("secret")
        if "secret_text" in given:
            fields = json.loads(given["secret_text"]) if given["secret_text"] == "{}" else None
        return None if fields is None else of_secret(read(fields), gcp=cloud == "gcp")
    env: Mapping[str, str] = given.get("env") or {}
    if kind == "kubernetes-secret":
        env = {"ML_INFRA_DATABASE_URL": given["database_url"]}
    elif kind == "values":
        env = environment(given)
    if env.get("ML_INFRA_DATABASE_URL"):
        return of_text(env["ML_INFRA_DATABASE_URL"])
    name = env.get("DB_SECRET_NAME")
    if source_kind(cloud, secret_named=bool(name)) is SourceKind.PARTS:
        return of_parts(env)
    asked = default_secret(cloud, "production") if name is None else name
    kept = given.get("cloud_secrets", {}).get(asked)
    return of_secret(read(kept) if kept else {}, gcp=cloud == "gcp")


_opened: list[tuple[Server, bool]] = []


async def opens(server: Server) -> bool:
    """Whether a session can be had."""
    for known, worked in _opened:
        if known == server:
            return worked
    try:
        async with session(server, timeout=8):
            worked = True
    except Problem:
        worked = False
    _opened.append((server, worked))
    return worked


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS if vector["kind"] != "secret-name"],
    ids=lambda vector: f"{vector['id']} {vector['kind']} {vector['about']}",
)
async def test_sessions(vector: Vector, server: Postgres) -> None:
    """Each of the platform's sessions has our URL, and is one that we can open, or is not."""
    given, out = placed(vector["in"], server), placed(vector["out"], server)
    urls = derived(vector, given)
    ours: dict[str, bool] = dict.fromkeys(NAMES.values(), False)
    starts = urls is not None
    for found in sessions(urls, {}) if urls else ():
        name = NAMES[found.role, found.driver]
        ours[name] = found.server is not None and await opens(found.server)
        url = urls.writer if found.role is Role.WRITER else urls.reader
        assert out[name].get("url", url) in (url, asynchronous(url))
        starts = starts and not (found.problem and found.problem.at_start)
    theirs = {name: bool(out[name]["ok"]) for name in NAMES.values()}
    migration = ours["sync_rw"] and urls is not None and "%" not in urls.writer
    agree = (ours, migration, starts) == (theirs, out["migration"]["ok"], out["engines_built"]["ok"])
    if vector["id"] in DELIBERATE:
        assert not agree, "we agree: take it off the list"
    else:
        assert (ours, migration, starts) == (theirs, out["migration"]["ok"], out["engines_built"]["ok"])


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS if vector["kind"] == "secret-name"],
    ids=lambda vector: f"{vector['id']} {vector['in']['cloud']} {vector['in']['context']}",
)
def test_the_name_of_a_secret_that_none_gives(vector: Vector) -> None:
    cloud = vector["in"]["cloud"]
    parts = source_kind(cloud, secret_named=False) is SourceKind.PARTS
    asked = None if parts else default_secret(cloud, vector["in"]["context"])
    assert asked == vector["out"]["asked"]


def installed(
    given: Mapping[str, Any], kind: str, aws: Aws, control_plane: ControlPlane, namespace: str
) -> dict[str, Any]:
    """The values of an installation as the vector has it, its Secrets in place."""
    values = given.get("values") or {"secrets": {}}
    secrets = dict(given.get("cluster_secrets") or {})
    kept = dict(given.get("cloud_secrets") or {})
    if kind == "kubernetes-secret":
        secrets["db"] = {"database_url": given["database_url"]}
        values = {"secrets": {"kubernetesDatabaseSecretName": "db"}}
    elif kind == "cloud-secret":
        values = {"secrets": {"cloudDatabaseSecretName": "cs"}}
        if "unreadable" not in given:
            kept["cs"] = given.get("secret", given.get("secret_text"))
    elif kind == "environment":
        env = [{"name": name, "value": value} for name, value in given["env"].items()]
        values = {"secrets": {}, "extraEnvVars": env}
    for name, data in secrets.items():
        secret = {"metadata": {"name": name}, "stringData": data}
        control_plane.api("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    client = aws.client("secretsmanager")
    for listed in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=listed["ARN"], ForceDeleteWithoutRecovery=True)
    for name, value in kept.items():
        # moto takes no empty text; a space is no JSON object either
        text = value or " " if isinstance(value, str) else json.dumps(value)
        aws.keep_secret(name, text)
    infra = {"cloud_provider": given["cloud"], "default_region": REGION}
    return overlaid(
        values,
        at("config.values.infra", infra),
        {"context": "production", "replicaCount": {"gateway": 1}},
    )


WARNED = {
    "dfeae146ce1f": "two secrets are named, and one of them is ignored: it works, and is worth a warning"
}
EVALUATED = [vector for vector in VECTORS if vector["kind"] not in ("secret-name", "key-vault")]
"""Secrets of Azure have tests of their own (test_database_azure.py)."""


@pytest.fixture(scope="module")
def google_cloud(certificate_authority: CertificateAuthority) -> Iterator[GoogleCloud]:
    """Its metadata server has an account that may read the secrets of project p1."""
    with GoogleCloud(certificate_authority) as cloud:
        account = cloud.account()
        cloud.grant(account, "p1")
        cloud.state.on_node = account.email
        yield cloud


@pytest.fixture
def google(google_cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """Within, this process finds Google there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(google_cloud.ca_file))
    identity._KEPT.clear()
    identity._FAILED.clear()
    with google_cloud.led():
        yield google_cloud
    identity._KEPT.clear()
    google_cloud.state.secrets.clear()


def on_google(values: dict[str, Any], given: Mapping[str, Any], cloud: GoogleCloud) -> dict[str, Any]:
    """``values`` with the secret that they name kept by Google."""
    if "unreadable" not in given:
        kept = given.get("secret", given.get("secret_text"))
        cloud.keep("p1", "cs", kept if isinstance(kept, str) else json.dumps(kept))
    project = {"name": "DB_SECRET_GCP_PROJECT_ID", "value": "p1"}
    return overlaid(values, at("extraEnvVars", [project]))


@pytest.mark.parametrize(
    "vector",
    EVALUATED,
    ids=lambda vector: f"{vector['id']} {vector['kind']} {vector['about']}",
)
async def test_verdicts(
    vector: Vector,
    server: Postgres,
    on_aws: Aws,
    cluster: KubernetesCluster,
    control_plane: ControlPlane,
    namespace: str,
    request: pytest.FixtureRequest,
) -> None:
    """A session that the platform cannot open fails the check; a migration alone that fails warns."""
    given, out = placed(vector["in"], server), vector["out"]
    values = installed(given, vector["kind"], on_aws, control_plane, namespace)
    if vector["kind"] == "cloud-secret" and given["cloud"] == "gcp":
        values = on_google(values, given, request.getfixturevalue("google"))
    result = await judged("DatabaseMigrated", values, cluster=cluster, namespace=namespace)
    works = all(out[name]["ok"] for name in NAMES.values())
    warns = not out["migration"]["ok"] or vector["id"] in WARNED
    expected = Status.FAIL if not works else Status.WARN if warns else Status.PASS
    assert result.status is expected, said(result)
    assert all("p@ss" not in text and "y#z" not in text for text in said(result))


def said(result: CheckResult) -> list[str]:
    return [f"{found.reason}: {found.message}. {found.remediation}" for found in result.findings]


def test_deliberate_differences_are_of_vectors() -> None:
    assert DELIBERATE.keys() | WARNED.keys() <= {vector["id"] for vector in VECTORS}
