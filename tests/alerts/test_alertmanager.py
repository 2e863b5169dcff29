"""The Alertmanager configuration of the documentation, in a real Alertmanager: what Slack receives."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.alertmanager import Alertmanager
from testbed.httpserver import Reply, ScriptedServer
from testbed.waiting import eventually

PAGE = Path(__file__).resolve().parents[2] / "docs" / "alerts.md"
LABELS = {"cluster": "west", "namespace": "acme", "name": "model-engine"}
FIX = "DatabaseMigrated (RevisionBehind): Set db.runDbMigrationScript: true and run helm upgrade."


@pytest.fixture(scope="module")
def slack() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply(200, b"ok")) as server:
        yield server


@pytest.fixture(scope="module")
def alertmanager(slack: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """As documented, but for Slack's address and the time that it waits for more alerts of a group."""
    (block,) = re.findall(r"```yaml\n(# alertmanager.yml\n.*?)```", PAGE.read_text(), re.DOTALL)
    config = yaml.safe_load(block)
    address = tmp_path_factory.mktemp("slack") / "webhook"
    address.write_text(f"http://{slack.address}/services/T0/B0/XX")
    config["receivers"][0]["slack_configs"][0]["api_url_file"] = str(address)
    config["route"]["group_wait"] = "1s"
    with Alertmanager(config) as running:
        yield running


def alert(name: str, **more: str) -> Mapping[str, Any]:
    return {
        "labels": {"alertname": name, **LABELS, **more},
        "annotations": {
            "summary": f"{name} of acme/model-engine. Root cause: DatabaseMigrated (RevisionBehind).",
            "fix": FIX,
            "runbook_url": f"https://docs.example/runbooks/{name}.md",
        },
    }


def test_a_message_has_root_cause_fix_and_runbook_and_is_one_for_both_alerts(
    alertmanager: Alertmanager, slack: ScriptedServer
) -> None:
    alertmanager.receive(
        [alert("ModelEngineNotReady"), alert("ModelEngineCriticalConditionFalse", check="DatabaseMigrated")]
    )
    eventually(lambda: slack.requests, bool, 120)
    message = json.loads(slack.requests[0].body)
    (attachment,) = message["attachments"]
    assert message["channel"] == "#model-engine"
    assert attachment["title"] == "Firing: model engine acme/model-engine"
    assert attachment["text"].splitlines() == [
        "ModelEngineCriticalConditionFalse of acme/model-engine. Root cause: DatabaseMigrated (RevisionBehind).",
        f"*Fix:* {FIX}",
        "<https://docs.example/runbooks/ModelEngineCriticalConditionFalse.md"
        "|Runbook of ModelEngineCriticalConditionFalse>",
        "`mehc status -n acme model-engine`",
    ]
    assert len(slack.requests) == 1
