"""What `-o json` and `-o yaml` write is what the published schemas say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from testbed.sound import AWS

ROOT = Path(__file__).resolve().parents[2]
MEHC = Path(sys.executable).with_name("mehc")


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "schema" / f"{kind}.json").read_text())
    return found


def printed(*words: str, output: str) -> dict[str, Any]:
    done = subprocess.run(
        [MEHC, *words, "-o", output],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"KUBECONFIG": "/nonexistent"},
    )
    assert done.returncode in (0, 1), done.stderr
    read: dict[str, Any] = json.loads(done.stdout) if output == "json" else yaml.safe_load(done.stdout)
    return read


@pytest.fixture
def values(tmp_path: Path) -> str:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({**AWS, "tag": "1234567"}))
    return str(path)


@pytest.mark.parametrize("output", ["json", "yaml"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("CheckReport", ["check", "--only", "RedisReachable,ConfigValid,DatabaseMigrated", "-f"]),
        ("LintReport", ["lint", "--ignore", "S6-01=none here"]),
        ("Catalog", ["catalog"]),
    ],
)
def test_every_document_keeps_to_its_schema(kind: str, words: list[str], output: str, values: str) -> None:
    document = printed(*words, *([] if kind == "Catalog" else [values]), output=output)
    assert (document["apiVersion"], document["kind"]) == ("report.health.modelengine.io/v1", kind)
    jsonschema.validate(document, schema(kind))
    for field in fields(document):
        assert re.fullmatch(r"[a-z][A-Za-z0-9]*", field), field


def fields(node: Any) -> list[str]:
    """The names of all fields; parameters and evidence are camelCase too, a JSON Schema's own words are not asked."""
    if isinstance(node, dict):
        below = [name for key, value in node.items() if key != "parameters" for name in fields(value)]
        return [*map(str, node), *below]
    return [name for item in node for name in fields(item)] if isinstance(node, list) else []


def test_a_schema_refuses_what_is_not_the_document() -> None:
    empty = {"apiVersion": "report.health.modelengine.io/v1", "kind": "CheckReport"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(empty, schema("CheckReport"))
