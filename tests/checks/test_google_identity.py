"""The path to Google: each way of not being answered has its own reason, and none takes long."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mehc_checks.clients.google import identity
from mehc_checks.clients.google.client import Google
from mehc_checks.clients.google.identity import GoogleProblem
from mehc_checks.clients.google.reasons import NOT_FOUND
from mehc_checks.clients.google.reasons import GoogleReasons as R
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Reason
from testbed import ports
from testbed.google import IAM, POOL, SECRETS, STS, Account, GoogleCloud, error
from testbed.httpserver import Reply
from testbed.names import leading
from testbed.pki import CertificateAuthority

URL = f"https://{SECRETS}/v1/projects/p1/secrets/db/versions/latest:access"
ROLE = "roles/secretmanager.secretAccessor"


@pytest.fixture(scope="module")
def servers(certificate_authority: CertificateAuthority) -> Iterator[GoogleCloud]:
    with GoogleCloud(certificate_authority) as running:
        running.keep("p1", "db", "{}")
        yield running


@pytest.fixture
def cloud(servers: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """The servers, without an identity."""
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.ca_file))
    identity._KEPT.clear()
    identity._FAILED.clear()
    yield servers
    identity._KEPT.clear()
    identity._FAILED.clear()
    servers.state.on_node, servers.state.metadata = "", None
    servers.state.refusing.clear()


@pytest.fixture
def account(cloud: GoogleCloud) -> Account:
    """This process's, by the metadata server."""
    made = cloud.account()
    cloud.state.on_node = made.email
    return made


async def asked() -> object:
    answer = await Google(timeout=60).call(URL, what="secret db of project p1", role=ROLE)
    return answer.json()["payload"]


async def failure(**led: bool) -> GoogleProblem:
    with pytest.raises(GoogleProblem) as caught:
        await asked()
    assert "remote words" not in str(caught.value)
    caught.value.finding()
    return caught.value


async def test_a_token_is_asked_for_once_also_by_an_operator_that_values_lead_to_no_metadata(
    cloud: GoogleCloud, account: Account
) -> None:
    cloud.grant(account, "p1")
    before = len(cloud.metadata.requests)
    allowed = reach.networks(["127.0.0.0/8"])
    with cloud.led(), reach.using(reach.Reach(restricted=True, allowed=allowed)):
        assert await asked() == await asked()
        held = await Google(timeout=60).token()
    assert len([each for each in cloud.metadata.requests[before:] if "/token" in each.path]) == 1
    assert held.principal == f"service account {account.email}"
    assert held.text not in repr(held)


async def test_what_is_denied_names_the_role_and_the_principal(cloud: GoogleCloud, account: Account) -> None:
    with cloud.led():
        problem = await failure()
    assert problem.reason is R.DENIED
    assert f"secret db of project p1 to service account {account.email} (IAM_PERMISSION_DENIED)" in str(
        problem
    )
    assert ROLE in problem.remediation
    google = Google(timeout=60, platform=account.email)
    with cloud.led(), pytest.raises(GoogleProblem) as caught:
        await google.call(URL, what="secret db of project p1", role=ROLE)
    assert caught.value.reason is R.PLATFORM_DENIED
    assert f"the platform's own service account {account.email}" in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (
            error(
                403,
                "PERMISSION_DENIED",
                reason="SERVICE_DISABLED",
                service="secretmanager.googleapis.com",
                consumer="projects/123456",
            ),
            R.API_DISABLED,
            "secretmanager.googleapis.com is not enabled in project 123456",
        ),
        (error(403, "PERMISSION_DENIED", reason="CONSUMER_INVALID"), R.PROJECT_UNKNOWN, "knows no project"),
        (error(403, "PERMISSION_DENIED", reason="BILLING_DISABLED"), R.BILLING_DISABLED, "billing account"),
        (
            error(403, "PERMISSION_DENIED", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
            R.SCOPES_INSUFFICIENT,
            "no scope",
        ),
        (error(403, "PERMISSION_DENIED", reason="SECURITY_POLICY_VIOLATED"), R.PERIMETER, "VPC Service"),
        (error(401, "UNAUTHENTICATED"), R.TOKEN_REJECTED, "rejected the token"),
        (error(429, "RESOURCE_EXHAUSTED"), R.THROTTLED, "RESOURCE_EXHAUSTED"),
        (error(404, "NOT_FOUND"), NOT_FOUND, "does not exist"),
        (Reply(500, b"<html>"), R.OTHER, "HTTP 500"),
    ],
    ids=["API", "project", "billing", "scopes", "perimeter", "token", "quota", "missing", "no JSON"],
)
async def test_what_services_say(
    cloud: GoogleCloud, account: Account, reply: Reply, reason: Reason, says: str
) -> None:
    cloud.state.refusing[SECRETS] = reply
    with cloud.led():
        problem = await failure()
    assert problem.reason is reason
    assert says in str(problem)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(403, b"Unable to generate access token; IAM returned 403 Forbidden"), R.BINDING_MISSING),
        (Reply(500, b"Unable to generate access token; IAM returned 403 Forbidden"), R.BINDING_MISSING),
        (Reply(404, b"IAM returned 404 Not Found: Gaia id not found for email"), R.IDENTITY_NOT_FOUND),
        (Reply(503, b"remote words"), R.METADATA_UNREACHABLE),
        (Reply(200, b"remote words", {"Content-Type": "application/json"}), R.METADATA_UNREACHABLE),
    ],
    ids=["denied", "denied by 500", "no account", "down", "no JSON"],
)
async def test_what_the_metadata_server_says_in_place_of_a_token(
    cloud: GoogleCloud, account: Account, reply: Reply, reason: Reason
) -> None:
    cloud.state.metadata = reply
    with cloud.led():
        problem = await failure()
    assert problem.reason is reason, problem
    if reason in (R.BINDING_MISSING, R.IDENTITY_NOT_FOUND):
        assert account.email in str(problem)


async def test_without_an_identity_the_remedy_says_how_to_get_one(cloud: GoogleCloud) -> None:
    with cloud.led(metadata=False):
        nowhere = await failure()
    identity._FAILED.clear()
    with cloud.led():
        none = await failure()
    for problem in (nowhere, none):
        assert problem.reason is R.NO_IDENTITY
        assert "iam.gke.io/gcp-service-account" in problem.remediation
        assert "roles/iam.workloadIdentityUser" in problem.remediation
        assert ROLE in problem.remediation


async def test_a_metadata_server_that_is_not_reached(cloud: GoogleCloud) -> None:
    for place in (ports.black_hole, ports.refused_port):
        identity._FAILED.clear()
        with place() as (host, port), leading({"metadata.invalid:80": f"{host}:{port}"}):
            problem = await failure()
        assert problem.reason is R.METADATA_UNREACHABLE
        assert "networkPolicy.egress.presets: identity" in problem.remediation


async def test_workload_identity_federation(
    cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cloud.account()
    cloud.grant(made, "p1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(made.file(tmp_path)))

    async def now() -> GoogleProblem:
        identity._KEPT.clear()
        identity._FAILED.clear()
        return await failure()

    with cloud.led(metadata=False):
        assert await asked()
        assert (await Google(timeout=60).token()).principal == f"service account {made.email}"
        made.usable = False
        problem = await now()
        assert problem.reason is R.BINDING_MISSING
        assert made.email in problem.remediation
        del cloud.state.accounts[made.email]
        cloud.account().assertion = made.assertion
        assert (await now()).reason is R.IDENTITY_NOT_FOUND
        made.file(tmp_path, assertion="of another")
        problem = await now()
        assert (problem.reason, "pool clusters, provider onprem (invalid_grant)" in str(problem)) == (
            R.FEDERATION_REJECTED,
            True,
        )
        made.file(tmp_path, audience=POOL + "x")
        assert "(invalid_target)" in str(await now())
        (tmp_path / "assertion").unlink()
        assert (await now()).reason is R.CREDENTIALS_INVALID
    made.file(tmp_path)
    with ports.refused_port() as (host, port), leading({f"{STS}:443": f"{host}:{port}"}):
        problem = await now()
    assert problem.reason is R.UNREACHABLE
    assert STS in str(problem)
    assert IAM not in str(problem)


@pytest.mark.parametrize(
    "text", [None, "no JSON", "[]", json.dumps({"type": "gdch"})], ids=["none", "text", "list", "type"]
)
async def test_a_file_of_credentials_that_is_none(
    cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "credentials.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    problem = await failure()
    assert problem.reason is R.CREDENTIALS_INVALID
    assert str(file) in str(problem)


def test_googles_own_client_gets_the_same_token_and_the_same_answer(
    cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle: google-auth's AuthorizedSession, by Application Default Credentials."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession, Request

    made = cloud.account()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(made.file(tmp_path)))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cloud.ca_file))
    with cloud.led(metadata=False):
        credential, _ = google.auth.default(scopes=[identity.SCOPE])
        credential.refresh(Request())
        assert credential.token == made.token
        with AuthorizedSession(credential) as session:
            assert session.get(URL).status_code == 403
            cloud.grant(made, "p1")
            assert session.get(URL).json()["payload"]["data"] == "e30="
