"""Who sends tasks to which broker and who consumes them, by the processes that really started."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from mehc_checks.modelengine.broker import Broker, brokers
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Layer, Values

Vector = dict[str, Any]
VECTORS: Final[list[Vector]] = json.loads(
    Path(__file__).with_name("vectors").joinpath("brokers.json").read_text()
)
WORDS: Final = {"True": True, "False": False, "None": None}
"""YAML's own, in the vectors' spelling; all else is quoted text."""
TYPES: Final = {"aws": "sqs", "azure": "servicebus", "gcp": "redis", "onprem": "redis"}
"""``celeryBrokerType`` of the vectors' bases."""


def word(given: str) -> object:
    return WORDS.get(given, given.strip("'"))


def configuration(given: Vector) -> Configuration:
    cloud, flag = given["cloud"], given["celery_broker_type_redis"]
    infra: Vector = {"cloud_provider": cloud}
    top: Vector = {"celeryBrokerType": TYPES[cloud.lower()], "celery_autoscaler": {"enabled": True}}
    where, colon, rest = flag.partition(":")
    if not colon:
        top["celery_broker_type_redis"] = word(flag)
    elif where == "infra":
        infra["celery_broker_type_redis"] = word(rest)
    else:
        top["celeryBrokerType"] = rest
    tree = {"config": {"values": {"infra": infra}}, **top}
    return Configuration(
        Values.merged([Layer(source="", values={}), Layer(source="values.yaml", values=tree)])
    )


def expected(url: str) -> str:
    """A URL of the vectors as ``Use`` shows it."""
    scheme, _, rest = url.partition("://")
    kinds = {
        "sqs": Broker.SQS,
        "azureservicebus": Broker.SERVICE_BUS,
        "redis": Broker.REDIS,
        "rediss": Broker.REDIS,
    }
    found = re.search(r"/(\d+)", rest)
    return f"{kinds[scheme]} db {found[1]}" if found else str(kinds[scheme])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']} {vector['in']}")
def test_who_uses_which_broker(vector: Vector) -> None:
    out = vector["out"]
    found = brokers(configuration(vector["in"]))
    for name, use in (
        ("builds_sent_to", found.build_sender),
        ("builds_taken_from", found.build_taker),
        ("tasks_sent_to", found.work_sender),
    ):
        if out[name] is not None:  # of some, only what the chart renders was looked at
            assert str(use) == expected(out[name]), name
    told = out["forwarders_told"].removeprefix("-").strip()
    assert found.work_taker.broker is {
        "redis": Broker.REDIS,
        "sqs": Broker.SQS,
        "servicebus": Broker.SERVICE_BUS,
    }.get(told, Broker.NONE)
    assert found.scales == out["autoscaler_scales_annotated"]
