"""What must hold for any values at all."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mehc_checks.checks.config.check import config_valid
from mehc_checks.checks.config.facts import ConfigFacts
from mehc_checks.checks.config.reasons import ConfigReasons
from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.evaluate import Verdict, evaluate
from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH
from mehc_checks.core.clock import now
from mehc_checks.core.outcome import Severity
from mehc_checks.core.redact import Redactor, sensitive
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.values import Layer
from testbed.installation import Tree, overlaid
from testbed.rulejudging import SOUND, at, judge
from testbed.sound import AWS, BY_CLOUD

RANK = list(Severity).index
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["true", "false", "10", "1e400", "nan", "inf", "${x}", "{", "0x10", "s3://", "a/b", "http://"]
    )
)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "value", "acceleratorName", "gpu_type", "nodeSelector", "tolerations", "key"]
            )
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
PATHS = sorted(
    {path.partition("[")[0] for rule in all_rules().values() for path in rule.reads} - {"gpu_memory_le"}
)


@settings(max_examples=300)
@given(
    st.sampled_from(list(BY_CLOUD)),
    st.dictionaries(st.sampled_from(PATHS), TREES, min_size=1, max_size=5),
    st.booleans(),
)
def test_no_values_crash_a_rule(cloud: str, changes: dict[str, Any], installed: bool) -> None:
    judged = judge(
        BY_CLOUD[cloud],
        *(at(path, tree) for path, tree in changes.items()),
        facts=SOUND if installed else None,
    )
    assert [(one.rule.id, one.why) for one in judged.values() if one.verdict is Verdict.CRASHED] == []
    # of what a rule explains, which holds no cycle, a place may explain less
    assert [
        (id, found.reason.name)
        for id, one in judged.items()
        for found in one.findings
        if not set(found.explains) <= set(one.rule.explains)
    ] == []


@settings(max_examples=200)
@given(
    st.sampled_from(list(BY_CLOUD)),
    st.dictionaries(st.sampled_from(PATHS), TREES, min_size=1, max_size=5),
    st.booleans(),
)
def test_every_finding_is_one_that_the_check_can_report(
    cloud: str, changes: dict[str, Any], installed: bool
) -> None:
    """Whatever a place weighs, ConfigValid has a reason for it, and it leads by the worst."""
    values = WITHOUT_CLUSTER.under(
        [
            Layer(
                source="values.yaml", values=overlaid(BY_CLOUD[cloud], *(at(*one) for one in changes.items()))
            )
        ]
    )
    judged = tuple(evaluate(values, facts=SOUND if installed else None))
    facts = ConfigFacts(values=values, installation=None, judged=judged, stale=None, now=now())
    outcome = config_valid(facts)
    declared = {reason.name for reason in ConfigReasons.all()}
    assert {found.reason.name for found in outcome.findings} <= declared
    worst = min(
        (found.severity for one in judged for found in one.findings if found.severity), default=None, key=RANK
    )
    assert worst in (None, Severity.INFO, outcome.leader.severity)


@given(TREES)
def test_no_values_at_all_crash_a_rule(tree: Any) -> None:
    values = tree if isinstance(tree, dict) else {"config": tree}
    assert [one.rule.id for one in judge(values).values() if one.verdict is Verdict.CRASHED] == []


SECRETS = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789-_", min_size=12, max_size=20).map(
    lambda text: f"zz{text}"
)


@given(SECRETS)
def test_no_secret_is_in_any_message(secret: str) -> None:
    values: Tree = overlaid(
        AWS,
        at("redis", {"auth": secret, "enableTLS": True}),
        at(f"{LAUNCH}.cache_redis_aws_url", f"rediss://user:{secret}@redis.internal:6379/0"),
        at(f"{INFRA}.prometheus_server_address", f"ftp://user:{secret}@prometheus"),
        at("extraEnvVars", [{"name": "DB_PASSWORD", "value": secret}, {"name": "AWS_REGION", "value": "x"}]),
        at("s3EndpointUrl", f"s3://key:{secret}@minio"),
    )
    redactor = Redactor()
    redactor.add(*sensitive(values))
    for base in ("aws", "onprem"):
        judged = judge(BY_CLOUD[base], values, at(f"{INFRA}.cloud_provider", base))
        said = [
            redactor.text(f"{item.message} {item.remediation}")
            for one in judged.values()
            for item in one.findings
        ]
        assert said
        assert secret not in json.dumps(said)


def quoted(tree: Any) -> Any:
    """As the chart writes it into the service ConfigMap: numbers as text."""
    if isinstance(tree, dict):
        return {key: quoted(value) for key, value in tree.items()}
    return str(tree) if isinstance(tree, int) and not isinstance(tree, bool) else tree


@given(
    st.dictionaries(
        st.sampled_from(
            [path for path in PATHS if path.startswith("config.values.") and "account" not in path]
        ),
        st.integers(-5, 10**6) | st.booleans() | st.sampled_from(["vllm", "http://x", "pessimistic"]),
        max_size=5,
    )
)
def test_numbers_are_judged_alike_quoted_or_not(changes: dict[str, Any]) -> None:
    layers = [at(path, value) for path, value in changes.items()]
    plain, rendered = judge(AWS, *layers), judge(AWS, *map(quoted, layers))
    differing = {id for id in plain if plain[id].verdict is not rendered[id].verdict}
    # Types matter to these: that is what they are about.
    assert differing <= {"S1-04", "S1-09", "S5-02"}
