"""ObjectStoreReachable against an S3 API over HTTP, and against stores that only the network tells of."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, SSLError

from mehc_checks.checks.object_store import gather as stores
from mehc_checks.checks.object_store.reasons import StoreReasons
from mehc_checks.clients.aws.client import Aws as Asked
from mehc_checks.clients.aws.client import AwsProblem
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.google.reasons import GoogleReasons
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.modelengine.stores import store
from mehc_checks.modelengine.values import Layer, Values
from testbed.aws import REGION, Aws
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.names import leading
from testbed.pki import CertificateAuthority
from testbed.ports import free_port, refused_port
from testbed.rulejudging import at

PRODUCED: set[str] = set()
INFRA, LAUNCH = "config.values.infra", "config.values.launch"
FILE = f"{LAUNCH}.cloud_file_llm_fine_tune_repository"
WEIGHTS = f"{LAUNCH}.hf_user_fine_tuned_weights_prefix"


async def judge(given: Tree, **parameters: Any) -> CheckResult:
    result = await judged("ObjectStoreReachable", given, parameters=parameters, seconds=20)
    PRODUCED.update(found.reason for found in result.findings)
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
    assert (result.status, result.message) == (Status.PASS, f"can be listed: {bucket}"), result.message
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
    assert (result.status, result.reason) == (Status.FAIL, "BucketNotFound")
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
    assert (result.status, result.reason) == (Status.WARN, "BucketRegionMismatch")
    assert result.message == f"bucket {name} is in eu-west-1; default_region is {REGION}"


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
    said = [found.message for found in result.findings if found.reason == "WrongScheme"]
    assert any(f"{FILE} has the scheme" in message and f"needs {wanted}" in message for message in said)


@pytest.mark.parametrize("address", ["s3://[your-bucket]/ft", "s3://[your-bucket/ft", "s3://your bucket/ft"])
async def test_a_placeholder_is_no_bucket(bucket: str, address: str) -> None:
    result = await judge(values(bucket, at(FILE, address)))
    assert (result.status, result.reason) == (Status.FAIL, "BucketNameInvalid"), result.message
    assert FILE in result.message


async def test_a_key_may_have_any_character(aws: Aws, bucket: str) -> None:
    result = await judge(values(bucket, at(FILE, f"s3://{bucket}/a#b?c=[d")))
    assert result.status is Status.PASS, result.message


@pytest.mark.parametrize(
    "url",
    [
        "minio:9000",
        "minio.models.svc",
        "http://minio:port",
        "http://minio:99999",
        "http://",
        "https://[minio",
    ],
)
async def test_an_address_of_a_store_that_is_none(url: str) -> None:
    """The platform's client is the oracle: it is not made, or of no use."""
    result = await judge(onprem(url))
    assert (result.status, result.reason) == (Status.FAIL, "StoreAddressInvalid"), result.message
    assert "http://host:port" in result.remediation
    with pytest.raises((ValueError, BotoCoreError)):
        _platforms(url).head_bucket(Bucket="models")


async def test_this_process_may_not(aws: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Aws(enforce_iam=True) as strict:
        for name, value in strict.client_environment().items():
            monkeypatch.setenv(name, value)
        result = await judge(values(bucket))
        assert (result.status, result.reason) == (Status.ERROR, "AWSAccessDenied"), result.message
        result = await judge(onprem(strict.url, bucket))
        assert (result.status, result.reason) == (Status.ERROR, "StoreCredentialsRejected"), result.message


async def test_a_store_that_can_be_listed_only(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's policies do not reach single operations of S3, so the operation itself is refused here."""
    call = Asked.call

    async def refused(self: Asked, service: str, operation: str, **words: Any) -> Any:
        if operation == "PutObject":
            raise AwsProblem(
                AwsReasons.DENIED,
                service="s3",
                operation="PutObject",
                where="",
                code="AccessDenied",
                action="s3:PutObject",
            )
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
    assert (result.status, result.reason) == (Status.FAIL, "ConnectionRefused")
    assert "correct the host and port in s3EndpointUrl" in result.remediation
    result = await judge(onprem("https://no-such-host.invalid"))
    assert (result.status, result.reason) == (Status.FAIL, "HostUnresolvable")
    with ScriptedServer(lambda _: Reply(200, b"")) as server:
        result = await judge(onprem(f"https://{server.address}"))
    assert (result.status, result.reason) == (Status.FAIL, "ServerNotTLS")
    with ScriptedServer(lambda _: Reply(200, b""), certificate=certificate_authority.issue()) as server:
        result = await judge(onprem(f"https://{server.address}"))
    assert (result.status, result.reason) == (Status.FAIL, "TLSUntrusted")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_a_store_of_a_private_authority(
    certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """As MinIO in a company has it. boto3, as the platform configures it, is the oracle."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Aws(ca=certificate_authority) as server:
        for name, value in server.client_environment().items():
            if name != "AWS_ENDPOINT_URL":  # as in the pods: only the values name the store
                monkeypatch.setenv(name, value)
        server.client("s3").create_bucket(Bucket="models")
        given = onprem(server.url)
        result = await judge(given, write=True)
        assert (result.status, result.reason) == (Status.FAIL, "TLSUntrusted")
        assert "point AWS_CA_BUNDLE to the file (extraEnvVars)" in result.remediation
        with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            _platforms(server.url).head_bucket(Bucket="models")

        monkeypatch.setenv(variable, str(certificate_authority.ca_file))
        result = await judge(given, write=True)
        assert (result.status, result.evidence["written"]) == (Status.PASS, 1), result.message
        assert result.evidence["endpoint"] == server.url
        if variable == "AWS_CA_BUNDLE":
            _platforms(server.url).head_bucket(Bucket="models")
        else:  # which boto3 does not look at
            monkeypatch.setenv("AWS_CA_BUNDLE", str(CertificateAuthority("another").ca_file))
            assert (await judge(given)).reason == "TLSUntrusted"


def _platforms(url: str) -> Any:
    """The client of the platform's pods. Source: ``s3_utils.py``."""
    return boto3.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))


async def test_authorities_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/ca.crt")
    result = await judge(onprem("https://127.0.0.1:1"))
    assert (result.status, result.reason) == (Status.ERROR, "InvalidValue")
    assert (
        result.message == "AWS_CA_BUNDLE of this process: /nonexistent/ca.crt is not a file of certificates"
    )


OTHERS = {
    "ours.blob.core.windows.net": overlaid(
        at(f"{INFRA}.cloud_provider", "azure"),
        at(FILE, "azure://c/x"),
        {"azure": {"abs_account_name": "ours"}},
    ),
    "storage.googleapis.com": overlaid(at(f"{INFRA}.cloud_provider", "gcp"), at(FILE, "gs://b/x")),
}


@pytest.mark.parametrize("host", OTHERS)
async def test_the_stores_of_other_clouds_under_their_own_names(
    certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Servers that speak TLS: no more is asked of them."""
    given = OTHERS[host]

    async def answered(name: str) -> CheckResult:
        certificate = certificate_authority.issue(name, names=(name,))
        with (
            ScriptedServer(lambda _: Reply(200), certificate=certificate) as server,
            leading({f"{host}:443": server.address}),
        ):
            return await judge(given)

    result = await answered(host)
    assert (result.status, result.reason) == (Status.FAIL, "TLSUntrusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))
    result = await answered(host)
    assert (result.status, result.reason) == (Status.ERROR, "StoreNotEvaluated")
    assert result.message.startswith(f"{host} is reachable over TLS; access was not tested: ")
    result = await answered("elsewhere.invalid")
    assert (result.status, result.reason) == (Status.FAIL, "TLSWrongHost")
    assert f"is not valid for {host}" in result.message
    with refused_port() as (address, port), leading({f"{host}:443": f"{address}:{port}"}):
        assert (await judge(given)).reason == "ConnectionRefused"


async def test_a_storage_account_that_does_not_exist() -> None:
    result = await judge(OTHERS["ours.blob.core.windows.net"])
    assert result.status is Status.FAIL
    assert result.reason in ("HostUnresolvable", "DNSTimeout")  # as the DNS of this machine has it
    assert "ours.blob.core.windows.net" in result.message


async def test_no_bucket_at_all() -> None:
    result = await judge(at(f"{INFRA}.cloud_provider", "aws"))
    assert (result.status, result.message) == (Status.SKIP, "no bucket is configured")


def test_every_reason_has_a_case() -> None:
    """Those of clouds are in tests/checks/test_aws.py and test_*_identity.py, those of the network in
    tests/unit/test_net.py.
    """
    families = {*AwsReasons.all(), *AzureReasons.all(), *GoogleReasons.all(), *NetworkReasons.all()}
    assert {reason.name for reason in StoreReasons.all() if reason not in families} <= PRODUCED
