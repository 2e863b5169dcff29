"""What a shell completes, asked as bash asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MEHC = Path(sys.executable).with_name("mehc")


def completed(line: str, kubeconfig: Path) -> list[str]:
    """What bash is told for ``line``, of which the cursor is at the end. Descriptor 8 is argcomplete's answer."""
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    command = ["bash", "-c", '"$0" 8>&1 9>/dev/null >/dev/null 2>&1', str(MEHC)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout.split()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    contexts = [
        {"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "models"}},
        {"name": "test", "context": {"cluster": "c", "user": "u"}},
    ]
    path = tmp_path / "config"
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    users = [{"name": "u", "user": {"token": "t"}}]
    path.write_text(
        yaml.safe_dump(
            {"contexts": contexts, "clusters": clusters, "users": users, "current-context": "prod"}
        )
    )
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mehc expl", ["explain"]),
        ("mehc status --wa", ["--wait", "--watch"]),
        ("mehc status --context ", ["prod", "test"]),
        ("mehc check -n ", ["models"]),
        ("mehc check --only RedisR", ["RedisReachable"]),
        ("mehc reason S4-06", ["S4-06"]),
        ("mehc reason ServerNotT", ["ServerNotTLS"]),
        ("mehc check --context nope --kubeconfig /nonexistent -n ", []),
    ],
)
def test_words(line: str, words: list[str], kubeconfig: Path) -> None:
    assert completed(line, kubeconfig) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    done = subprocess.run(
        [MEHC, "completion", shell], capture_output=True, text=True, timeout=300, check=True
    )
    assert "mehc" in done.stdout
    assert "_ARGCOMPLETE" in done.stdout
