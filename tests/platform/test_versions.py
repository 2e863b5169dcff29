"""One database and one Redis, judged for each version of the platform: what a version may not need only warns.

The version is what the live objects of an installation without a Helm release show.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose
from mehc_checks.modelengine.environment import REDIS_TLS
from mehc_checks.modelengine.schema import HEAD
from mehc_checks.modelengine.values import Layer
from mehc_checks.modelengine.versions import CHART_LABEL
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, overlaid
from testbed.modelengine import current, migrate, stamp
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.rulejudging import at

PASSWORD: Final = "pw-never-shown"
LAUNCH: Final = "config.values.launch"
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Version:
    """What the gateway's Deployment shows."""

    label: str = "model-engine-0.2.7"
    tag: str = "mine"
    tls: str = ""


VERSIONS: Final = {
    "known": Version(),
    "known images": Version(tag="a8236961" + "0" * 32),
    "undetected": Version(label=""),
    "of another chart": Version(label="acme-platform-9.1.0"),
    "newer": Version(label="model-engine-0.2.8"),
    "newer by variable": Version(tls="false"),
    "newer, images known": Version(label="model-engine-0.2.8", tag="a8236961" + "0" * 32),
    "older": Version(label="model-engine-0.2.6"),
    "oldest": Version(label="model-engine-0.1.4"),
}
TAKEN_AS_KNOWN: Final = ("known", "known images", "undetected", "of another chart", "newer, images known")
NEWER: Final = ("newer", "newer by variable")
OLDER: Final = ("older", "oldest")
EACH: Final = (*TAKEN_AS_KNOWN, *NEWER, *OLDER)
RANGE: Final = {
    "newer": "; chart 0.2.8 is newer than chart 0.2.7, the newest that mehc knows",
    "newer by variable": "; a chart that sets REDIS_ENABLE_TLS is newer than chart 0.2.7, the newest that mehc knows",
    "older": "; chart 0.2.6 needs at least a1b2c3d4e5f6",
    "oldest": "; mehc does not know what chart 0.1.4 needs (it knows 0.2.5 to 0.2.7)",
}
"""What a warning says of the range."""
PASS, WARN, FAIL = Status.PASS, Status.WARN, Status.FAIL


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database at ``revision``, changed by ``statement``, and what it is for the versions."""

    revision: str = "head"
    statement: str = ""
    verdicts: Mapping[tuple[str, ...], tuple[Status, str]]


STAMPED: Final = "UPDATE public.alembic_version_model_engine SET version_num = '{}'"
UNSTAMPED: Final = "DROP TABLE public.alembic_version_model_engine"
BEHIND: Final = "RevisionBehind"
INCOMPLETE: Final = "IncompleteWithoutVersion"
DATABASES: Final = {
    "sound": Database(verdicts={EACH: (PASS, "SchemaAtHead")}),
    "never migrated": Database(revision="", verdicts={EACH: (FAIL, "NeverMigrated")}),
    "one behind": Database(
        revision="a1b2c3d4e5f6",
        verdicts={TAKEN_AS_KNOWN: (FAIL, BEHIND), NEWER: (WARN, BEHIND), OLDER: (WARN, BEHIND)},
    ),
    "two behind": Database(
        revision="62da4f8b3403",
        verdicts={
            (*TAKEN_AS_KNOWN, "older"): (FAIL, BEHIND),
            NEWER: (WARN, BEHIND),
            ("oldest",): (WARN, BEHIND),
        },
    ),
    "a column dropped": Database(
        statement="ALTER TABLE hosted_model_inference.endpoints DROP status_reason",
        verdicts={(*TAKEN_AS_KNOWN, *OLDER): (FAIL, "SchemaDrift"), NEWER: (WARN, "SchemaDrift")},
    ),
    "an unknown revision": Database(
        statement=STAMPED.format("0123456789ab"),
        verdicts={
            ("known images", "newer, images known"): (FAIL, "RevisionForeign"),
            ("known", "undetected", "of another chart", *OLDER, *NEWER): (WARN, "RevisionUnknown"),
        },
    ),
    "an unknown revision without a column": Database(
        revision="a1b2c3d4e5f6",
        statement=STAMPED.format("0123456789ab"),
        verdicts={
            ("known images", "newer, images known"): (FAIL, "RevisionForeign"),
            ("known", "undetected", "of another chart", *OLDER): (FAIL, "SchemaDrift"),
            NEWER: (WARN, "SchemaDrift"),
        },
    ),
    "a branch's revision": Database(
        statement=STAMPED.format("b2c3d4e5f6g7"),
        verdicts={(*TAKEN_AS_KNOWN, *OLDER): (FAIL, "RevisionForeign"), NEWER: (WARN, "RevisionUnknown")},
    ),
    "made by the init script, to the last column but one": Database(
        revision="a1b2c3d4e5f6",
        statement=UNSTAMPED,
        verdicts={
            TAKEN_AS_KNOWN: (FAIL, INCOMPLETE),
            NEWER: (WARN, INCOMPLETE),
            ("older",): (WARN, "InitializedWithoutVersion"),
            ("oldest",): (WARN, INCOMPLETE),
        },
    ),
}


class Stage:
    """An installation whose gateway is of some version; databases by the names of the list."""

    def __init__(self, plane: ControlPlane, postgres: Postgres, namespace: str) -> None:
        self.plane, self.postgres, self.namespace = plane, postgres, namespace
        self._databases: dict[str, str] = {}

    def url(self, name: str) -> str:
        """The URL of the database, which is made when it is first asked for; no test changes it."""
        if name not in self._databases:
            case = DATABASES[name]
            made = self.postgres.create_database(f"version{len(self._databases)}", owner="versions")
            if case.revision:
                migrate(self.postgres, made, revision=case.revision, owner="versions")
            if case.statement:
                self.postgres.execute(case.statement, db=made)
            self._databases[name] = made
        return self.postgres.url("versions", PASSWORD, self._databases[name])

    def show(self, version: Version, *env: Mapping[str, str]) -> None:
        """Let the control plane be of ``version``, with ``env`` in the gateway's environment."""
        tls = [{"name": REDIS_TLS, "value": version.tls}] if version.tls else []
        process = {"name": "model-engine", "image": f"registry/me:{version.tag}", "env": [*env, *tls]}
        gateway = {
            "metadata": {"labels": {CHART_LABEL: version.label or None}},
            "spec": {"template": {"spec": {"containers": [process]}}},
        }
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/model-engine"
        self.plane.api("PATCH", path, gateway, content_type="application/merge-patch+json")


def deployment(name: str) -> Tree:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"product": "model-engine"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": "registry/me"}]},
            },
        },
    }


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, postgres: Postgres) -> Iterator[Stage]:
    postgres.create_role("versions", PASSWORD)
    namespace = control_plane.create_namespace()
    names = ("model-engine", "model-engine-cacher", "model-engine-endpoint-builder")
    control_plane.apply([deployment(name) for name in names], namespace=namespace)
    yield Stage(control_plane, postgres, namespace)
    control_plane.delete_namespace(namespace)


@pytest.fixture(scope="module")
def locked() -> Iterator[Redis]:
    """Without TLS, with a password."""
    with Redis(password=PASSWORD) as server:
        yield server


async def judged(
    name: str, stage: Stage, cluster: KubernetesCluster, values: Tree, **parameters: Any
) -> CheckResult:
    layer = Layer(source="spec.values", values=overlaid({"replicaCount": {"gateway": 1}}, values))
    request = Request(
        namespace=stage.namespace,
        layers=(layer,),
        timeout=MINUTE,
        checks={name: CheckRequest(parameters=parameters)},
    )
    report = await diagnose([catalogue()[name]], request, Sources(cluster=cluster))
    return report.checks[0]


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_database(name: str, version: str, stage: Stage, cluster: KubernetesCluster) -> None:
    url = await asyncio.to_thread(stage.url, name)
    await asyncio.to_thread(stage.show, VERSIONS[version], {"name": "ML_INFRA_DATABASE_URL", "value": url})
    result = await judged("DatabaseMigrated", stage, cluster, {})
    (expected,) = [verdict for among, verdict in DATABASES[name].verdicts.items() if version in among]
    assert (result.status, result.reason) == expected, result.message
    doubtful = version in RANGE and result.status is WARN and result.reason != "InitializedWithoutVersion"
    if doubtful and not (version in OLDER and result.reason == "RevisionUnknown"):
        assert result.message.endswith(RANGE[version])
    shown = VERSIONS[version].label == "model-engine-0.2.7"
    assert str(result.evidence["platform"]).startswith("chart 0.2.7 (") == shown


async def test_what_a_parameter_expects_is_not_doubted(stage: Stage, cluster: KubernetesCluster) -> None:
    url = await asyncio.to_thread(stage.url, "one behind")
    for version in ("newer", "oldest"):
        await asyncio.to_thread(
            stage.show, VERSIONS[version], {"name": "ML_INFRA_DATABASE_URL", "value": url}
        )
        result = await judged("DatabaseMigrated", stage, cluster, {}, expectedRevision=HEAD)
        assert (result.status, result.reason) == (FAIL, BEHIND)


def test_a_branch_is_left_as_the_remedy_says(stage: Stage) -> None:
    """Alembic itself cannot stamp a database at a revision that it does not have, unless it is told to purge."""
    made = stage.postgres.create_database("left", owner="versions")
    migrate(stage.postgres, made, owner="versions")
    stage.postgres.execute(STAMPED.format("b2c3d4e5f6g7"), db=made)
    with pytest.raises(Exception, match="Can't locate revision"):
        migrate(stage.postgres, made, owner="versions")
    with pytest.raises(Exception, match="Can't locate revision"):
        stamp(stage.postgres, made, HEAD)
    stamp(stage.postgres, made, HEAD, purge=True)
    assert current(stage.postgres, made) == (HEAD,)
    migrate(stage.postgres, made, owner="versions")


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache URL in front of a Redis without TLS that requires a password; verdicts by connection."""

    url: Callable[[Redis], str]
    verdicts: Mapping[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)


WORKS: Final = "RedisReachable"
FORCED: Final = "ServerNotTLS"
REDISES: Final = {
    "credentials in the URL": Cache(
        url=lambda server: server.url(),
        verdicts={
            (*TAKEN_AS_KNOWN, *OLDER): {"cache": WORKS, "broker": FORCED, "keda": "KedaAddressInvalid"},
            ("newer",): {"cache": WORKS, "broker": FORCED, "keda": "KedaLoginNotEvaluated"},
            ("newer by variable",): {"cache": WORKS, "broker": WORKS, "keda": "KedaLoginNotEvaluated"},
        },
    ),
    "no credentials in the URL": Cache(
        url=lambda server: f"redis://{server.host}:{server.port}/0",
        verdicts={
            (*TAKEN_AS_KNOWN, *OLDER): {"cache": "AuthRequired", "broker": FORCED, "keda": "AuthRequired"},
            ("newer",): {"cache": WORKS, "broker": FORCED, "keda": "KedaLoginNotEvaluated"},
            ("newer by variable",): {"cache": WORKS, "broker": WORKS, "keda": "KedaLoginNotEvaluated"},
        },
    ),
}


@pytest.mark.parametrize("name", REDISES)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_password_without_tls(
    name: str, version: str, stage: Stage, cluster: KubernetesCluster, locked: Redis
) -> None:
    """A token switches TLS on up to the known platform; a newer one has a variable for that."""
    await asyncio.to_thread(stage.show, VERSIONS[version], {"name": "REDIS_AUTH_TOKEN", "value": PASSWORD})
    values = overlaid(
        at("config.values.infra", {"cloud_provider": "onprem", "redis_host": locked.host}),
        at(f"{LAUNCH}.cache_redis_onprem_url", REDISES[name].url(locked)),
        {"redisHost": locked.host, "redisPort": str(locked.port), "celery_broker_type_redis": True},
        {"redis": {"enableTLS": False}},
    )
    result = await judged("RedisReachable", stage, cluster, values)
    (expected,) = [verdict for among, verdict in REDISES[name].verdicts.items() if version in among]
    assert {each.subject: each.reason for each in result.findings} == expected, result.message
    assert PASSWORD not in repr(result)
