"""What the chart makes of values, and the builder of an endpoint, held against what we derive of the same values."""

from typing import Any, Final

import pytest

from mehc_checks.checks.config.rules.evaluate import evaluate
from mehc_checks.modelengine import paths, scaling, serviceconfig
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.names import PRIORITY_CLASSES
from testbed.vectors import Vector, values, vectors

VECTORS: Final = vectors("rendered")
BASES: Final = {vector["kind"]: vector["out"] for vector in VECTORS if vector["about"] == "base"}
ABSENT: Final = "<absent>"
ENDPOINT: Final = "launch-endpoint-id-end-abc-1"


def objects(vector: Vector) -> set[tuple[str, str]]:
    """Kind and name of all objects of a vector: the base's, with what is otherwise."""
    out, known = vector["out"], BASES[vector["kind"]]["objects"]
    gone = {_key(each) for each in out.get("objects_gone", ())}
    found = [each for each in known if _key(each) not in gone]
    return {(each["kind"], each["name"]) for each in (*found, *out.get("objects_otherwise", ()))}


def _key(made: Vector) -> tuple[str, str, str]:
    return made["kind"], made.get("namespace", ""), made["name"]


def endpoint(vector: Vector, name: str) -> Any:
    """An object of the endpoint that the builder would make."""
    out = vector["out"]
    if "endpoint" in out:
        return out["endpoint"].get(name)
    return out["endpoint_otherwise"].get(name, BASES[vector["kind"]]["endpoint"].get(name))


def parametrized() -> Any:
    return pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])


@parametrized()
def test_which_objects_there_are(vector: Vector) -> None:
    configuration, found = Configuration(values(vector["in"])), objects(vector)
    name = configuration.fullname
    kinds = {kind for kind, named in found if named == name}
    assert {"Deployment", "Service", "ServiceAccount"} <= kinds
    assert {("Deployment", f"{name}-cacher"), ("Deployment", f"{name}-endpoint-builder")} <= found
    assert ("ConfigMap", f"{name}-service-config") in found
    assert ("HorizontalPodAutoscaler" in kinds) == configuration.gateway_is_scaled
    assert ("PodDisruptionBudget" in kinds) == configuration.flag(paths.PDB_ENABLED)
    assert ("VirtualService" in kinds) == configuration.flag(paths.VIRTUAL_SERVICE_ENABLED)
    assert ("DestinationRule" in kinds) == configuration.flag(paths.DESTINATION_RULE_ENABLED)
    autoscaler = f"celery-autoscaler-{configuration.text(paths.CELERY_BROKER_TYPE)}"
    assert (("StatefulSet", autoscaler) in found) == configuration.has_celery_autoscaler
    balloons = {
        f"model-engine-balloon-{each['acceleratorName']}" for _, each in configuration.entries(paths.BALLOONS)
    }
    made = {named for _, named in found if named.startswith("model-engine-balloon-")}
    assert made == (set() if configuration.service_identifier else balloons)


@parametrized()
def test_the_service_configuration(vector: Vector) -> None:
    """As the processes read it."""
    out, configuration = vector["out"], Configuration(values(vector["in"]))
    made = serviceconfig.expected(configuration)
    config = made["config"]["values"]
    whole = BASES[vector["kind"]]["service_config"]
    told = out.get("service_config") or out.get("service_config_otherwise", {})
    launch = {**whole["launch_service_config"], **told.get("launch_service_config", {})}
    infra = {**whole["infra_service_config"], **told.get("infra_service_config", {})}
    launch.pop("gateway_namespace")
    for flag in serviceconfig.BARE_FLAGS:
        assert made[flag] is bool(infra.pop(flag, False))
    assert infra.pop("env") == printed(configuration.raw(paths.CONTEXT))
    for name, read in (*launch.items(), *infra.items()):
        part = config["launch" if name in launch else "infra"]
        if name in part:
            assert part[name] == read
        elif read != ABSENT:
            assert name not in told.get("launch_service_config", {})
            assert name not in told.get("infra_service_config", {})


@parametrized()
def test_which_pods_are_admitted(vector: Vector) -> None:
    """What keeps pods from being created is a finding."""
    admitted = vector["out"].get("pods_admitted")
    if admitted is None:
        return
    found = {found.reason.name for one in evaluate(values(vector["in"])) for found in one.findings}
    denied = [said for said in admitted.values() if said is not True]
    assert any("PriorityClass" in said for said in denied) == ("GatewayPriorityClassNotCreated" in found)
    assert any("serviceaccount" in said for said in denied) == ("InferenceAccountNotCreated" in found)
    for said in denied:
        assert "serviceaccount" in said or any(name in said for name in PRIORITY_CLASSES)


@parametrized()
def test_how_endpoints_are_scaled(vector: Vector) -> None:
    configuration = Configuration(values(vector["in"]))
    made = endpoint(vector, "sync-gpu scaled-object")
    if not made or "error" in made:
        pytest.skip("no ScaledObject is made of it")
    triggers = {each["type"]: each for each in made["spec"]["triggers"]}
    assert made["name"] == scaling.resource_name("end_abc_1") == ENDPOINT
    prometheus = triggers["prometheus"]["metadata"]
    assert prometheus["query"] == scaling.concurrency_query(ENDPOINT)
    given = configuration.raw(paths.PROMETHEUS_SERVER_ADDRESS)
    assert prometheus["serverAddress"] == (given or "dummy-value")
    assert ("azure-servicebus" in triggers) == configuration.flag(paths.AZURE)
    demand = next(each for kind, each in triggers.items() if kind != "prometheus")
    assert demand.get("authenticationRef", {}).get("name", "") == scaling.trigger_authentication(
        configuration
    )
    if "redis" in triggers:
        asked = triggers["redis"]["metadata"]
        assert asked["enableTLS"] == printed(configuration.flag(paths.REDIS_ENABLE_TLS))
        assert asked["unsafeSsl"] == printed(configuration.flag(paths.REDIS_UNSAFE_SSL))
    assert made["spec"]["cooldownPeriod"] == configuration.number(paths.KEDA_COOLDOWN_PERIOD)
