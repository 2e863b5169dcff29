"""The path to Azure: each way of not being answered has its own reason, and none takes long."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mehc_checks.clients.azure import identity
from mehc_checks.clients.azure.client import Azure
from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import NOT_FOUND
from mehc_checks.clients.azure.reasons import AzureReasons as R
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Reason
from testbed import ports
from testbed.azure import LOGIN, AzureCloud, Principal
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.names import leading
from testbed.pki import CertificateAuthority

VAULT = "kv.vault.azure.net"
JSON = {"Content-Type": "application/json"}
SCOPE = "https://vault.azure.net/.default"


@pytest.fixture(scope="module")
def cloud(certificate_authority: CertificateAuthority) -> Iterator[AzureCloud]:
    with AzureCloud(certificate_authority) as running:
        running.keep("kv", "db", "host:5432/db")
        running.keep("kv", "off", "host:5432/db", enabled=False)
        yield running


@pytest.fixture
def person(cloud: AzureCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """This process's identity, of workload identity."""
    made = cloud.identity()
    live(monkeypatch, cloud, made.environment(tmp_path))
    return made


def live(monkeypatch: pytest.MonkeyPatch, cloud: AzureCloud, environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    for name, text in environment.items():
        monkeypatch.setenv(name, text)


async def failure_of(azure: Azure, name: str = "db") -> AzureProblem:
    with pytest.raises(AzureProblem) as caught:
        await asked(azure, name)
    assert "remote words" not in str(caught.value)
    caught.value.finding()
    return caught.value


async def asked(azure: Azure, name: str = "db") -> str:
    url = f"https://{VAULT}/secrets/{name}?api-version=7.4"
    answer = await azure.call(
        url, SCOPE, what=f"secret {name} of Key Vault kv", role="Key Vault Secrets User"
    )
    return str(answer.json()["value"])


async def test_a_token_is_asked_for_once_and_opens_what_its_roles_allow(
    cloud: AzureCloud, person: Principal
) -> None:
    cloud.grant(person, VAULT)
    before = len(cloud.server.requests)
    with cloud.led(VAULT):
        assert await asked(Azure(timeout=60)) == "host:5432/db"
        assert await asked(Azure(timeout=60)) == "host:5432/db"
        held = await Azure(timeout=60).token(SCOPE)
    hosts = [request.headers["Host"] for request in cloud.server.requests[before:]]
    assert hosts == [LOGIN, VAULT, VAULT]
    assert (held.client, held.object) == (person.client, person.object)
    assert held.text not in repr(held)


async def test_what_is_denied_names_the_role_and_the_principal(cloud: AzureCloud, person: Principal) -> None:
    with cloud.led(VAULT):
        problem = await failure_of(Azure(timeout=60))
        of_platform = await failure_of(Azure(timeout=60, platform=person.client.upper()))
    assert (problem.reason, of_platform.reason) == (R.DENIED, R.PLATFORM_DENIED)
    for found in (problem, of_platform):
        assert "ForbiddenByRbac" in str(found)
        assert f"client {person.client} (object {person.object})" in str(found)
        assert "Key Vault Secrets User" in found.remediation


async def test_a_firewall_is_no_missing_role(cloud: AzureCloud, person: Principal) -> None:
    cloud.state.firewalled.add(VAULT)
    try:
        with cloud.led(VAULT):
            assert (await failure_of(Azure(timeout=60))).reason is R.FIREWALL
    finally:
        cloud.state.firewalled.clear()


@pytest.mark.parametrize(
    ("secret", "reason", "code"),
    [("none", NOT_FOUND, "SecretNotFound"), ("off", R.DENIED, " (SecretDisabled)")],
)
async def test_what_is_not_there_is_told_from_what_is_denied(
    cloud: AzureCloud, person: Principal, secret: str, reason: Reason, code: str
) -> None:
    cloud.grant(person, VAULT)
    with cloud.led(VAULT):
        problem = await failure_of(Azure(timeout=60), secret)
    assert (problem.reason, problem.words["code"]) == (reason, code)


@pytest.mark.parametrize(
    ("name", "text", "reason", "says"),
    [
        ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555", R.IDENTITY_NOT_FOUND, "AADSTS700016"),
        ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555", R.IDENTITY_NOT_FOUND, "AADSTS90002"),
        ("AZURE_TENANT_ID", "no tenant", R.IDENTITY_NOT_FOUND, "AADSTS90002"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/no/such/file", R.NO_IDENTITY, "FileNotFoundError"),
        ("AZURE_FEDERATED_TOKEN_FILE", __file__, R.FEDERATION_REJECTED, "AADSTS700213"),
    ],
    ids=["client", "tenant", "tenant's form", "no token", "another ServiceAccount's token"],
)
async def test_each_fault_of_a_workload_identity_has_its_name(
    cloud: AzureCloud,
    person: Principal,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    reason: Reason,
    says: str,
) -> None:
    monkeypatch.setenv(name, text)
    with cloud.led(VAULT):
        problem = await failure_of(Azure(timeout=60))
    assert problem.reason is reason, problem
    assert says in str(problem)


async def test_an_authority_that_is_not_there(
    cloud: AzureCloud, person: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ports.refused_port() as (host, port), leading({f"{LOGIN}:443": f"{host}:{port}"}):
        problem = await failure_of(Azure(timeout=60))
    assert problem.reason is R.UNREACHABLE
    assert LOGIN in str(problem)
    monkeypatch.setattr(identity, "FAILED_SECONDS", 0.0)
    identity._KEPT.clear()
    with ports.black_hole() as (host, port), leading({f"{LOGIN}:443": f"{host}:{port}"}):
        problem = await failure_of(Azure(timeout=0.5))
    assert problem.reason is R.UNREACHABLE
    assert "no answer within 0.5 s" in str(problem)


async def test_without_an_identity_the_metadata_service_holds_up_no_one(
    cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ports.black_hole() as (host, port):
        nobody = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://{host}:{port}"}
        live(monkeypatch, cloud, nobody)
        problem = await failure_of(Azure(timeout=60))
        assert problem.reason is R.NO_IDENTITY
        assert identity.METADATA_ADDRESS in str(problem)
        assert "Key Vault Secrets User" in problem.remediation
        assert "azure.workload.identity/client-id" in problem.remediation
        live(monkeypatch, cloud, {**nobody, "AZURE_CLIENT_ID": "an-identity"})
        problem = await failure_of(Azure(timeout=60))
        assert problem.reason is R.METADATA_UNREACHABLE
        assert "client an-identity" in str(problem)


async def test_the_managed_identity_of_a_node(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service is no address of the values, so what values may not reach does not concern it."""
    node = cloud.identity()
    cloud.grant(node, VAULT)

    def metadata(request: Request) -> Reply:
        query = parse_qs(urlsplit(request.path).query)
        if request.headers.get("Metadata") != "true" or query.get("client_id", [node.client]) != [
            node.client
        ]:
            return Reply(
                400, b'{"error": "invalid_request", "error_description": "Identity not found"}', JSON
            )
        text = cloud.token(node, query["resource"][0])
        expires = str(int(time.time()) + 3600)
        found = {"access_token": text, "expires_on": expires, "resource": "r", "token_type": "Bearer"}
        return Reply(200, json.dumps(found).encode(), JSON)

    with ScriptedServer(metadata) as server, cloud.led(VAULT):
        of_node = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": server.url}
        live(monkeypatch, cloud, of_node)
        with reach.using(reach.Reach(restricted=True)):
            assert (await Azure(timeout=60).token(SCOPE)).object == node.object
        assert await asked(Azure(timeout=60)) == "host:5432/db"
        live(monkeypatch, cloud, {**of_node, "AZURE_CLIENT_ID": node.client})
        assert await asked(Azure(timeout=60)) == "host:5432/db"
        live(monkeypatch, cloud, {**of_node, "AZURE_CLIENT_ID": "another"})
        problem = await failure_of(Azure(timeout=60))
    assert problem.reason is R.IDENTITY_NOT_FOUND
    assert "client another" in str(problem)
    with ScriptedServer(lambda _: Reply(400, b"{}", JSON)) as server:
        live(monkeypatch, cloud, {"AZURE_POD_IDENTITY_AUTHORITY_HOST": server.url})
        problem = await failure_of(Azure(timeout=60))
    assert problem.reason is R.NO_IDENTITY
    assert "gives it none" in str(problem)


async def test_a_failure_is_forgotten_soon(
    cloud: AzureCloud, person: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "FAILED_SECONDS", 0.0)
    cloud.grant(person, VAULT)
    given = replace(person, assertion="of another").environment(tmp_path)
    with cloud.led(VAULT):
        assert (await failure_of(Azure(timeout=60))).reason is R.FEDERATION_REJECTED
        assert person.environment(tmp_path) == given
        assert await asked(Azure(timeout=60)) == "host:5432/db"


def test_the_vendors_own_client_agrees_with_the_server(cloud: AzureCloud, person: Principal) -> None:
    """The oracle: azure-keyvault-secrets, by the challenge of the vault, gets the same answers."""
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
    from azure.identity import WorkloadIdentityCredential
    from azure.keyvault.secrets import SecretClient

    trust = {"connection_verify": str(cloud.ca_file), "retry_total": 0}
    with cloud.led(VAULT):
        credential = WorkloadIdentityCredential(disable_instance_discovery=True, **trust)
        with SecretClient(f"https://{VAULT}", credential, **trust) as client:
            with pytest.raises(HttpResponseError) as caught:
                client.get_secret("db")
            assert caught.value.status_code == 403
            cloud.grant(person, VAULT)
            assert client.get_secret("db").value == "host:5432/db"
            with pytest.raises(ResourceNotFoundError):
                client.get_secret("none")
            with pytest.raises(HttpResponseError, match="Forbidden"):
                client.get_secret("off")
        credential.close()
