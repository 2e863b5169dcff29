"""What ObjectStoreReachable can find."""

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.google.reasons import GoogleReasons
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason, Status


class StoreReasons(NetworkReasons, AwsReasons, AzureReasons, GoogleReasons):
    """The values, the connection to the store, its buckets."""

    REACHABLE = Reason(
        "ObjectStoreReachable",
        Status.PASS,
        "Every bucket exists and can be listed.",
        message="can be listed: {buckets}",
    )
    SCHEME = Reason(
        "WrongScheme",
        Status.FAIL,
        "An address of fine-tuning files has the scheme of another cloud's store.",
        message="{source} has the scheme {scheme}; the store of {cloud} needs {needed}",
        remedy="Write {source} as {needed}://bucket/path.",
    )
    ADDRESS_INVALID = Reason(
        "StoreAddressInvalid",
        Status.FAIL,
        "The store's address is not a URL: everything on the platform that reads or writes files fails with boto3's "
        "Invalid endpoint.",
        message="s3EndpointUrl is not an http:// or https:// URL with a host",
        remedy="Write s3EndpointUrl as http://host:port or https://host.",
    )
    BUCKET_NAME = Reason(
        "BucketNameInvalid",
        Status.FAIL,
        "The value is not a valid bucket name.",
        message="{source}: {bucket} is not a valid bucket name",
        remedy="Set {source} to the bare name of the bucket, without a scheme or a path.",
    )
    BUCKET_NOT_FOUND = Reason(
        "BucketNotFound",
        Status.FAIL,
        "A bucket does not exist, or belongs to another account.",
        message="{kind} {bucket} ({sources}) does not exist",
        remedy="Create {kind} {bucket}, or correct {source}.",
        defaults={"kind": "bucket"},
    )
    BUCKET_REGION = Reason(
        "BucketRegionMismatch",
        Status.WARN,
        "A bucket is in another region than the installation: access is slower, and traffic is charged per byte.",
        message="bucket {bucket} is in {region}; default_region is {expected}",
        remedy="Use a bucket in {expected}, or set config.values.infra.default_region to {region}.",
    )
    WRITE_DENIED = Reason(
        "WriteDenied",
        Status.ERROR,
        "mehc's own identity can list the bucket but not write to it; the platform's identity was not tested.",
        message="{problem}",
        remedy="Allow s3:PutObject, s3:GetObject and s3:DeleteObject under .mehc-probe/ in the policy of the identity "
        "that runs the check, or set the parameter write to false.",
    )
    CREDENTIALS_REJECTED_BY_STORE = Reason(
        "StoreCredentialsRejected",
        Status.ERROR,
        "The S3-compatible store rejects mehc's own credentials; the platform's credentials were not tested.",
        message="{problem}",
        remedy="Give the process that runs the check the credentials that pods of the platform get (extraPodEnvFrom).",
    )
    NOT_EVALUATED = Reason(
        "StoreNotEvaluated",
        Status.ERROR,
        "The store is reachable over TLS. Access was not tested, which takes an identity of the cloud.",
        message="{address} is reachable over TLS; access was not tested: {detail}",
        remedy="Check the gateway's log for errors of the store; its identity needs to read and write objects. To have "
        "it tested, give the operator an identity of the cloud that can list them (Storage Blob Data Reader on Azure, "
        "roles/storage.objectViewer on Google Cloud).",
        defaults={"detail": "mehc has no identity of this cloud"},
    )
