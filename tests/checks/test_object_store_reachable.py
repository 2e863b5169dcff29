"""ObjectStoreReachable against an S3 API over HTTP, and against stores that only the network tells of."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mehc_checks.aws.client import Aws as Asked
from mehc_checks.aws.client import AwsFailure, Trouble
from mehc_checks.aws.reasons import AwsReasons
from mehc_checks.catalogue.object_store_reachable import StoreReasons
from mehc_checks.gatherers import stores
from mehc_checks.net import Peer
from mehc_checks.outcome import Status
from mehc_checks.platform.stores import store
from mehc_checks.runner import CheckResult
from mehc_checks.values import Layer, Values
from testbed.aws import REGION, Aws
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.ports import free_port
from testbed.rulejudging import at

PRODUCED: set[str] = set()
INFRA, LAUNCH = "config.values.infra", "config.values.launch"
FILE = f"{LAUNCH}.cloud_file_llm_fine_tune_repository"
WEIGHTS = f"{LAUNCH}.hf_user_fine_tuned_weights_prefix"


async def judge(given: Tree, **parameters: Any) -> CheckResult:
    result = await judged("ObjectStoreReachable", given, parameters=parameters)
    PRODUCED.update(reason for _, _, reason, _ in result.findings)
    return result


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that exists; this process asks the emulator."""
    for name, value in aws.client_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"bucket-{secrets.token_hex(4)}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


def values(bucket: str, *overlays: Tree) -> Tree:
    return overlaid(
        at(INFRA, {"cloud_provider": "aws", "default_region": REGION, "s3_bucket": bucket}),
        at(FILE, f"s3://{bucket}/ft"),
        at(WEIGHTS, f"s3://{bucket}/weights"),
        *overlays,
    )


def onprem(url: str, bucket: str = "models") -> Tree:
    return overlaid(values(bucket), at(f"{INFRA}.cloud_provider", "onprem"), {"s3EndpointUrl": url})


def test_buckets_are_named_once_with_all_their_sources() -> None:
    found = store(Values.merged([Layer(source="x", values=values("one", at(WEIGHTS, "s3://two/w/")))]))
    assert [(each.name, each.sources, each.prefixes) for each in found.buckets] == [
        ("one", (f"{INFRA}.s3_bucket", FILE), ("", "ft")),
        ("two", (WEIGHTS,), ("w",)),
    ]


async def test_sound(bucket: str) -> None:
    result = await judge(values(bucket))
    assert (result.status, result.message) == (Status.PASS, f"{bucket} can be listed"), result.message
    assert result.evidence["written"] == 0


async def test_a_write_leaves_nothing_behind(aws: Aws, bucket: str) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key=f"{stores.RESERVED}fresh", Body=b"of another check")
    result = await judge(values(bucket), write=True)
    assert (result.status, result.evidence["written"]) == (Status.PASS, 1)
    assert _keys(aws, bucket) == [f"{stores.RESERVED}fresh"]


async def test_what_a_dead_check_left_is_deleted(
    aws: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key=f"{stores.RESERVED}left", Body=b"")
    aws.client("s3").put_object(Bucket=bucket, Key="theirs", Body=b"")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz or UTC) + timedelta(hours=2)

    monkeypatch.setattr(stores, "datetime", Later)
    assert (await judge(values(bucket), write=True)).status is Status.PASS
    assert _keys(aws, bucket) == ["theirs"]


def _keys(aws: Aws, bucket: str) -> list[str]:
    listed = aws.client("s3").list_objects_v2(Bucket=bucket)
    return [item["Key"] for item in listed.get("Contents", ())]


async def test_a_bucket_that_does_not_exist(bucket: str) -> None:
    result = await judge(values(bucket, at(WEIGHTS, "s3://no-such-bucket-here/w")))
    assert (result.status, result.reason) == (Status.FAIL, "BucketMissing")
    assert result.message == f"bucket no-such-bucket-here ({WEIGHTS}) does not exist"
    assert WEIGHTS in result.remediation


@pytest.mark.parametrize("name", ["s3://bucket", "Upper", "a", "with_underscore"])
async def test_what_is_no_name_of_a_bucket(name: str) -> None:
    result = await judge(at(INFRA, {"cloud_provider": "aws", "s3_bucket": name}))
    assert (result.status, result.reason) == (Status.FAIL, "BucketNameInvalid")
    assert name in result.message


async def test_a_bucket_in_another_region(aws: Aws, bucket: str) -> None:
    name = f"far-{secrets.token_hex(4)}"
    aws.client("s3", region="eu-west-1").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    result = await judge(values(name))
    assert (result.status, result.reason) == (Status.WARN, "BucketInAnotherRegion")
    assert result.message == f"bucket {name} is in eu-west-1, default_region is {REGION}"


@pytest.mark.parametrize(
    ("cloud", "address", "wanted"),
    [
        ("aws", "gs://b/x", "s3"),
        ("azure", "az://c/x", "azure"),
        ("gcp", "s3://b/x", "gs"),
        ("aws", "/x", "s3"),
    ],
)
async def test_the_scheme_of_another_cloud(bucket: str, cloud: str, address: str, wanted: str) -> None:
    given = overlaid(values(bucket), at(f"{INFRA}.cloud_provider", cloud), at(FILE, address))
    result = await judge(given)
    assert result.status is Status.FAIL
    said = [message for _, _, reason, message in result.findings if reason == "WrongScheme"]
    assert any(f"{FILE} has the scheme" in message and f"needs {wanted}" in message for message in said)


async def test_this_process_may_not(aws: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Aws(enforce_iam=True) as strict:
        for name, value in strict.client_environment().items():
            monkeypatch.setenv(name, value)
        result = await judge(values(bucket))
        assert (result.status, result.reason) == (Status.ERROR, "AWSAccessDenied"), result.message
        result = await judge(onprem(strict.url, bucket))
        assert (result.status, result.reason) == (Status.ERROR, "StoreRefusesCredentials"), result.message


async def test_a_store_that_can_be_listed_only(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's policies do not reach single operations of S3, so the operation itself is refused here."""
    call = Asked.call

    async def refused(self: Asked, service: str, operation: str, **words: Any) -> Any:
        if operation == "PutObject":
            raise AwsFailure(Trouble.DENIED, "s3 PutObject answered AccessDenied", action="s3:PutObject")
        return await call(self, service, operation, **words)

    monkeypatch.setattr(Asked, "call", refused)
    result = await judge(values(bucket), write=True)
    assert (result.status, result.reason) == (Status.ERROR, "WriteDenied")
    assert "s3:PutObject" in result.remediation


async def test_a_store_of_ones_own(aws: Aws, bucket: str) -> None:
    result = await judge(onprem(aws.url, bucket))
    assert (result.status, result.evidence["endpoint"]) == (Status.PASS, aws.url)


async def test_stores_that_do_not_answer(certificate_authority: CertificateAuthority) -> None:
    result = await judge(onprem(f"http://127.0.0.1:{free_port()}"))
    assert (result.status, result.reason) == (Status.FAIL, "StoreUnreachable")
    assert "correct s3EndpointUrl" in result.remediation
    result = await judge(onprem("https://no-such-host.invalid"))
    assert (result.status, result.reason) == (Status.FAIL, "StoreUnresolvable")
    with ScriptedServer(lambda _: Reply(200, b""), certificate=certificate_authority.issue()) as server:
        result = await judge(onprem(f"https://{server.address}"))
    assert (result.status, result.reason) == (Status.FAIL, "StoreUntrusted")


async def test_the_stores_of_other_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing under these domains can be had here: the handshake itself is held in test_net.py."""
    azure = overlaid(
        at(f"{INFRA}.cloud_provider", "azure"),
        at(FILE, "azure://c/x"),
        {"azure": {"abs_account_name": "ours"}},
    )
    result = await judge(azure)
    assert (result.status, result.reason) == (Status.FAIL, "StoreUnresolvable")
    assert "ours.blob.core.windows.net" in result.message

    async def sound(*_: object, **__: object) -> Peer:
        return Peer(not_after=None, protocol="TLSv1.3")

    monkeypatch.setattr(stores, "handshake", sound)
    for given in (azure, overlaid(at(f"{INFRA}.cloud_provider", "gcp"), at(FILE, "gs://b/x"))):
        result = await judge(given)
        assert (result.status, result.reason) == (Status.ERROR, "StoreNotEvaluated")


async def test_no_bucket_at_all() -> None:
    result = await judge(at(f"{INFRA}.cloud_provider", "aws"))
    assert (result.status, result.message) == (Status.SKIP, "no bucket is configured")


def test_every_reason_has_a_case() -> None:
    """Those of AWS are in tests/checks/test_aws.py."""
    own = {reason.name for reason in StoreReasons.all()} - {reason.name for reason in AwsReasons.all()}
    assert own <= PRODUCED
