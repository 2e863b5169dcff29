"""Whether gateway, builder and cacher start, held against our rules."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from mehc_checks.checks.config.rules.evaluate import evaluate
from mehc_checks.checks.config.rules.fault import NO_INSTALL
from mehc_checks.core.outcome import Finding, Severity
from mehc_checks.installation.environment import Environment
from mehc_checks.installation.redis import of_environment
from mehc_checks.modelengine.broker import Broker, brokers
from mehc_checks.modelengine.brokerredis import broker_connection
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import by_values
from testbed.vectors import Vector, values, vectors

COMPONENTS: Final = {
    "gateway": "ControlPlaneReady/GatewayNotReady",
    "builder": "ControlPlaneReady/BuilderNotReady",
    "cacher": "ControlPlaneReady/CacherNotReady",
}
_SECRET: Final = "what the secret holds is not in the values: RedisReachable reads it"
DELIBERATE: Final[Mapping[str, str]] = {
    vector["id"]: _SECRET
    for vector in vectors("process_start")
    if vector["kind"] == "broker-secret"
    or vector.get("about") in ("broker secret named, unreadable", "secret, unreadable")
}
"""Id of a vector -> why its start is not judged by the values."""


def faults(given: Vector) -> list[Finding]:
    # the cacher of S2-op-06 starts, and crashes in its first loop
    return [found for one in evaluate(values(given)) if one.rule.id != "S2-op-06" for found in one.findings]


def works(said: Mapping[str, Any]) -> bool:
    """Whether a database session was made."""
    return not any("error" in str(said.get(name, "")).lower() for name in ("db_rw", "db_ro"))


@pytest.mark.parametrize("vector", vectors("process_start"), ids=lambda vector: vector["id"])
def test_process_start(vector: Vector) -> None:
    out, found = vector["out"], faults(vector["in"])
    installs = out["helm"]["ok"] and out["api_server"].get("accepted", True)
    refused = [each for each in found if set(NO_INSTALL) & set(each.explains)]
    assert bool(refused) != installs
    if not installs:
        return
    ours = {name for name, failure in COMPONENTS.items() if any(failure in each.explains for each in found)}
    ends = {name for name in COMPONENTS if name in out and not out[name]["starts"]}
    if vector["id"] in DELIBERATE:
        assert ours == set()
    else:
        assert ours == ends
    if not works(out.get("gateway", {})):
        assert any(each.severity is Severity.CRITICAL for each in found)


UNREADABLE: Final = {
    "27976206bfed": "the token is not percent-encoded: Celery cannot read the URL, which is reported"
}
"""Id of a vector -> why the broker's URL that its process made is a fault for us, and no server."""


def sent(configuration: Configuration) -> str:
    """Where the gateway sends async tasks to, as Celery writes the URL; the credentials left out."""
    use = brokers(configuration).work_sender
    if use.broker is not Broker.REDIS:
        return {Broker.SQS: "sqs", Broker.SERVICE_BUS: "azureservicebus"}[use.broker]
    environment = of_environment(resolved(configuration), configuration)
    connection = broker_connection(configuration, environment, {})
    if connection is None or connection.server is None:
        return "unreadable"
    server = connection.server
    return f"{'rediss' if server.tls else 'redis'}://{server.host}:{server.port}/{use.db}"


def resolved(configuration: Configuration) -> Environment:
    known = {str(item["name"]): str(item.get("value")) for item in by_values(configuration).env}
    return Environment(known=known, sources={}, unread={})


@pytest.mark.parametrize(
    "vector",
    [each for each in vectors("process_start") if each["out"].get("gateway", {}).get("async_tasks")],
    ids=lambda vector: vector["id"],
)
def test_where_async_tasks_are_sent(vector: Vector) -> None:
    url = vector["out"]["gateway"]["async_tasks"].partition("?")[0]
    scheme, _, rest = url.partition("://")
    expected = f"{scheme}://{rest.rpartition('@')[2]}" if scheme.startswith("redis") else scheme
    ours = sent(Configuration(values(vector["in"])))
    assert ours == ("unreadable" if vector["id"] in UNREADABLE else expected)


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp", "onprem"])
def test_a_base_that_starts_has_nothing_that_fails(cloud: str) -> None:
    """But for what is true of them: async endpoints do not work on GCP, the cacher ends on a registry of its own."""
    true = {"gcp": {"S2-gcp-02"}, "onprem": {"S2-op-06"}}.get(cloud, set())
    failing = {
        one.rule.id
        for one in evaluate(values({"base": cloud}))
        for found in one.findings
        if found.severity in (Severity.CRITICAL, Severity.HIGH)
    }
    assert failing == true
