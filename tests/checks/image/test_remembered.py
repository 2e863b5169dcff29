"""Images that were whole at the run before: what the next one asks of a registry, and what it still notices."""

import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from mehc_checks.clients.registry import completed as memory
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.inspect import inspect
from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.reference import parse
from mehc_checks.core.outcome import Reason
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.pki import CertificateAuthority
from testbed.registry import ImageStore, Registry, TokenService

LONG = 60.0
PULLER = Login(username="puller", password="pull-password", source="user puller", secret="regcred")
OTHER = Login(username="other", password="other-password", source="user other", secret="others")
ISSUED = Login(username="AWS", password="token-1", source="an ECR token of region us-east-1")
LAYERS = 2


@dataclass(kw_only=True)
class Scene:
    """A registry that asks for tokens, in front of it a server that notes what it is asked."""

    store: ImageStore
    tokens: TokenService
    access: Access
    users: dict[str, tuple[str, frozenset[str]]]
    front: ScriptedServer
    completed: Completed = field(default_factory=Completed)
    now: float = 0.0

    def push(self, name: str) -> None:
        """An image of one manifest; the last layer is the largest."""
        self.store.push(name, "1", layers=LAYERS)

    def lose_layer(self, name: str, tag: str = "1") -> None:
        self.store.lose_blob(name, self.store.manifest(name, tag)["layers"][0]["digest"])

    async def run(
        self, *names: str, login: Login | None = PULLER, doubtful: bool = False
    ) -> list[Inspection]:
        """One probe run of images with the tag 1."""
        self.front.requests.clear()
        completed = self.completed.unasked() if doubtful else self.completed
        async with Connections(timeout=LONG) as connections:
            return [
                await inspect(
                    parse(f"{self.front.address}/{name}:1"),
                    [login],
                    access=self.access,
                    architectures=("amd64",),
                    timeout=LONG,
                    connections=connections,
                    completed=completed,
                )
                for name in names
            ]

    async def reason(self, name: str, **how: object) -> Reason | None:
        (found,) = await self.run(name, **how)  # type: ignore[arg-type]
        return found.problem.reason if found.problem else None

    @property
    def asked(self) -> Counter[str]:
        """Requests of the last run, by kind: "HEAD blobs"."""
        return Counter(f"{each.method} {each.path.split('/')[-2]}" for each in self.front.requests)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    storage = tmp_path_factory.mktemp("images")
    authority = CertificateAuthority("testbed registry CA")
    users = {login.username: (login.password, frozenset("*")) for login in (PULLER, OTHER, ISSUED)}
    tokens = TokenService(ca=authority, users=users)
    with (
        tokens.server,
        Registry(storage=storage) as open_registry,
        Registry(storage=storage, tokens=tokens) as registry,
    ):

        def forwarded(request: Request) -> Reply:
            sent = {"Accept", "Authorization", "Range"}
            headers = {name: value for name, value in request.headers.items() if name in sent}
            status, answered, body = registry.call(request.method, request.path, headers=headers)
            return Reply(status, body, {k: v for k, v in answered.items() if k != "Transfer-Encoding"})

        with ScriptedServer(forwarded, certificate=authority.issue()) as front:
            tls = ssl.create_default_context(cadata=authority.ca_pem)
            access = Access(tls=tls)
            yield Scene(
                store=ImageStore(open_registry), tokens=tokens, access=access, users=users, front=front
            )


@pytest.fixture(autouse=True)
def afresh(scene: Scene) -> None:
    scene.now = 0.0
    scene.completed = Completed(clock=lambda: scene.now)
    scene.users["puller"] = ("pull-password", frozenset("*"))


def lost_largest(scene: Scene, name: str) -> None:
    layers = [*scene.store.manifest(name, "1")["layers"], scene.store.manifest(name, "1")["config"]]
    scene.store.lose_blob(name, max(layers, key=lambda part: part["size"])["digest"])


def moved_to_a_broken_image(scene: Scene, name: str) -> None:
    scene.store.push(name, "1", layers=LAYERS + 1, created="2026-02-02T03:04:05Z")
    scene.lose_layer(name)


@pytest.mark.parametrize(
    ("name", "fault", "reason"),
    [
        ("moved-tag", moved_to_a_broken_image, R.BLOBS_MISSING),
        ("lost-largest", lost_largest, R.BLOBS_MISSING),
    ],
)
async def test_the_next_run_sees(
    scene: Scene, name: str, fault: Callable[[Scene, str], None], reason: Reason
) -> None:
    scene.push(name)
    assert await scene.reason(name) is None
    fault(scene, name)
    assert await scene.reason(name) is reason


async def test_a_manifest_that_is_gone_is_missed_at_the_next_run(scene: Scene) -> None:
    known = scene.store.push("gone", "1")
    assert await scene.reason("gone") is None
    scene.store.lose_manifest("gone", known)
    assert await scene.reason("gone") in (R.TAG_MISSING, R.REPOSITORY_MISSING)


async def test_a_variant_that_is_gone_is_missed_at_the_next_run(scene: Scene) -> None:
    scene.store.push_index("gone-variant", "1")
    assert await scene.reason("gone-variant") is None
    scene.store.lose_manifest(
        "gone-variant", scene.store.manifest("gone-variant", "1")["manifests"][0]["digest"]
    )
    assert await scene.reason("gone-variant") is R.INDEX_INCOMPLETE


async def test_a_permission_that_was_taken_away_is_missed_at_the_next_run(scene: Scene) -> None:
    scene.push("revoked")
    assert await scene.reason("revoked") is None
    scene.users["puller"] = ("pull-password", frozenset())
    assert await scene.reason("revoked") is R.PULL_DENIED


async def test_what_one_login_was_shown_says_nothing_of_another(scene: Scene) -> None:
    scene.push("two-logins")
    assert await scene.reason("two-logins") is None
    scene.lose_layer("two-logins")
    assert await scene.reason("two-logins", login=OTHER) is R.BLOBS_MISSING


async def test_a_changed_password_is_another_login(scene: Scene) -> None:
    scene.push("rotated")
    assert await scene.reason("rotated") is None
    scene.lose_layer("rotated")
    scene.users["puller"] = ("rotated-password", frozenset("*"))
    rotated = Login(username="puller", password="rotated-password", source="user puller", secret="regcred")
    assert await scene.reason("rotated", login=rotated) is R.BLOBS_MISSING


async def test_a_run_in_doubt_asks_for_every_blob(scene: Scene) -> None:
    scene.push("doubtful")
    assert await scene.reason("doubtful") is None
    scene.lose_layer("doubtful")
    assert await scene.reason("doubtful", doubtful=True) is R.BLOBS_MISSING


async def test_every_blob_is_asked_for_again_after_a_while(scene: Scene) -> None:
    scene.push("aged")
    assert await scene.reason("aged") is None
    scene.lose_layer("aged")
    scene.now = memory.SECONDS + 1
    assert await scene.reason("aged") is R.BLOBS_MISSING


async def test_what_is_not_whole_is_not_kept(scene: Scene) -> None:
    scene.push("never-whole")
    scene.lose_layer("never-whole")
    assert await scene.reason("never-whole") is R.BLOBS_MISSING
    assert await scene.reason("never-whole") is R.BLOBS_MISSING


async def test_the_next_run_asks_for_the_manifest_and_one_byte(scene: Scene) -> None:
    scene.push("whole")
    (first,) = await scene.run("whole", doubtful=True)
    assert scene.asked["HEAD blobs"] == LAYERS + 1
    (second,) = await scene.run("whole")
    assert scene.asked == {"HEAD manifests": 2, "GET blobs": 1}, "the first HEAD is the challenge"
    assert first == second


async def test_a_token_that_is_issued_for_each_run_is_one_login(scene: Scene) -> None:
    scene.push("issued")
    assert await scene.reason("issued", login=ISSUED) is None
    scene.users["AWS"] = ("token-2", frozenset("*"))
    again = Login(username="AWS", password="token-2", source=ISSUED.source)
    assert await scene.reason("issued", login=again) is None
    assert scene.asked["HEAD blobs"] == 0


async def test_one_run_authorizes_once_for_a_repository(scene: Scene) -> None:
    scene.push("twice")
    scene.tokens.server.requests.clear()
    await scene.run("twice", "twice")
    assert len(scene.tokens.server.requests) == 1
