"""What is remembered of the cluster is what the API server would answer, and no verdict turns by it."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mehc_checks.clients.kubernetes import watch
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.memory import Cover, Memory, Question
from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.texts import JSON, METADATA
from mehc_checks.core.outcome import Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.engine.request import Sources
from mehc_checks.installation import served
from mehc_checks.installation.context import Context
from mehc_checks.installation.following import Following, Read
from mehc_checks.installation.helm import read
from mehc_checks.installation.objects import WatchedObjects, condensed
from mehc_checks.installation.served import CRDS, Served
from mehc_operator.connection import Access, connected
from mehc_operator.models import Spec
from mehc_operator.runs import Runs
from mehc_operator.scheduler import Trigger
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.installation import aws_values

PATIENCE = 120.0
KINDS = {
    ("", "serviceaccounts"),
    ("", "events"),
    ("apps", "deployments"),
    ("scheduling.k8s.io", "priorityclasses"),
}
LABELS = {"labelSelector": "app in (a,b)", "limit": "500"}


@dataclass
class Known:
    """A memory with the watches that the operator has, and the requests that were made for it."""

    api: KubernetesCluster
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = Memory(self.api, self.covering, condense=condensed)
        self.served = Served(self.api, self.memory.forget)
        self.objects = WatchedObjects(self.api, forget=self.memory.forget)
        self.following = Following(self.api, KINDS, lambda _: None, forget=self.memory.forget)

    def covering(self, path: str, query: Any) -> Cover | None:
        return (
            self.objects.covering(path) or self.following.covering(path, query) or self.served.covering(path)
        )

    async def begin(self, question: Question) -> None:
        await self.objects.settled()
        read = Read.of(question.path, dict(question.query))
        if read:
            await self.following.follow(read, PATIENCE)

    async def end(self) -> None:
        for watches in (self.following, self.objects, self.served):
            await watches.stop()  # type: ignore[attr-defined]

    async def remembered(self, question: Question) -> bytes | None:
        """The answer, once it is remembered."""
        while True:
            if kept := self.memory.recall(question):
                return kept.text
            await self.memory.read(question)
            if kept := self.memory.recall(question):
                return kept.text
            await asyncio.sleep(0.2)

    async def forgotten(self, question: Question) -> None:
        while self.memory.recall(question):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def known(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Known]:
    monkeypatch.setattr(watch, "_REPLAYED", 0.1)  # no watch is begun again here
    requests: list[str] = []
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        made = Known(KubernetesCluster(api, observe=lambda verb, _: requests.append(verb)), requests)
        yield made
        await made.end()


def question(path: str, accept: str = JSON, **query: str) -> Question:
    return Question(path, tuple(sorted(query.items())), accept)


LABELLED = {"metadata": {"name": "x", "labels": {"app": "a"}}}
DEPLOYMENT = {
    "metadata": {"name": "x", "labels": {"app": "a"}},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "main", "image": "x"}]},
        },
    },
}
EVENT = {
    "metadata": {"name": "x"},
    "type": "Warning",
    "reason": "Tested",
    "involvedObject": {"kind": "Pod", "name": "x"},
}
EVENTS = "involvedObject.kind=Pod,reason=Tested,type=Warning"


@pytest.mark.parametrize(
    ("resource", "group", "named", "accept", "query", "manifest"),
    [
        pytest.param("secrets", "", True, JSON, {}, LABELLED, id="secret"),
        pytest.param("secrets", "", True, METADATA, {}, LABELLED, id="metadata of a secret"),
        pytest.param("configmaps", "", True, JSON, {}, LABELLED, id="config map"),
        pytest.param("serviceaccounts", "", True, METADATA, {}, LABELLED, id="metadata"),
        pytest.param("deployments", "apps", True, JSON, {}, DEPLOYMENT, id="object"),
        pytest.param("deployments", "apps", False, JSON, {"limit": "500"}, DEPLOYMENT, id="list"),
        pytest.param("deployments", "apps", False, JSON, LABELS, DEPLOYMENT, id="labelled list"),
        pytest.param("events", "", False, JSON, {"fieldSelector": EVENTS}, EVENT, id="warnings"),
        pytest.param(
            "priorityclasses", "scheduling.k8s.io", True, METADATA, {}, {"value": 1}, id="cluster-wide"
        ),
    ],
)
async def test_each_change_ends_what_was_remembered(
    known: Known,
    control_plane: ControlPlane,
    namespace: str,
    resource: str,
    group: str,
    named: bool,
    accept: str,
    query: dict[str, str],
    manifest: dict[str, Any],
) -> None:
    wide = resource == "priorityclasses"
    name = namespace if wide else "x"
    one = (
        cluster_path(resource, name, group=group)
        if wide
        else object_path(resource, namespace, name, group=group)
    )
    collection = one.rpartition("/")[0]
    if resource == "events":
        manifest = {**manifest, "involvedObject": {**manifest["involvedObject"], "namespace": namespace}}
    asked = question(one if named else collection, accept, **query)

    async def api(method: str, path: str, body: Any = None, **words: Any) -> None:
        await asyncio.to_thread(control_plane.api, method, path, body, **words)

    async def change(*words: Any, **more: Any) -> bytes | None:
        await api(*words, **more)
        await known.forgotten(asked)
        return await known.remembered(asked)

    async with asyncio.timeout(PATIENCE):
        await known.begin(asked)
        absent = await known.remembered(asked)
        created = await change(
            "POST", collection, {**manifest, "metadata": {**manifest.get("metadata", {}), "name": name}}
        )
        patch = {"metadata": {"annotations": {"mehc/tested": "yes"}}}
        annotated = await change("PATCH", one, patch, content_type="application/merge-patch+json")
        known.requests.clear()
        assert await known.remembered(asked) == annotated
        assert not known.requests
        gone = await change("DELETE", one)
    assert items(absent) == items(gone)
    assert items(created) != items(absent)
    assert b"mehc/tested" not in (created or b"")
    assert b"mehc/tested" in (annotated or b"")


def items(text: bytes | None) -> Any:
    """Of a list, or None where there is none."""
    return json.loads(text).get("items", text) if text else []


CRD: dict[str, Any] = {
    "metadata": {"name": "widgets.remembered.example.com"},
    "spec": {
        "group": "remembered.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


async def test_a_kind_that_is_served_all_at_once_is_noticed(
    known: Known, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/apis/remembered.example.com/v1"
    widgets = f"{path}/namespaces/default/widgets"
    asked = [question("/apis"), question(path), question(widgets, limit="500")]

    def call(*words: Any) -> Any:
        return asyncio.to_thread(control_plane.api, *words)

    async with asyncio.timeout(PATIENCE):
        monkeypatch.setattr(served, "_LATE", 0.5)
        assert [await known.remembered(each) for each in asked][1:] == [None, None]
        monkeypatch.setattr(served, "_LATE", PATIENCE)
        await call("POST", CRDS, CRD)
        try:
            for each in asked:
                await known.forgotten(each)
                await known.memory.read(each)
                assert not known.memory.recall(each)  # what the API server says now may be of before
            await asyncio.to_thread(
                control_plane.kubectl, "wait", "crd", CRD["metadata"]["name"], "--for=condition=Established"
            )
            while not await known.api.text(path, {}, JSON):  # noqa: ASYNC110 - the API server takes a moment
                await asyncio.sleep(0.1)
            monkeypatch.setattr(served, "_LATE", 0.5)
            assert None not in [await known.remembered(each) for each in asked[:2]]
        finally:
            await call("DELETE", f"{CRDS}/{CRD['metadata']['name']}")
        for each in asked:
            await known.forgotten(each)


async def test_what_changes_while_it_is_read_is_not_remembered(known: Known, namespace: str) -> None:
    asked = question(object_path("secrets", namespace, "x"))
    async with asyncio.timeout(PATIENCE):
        await known.begin(asked)
        await known.remembered(asked)
        reading = asyncio.ensure_future(known.memory.read(asked))
        await asyncio.sleep(0)
        known.memory.forget(("", "secrets"), namespace, "x")
        await reading
    assert known.memory.recall(asked) is None


async def test_nothing_is_remembered_beyond_the_watch(known: Known, namespace: str) -> None:
    asked = question(object_path("serviceaccounts", namespace, "default"))
    async with asyncio.timeout(PATIENCE):
        await known.begin(asked)
        await known.remembered(asked)
        await known.following.stop()
        assert known.memory.recall(asked) is None
        await known.begin(asked)  # its list is another beginning: what happened meanwhile was not told
        assert len(known.memory) == 0


async def test_memory_is_bounded(known: Known, namespace: str) -> None:
    known.memory._most = 3000
    async with asyncio.timeout(PATIENCE):
        for number in range(5):
            asked = question(object_path("secrets", namespace, f"x{number}"))
            await known.begin(asked)
            await known.remembered(asked)
    assert 0 < len(known.memory) < 5
    assert known.memory.size <= 3000


async def test_a_release_is_remembered_without_its_templates(
    known: Known, control_plane: ControlPlane, namespace: str
) -> None:
    await asyncio.to_thread(Helm(control_plane).install, "me", namespace, aws_values())
    path = object_path("secrets", namespace, "sh.helm.release.v1.me.v1")
    async with asyncio.timeout(PATIENCE):
        await known.begin(question(path))
        kept = await known.remembered(question(path))
    whole = await known.api.text(path, {}, JSON)
    assert kept
    assert whole
    assert len(kept) < len(whole) / 2
    kept_release, release = (
        read(base64.b64decode(json.loads(text)["data"]["release"]), "x") for text in (kept, whole)
    )
    assert kept_release == release


class Reasons(ReasonSet):
    THERE = Reason("There", Status.PASS, "It is there.", message="it is there")
    GONE = Reason("Gone", Status.FAIL, "It is gone.", message="it is gone", remedy="Create it.")


ACCOUNT = "tested"


async def facts(context: Context) -> bool:
    return await context.reader.get(object_path("serviceaccounts", context.namespace, ACCOUNT)) is not None


CHECK = Check(
    name="Tested",
    title="it is there",
    severity=Severity.HIGH,
    gather=facts,
    judge=lambda there: Outcome.of([Reasons.THERE() if there else Reasons.GONE()]),
    reasons=Reasons,
)
SPEC = Spec.model_validate({"interval": "5m", "values": aws_values()})


async def test_what_is_remembered_can_only_confirm(
    known: Known, control_plane: ControlPlane, namespace: str
) -> None:
    runs = Runs({"Tested": CHECK}, known.memory, Sources(), follow=known.following.follow)

    async def probed(trigger: Trigger = Trigger.INTERVAL) -> str:
        runs._probed = dict.fromkeys(runs._probed, -1e9)
        known.requests.clear()
        (result,) = await runs.probe(SPEC, namespace, trigger, ())
        return result.reason

    asked = question(object_path("serviceaccounts", namespace, ACCOUNT))
    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(
            control_plane.api, "POST", asked.path.rpartition("/")[0], {"metadata": {"name": ACCOUNT}}
        )
        await known.begin(asked)
        assert await probed(Trigger.SEEN) == "There"
        await known.remembered(asked)
        assert await probed() == "There"
        assert known.requests.count("get") <= 1  # whatever else is read, this is not
        kept = known.memory.recall(asked)
        assert kept
        # A memory that is wrong: what it says is read again before it is a verdict.
        known.memory._kept[asked] = replace(kept, packed=None)
        assert await probed() == "There"
        known.memory._kept[asked] = replace(kept, packed=None)
        assert await probed(Trigger.PROBE_NOW) == "There"
        assert known.requests
        await asyncio.to_thread(control_plane.api, "DELETE", asked.path)
        while await probed() != "Gone":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
        # What failed is read, whatever is remembered.
        known.memory._kept[asked] = replace(kept, packed=zlib.compress(b"{}"))
        known.memory._at.setdefault(asked.place, set()).add(asked)
        assert await probed() == "Gone"
