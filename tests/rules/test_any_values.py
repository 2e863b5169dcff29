"""No values, no spec and no severities end a command in a traceback, or leave a status half written."""

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.core.outcome import Severity
from mehc_checks.engine.check import catalogue
from mehc_checks.modelengine.misplaced import _PLACES
from mehc_operator.cli import main
from rules.test_properties import PATHS, TREES
from testbed.controlplane import ApiError, ControlPlane
from testbed.healthchecks import Cluster, is_current, manifest
from testbed.installation import Tree, overlaid
from testbed.operatorprocess import Operator
from testbed.rulejudging import at
from testbed.sound import BY_CLOUD
from testbed.waiting import eventually

WHOLE = {"health", "summary", "conditions", "checks", "observedGeneration", "lastProbeTime", "passing"}
UNPROBED = WHOLE - {"lastProbeTime", "checks", "passing"}
PLANTED = "plant3d-value"
MISPLACED: dict[str, Any] = {
    "map": {"password": PLANTED},
    "list": [PLANTED],
    "list of maps": [{"a": {"b": PLANTED}}],
}
CHANGES = st.dictionaries(st.sampled_from(PATHS), TREES, min_size=1, max_size=5)
DERIVED = [
    *(
        f"config.values.launch.{name}_repository"
        for name in ("vllm", "tgi", "lightllm", "user_inference_base")
    ),
    *(
        "config.values.infra.docker_repo_prefix",
        "celeryBrokerType",
        "serviceBuilderQueue",
        "serviceIdentifier",
    ),
]
NAMES = st.sampled_from(sorted(catalogue()))
RULES = st.sampled_from(sorted(all_rules()))
SEVERITIES = st.sampled_from(list(Severity))


def mehc(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(words)
    assert status in (0, 1, 2), words
    return out.getvalue()


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(BY_CLOUD)),
    CHANGES,
    st.sampled_from(["text", "json", "yaml", "junit", "sarif"]),
    st.dictionaries(NAMES, SEVERITIES, max_size=3),
    st.sets(RULES, max_size=3),
)
def test_no_values_file_ends_a_command_in_a_traceback(
    cloud: str, changes: Tree, output: str, severities: dict[str, Severity], ignored: set[str]
) -> None:
    values = overlaid(BY_CLOUD[cloud], *(at(path, tree) for path, tree in changes.items()))
    promoted = [
        word for name, severity in severities.items() for word in ("--severity", f"{name}={severity}")
    ]
    left_out = [word for rule in ignored for word in ("--ignore-rule", f"{rule}=tried")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
        said = mehc("lint", str(file), "-o", output, "--fail-on", "warn")
        if output in ("text", "json", "yaml"):
            said += mehc("check", "-f", str(file), "-o", output, "--only", "ConfigValid", *left_out)
            said += mehc(
                "check", "-f", str(file), "-o", output, "--timeout", "60s", "--only", "ConfigValid", *promoted
            )
        said += mehc("explain", "-f", str(file))
    assert "internal error" not in said
    assert "InternalError" not in said
    assert "Traceback" not in said


PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
LENGTHS = st.sampled_from(["0s", "1s", "5s", "10m", "1h", "24h", "1d", "-1s", "", "x", "1e9s", "5m30s"])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "severity": SEVERITIES.map(str) | PLAIN,
        "interval": LENGTHS,
        "timeout": LENGTHS,
        "parameters": st.dictionaries(
            st.sampled_from(["gracePeriod", "expectedRevision", "writeProbe", "caBundle", "pullFrom"]), PLAIN
        ),
    },
)
SPECS = st.fixed_dictionaries(
    {
        "values": CHANGES.map(lambda changes: overlaid(*(at(path, tree) for path, tree in changes.items()))),
        "timeout": st.just("10s"),
    },
    optional={
        "interval": LENGTHS,
        "confirmations": st.integers(-1, 5),
        "suspend": st.booleans(),
        "release": st.fixed_dictionaries({"name": st.text(max_size=20)}),
        "checks": st.dictionaries(NAMES, OPTIONS, max_size=4),
        "ignoreRules": st.lists(
            st.fixed_dictionaries({"id": RULES, "reason": st.text(min_size=1, max_size=8)}), max_size=2
        ),
        "valuesFrom": st.lists(
            st.fixed_dictionaries(
                {
                    "secretKeyRef": st.fixed_dictionaries(
                        {"name": st.text(max_size=9), "key": st.text(max_size=9), "optional": st.booleans()}
                    )
                }
            ),
            max_size=2,
        ),
    },
)


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with Operator(control_plane) as running:
        yield running


@settings(max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(SPECS, min_size=15, max_size=15))
def test_no_spec_leaves_a_status_half_written(
    control_plane: ControlPlane, operator: Operator, specs: list[Any]
) -> None:
    """What the API server takes; the rest is refused by it."""
    cluster = Cluster(control_plane, control_plane.create_namespace())
    names = []
    for number, spec in enumerate(specs):
        with contextlib.suppress(ApiError):
            control_plane.api("POST", cluster.path, manifest(spec, f"r{number}"))
            names.append(f"r{number}")
    assert names
    for name in names:
        resource = eventually(partial(cluster.get, name), is_current, 300)
        expected = UNPROBED if resource["spec"].get("suspend") else WHOLE
        assert {*resource["status"]} >= expected, json.dumps(resource["status"])
        checks = resource["status"].get("checks", ())
        assert [each for each in checks if each["reason"] == "InternalError"] == []
    control_plane.delete_namespace(cluster.namespace)
    lines = [json.dumps(line) for line in operator.log_lines()]
    assert [line for line in lines if "Traceback" in line or "crashed" in line] == []


@pytest.mark.parametrize(
    ("cloud", "shape"), [*(("aws", shape) for shape in MISPLACED), ("onprem", "map"), ("onprem", "list")]
)
def test_what_is_in_a_map_or_a_list_is_not_shown_where_a_text_belongs(
    cloud: str, shape: str, tmp_path: Path
) -> None:
    """At each path of which the chart makes text. It is said what stands there."""
    file = tmp_path / "values.yaml"
    found = {}
    for path in _PLACES:
        file.write_text(yaml.safe_dump(overlaid(BY_CLOUD[cloud], at(path, MISPLACED[shape]))))
        if PLANTED in (said := mehc("lint", str(file), "-o", "json")) or "map[" in said:
            found[path] = said
    assert found == {}


@pytest.mark.parametrize("shape", MISPLACED)
def test_what_is_derived_from_a_map_or_a_list_does_not_show_it(shape: str, tmp_path: Path) -> None:
    """All at once: images, queues, addresses."""
    file = tmp_path / "values.yaml"
    layers = [at(path, MISPLACED[shape]) for path in (*DERIVED, "image.gatewayRepository", "tag")]
    file.write_text(yaml.safe_dump(overlaid(BY_CLOUD["aws"], *layers)))
    said = mehc("check", "-f", str(file), "--timeout", "10s", "-o", "json")
    assert f"a {shape.partition(' ')[0]} of 1 " in said
    assert PLANTED not in said
    assert "map[" not in said
