"""When each alert fires and when all are quiet: `promtool test rules` on what the operator itself would expose.

A case tells, for each moment, which replicas there are and what the leading one has judged. At each moment that a
case looks at, it names every alert that fires; all others must be quiet.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mehc_checks.core.outcome import Severity, Status
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult, Found
from mehc_operator import metrics
from mehc_operator.alerts import ALERTS, RUNBOOKS
from mehc_operator.judgement import Verdict, judge, suspended
from mehc_operator.status import StatusReport

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "charts" / "model-engine-health-check" / "files" / "alerts.yaml"
DASHBOARD = RULES.with_name("dashboard.json")
RUNBOOK_PAGES = ROOT / "docs" / "runbooks"
CHECKS = catalogue()
STEP = 15
"""Seconds between two scrapes, and between two evaluations."""

Replicas = Mapping[str, list[metrics.Observed] | None]
"""By pod, or by cluster/pod: what the replica shows when it leads, None for one that stands by."""


@pytest.fixture(autouse=True)
def _not_leading() -> Iterator[None]:
    yield
    metrics.clear()


def found(name: str, status: Status, reason: str = "Any", severity: Severity | None = None) -> CheckResult:
    check = CHECKS[name]
    return CheckResult(
        name=name,
        title=check.title,
        severity=severity or check.severity,
        findings=(
            Found(
                subject="", status=status, severity=severity or check.severity, reason=reason, message="said"
            ),
        ),
    )


def judged(at: int, *troubles: CheckResult) -> StatusReport:
    """The status after a probe run that began ``at`` seconds and found ``troubles``; every other check passes."""
    known = {trouble.name: trouble for trouble in troubles}
    now = datetime.fromtimestamp(at, UTC)
    verdict = Verdict(
        generation=1,
        results=tuple(known.get(name) or found(name, Status.PASS) for name in CHECKS),
        confirmations=1,
        started=now,
        took=timedelta(),
        next_probe=now,
    )
    return judge(verdict, StatusReport(), CHECKS, now)


def shown(status: StatusReport, name: str = "model-engine") -> metrics.Observed:
    return metrics.Observed(namespace="acme", name=name, status=status, interval=timedelta(minutes=5))


def lasting(*troubles: CheckResult) -> Callable[[int], Replicas]:
    """Two replicas, one of which leads and finds ``troubles`` in each probe run."""
    return lambda at: {"a": [shown(judged(at, *troubles))], "b": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """``alerts``: by seconds since the begin, the alerts that fire then, each as (name, labels, summary)."""

    world: Callable[[int], Replicas]
    alerts: Mapping[int, Iterable[tuple[str, Mapping[str, str], str]]]
    others: Mapping[str, str] = field(default_factory=dict)
    """What else Prometheus has: values by series, as promtool writes them."""


WHO = {"namespace": "acme", "name": "model-engine"}
BEHIND = found("DatabaseMigrated", Status.FAIL, "RevisionBehind")
NO_IMAGE = found("VllmImagePullable", Status.FAIL, "RepositoryMissing")
NO_REDIS = found("RedisReachable", Status.FAIL, "ConnectionRefused")
WARNS = found("ConfigValid", Status.WARN, "Drift")
MINOR = found("GpuNodesReady", Status.FAIL, "NoNodeWithLabel", Severity.WARNING)
FORBIDDEN = found("DatabaseMigrated", Status.ERROR, "Forbidden")


def not_ready(causes: str) -> tuple[str, Mapping[str, str], str]:
    summary = f"Model engine acme/model-engine is not ready. Root cause: {causes}."
    return "ModelEngineNotReady", WHO, summary


def is_false(check: str, causes: str) -> tuple[str, Mapping[str, str], str]:
    summary = f"{check} is False in model engine acme/model-engine. Root cause: {causes}."
    return "ModelEngineCriticalConditionFalse", {"check": check, **WHO}, summary


def degraded(by: str, causes: str) -> tuple[str, Mapping[str, str], str]:
    summary = f"Model engine acme/model-engine is degraded by {by}. Root cause: {causes}."
    return "ModelEngineDegraded", WHO, summary


BEHIND_FIRES = [
    not_ready("DatabaseMigrated (RevisionBehind)"),
    is_false("DatabaseMigrated", "DatabaseMigrated (RevisionBehind)"),
]
UNKNOWN_FIRES = [
    (
        "ModelEngineHealthUnknown",
        WHO,
        "The health of model engine acme/model-engine is unknown. Not evaluated: DatabaseMigrated.",
    )
]
STALE_FIRES = [
    (
        "ModelEngineHealthStale",
        WHO,
        "Model engine acme/model-engine has not been probed for three intervals: its HEALTH is stale.",
    )
]
NO_REPLICA = "Prometheus scrapes no replica of the model engine health check operator"
ABSENT_FIRES = [
    ("MehcOperatorAbsent", {"namespace": "mehc"}, f"{NO_REPLICA} of namespace mehc."),
]
WEST = {"cluster": "west"}
WEST_ABSENT = [
    (
        "MehcOperatorAbsent",
        {"namespace": "mehc", **WEST},
        f"{NO_REPLICA} of namespace mehc in cluster west.",
    )
]
WEST_STALE = [
    (
        "ModelEngineHealthStale",
        {**WHO, **WEST},
        "Model engine acme/model-engine in cluster west has not been probed for three intervals: its HEALTH is stale.",
    )
]
HOUR = 3600


def takeover(*troubles: CheckResult) -> Callable[[int], Replicas]:
    """At ten minutes the leader dies, and 15 seconds later the other one leads; the dead one comes back."""

    def world(at: int) -> Replicas:
        if at < 600:
            return {"a": [shown(judged(at, *troubles))], "b": None}
        if at < 615:
            return {"b": None}
        after = {"b": [shown(judged(at, *troubles))]}
        return after if at < 660 else {**after, "c": None}

    return world


def clusters(at: int, *, dead: str) -> Replicas:
    """Two clusters that one Prometheus sees, each with its operator and an installation of the same name."""
    return {f"{name}/a": [shown(judged(at))] for name in ("east", "west") if name != dead}


CASES: dict[str, Case] = {
    "sound": Case(world=lasting(), alerts={60: [], 2100: []}),
    "a critical check fails": Case(
        world=lasting(BEHIND), alerts={60: [], 150: BEHIND_FIRES, 1200: BEHIND_FIRES}
    ),
    "a high check fails": Case(
        world=lasting(NO_IMAGE),
        alerts={60: [], 150: [not_ready("VllmImagePullable (RepositoryMissing)")]},
    ),
    "several causes": Case(
        world=lasting(BEHIND, NO_IMAGE),
        alerts={
            150: [
                not_ready("DatabaseMigrated (RevisionBehind), VllmImagePullable (RepositoryMissing)"),
                is_false(
                    "DatabaseMigrated",
                    "DatabaseMigrated (RevisionBehind), VllmImagePullable (RepositoryMissing)",
                ),
            ]
        },
    ),
    "another cause at each probe run": Case(
        world=lambda at: lasting(BEHIND if at // STEP % 2 else NO_REDIS)(at),
        alerts={150: [not_ready("RedisReachable (ConnectionRefused)")]},
    ),
    "two installations": Case(
        world=lambda at: {"a": [shown(judged(at, BEHIND)), shown(judged(at), "other")], "b": None},
        alerts={150: BEHIND_FIRES},
    ),
    "a blip": Case(
        world=lambda at: lasting(*([BEHIND] if 300 <= at < 390 else []))(at), alerts={390: [], 480: []}
    ),
    "fixed": Case(
        world=lambda at: lasting(*([BEHIND] if at < 600 else []))(at), alerts={600: BEHIND_FIRES, 840: []}
    ),
    "a check warns": Case(
        world=lasting(WARNS), alerts={600: [], 960: [degraded("ConfigValid", "none, nothing fails")]}
    ),
    "a check of low severity fails": Case(
        world=lasting(MINOR),
        alerts={600: [], 960: [degraded("GpuNodesReady", "GpuNodesReady (NoNodeWithLabel)")]},
    ),
    "the health is unknown": Case(world=lasting(FORBIDDEN), alerts={1500: [], 1830: UNKNOWN_FIRES}),
    "a check errs beside one that fails": Case(
        world=lasting(NO_IMAGE, FORBIDDEN),
        alerts={
            600: [not_ready("VllmImagePullable (RepositoryMissing)")],
            960: [
                not_ready("VllmImagePullable (RepositoryMissing)"),
                (
                    "MehcProbesErroring",
                    {"check": "DatabaseMigrated", **WHO},
                    "Check DatabaseMigrated could not be evaluated in model engine acme/model-engine.",
                ),
            ],
        },
    ),
    "probing stops after ten minutes": Case(
        world=lambda at: {"a": [shown(judged(min(at, 600)))], "b": None},
        alerts={600 + 900: [], 600 + 900 + 150: STALE_FIRES},
    ),
    "the API is away: the fault was seen, and nothing since": Case(
        world=lambda at: {"a": [shown(judged(min(at, 600), BEHIND))], "b": None},
        alerts={600 + 900 + 150: [*BEHIND_FIRES, *STALE_FIRES]},
    ),
    "no further probe run is due": Case(
        world=lambda at: {
            "a": [metrics.Observed(namespace="acme", name="model-engine", status=judged(0), interval=None)]
        },
        alerts={1500: []},
    ),
    "suspended from the start": Case(
        world=lambda at: {
            "a": [shown(suspended(judged(0, BEHIND), 1, datetime.fromtimestamp(at, UTC)))],
            "b": None,
        },
        alerts={150: [], 2100: []},
    ),
    "suspended because it is broken": Case(
        world=lambda at: {
            "a": [
                shown(
                    judged(at, BEHIND)
                    if at < 600
                    else suspended(judged(600, BEHIND), 1, datetime.fromtimestamp(at, UTC))
                )
            ]
        },
        alerts={600: BEHIND_FIRES, 840: [], 2100: []},
    ),
    "a takeover of a sound installation": Case(
        world=takeover(), alerts={at: [] for at in range(600, 900, STEP)}
    ),
    "a takeover of a broken installation": Case(
        world=takeover(BEHIND), alerts=dict.fromkeys(range(585, 900, STEP), BEHIND_FIRES)
    ),
    "two replicas show the same for a moment": Case(
        world=lambda at: {"a": [shown(judged(at, BEHIND))], "b": [shown(judged(at, BEHIND))]},
        alerts={600: BEHIND_FIRES},
    ),
    "a rollout of a single replica takes a minute": Case(
        world=lambda at: {} if 600 <= at < 660 else {"a": [shown(judged(at))]},
        alerts={at: [] for at in range(600, 900, STEP)},
    ),
    "the operator dies": Case(
        world=lambda at: lasting()(at) if at < 600 else {},
        alerts={
            600 + 240: [],
            600 + 330: ABSENT_FIRES,
            600 + 900 + 150: [*ABSENT_FIRES, *STALE_FIRES],
        },
    ),
    "no operator was ever seen": Case(
        world=lambda at: {}, alerts={240: [], 330: [("MehcOperatorAbsent", {}, f"{NO_REPLICA}.")]}
    ),
    "the operator of one of two clusters dies": Case(
        world=lambda at: clusters(at, dead="west" if at >= 600 else ""),
        alerts={
            585: [],
            600 + 330: WEST_ABSENT,
            600 + 900 + 150: [*WEST_ABSENT, *WEST_STALE],
            600 + 2 * HOUR: [*WEST_ABSENT, *WEST_STALE],
        },
    ),
    "the operator of one of two clusters does not answer scrapes, and has a Lease": Case(
        world=lambda at: clusters(at, dead="west"),
        alerts={240: [], 330: WEST_ABSENT},
        others=dict.fromkeys(
            (
                'kube_lease_renew_time{cluster="west",namespace="mehc",lease="mehc"}',
                'kube_lease_renew_time{cluster="east",namespace="mehc",lease="mehc"}',
                'kube_lease_renew_time{cluster="north",namespace="kube-system",lease="kube-scheduler"}',
            ),
            "0x30",
        ),
    ),
    "one of two operators of a cluster dies": Case(
        world=lambda at: {"a": [shown(judged(at))]},
        alerts={
            330: [
                (
                    "MehcOperatorAbsent",
                    {"namespace": "other"},
                    f"{NO_REPLICA} of namespace other.",
                )
            ]
        },
        others={'mehc_build_info{namespace="other",job="mehc",pod="b"}': "1 stale"},
    ),
    "a resource is deleted, another is suspended, and the operator goes on": Case(
        world=lambda at: {
            "a": [shown(judged(at)), shown(judged(at), "gone"), shown(judged(at), "paused")]
            if at < 600
            else [
                shown(judged(at)),
                shown(suspended(judged(600), 1, datetime.fromtimestamp(at, UTC)), "paused"),
            ]
        },
        alerts={600 + 900 + 150: [], 600 + 2 * HOUR: []},
    ),
    "a resource is suspended, and then the operator dies": Case(
        world=lambda at: (
            {"a": [shown(suspended(judged(0), 1, datetime.fromtimestamp(at, UTC)))]}
            if 300 <= at < 600
            else lasting()(at)
            if at < 300
            else {}
        ),
        alerts={600 + 900 + 150: ABSENT_FIRES},
    ),
    "the operator is short of CPU": Case(
        world=lasting(),
        alerts={
            585: [],
            645: [
                (
                    "MehcOperatorSlow",
                    {"namespace": "mehc", "job": "mehc"},
                    "The model engine health check operator is short of CPU: it is late by more than 1 s.",
                )
            ],
        },
        others={'mehc_event_loop_lag_seconds{namespace="mehc",job="mehc",pod="slow"}': "2.5x60"},
    ),
    "the operator is late now and then": Case(
        world=lasting(),
        alerts={900: [], 1800: []},
        others={
            'mehc_event_loop_lag_seconds{namespace="mehc",job="mehc",pod="slow"}': "2.5x20 0.1x4 2.5x20 0.1x90"
        },
    ),
    "no replica leads": Case(
        world=lambda at: {"a": None, "b": None},
        alerts={
            60: [],
            150: [
                (
                    "MehcNoLeader",
                    {"namespace": "mehc", "job": "mehc"},
                    "No replica of the model engine health check operator is the leader.",
                )
            ],
        },
    ),
}
BY_NAME = {alert.name: alert for alert in ALERTS}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case: Case, tmp_path: Path) -> None:
    looks = [
        {
            "eval_time": f"{at}s",
            "alertname": name,
            "exp_alerts": [expected(*firing) for firing in alerts if firing[0] == name],
        }
        for at, alerts in case.alerts.items()
        for name in BY_NAME
    ]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    *recorded(case.world, until=max(case.alerts)),
                    *({"series": series, "values": values} for series, values in case.others.items()),
                ],
                "alert_rule_test": looks,
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_case() -> None:
    fired = {name for case in CASES.values() for alerts in case.alerts.values() for name, _, _ in alerts}
    assert fired == set(BY_NAME)


def expected(name: str, labels: Mapping[str, str], summary: str) -> dict[str, Any]:
    alert = BY_NAME[name]
    return {
        "exp_labels": {"severity": alert.severity, **labels},
        "exp_annotations": {
            "summary": summary,
            "description": alert.impact,
            **({"fix": fixes(summary)} if alert.fix else {}),
            "runbook_url": f"{RUNBOOKS}/{name}.md",
        },
    }


def fixes(summary: str) -> str:
    """What the documentation says fixes the root causes that ``summary`` lists; the command where it lists none."""
    causes = re.findall(r"(\w+) \((\w+)\)", summary)
    documented = {
        (name, reason.name): reason.shown(reason.remedy, "[{}]")
        for name, check in CHECKS.items()
        for reason in check.reasons.all()
    }
    return " ".join(f"{check} ({reason}): {documented[check, reason]}" for check, reason in causes) or (
        "mehc status -n acme model-engine"
    )


def recorded(world: Callable[[int], Replicas], *, until: int) -> Iterator[dict[str, str]]:
    """What Prometheus would scrape, as promtool's series; a series that ends is marked stale, as Prometheus does."""
    moments = range(0, until + STEP, STEP)
    values: dict[str, dict[int, float]] = {}
    for at in moments:
        for pod, resources in world(at).items():
            if resources is None:
                metrics.clear()
            else:
                metrics.lead(lambda resources=resources: resources)
            for series, value in scraped(pod):
                values.setdefault(series, {})[at] = value
    for series, by_moment in values.items():
        line = [
            f"{by_moment[at]:.15g}" if at in by_moment else "stale" if at - STEP in by_moment else "_"
            for at in moments
        ]
        yield {"series": series, "values": " ".join(line)}


def scraped(pod: str) -> Iterator[tuple[str, float]]:
    """The page as a scrape with honorLabels stores it: the target's labels where the page has no label of that name."""
    page, _ = metrics.exposition("")
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name.startswith("mehc_") and not sample.name.endswith(("_bucket", "_sum", "_count")):
                cluster, _, name = pod.rpartition("/")
                labels = {"namespace": "mehc", "job": "mehc", "pod": name, **sample.labels}
                labels |= {"cluster": cluster} if cluster else {}
                inside = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
                yield f"{sample.name}{{{inside}}}", sample.value


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_runbook_page_and_every_page_an_alert() -> None:
    assert {path.stem for path in RUNBOOK_PAGES.iterdir()} == set(BY_NAME)


def of_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_every_metric_and_label_of_an_expression_is_one_of_ours() -> None:
    known = {metric.name for metric in metrics.DESCRIBED}
    labels = {label for metric in metrics.DESCRIBED for label in metric.labels}
    rules = yaml.safe_load(RULES.read_text())
    alerts = [
        " ".join((rule["expr"], *rule["annotations"].values()))
        for group in rules["groups"]
        for rule in group["rules"]
    ]
    for expr in [*alerts, *of_dashboard()]:
        named = {re.sub("_bucket$", "", name) for name in re.findall(r"\b(?:mehc|process)_\w+", expr)}
        process = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("process_")}
        assert named - known - process - {"process_cpu_seconds_total"} == set(), expr
        assert set(re.findall(r"(\w+)(?:=~|!=|=)[\"%]", expr)) <= labels | {"cluster", "lease"}, expr


def test_every_expression_of_the_dashboard_parses(tmp_path: Path) -> None:
    exprs = of_dashboard()
    rules = [
        {"record": f"expression:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(exprs)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", path)
    assert len(exprs) > 15
    assert done.returncode == 0, done.stdout + done.stderr
