"""What must hold for any values at all."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH
from mehc_checks.core.redact import Redactor, sensitive
from testbed.installation import Tree, overlaid
from testbed.rulejudging import SOUND, at, judge
from testbed.sound import AWS, BY_CLOUD

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
