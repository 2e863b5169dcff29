"""Section 8: replicas, resources, database, image repositories and the rest."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH, NO_INSTALL, Broken, Cloud, View, rule
from mehc_checks.clients.kubernetes.scheduling.quantity import parse
from mehc_checks.core.outcome import Severity

_PDB: Final = "podDisruptionBudget"
_LLM: Final = tuple(
    f"{LAUNCH}.{name}_repository"
    for name in ("vllm", "tensorrt_llm", "tgi", "lightllm", "sglang", "batch_inference_vllm")
)
_BUNDLES: Final = tuple(
    f"{LAUNCH}.{name}_repository"
    for name in (
        "user_inference_base",
        "user_inference_pytorch",
        "user_inference_tensorflow",
        "docker_image_layer_cache",
    )
)
_RELATIVE: Final = re.compile(r"[a-z0-9\-_/]*")
"""What the platform puts the registry's prefix before. Source: the ``*docker_repository.py`` of model engine."""
_FILES: Final = (
    f"{LAUNCH}.cloud_file_llm_fine_tune_repository",
    f"{LAUNCH}.hf_user_fine_tuned_weights_prefix",
)
_SCHEMES: Final = {
    Cloud.AWS: ("s3://",),
    Cloud.ONPREM: ("s3://",),
    Cloud.AZURE: ("azure://", "https://"),
    Cloud.GCP: ("gs://",),
}


@rule(
    "S8-01",
    title="the disruption budget lets a node be drained",
    severity=Severity.WARNING,
    reads=(
        f"{_PDB}.enabled",
        f"{_PDB}.minAvailable",
        "replicaCount.gateway",
        "autoscaling.horizontal.minReplicas",
    ),
    consequence="Draining a node waits for ever; with minAvailable 0 the chart writes maxUnavailable as null, "
    "which the "
    "API server refuses.",
    remedy="Set podDisruptionBudget.minAvailable to at least 1 and below the number of gateways.",
)
def disruption_budget(view: View) -> Iterator[Broken]:
    if not view.flag(f"{_PDB}.enabled"):
        return
    path = f"{_PDB}.minAvailable"
    least = view.number(path)
    scaled = view.flag("autoscaling.horizontal.enabled")
    replicas = view.number("autoscaling.horizontal.minReplicas" if scaled else "replicaCount.gateway")
    if view.text(path) in ("0", "0%"):
        yield Broken(
            path=path,
            message=f"is {view.text(path)}, which the chart takes for not set",
            severity=Severity.HIGH,
        )
    elif view.text(path) == "100%" or (least is not None and replicas is not None and least >= replicas):
        yield Broken(
            path=path,
            message=f"is {view.text(path)} of {replicas if replicas is not None else 'all'} gateways",
        )


@rule(
    "S8-02",
    title="the database's schema is migrated by the install",
    severity=Severity.WARNING,
    reads=("db.runDbMigrationScript", "db.runDbInitScript"),
    consequence="On a first install there are no tables, and model creation fails with errors of the database.",
    remedy="Set db.runDbMigrationScript to true: the chart's values.yaml has that, values_sample.yaml has "
    "false, and the "
    "values reference says both. Leave runDbInitScript false: it makes tables and no revision, and the migration "
    "then fails with DuplicateSchema.",
    explains=("DatabaseMigrated/InitializedWithoutVersion", "ControlPlaneReady/MigrationJobFailed"),
)
def migration(view: View) -> Iterator[Broken]:
    migrates = view.flag("db.runDbMigrationScript")
    if not migrates and not view.installed:  # afterwards DatabaseMigrated knows what is in the database
        yield Broken(path="db.runDbMigrationScript", message="is false")
    if view.flag("db.runDbInitScript") and migrates:
        yield Broken(
            path="db.runDbInitScript",
            message="is true beside runDbMigrationScript, which fails on what it makes",
            severity=Severity.CRITICAL,
        )


@rule(
    "S8-03",
    title="the sizes of the connection pool are left alone",
    severity=Severity.CRITICAL,
    reads=(f"{INFRA}.db_engine_pool_size", f"{INFRA}.db_engine_max_overflow"),
    consequence="The chart writes numbers as text, with which SQLAlchemy ends in a TypeError: every use of the "
    "database "
    "fails.",
    remedy="Take the key out of every values file; null is not the default of 10, but a value too. The values "
    "reference and the sample set it.",
    explains=("DatabaseMigrated/PoolSizeSet",),
)
def pool_size(view: View) -> Iterator[Broken]:
    for name in ("db_engine_pool_size", "db_engine_max_overflow"):
        path = f"{INFRA}.{name}"
        if view.has(path):
            yield Broken(path=path, message=f"is set, to {view.text(path) or 'null'}")


@rule(
    "S8-04",
    title="stale database connections are noticed, and SQL is not logged",
    severity=Severity.WARNING,
    reads=(
        f"{INFRA}.db_engine_disconnect_strategy",
        f"{INFRA}.db_engine_echo",
        f"{INFRA}.db_engine_echo_pool",
    ),
    consequence="After a failover of the database requests fail on dead connections; echoed SQL fills the logs.",
    remedy="Set db_engine_disconnect_strategy to pessimistic, and both echo settings to false, or leave them out.",
)
def database_engine(view: View) -> Iterator[Broken]:
    path = f"{INFRA}.db_engine_disconnect_strategy"
    given = view.text(path)
    if given and given != "pessimistic":
        unknown = "" if given == "optimistic" else ", which the platform does not know"
        severity = Severity.WARNING if given == "optimistic" else Severity.HIGH
        yield Broken(path=path, message=f"is {given}{unknown}", severity=severity)
    for name in ("db_engine_echo", "db_engine_echo_pool"):
        if view.flag(f"{INFRA}.{name}"):
            yield Broken(
                path=f"{INFRA}.{name}", message=f"is {view.text(f'{INFRA}.{name}')}", severity=Severity.INFO
            )


@rule(
    "S8-05",
    title="image repositories are relative to docker_repo_prefix",
    severity=Severity.CRITICAL,
    reads=(*_LLM, *_BUNDLES, f"{INFRA}.docker_repo_prefix", f"{INFRA}.docker_registry_type"),
    consequence="Creating an endpoint ends in 404 or 500: the platform asks the registry for a repository of "
    "that whole "
    "name.",
    remedy="Write the path below docker_repo_prefix: vllm. The values reference says to write the full path; the "
    "platform looks for it inside the registry and finds nothing.",
    explains=("VllmImagePullable/FullPathRepository",),
)
def repositories(view: View) -> Iterator[Broken]:
    prefix = view.text(f"{INFRA}.docker_repo_prefix")
    artifacts = "-docker.pkg.dev" in prefix or view.text(f"{INFRA}.docker_registry_type") == "gar"
    for path in (*_LLM, *(_BUNDLES if artifacts else ())):
        given = view.text(path)
        if given and not _RELATIVE.fullmatch(given):
            yield Broken(
                path=path, message=f"is {given}, not a path of lower-case letters, digits, -, _ and /"
            )


@rule(
    "S8-06",
    title="images that are kept have tags that do not move",
    severity=Severity.WARNING,
    reads=("image.pullPolicy", "tag"),
    consequence="Nodes go on with the image that they have, and replicas run different code.",
    remedy="Use a tag of a commit with IfNotPresent, or pullPolicy Always.",
    explains=("ControlPlaneReady/ComponentMissing",),
)
def moving_tag(view: View) -> Iterator[Broken]:
    policy, tag = view.text("image.pullPolicy"), view.text("tag")
    if policy and policy not in ("Always", "IfNotPresent", "Never"):
        message = f"is {policy}, not Always, IfNotPresent or Never"
        yield Broken(path="image.pullPolicy", message=message, severity=Severity.CRITICAL)
    elif policy in ("IfNotPresent", "Never") and tag in (
        "latest",
        "main",
        "master",
        "dev",
        "stable",
        "nightly",
    ):
        yield Broken(path="image.pullPolicy", message=f"is {policy}, and tag is {tag}, which moves")


@rule(
    "S8-07",
    title="the image builder has its ServiceAccount in the namespace default",
    severity=Severity.HIGH,
    reads=(
        "imageBuilderServiceAccount.create",
        "imageBuilderServiceAccount.annotations",
        "serviceAccount.namespaces",
    ),
    consequence="Builds of custom images fail: their Job always runs in the namespace default, as "
    "ServiceAccount kaniko.",
    remedy="Add default to serviceAccount.namespaces, and give imageBuilderServiceAccount.annotations the role "
    "that may "
    "push to the registry.",
    clouds=(Cloud.AWS,),
)
def image_builder(view: View) -> Iterator[Broken]:
    if not view.flag("imageBuilderServiceAccount.create"):
        return
    path = "serviceAccount.namespaces"
    if "default" not in view.items(path) and view.seen(path):
        yield Broken(path=path, message="lacks default")
    path = "imageBuilderServiceAccount.annotations"
    if not view.table(path).get("eks.amazonaws.com/role-arn") and view.seen(path):
        yield Broken(path=path, message="has no eks.amazonaws.com/role-arn")


@rule(
    "S8-08",
    title="fine-tuning files are in this cloud's store",
    severity=Severity.HIGH,
    reads=(*_FILES, f"{INFRA}.s3_bucket"),
    consequence="Fine-tuning jobs fail when they write.",
    remedy="Begin the address with the scheme of the cloud: s3:// on aws and onprem, azure:// on azure (az:// is read "
    "nowhere), gs:// on gcp.",
    explains=("ObjectStoreReachable/WrongScheme", "ObjectStoreReachable/BucketNameInvalid"),
)
def file_schemes(view: View) -> Iterator[Broken]:
    schemes = next((known for cloud, known in _SCHEMES.items() if cloud == view.cloud), ())
    for path in _FILES:
        given = view.text(path)
        if given and schemes and not given.startswith(schemes):
            yield Broken(path=path, message=f"is {given.partition('?')[0]}, on {view.cloud}")
        elif given.partition("://")[1] and not given.partition("://")[2].strip("/"):
            yield Broken(path=path, message=f"is {given}, which names no bucket")
    bucket = view.text(f"{INFRA}.s3_bucket")
    if "://" in bucket or "/" in bucket:
        yield Broken(path=f"{INFRA}.s3_bucket", message=f"is {bucket}, not the bare name of a bucket")


@rule(
    "S8-09",
    title="the control plane reserves memory",
    severity=Severity.WARNING,
    reads=(
        "resources.requests.memory",
        "resources.requests.cpu",
        "resources.limits.memory",
        "resources.limits.cpu",
    ),
    consequence="Nodes may take too many pods, and end the gateway first when memory runs short.",
    remedy="Set resources.requests.memory; the values reference shows 4Gi, and 8Gi as the limit.",
    explains=("ControlPlaneReady/ComponentMissing",),
)
def reserved_memory(view: View) -> Iterator[Broken]:
    for kind in ("requests", "limits"):
        for name in ("cpu", "memory"):
            path = f"resources.{kind}.{name}"
            given = view.text(path)
            if given and not _is_quantity(given):
                yield Broken(
                    path=path, message=f"is {given}, no quantity of Kubernetes", severity=Severity.HIGH
                )
    if view.text("resources.limits.memory"):
        return  # which is the request, where there is none
    if view.absent("resources.requests.memory"):
        yield Broken(path="resources.requests.memory", message="is not set, nor is a limit")


@rule(
    "S8-10",
    title="context names the environment",
    severity=Severity.HIGH,
    reads=("context",),
    consequence="Not set, labels are null and the API server refuses them; circleci replaces the platform's clients by "
    "fakes.",
    remedy="Set context to the name of the environment, for example production.",
    explains=NO_INSTALL,
)
def deployment_context(view: View) -> Iterator[Broken]:
    if view.absent("context"):
        yield Broken(path="context", message="is not set")
    elif view.text("context") == "circleci":
        yield Broken(path="context", message="is circleci", explains=())
    elif not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", view.text("context")):
        yield Broken(path="context", message=f"is {view.text('context')[:70]}, which no label can hold")


@rule(
    "S8-11",
    title="spellbook is off",
    severity=Severity.INFO,
    reads=("spellbook.enabled",),
    consequence="A Job of the vendor's own runs at each install.",
    remedy="Set spellbook.enabled to false.",
)
def spellbook(view: View) -> Iterator[Broken]:
    if view.flag("spellbook.enabled"):
        yield Broken(path="spellbook.enabled", message="is true")


@rule(
    "S8-12",
    title="gateway, cacher and builder have replicas",
    severity=Severity.CRITICAL,
    reads=("replicaCount.gateway", "replicaCount.cacher", "replicaCount.builder"),
    consequence="Without a cacher no status is known, without a builder no endpoint is made, without a gateway nothing "
    "answers.",
    remedy="Set it to at least 1; two gateways for high availability.",
    explains=tuple(f"ControlPlaneReady/{name}/ScaledDown" for name in ("gateway", "cacher", "builder")),
)
def replicas(view: View) -> Iterator[Broken]:
    for name in ("gateway", "cacher", "builder"):
        path = f"replicaCount.{name}"
        if view.raw(path) is None:
            continue
        count = view.number(path)
        if name == "gateway" and view.flag("autoscaling.horizontal.enabled"):
            continue
        if count is None or count < 1:
            yield Broken(
                path=path,
                message=f"is {view.text(path) or 'no number'}",
                explains=(f"ControlPlaneReady/{name}/ScaledDown",),
            )
        elif name == "gateway" and count == 1:
            yield Broken(
                path=path, message="is 1: no high availability", severity=Severity.WARNING, explains=()
            )


def _is_quantity(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
