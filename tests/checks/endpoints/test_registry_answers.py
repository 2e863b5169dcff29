"""Endpoints that wait for an image: what its registry answers, when asked as the pod asks, and what it then counts."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.installation.context import Context
from mehc_checks.installation.imageparameters import ImageParameters
from mehc_checks.installation.waitingimages import answers
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.workload.diagnose import Around, Cause, diagnose
from mehc_checks.workload.objects import Workload
from mehc_checks.workload.read import read_pod
from mehc_checks.workload.registry import PROVED
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.images import ACR_HOST, GAR_HOST, PRIVATE_HOST, Stage, always, pull_secret
from testbed.pki import CertificateAuthority
from testbed.registry import PASSWORD, USER

NOT_FOUND = 'failed to resolve reference "{image}": {image}: not found'
DENIED = "pulling from host x failed with status code [manifests 1]: 401 Unauthorized"
TOKEN_DENIED = (
    "pull access denied, repository does not exist or may require authorization: server message: "
    "insufficient_scope: authorization failed"
)
REFUSED = 'failed to do request: Head "https://x/v2/": dial tcp 10.0.0.9:443: connect: connection refused'
UNTRUSTED = 'failed to do request: Head "https://x/v2/vllm/manifests/1": x509: certificate signed by unknown authority'


@dataclass(frozen=True)
class Case:
    """``image`` of the registry ``at``, what the kubelet says of its pull, and the cause that is found.

    ``proof`` is part of an evidence line.
    """

    name: str
    cause: str
    says: str
    at: Callable[[Stage], str]
    image: str = "/vllm:0.10.1"
    kubelet: str = NOT_FOUND
    secrets: tuple[Any, ...] = ()
    """Manifests of pull secrets that the pod names, for HOST, or the name of one that does not exist."""
    proof: str = ""
    fix: str = ""
    inside: bool = True
    trusts: bool = True


def registry(name: str) -> Callable[[Stage], str]:
    return lambda stage: str(getattr(stage, name).address)


def login(host: str, password: str = PASSWORD) -> Any:
    return pull_secret({host: {"username": USER, "password": password}})


def plain_answer(status: int) -> Callable[[Stage], str]:
    return lambda stage: stage.scripted(always(status))


def stranger(stage: Stage) -> str:
    return stage.serving(CertificateAuthority("stranger CA").issue())


def silent(stage: Stage) -> str:
    host, port = stage.enter_context(ports.black_hole())
    return f"{host}:{port}"


LOOPBACK = "127.0.0.1"
EXPIRED = base64.b64encode(json.dumps({"payload": "x", "expiration": 1}).encode()).decode()
"""A password as ECR issues it."""
OPAQUE = pull_secret("{}", kind="Opaque")
MALFORMED = pull_secret('{"auths": {"HOST": {"auth": "!"}}}')
EMPTY = pull_secret('{"auths": {"HOST": {}}, "credsStore": "desktop"}')
ELSEWHERE = login("ghcr.io")
CASES = [
    # The registry says more than the runtime
    Case(
        "no tag",
        "TagMissing",
        "/vllm: tag 0.10.9 does not exist; nearest 0.10.2, 0.10.1",
        registry("open"),
        "/vllm:0.10.9",
        proof="asked by mehc anonymously: ",
        fix="Push vllm:0.10.9, or correct the tag in the pod's image",
    ),
    Case("no tag like it", "TagMissing", "it has ", registry("open"), "/vllm:zzz"),
    Case("no digest", "TagMissing", "does not exist", registry("open"), f"/vllm@sha256:{'0' * 64}"),
    Case(
        "no repository",
        "RepositoryMissing",
        "has no repository vlm",
        registry("open"),
        "/vlm:1",
        fix="or correct the pod's image",
    ),
    Case("no tag, TLS less", "TagMissing", "nearest 0.10.2", registry("plain"), "/vllm:0.10.9"),
    Case(
        "no tag, with the pod's login",
        "TagMissing",
        "tag 0.10.9 does not exist; nearest 0.10.2",
        registry("basic"),
        "/vllm:0.10.9",
        secrets=(login("HOST"),),
        proof=f"asked by mehc with user {USER} of Secret regcred",
    ),
    Case(
        "no tag, with a token",
        "TagMissing",
        "nearest 0.10.2",
        registry("token"),
        "/vllm:0.10.9",
        secrets=(login("HOST"),),
    ),
    Case("no tag, and the Events are gone", "TagMissing", "nearest", registry("open"), "/vllm:0.10.9", ""),
    Case(
        "a wrong password",
        "PullCredentialsRejected",
        "rejects the user name and password of user puller of Secret regcred",
        registry("basic"),
        kubelet=DENIED,
        secrets=(login("HOST", "wrong"),),
        fix="Renew the user name and password",
    ),
    Case(
        "no credentials",
        "NoPullCredentials",
        "and the pod has no pull secret that can be used",
        registry("basic"),
        kubelet=DENIED,
        fix="add NAME to imagePullSecrets of ServiceAccount default",
    ),
    Case(
        "credentials of another registry",
        "NoPullCredentials",
        "Secret regcred covers only ghcr.io",
        registry("token"),
        kubelet=TOKEN_DENIED,
        secrets=(ELSEWHERE,),
    ),
    Case(
        "no such Secret",
        "PullSecretMissing",
        "names pull secret nowhere, which does not exist",
        registry("basic"),
        kubelet=DENIED,
        secrets=("nowhere",),
    ),
    Case(
        "a Secret of another type",
        "PullSecretIgnored",
        "type that the kubelet ignores",
        registry("basic"),
        kubelet=DENIED,
        secrets=(OPAQUE,),
    ),
    Case(
        "a Secret without a password",
        "PullSecretWithoutPassword",
        "credsStore",
        registry("basic"),
        kubelet=DENIED,
        secrets=(EMPTY,),
    ),
    Case(
        "a malformed Secret",
        "PullSecretMalformed",
        "regcred is malformed",
        registry("basic"),
        kubelet="illegal base64 data at input byte 0",
        secrets=(MALFORMED,),
    ),
    Case(
        "an expired token",
        "PullTokenExpired",
        "Secret regcred",
        plain_answer(403),
        kubelet=DENIED,
        secrets=(login("HOST", EXPIRED),),
        fix="Renew the token in Secret regcred",
    ),
    Case("another's repository", "PullDenied", "HTTP 403", plain_answer(403), kubelet=DENIED),
    # The node pulls from elsewhere: a mirror of its own has not what the registry has
    Case(
        "a mirror without it",
        "NodesCannotPull",
        "but the registry serves the image to this operator",
        registry("open"),
        proof="asked by mehc anonymously: the registry serves ",
        fix="mirror",
    ),
    Case(
        "denied to the node alone",
        "ImageAccessDenied",
        "denies the node",
        registry("open"),
        kubelet=DENIED,
        proof="the registry serves",
    ),
    # The node's own words stay
    Case("a registry that is down", "ImageNotFound", "has no image", plain_answer(503)),
    Case("a registry that limits", "ImageNotFound", "has no image", plain_answer(429)),
    Case("a registry that is silent", "ImageNotFound", "has no image", silent),
    Case("nothing listens", "ImageNotFound", "has no image", lambda _: f"{LOOPBACK}:{ports.free_port()}"),
    Case("a web page", "ImageNotFound", "has no image", plain_answer(404)),
    Case(
        "an authority that nodes alone trust", "ImageNotFound", "has no image", registry("open"), trusts=False
    ),
    Case("another such authority", "ImageNotFound", "has no image", stranger),
    Case(
        "an authority that mehc alone trusts",
        "TLSUntrusted",
        "is not trusted",
        registry("open"),
        "/vllm:0.10.9",
        UNTRUSTED,
        proof="tag 0.10.9 does not exist",
    ),
    Case("the node does not reach it", "ConnectionRefused", "refused", registry("open"), kubelet=REFUSED),
    Case(
        "the node's loopback, seen from outside",
        "ImageNotFound",
        "has no image",
        registry("open"),
        "/vllm:0.10.9",
        inside=False,
    ),
    Case(
        "a private name, seen from outside, which a certificate proves",
        "TagMissing",
        "tag 0.10.9 does not exist; nearest 0.10.2",
        lambda _: PRIVATE_HOST,
        "/vllm:0.10.9",
        inside=False,
    ),
    Case(
        "another server at a private name, seen from outside",
        "ImageNotFound",
        "has no image",
        lambda _: PRIVATE_HOST,
        "/vllm:0.10.9",
        inside=False,
        trusts=False,
    ),
    Case("an identity of nodes", "ImageAccessDenied", "denies", lambda _: ACR_HOST, kubelet=DENIED),
    Case("no image name", "ImageNotFound", "has no image", lambda _: "Registry.example/UPPER:1", ""),
    Case(
        "a tag that nodes of a cloud look for",
        "TagMissing",
        "tag 0.10.9 does not exist; nearest 0.10.2",
        lambda _: GAR_HOST,
        "/vllm:0.10.9",
    ),
]


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, cluster: KubernetesCluster) -> Iterator[Stage]:
    with Stage(control_plane, cluster) as everything:
        yield everything


async def judged(
    stage: Stage, pod: Any, namespace: str, *, inside: bool = True, trusts: bool = True, seconds: float = 60
) -> Cause:
    parameters = ImageParameters(ca_bundle=stage.ca.ca_pem if trusts else "")
    context = Context(
        values=Values.merged([Layer(source="spec.values", values={})]),
        cluster=stage.cluster,
        namespace=namespace,
        timeout=timedelta(seconds=600),
        parameters={ImageParameters: parameters},
        inside=inside,
    )
    read = read_pod(pod)
    try:
        answered = await answers(context, [read], namespace, seconds=seconds)
    finally:
        await context.close()
    workload = Workload(kind="Deployment", name="a", namespace=namespace, pods=(read,))
    cause = diagnose(workload, Around(now=datetime.now(UTC), answered=answered))
    assert cause
    return cause


def waiting(image: str, text: str, secrets: tuple[str, ...] = ()) -> Any:
    reason = "ErrImagePull" if text else "ImagePullBackOff"
    state = {"waiting": {"reason": reason, "message": text.replace("{image}", image)}}
    return {
        "metadata": {"name": "a-1"},
        "spec": {
            "nodeName": "n",
            "serviceAccountName": "default",
            "imagePullSecrets": [{"name": each} for each in secrets],
        },
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "main", "image": image, "state": state}],
        },
    }


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_the_registry_answers(
    case: Case, stage: Stage, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, stage.proxy.url)
    monkeypatch.setenv("NO_PROXY", LOOPBACK)
    host = case.at(stage)
    names = []
    for secret in case.secrets:
        if not isinstance(secret, str):
            stage.create(namespace, json.loads(json.dumps(secret).replace("HOST", host)))
        names.append(secret if isinstance(secret, str) else secret["metadata"]["name"])
    image = f"{host}{case.image}"
    pod = waiting(image, case.kubelet, tuple(names))
    seconds = 1 if case.at is silent else 60
    cause = await judged(stage, pod, namespace, inside=case.inside, trusts=case.trusts, seconds=seconds)
    assert cause.reason.name == case.cause, cause
    assert case.says in cause.message
    assert case.fix in cause.remedy
    assert any(case.proof in line for line in cause.evidence), cause.evidence
    assert PASSWORD not in f"{cause}"


def test_every_cause_that_a_registry_proves_is_a_case() -> None:
    assert {reason.name for reason in PROVED} <= {case.cause for case in CASES}


@pytest.mark.integration
async def test_many_pods_and_images_are_few_questions(stage: Stage, namespace: str) -> None:
    asked: list[str] = []

    def script(request: Any) -> Any:
        asked.append(request.path)
        return always(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')(request)

    address = stage.scripted(script)
    pods = [
        read_pod(waiting(f"{address}/vllm{number % 40}:1", NOT_FOUND) | {"metadata": {"name": f"a-{number}"}})
        for number in range(400)
    ]
    context = Context(
        values=Values.merged([Layer(source="spec.values", values={})]),
        cluster=stage.cluster,
        namespace=namespace,
        timeout=timedelta(seconds=600),
        parameters={ImageParameters: ImageParameters(ca_bundle=stage.ca.ca_pem)},
    )
    answered = await answers(context, pods, namespace, seconds=60)
    await context.close()
    assert len({name for path in asked if (name := path.split("/")[2])}) == 8
    assert len(asked) <= 8 * 4
    known = [pod for pod in pods if answered(pod, pod.containers[0].image)]
    assert len(known) == 80


@pytest.mark.integration
async def test_all_questions_end_within_a_part_of_the_checks_time(stage: Stage, namespace: str) -> None:
    address = silent(stage)
    pods = [read_pod(waiting(f"{address}/vllm{number}:1", NOT_FOUND)) for number in range(20)]
    context = Context(
        values=Values.merged([Layer(source="spec.values", values={})]),
        cluster=stage.cluster,
        namespace=namespace,
        timeout=timedelta(seconds=1),
    )
    began = time.monotonic()
    answered = await answers(context, pods, namespace, seconds=60)
    assert answered(pods[0], pods[0].containers[0].image) is None
    assert (
        time.monotonic() - began < 60
    )  # for each alone it would be 0.3 s, and for a registry's own timeout more
    await context.close()
