"""The values reference's own examples, laid over a sound installation of their cloud: what is wrong with each."""

from pathlib import Path

import pytest

from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.modelengine.valuesfile import read
from testbed.rulejudging import broken, judge
from testbed.sound import AWS, AZURE, ONPREM

SEED = Path(__file__).parent / "seed"
EXPECTED = {
    "autoscaling": [],
    "aws": [],
    "azure": ["S2-az-03"],
    "balloons": ["S3-03"],
    "container-security-context": [],
    "control-plane-placement": [],
    "database-engine": ["S8-03"],
    "datadog": [],
    "fips": [],
    "image-builder": [],
    "image-cache": [],
    "image-repositories": ["S8-05"],
    "logging": [],
    "networking": ["S5-05"],
    "onprem": ["S2-gcp-01", "S2-op-02", "S2-op-06"],
    "pod-security-context": [],
    "recommended-hardware": ["S3-04"],
    "redis-tls": ["S5-08"],
    "replicas-and-resources": [],
    "service-template": ["S7-03"],
}
"""S3-02 informs about balloons of no replicas and is left out here."""


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_over_a_sound_installation(name: str) -> None:
    base = {"azure": AZURE, "onprem": ONPREM}.get(name, AWS)
    assert broken(base, read((SEED / f"{name}.yaml").read_bytes(), where=name).values) == EXPECTED[name]


def test_every_example_is_judged() -> None:
    assert {path.stem for path in SEED.glob("*.yaml")} == {*EXPECTED, "minimal"}


def test_the_minimal_working_yaml_has_its_true_problems() -> None:
    values = read((SEED / "minimal.yaml").read_bytes(), where="minimal").values
    judged = {id: one for id, one in judge(values).items() if one.verdict is Verdict.BROKEN}
    assert list(judged) == [
        "S1-01", "S1-02", "S1-03", "S1-07", "S2-aws-02", "S2-op-02", "S3-05", "S4-06", "S6-01", "S7-01", "S7-04",
        "S8-05", "S8-09", "S8-10",
    ]  # fmt: skip
    # ten blocks that the templates reach into, and thirteen fields of the platform's configuration
    assert len(judged["S1-03"].findings) == 10
    assert len({item.subject for item in judged["S1-02"].findings}) == 13
