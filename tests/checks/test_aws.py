"""The path to AWS: each way of not being answered has its own reason, and none takes long."""

import asyncio
from pathlib import Path

import pytest

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.identity import METADATA_ADDRESS, Identity, Wanted
from mehc_checks.clients.aws.reasons import NOT_FOUND, AwsReasons
from testbed import ports
from testbed.aws import ACCOUNT
from testbed.aws import Aws as Emulator
from testbed.awsfailures import CASES, IDENTITY, AwsCase, isolation, live, staged


async def failure_of(aws: Aws, service: str, operation: str, **parameters: str) -> AwsProblem:
    with pytest.raises(AwsProblem) as caught:
        await aws.call(service, operation, **parameters)
    assert "remote words" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sqs", "GetQueueUrl", {"QueueName": "q"}),
        ("secretsmanager", "GetSecretValue", {"SecretId": "s"}),
        ("s3", "ListObjectsV2", {"Bucket": "bucket"}),
    ],
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_each_failure_has_its_name(
    case: AwsCase,
    service: str,
    operation: str,
    parameters: dict[str, str],
    aws: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged(case, aws, tmp_path) as environment:
        live(monkeypatch, dict(environment))
        failure = await failure_of(Aws(region="us-east-1", timeout=8), service, operation, **parameters)
    finding = failure.finding()
    assert finding.reason.name == case.reason, failure
    assert case.says in finding.message


async def test_what_does_not_exist_is_told_from_what_may_not_be_seen(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(monkeypatch, isolation(tmp_path) | aws.client_environment())
    asked = Aws(region="us-east-1", timeout=8)
    for service, operation, parameters in (
        ("sqs", "GetQueueUrl", {"QueueName": "no-such-queue"}),
        ("secretsmanager", "GetSecretValue", {"SecretId": "no-such-secret"}),
        ("s3", "ListObjectsV2", {"Bucket": "no-such-bucket"}),
        ("s3", "HeadBucket", {"Bucket": "no-such-bucket"}),
    ):
        assert (await failure_of(asked, service, operation, **parameters)).reason is NOT_FOUND
    assert (await asked.call("sts", "GetCallerIdentity"))["Account"] == ACCOUNT


async def test_the_action_that_iam_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as emulator:
        keys = emulator.user_keys("nobody", [])
        emulator.enforce()
        live(monkeypatch, isolation(tmp_path) | emulator.client_environment() | keys)
        asked = Aws(region="us-east-1", timeout=8)
        for service, operation, parameters, action in (
            ("sqs", "GetQueueUrl", {"QueueName": "q"}, "sqs:GetQueueUrl"),
            ("secretsmanager", "GetSecretValue", {"SecretId": "s"}, "secretsmanager:GetSecretValue"),
            ("s3", "ListObjectsV2", {"Bucket": "bucket"}, "s3:ListBucket"),
        ):
            failure = await failure_of(asked, service, operation, **parameters)
            finding = failure.finding()
            assert (failure.reason, failure.words["action"]) == (AwsReasons.DENIED, action)
            assert action in finding.remediation
        live(monkeypatch, {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"})
        failure = await failure_of(
            asked_anew := Aws(region="us-east-1", timeout=8), "sts", "GetCallerIdentity"
        )
        assert failure.reason is AwsReasons.CREDENTIALS_REJECTED
        assert asked_anew.region == "us-east-1"


async def test_the_metadata_address_is_named_where_it_was_tried(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ports.refused_port() as (host, port):
        nobody = f"http://{host}:{port}"
        live(monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": aws.url})
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody)
        untried = await failure_of(Aws(region="us-east-1", timeout=8), "sts", "GetCallerIdentity")
        live(monkeypatch, {"AWS_EC2_METADATA_DISABLED": ""})
        tried = await failure_of(Aws(region="us-east-1", timeout=8), "sts", "GetCallerIdentity")
    assert untried.reason is tried.reason is AwsReasons.NO_CREDENTIALS
    assert METADATA_ADDRESS not in str(untried)
    assert METADATA_ADDRESS in str(tried)


async def test_metadata_that_does_not_answer_holds_up_nobody(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ports.black_hole() as (host, port):
        live(
            monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": aws.url, "AWS_EC2_METADATA_DISABLED": ""}
        )
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{host}:{port}")
        failure = await failure_of(Aws(region="us-east-1", timeout=0.5), "sts", "GetCallerIdentity")
        assert failure.reason is AwsReasons.UNREACHABLE
        assert METADATA_ADDRESS in str(failure)
        failure = await failure_of(Aws(region="us-east-1", timeout=20), "sts", "GetCallerIdentity")
        assert failure.reason is AwsReasons.NO_CREDENTIALS  # botocore's own bound, well within ours


async def test_credentials_that_come_later_are_found(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Identity, "NONE_SECONDS", 0.1)
    live(monkeypatch, isolation(tmp_path) | {"AWS_ENDPOINT_URL": aws.url})
    failure = await failure_of(Aws(region="us-east-1", timeout=8), "sts", "GetCallerIdentity")
    assert failure.reason is AwsReasons.NO_CREDENTIALS
    credentials = "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
    (tmp_path / "no-credentials").write_text(credentials)
    await asyncio.sleep(0.2)
    await Aws(region="us-east-1", timeout=8).call("sts", "GetCallerIdentity")


def test_clients_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Values name regions and endpoints: they must not fill the memory."""
    live(monkeypatch, isolation(tmp_path) | IDENTITY)
    identity = Identity()
    wanted = [Wanted("sts", "us-east-1", f"http://127.0.0.1:{1000 + number}", None) for number in range(100)]
    made = [identity.client(each) for each in wanted]
    assert identity.client(wanted[-1]) is made[-1]
    assert identity.client(wanted[0]) is not made[0]
    assert len(identity.clients) == Identity.MOST


@pytest.mark.parametrize("region", [None, "us-east-1.evil.example/"])
async def test_a_region_that_is_none(
    region: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(monkeypatch, isolation(tmp_path) | IDENTITY)
    failure = await failure_of(Aws(region=region, timeout=8), "sqs", "ListQueues")
    assert failure.reason is AwsReasons.REGION
