"""BrokerReachable on Service Bus: the builder's queue by the management interface, and no message received."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.azure import AzureCloud, BusQueue, Principal
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.rulejudging import at

HOST, QUEUE = "ours.servicebus.windows.net", "model-engine-service-builder"


@pytest.fixture(scope="module")
def cloud(certificate_authority: CertificateAuthority) -> Iterator[AzureCloud]:
    with AzureCloud(certificate_authority) as running:
        yield running


@pytest.fixture
def person(cloud: AzureCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    cloud.state.queues.clear()
    made = cloud.identity()
    for name, text in made.environment(tmp_path).items():
        monkeypatch.setenv(name, text)
    return made


async def judge(cloud: AzureCloud, client: str = "another") -> CheckResult:
    given = overlaid(
        at("config.values.infra.cloud_provider", "azure"),
        {"celeryBrokerType": "servicebus", "azure": {"servicebus_namespace": "ours", "client_id": client}},
    )
    with cloud.led(HOST, **{f"{HOST}:5671": cloud.server.address}):
        result = await judged("BrokerReachable", given, seconds=60)
    assert "remote words" not in repr(result)
    return result


async def test_a_queue_and_what_waits_in_it(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    cloud.state.queues[HOST, QUEUE] = BusQueue(active=3, dead=2)
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.PASS, "BrokerReachable"), result.message
    assert "3 tasks wait" in result.message
    assert (result.evidence["waiting"], result.evidence["deadLettered"]) == (3, 2)
    assert {request.method for request in cloud.server.requests} <= {"GET", "POST"}


async def test_a_queue_in_which_much_waits(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    cloud.state.queues[HOST, QUEUE] = BusQueue(active=51)
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.WARN, "BuildQueueBacklog")


async def test_a_queue_that_is_not_there(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueNotFound")
    assert result.message == f"Service Bus queue {QUEUE} does not exist in {HOST}"
    assert "azure.servicebus_namespace" in result.remediation
    assert "sqs" not in result.remediation


async def test_a_queue_that_is_disabled(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    cloud.state.queues[HOST, QUEUE] = BusQueue(status="SendDisabled")
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.FAIL, "BuildQueueDisabled")
    assert "SendDisabled" in result.message


async def test_an_identity_that_may_not(cloud: AzureCloud, person: Principal) -> None:
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "AzureAccessDenied")
    assert "Azure Service Bus Data Owner" in result.remediation
    result = await judge(cloud, client=person.client)
    assert (result.status, result.reason) == (Status.FAIL, "AzurePlatformAccessDenied")


async def test_no_identity(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "ServiceBusNotEvaluated")
    assert "no Azure identity in this process" in result.message


def test_the_vendors_own_client_agrees_with_the_server(cloud: AzureCloud, person: Principal) -> None:
    from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError
    from azure.identity import WorkloadIdentityCredential
    from azure.servicebus.management import ServiceBusAdministrationClient

    trust = {"connection_verify": str(cloud.ca_file), "retry_total": 0}
    with cloud.led(HOST):
        credential = WorkloadIdentityCredential(disable_instance_discovery=True, **trust)
        with ServiceBusAdministrationClient(HOST, credential, **trust) as client:
            with pytest.raises(ClientAuthenticationError):
                client.get_queue_runtime_properties(QUEUE)
            cloud.grant(person, HOST)
            with pytest.raises(ResourceNotFoundError):
                client.get_queue_runtime_properties(QUEUE)
            cloud.state.queues[HOST, QUEUE] = BusQueue(active=3, dead=2)
            found = client.get_queue_runtime_properties(QUEUE)
            assert (found.active_message_count, found.dead_letter_message_count) == (3, 2)
            assert client.get_queue(QUEUE).status == "Active"
        credential.close()
