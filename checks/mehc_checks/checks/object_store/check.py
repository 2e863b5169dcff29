"""ObjectStoreReachable: the buckets that the configuration names exist and can be used."""

from collections.abc import Iterator

from mehc_checks.checks.object_store.gather import BucketFacts, StoreFacts, StoreParameters, store_facts
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, Severity, Status
from mehc_checks.engine.check import check
from mehc_checks.modelengine.stores import SCHEMES


class StoreReasons(AwsReasons):
    """Reasons of ObjectStoreReachable."""

    REACHABLE = Reason("ObjectStoreReachable", Status.PASS, "Every bucket exists and can be listed.")
    SCHEME = Reason(
        "WrongScheme",
        Status.FAIL,
        "An address of fine-tuning files has the scheme of another cloud's store.",
        "Begin it with {scheme}://.",
    )
    BUCKET_NAME = Reason(
        "BucketNameInvalid",
        Status.FAIL,
        "No bucket can have the name that the values give.",
        "Correct {source}: the bare name of the bucket, without a scheme or a path.",
    )
    BUCKET_MISSING = Reason(
        "BucketMissing",
        Status.FAIL,
        "A bucket does not exist, or another account has it.",
        "Create the bucket, or correct {source}.",
    )
    BUCKET_REGION = Reason(
        "BucketInAnotherRegion",
        Status.WARN,
        "A bucket is in another region than the installation: everything is slower and paid for by the byte.",
        "Use a bucket in the installation's region, or correct default_region.",
    )
    WRITE_DENIED = Reason(
        "WriteDenied",
        Status.ERROR,
        "The identity of this process may list, and not write; that of the platform was not tried.",
        "Allow the identity that runs this check s3:PutObject, s3:GetObject and s3:DeleteObject under .mehc-probe/, or "
        "set the parameter write to false.",
    )
    STORE_REFUSES = Reason(
        "StoreRefusesCredentials",
        Status.ERROR,
        "The S3-compatible store rejects the credentials of this process; those of the platform were not tried.",
        "Give the ServiceAccount that runs this check the credentials of extraPodEnvFrom.",
    )
    ADDRESS_INVALID = Reason(
        "StoreAddressInvalid",
        Status.FAIL,
        "The store's address is no URL: whatever of the platform uses files ends with boto3's Invalid endpoint.",
        "Write s3EndpointUrl as http://host:port or https://host.",
    )
    UNRESOLVABLE = Reason(
        "StoreUnresolvable", Status.FAIL, "The store's name has no address.", "Correct {source}, or mend DNS."
    )
    STORE_UNREACHABLE = Reason(
        "StoreUnreachable",
        Status.FAIL,
        "Nothing answers at the store's address.",
        "Start the store, correct {source}, or open the network to it.",
    )
    STORE_UNTRUSTED = Reason(
        "StoreUntrusted",
        Status.FAIL,
        "The TLS handshake with the store fails: its certificate is not trusted, expired, or for another name.",
        "Renew the certificate, or correct {source}. Of a private authority, mount the certificates into the pods "
        "(extraVolumes, extraVolumeMounts) and name the file in AWS_CA_BUNDLE (extraEnvVars): boto3 trusts no other "
        "list; name it in AWS_CA_BUNDLE of the process that runs this check, too.",
    )
    NOT_EVALUATED = Reason(
        "StoreNotEvaluated",
        Status.ERROR,
        "Address and certificate of the store are sound; whether the container exists and the pods' identity "
        "may use it "
        "was not tried.",
        "Look at the gateway's log for errors of the store; the identity needs to read and write objects.",
    )


R = StoreReasons
_TLS = frozenset({N.TLS_UNTRUSTED, N.TLS_EXPIRED, N.TLS_WRONG_HOST, N.SERVER_NOT_TLS, N.TLS_HANDSHAKE_FAILED})


@check(
    "ObjectStoreReachable",
    title="the buckets that the configuration names can be used",
    severity=Severity.HIGH,
    gather=store_facts,
    reasons=StoreReasons,
    parameters=StoreParameters,
)
def object_store_reachable(facts: StoreFacts) -> Outcome:
    findings = [
        *_of_store(facts),
        *(finding for bucket in facts.buckets for finding in _of_bucket(bucket, facts)),
    ]
    if not findings:
        findings.append(
            R.REACHABLE.finding(f"{', '.join(each.bucket.name for each in facts.buckets)} can be listed")
        )
    return Outcome.of(findings, evidence=_evidence(facts))


def _of_store(facts: StoreFacts) -> Iterator[Finding]:
    for path, scheme in facts.store.misplaced:
        wanted = SCHEMES.get(facts.store.cloud, "s3")
        text = f"{path} has the scheme {scheme}, and the store of {facts.store.cloud} needs {wanted}"
        yield R.SCHEME.finding(text, scheme=wanted)
    if facts.unreadable:
        yield R.ADDRESS_INVALID.finding("s3EndpointUrl is no http:// or https:// URL with a host")
    source = "s3EndpointUrl" if facts.store.endpoint else "azure.abs_account_name"
    if failure := facts.network:
        unresolved = failure.reason is N.HOST_UNRESOLVABLE
        reason = (
            R.UNRESOLVABLE
            if unresolved
            else R.STORE_UNTRUSTED
            if failure.reason in _TLS
            else R.STORE_UNREACHABLE
        )
        yield reason.finding(str(failure), source=source)
    elif facts.asked:
        yield R.NOT_EVALUATED.finding(
            f"{facts.asked} answers with a sound certificate; no object was asked for"
        )


def _of_bucket(facts: BucketFacts, around: StoreFacts) -> Iterator[Finding]:
    bucket, source = facts.bucket, facts.bucket.sources[0]
    if not bucket.is_valid:
        yield R.BUCKET_NAME.finding(f"{source}: {bucket.name} is no name of a bucket", source=source)
    elif facts.exists is False:
        yield R.BUCKET_MISSING.finding(
            f"bucket {bucket.name} ({', '.join(bucket.sources)}) does not exist", source=source
        )
    elif failure := facts.failure:
        rejected = failure.reason in (R.CREDENTIALS_REJECTED, R.DENIED)
        if around.store.endpoint and rejected:
            yield R.STORE_REFUSES.finding(f"bucket {bucket.name}: {failure}", subject=bucket.name)
        else:
            yield failure.finding(subject=bucket.name, concerning=f"bucket {bucket.name}: ")
    elif facts.writing:
        yield R.WRITE_DENIED.finding(f"bucket {bucket.name}: {facts.writing}", subject=bucket.name)
    elif (
        facts.region
        and around.store.region
        and not around.store.endpoint
        and facts.region != around.store.region
    ):
        yield R.BUCKET_REGION.finding(
            f"bucket {bucket.name} is in {facts.region}, default_region is {around.store.region}",
            subject=bucket.name,
        )


def _evidence(facts: StoreFacts) -> Evidence:
    shown = {
        f"bucket {each.bucket.name}": each.region or "region not told"
        for each in facts.buckets
        if each.exists
    }
    written = sum(each.written for each in facts.buckets)
    return {"endpoint": facts.store.endpoint or facts.asked or "the cloud's own", **shown, "written": written}
