"""ObjectStoreReachable: the buckets that the configuration names exist and can be used."""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.object_store.facts import BucketFacts, StoreFacts, StoreParameters
from mehc_checks.checks.object_store.reasons import StoreReasons
from mehc_checks.clients.google.reasons import ZONE
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import check
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.stores import S3_SCHEME, SCHEMES

R = StoreReasons


@check(
    "ObjectStoreReachable",
    title="all configured buckets are accessible",
    severity=Severity.HIGH,
    reasons=StoreReasons,
    parameters=StoreParameters,
    asks=[Kind.STORE],
)
def object_store_reachable(facts: StoreFacts) -> Outcome:
    """Judge the store, then each bucket."""
    findings = [
        *_of_store(facts),
        *(finding for bucket in facts.buckets for finding in _of_bucket(bucket, facts)),
    ]
    if not findings:
        findings.append(R.REACHABLE(buckets=", ".join(each.bucket.name for each in facts.buckets)))
    return Outcome.of(findings, evidence=_evidence(facts))


def _of_store(facts: StoreFacts) -> Iterator[Finding]:
    for path, scheme in facts.store.misplaced:
        needed = SCHEMES.get(facts.store.cloud, S3_SCHEME)
        yield R.SCHEME(source=path, scheme=scheme, cloud=facts.store.cloud, needed=needed)
    if facts.unreadable:
        yield R.ADDRESS_INVALID()
    if facts.network:
        source = (
            "s3EndpointUrl" if facts.store.endpoint else _SOURCES.get(facts.store.cloud, paths.CLOUD_PROVIDER)
        )
        yield facts.network.finding(
            source=source,
            trust=_TRUST,
            disable_tls=f"Enable TLS on the store, or write {source} with http://.",
        )
    elif facts.untested:
        yield R.NOT_EVALUATED(address=facts.asked, detail=facts.untested)


_SOURCES: Final = {"azure": "azure.abs_account_name", "gcp": ZONE}
"""The value that names the store, where it is not the cloud provider alone."""
_TRUST: Final = (
    "Mount the authority's certificates into the pods (extraVolumes, extraVolumeMounts) and point AWS_CA_BUNDLE to the "
    "file (extraEnvVars); do the same for the process that runs the check."
)
"""boto3 trusts its own list of authorities and no other."""


def _of_bucket(facts: BucketFacts, around: StoreFacts) -> Iterator[Finding]:
    bucket, source, store = facts.bucket, facts.bucket.sources[0], around.store
    kind = "container" if store.cloud == "azure" else "bucket"
    if not bucket.is_valid(store.cloud):
        yield R.BUCKET_NAME(source=source, bucket=bucket.name)
    elif facts.exists is False:
        yield R.BUCKET_NOT_FOUND(
            kind=kind, bucket=bucket.name, sources=", ".join(bucket.sources), source=source
        )
    elif facts.problem:
        found = facts.problem.finding(subject=bucket.name, concerning=f"{kind} {bucket.name}: ")
        rejected = facts.problem.reason in (R.CREDENTIALS_REJECTED, R.DENIED)
        if facts.writing:
            yield R.WRITE_DENIED(problem=found.message, subject=bucket.name)
        elif store.endpoint and rejected:
            yield R.CREDENTIALS_REJECTED_BY_STORE(problem=found.message, subject=bucket.name)
        else:
            yield found
    elif facts.region and store.region and not store.endpoint and facts.region != store.region:
        yield R.BUCKET_REGION(
            bucket=bucket.name, region=facts.region, expected=store.region, subject=bucket.name
        )


def _evidence(facts: StoreFacts) -> Evidence:
    regions = {
        f"bucket {each.bucket.name}": each.region or "region not reported"
        for each in facts.buckets
        if each.exists
    }
    written = sum(each.written for each in facts.buckets)
    return {"endpoint": facts.store.endpoint or facts.asked or "AWS", **regions, "written": written}
