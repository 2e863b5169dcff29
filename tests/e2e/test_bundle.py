"""``mehc bundle``: what is in the archive, that no planted secret is, and that it needs no operator."""

import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster
from testbed.kwok import Kwok
from testbed.operatorprocess import install_crd
from testbed.planting import Planting
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.redis import Redis
from testbed.stored import failing

from .test_secrecy import install, texts

MEHC = Path(sys.executable).with_name("mehc")
FIRST, LAST = "the first line", "the last line"
LIMIT = 600
"""Seconds: much more than a busy machine takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """What one command wrote. ``files`` have their texts by their names."""

    done: subprocess.CompletedProcess[str]
    path: Path
    files: dict[str, str]


def bundled(plane: ControlPlane, namespace: str, *words: str) -> Bundle:
    path = temporary_directory("bundle") / "b.tar.gz"
    command = [
        str(MEHC),
        "bundle",
        "--kubeconfig",
        str(plane.kubeconfig),
        "-n",
        namespace,
        "-o",
        str(path),
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    files = {}
    if path.exists():
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                files[member.name.removeprefix("b/")] = content.read().decode()
    return Bundle(done=done, path=path, files=files)


@pytest.fixture(scope="module")
def planting() -> Planting:
    return Planting()


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Whose API server finds the kubelet that KWOK plays, for logs."""
    with ControlPlane(apiserver_flags={"kubelet-preferred-address-types": "InternalIP"}) as plane:
        yield plane


@pytest.fixture(scope="module")
def installed(
    planting: Planting, plane: ControlPlane, postgres: Postgres, redis_server: Redis
) -> Iterator[Cluster]:
    """A failed release, endpoints in trouble, a stored status, and a secret in every slot; no operator."""
    install_crd(plane)
    cluster = Cluster(plane, plane.create_namespace("bundle"))
    with Kwok(plane, path=os.environ["PATH"]) as kwok:
        kwok.add_node("node-1")
        kwok.log.write_text("".join(f"2026-11-28T04:00:00Z stdout F {line}\n" for line in logged(planting)))
        install(planting, cluster, kwok, postgres, redis_server)
        cluster.patch({"spec": {"values": {"anything": planting.secret("spec.values")}}})
        message = "; ".join(texts(planting, "stored status"))
        plane.api(
            "PATCH",
            f"{cluster.path}/model-engine/status",
            {"status": failing(message=message)},
            content_type="application/merge-patch+json",
        )
        yield cluster


def logged(planting: Planting) -> Iterator[str]:
    """Lines of a log that should not be there."""
    yield FIRST
    yield from texts(planting, "log")
    for name, form in {
        "bearer": "calling with bearer {}",
        "option": "exec: psql --password {} -h db",
        "JWT": "got eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl",
        "AWS": "using AKIA{}",
        "Hugging Face": "using hf_{}",
        "OpenAI": "using sk-proj-{}",
        "GitHub": "using ghp_{}",
        "quoted": "dial redis%3A%2F%2Fu%3A{}%40cache%3A6379 failed: redis://u:{}@cache:6379",
        "multi-line YAML": "    api_key: {}",
        "JSON in JSON": '{{"line": "{{\\"secret\\": \\"{}\\"}}"}}',
    }.items():
        value = planting.secret(f"log: {name}")
        yield form.format(*[value] * form.count("{}"))
    yield "-----BEGIN RSA PRIVATE KEY-----"
    yield planting.secret("log: private key")
    yield "-----END RSA PRIVATE KEY-----"
    yield LAST


@pytest.fixture(scope="module")
def bundle(plane: ControlPlane, installed: Cluster) -> Bundle:
    return bundled(plane, installed.namespace)


def test_it_has_all_that_a_ticket_needs(bundle: Bundle, installed: Cluster) -> None:
    assert bundle.done.returncode == 0, bundle.done.stderr
    names = set(bundle.files)
    assert {
        *("index.html", "version.txt", "stored/status.html", "stored/resource.json"),
        *("check/report.json", "check/report.html", "check/report.txt"),
        f"events/{installed.namespace}.txt",
    } <= names
    (endpoint,) = [name for name in names if name.startswith("endpoints/")]
    assert "Timeline (UTC)" in bundle.files[endpoint]
    assert json.loads(bundle.files["check/report.json"])["checks"]
    objects = f"objects/api/v1/namespaces/{installed.namespace}"
    assert [name for name in names if name.startswith(f"{objects}/pods/")]
    keys = json.loads(bundle.files[f"{objects}/secrets/live-database.json"])
    assert (keys["kind"], keys["keys"]) == ("Secret", ["database_url"])
    log = next(text for name, text in bundle.files.items() if name.startswith("logs/"))
    assert FIRST in log
    assert LAST in log
    assert "BackOff" in bundle.files[f"events/{installed.namespace}.txt"]
    assert f"Stored: {installed.namespace}/model-engine Failing (1/4)" in bundle.files["index.html"]
    assert f"Checked now, from here: {installed.namespace} " in bundle.files["index.html"]
    for name in names - {"index.html"}:
        assert f'<a href="{name}">' in bundle.files["index.html"]


def test_no_secret_is_in_it(bundle: Bundle, planting: Planting) -> None:
    found = {name: planting.found(text) for name, text in bundle.files.items()}
    found |= {"output": planting.found(bundle.done.stdout + bundle.done.stderr)}
    assert {name: slots for name, slots in found.items() if slots} == {}


def test_its_progress_and_its_end_are_said(bundle: Bundle) -> None:
    assert "reading checks" in bundle.done.stderr
    assert bundle.done.stdout.startswith(f"{bundle.path}: {len(bundle.files)} files, ")
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o600


def test_an_archive_is_not_overwritten(plane: ControlPlane, bundle: Bundle, installed: Cluster) -> None:
    words = ("-o", str(bundle.path))
    again = bundled(plane, installed.namespace, *words)
    assert (again.done.returncode, again.done.stdout) == (2, "")
    assert "File exists" in again.done.stderr


def test_where_nothing_is_installed_there_is_still_a_bundle(plane: ControlPlane, installed: Cluster) -> None:
    namespace = plane.create_namespace("nothing")
    nothing = bundled(plane, namespace, "--no-logs")
    assert nothing.done.returncode == 0, nothing.done.stderr
    assert {"index.html", "unread.txt", "version.txt"} <= set(nothing.files)
    assert "what is installed: " in nothing.files["unread.txt"]
    missing = bundled(plane, namespace, "nope")
    assert (missing.done.returncode, missing.files) == (2, {})
    assert missing.done.stderr.endswith("has no ModelEngineHealthCheck nope\n")
