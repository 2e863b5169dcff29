"""What the live service ConfigMap has otherwise than the chart makes it of the values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.installation import drift
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine import paths, serviceconfig
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Layer, Values
from testbed.installation import Tree, overlaid, without
from testbed.rulejudging import at
from testbed.sound import AWS

PROMETHEUS = paths.PROMETHEUS_SERVER_ADDRESS


def of(*layers: Tree) -> Values:
    return WITHOUT_CLUSTER.under(
        [Layer(source=str(number), values=layer) for number, layer in enumerate(layers)]
    )


def live(*layers: Tree) -> dict[str, Any]:
    return serviceconfig.expected(Configuration(of(*layers)))


@pytest.mark.parametrize(
    ("release", "cluster", "difference"),
    [
        (AWS, AWS, None),
        (without(AWS, PROMETHEUS), overlaid(AWS, at(PROMETHEUS, "")), (PROMETHEUS, "empty", "")),
        (without(AWS, PROMETHEUS), overlaid(AWS, at(PROMETHEUS, None)), (PROMETHEUS, "null", "")),
        (overlaid(AWS, at(PROMETHEUS, "")), without(AWS, PROMETHEUS), (PROMETHEUS, "", "empty")),
        (AWS, overlaid(AWS, at(paths.S3_BUCKET, "other")), (paths.S3_BUCKET, "other", "my-bucket")),
        (at("celery_broker_type_redis", "yes"), at("celery_broker_type_redis", True), None),
        (at(f"{paths.INFRA}.celery_broker_type_redis", True), at("celery_broker_type_redis", True), None),
        (at("celery_broker_type_redis", True), {}, ("celery_broker_type_redis", "false", "true")),
        (at(paths.DB_ENGINE_POOL_SIZE, 10), at(paths.DB_ENGINE_POOL_SIZE, "10"), None),
    ],
)
def test_differences(release: Tree, cluster: Tree, difference: tuple[str, str, str] | None) -> None:
    found = drift.of_config_map(of(release), live(cluster), where="ConfigMap x")
    assert [(one.path, one.live, one.given) for one in found] == ([difference] if difference else [])


def test_what_is_live_wins_and_stays_what_it_is() -> None:
    """An empty address from a live ConfigMap is empty, and not absent."""
    layers = [without(AWS, PROMETHEUS)]
    shown = live(overlaid(AWS, at(PROMETHEUS, "")))
    found = drift.of_config_map(of(*layers), shown, where="ConfigMap x")
    values = of(*layers, drift.overriding(shown, found))
    assert values.has(PROMETHEUS)
    assert values.get(PROMETHEUS) == ""


TABLES = st.dictionaries(
    st.sampled_from(["redis_host", "s3_bucket", "env_key"]),
    st.none() | st.sampled_from(["", "a", "b"]),
    max_size=3,
)
PARTS = st.fixed_dictionaries({"infra": TABLES, "launch": TABLES})


@given(st.none() | PARTS, PARTS)
def test_what_is_live_is_restored_whole(release: Tree | None, cluster: Tree) -> None:
    """Over any release, or none at all."""
    layers: list[Tree] = [] if release is None else [{"config": {"values": release}}]
    shown = {"config": {"values": cluster}}
    found = drift.of_config_map(Values.merged([NONE, *layers_of(layers)]), shown, where="ConfigMap x")
    values = Values.merged([NONE, *layers_of([*layers, drift.overriding(shown, found)])])
    for part, table in cluster.items():
        assert Configuration(values).table(f"{paths.CONFIG}.{part}") == table


NONE = Layer(source="", values={})


def layers_of(trees: list[Tree]) -> list[Layer]:
    return [Layer(source=str(number), values=tree) for number, tree in enumerate(trees)]


def test_of_variables_the_names_are_shown_and_no_value() -> None:
    release = [{"name": "A", "value": "old-s3cret"}, {"name": "B", "value": "same"}]
    cluster = [
        {"name": "A", "value": "new-s3cret"},
        {"name": "B", "value": "same"},
        {"name": "C", "value": "x"},
    ]
    (found,) = drift.differences(
        of({"extraEnvVars": release}), {"extraEnvVars": cluster}, where="Deployment x"
    )
    assert (found.live, found.given) == (
        "[A, B, C], with another value of A",
        "[A, B], with another value of A",
    )
