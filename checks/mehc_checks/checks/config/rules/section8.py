"""Section 8: replicas, resources, database, image repositories and the rest."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_INSTALL, NO_START, critical, high, info, warning
from mehc_checks.checks.config.rules.rule import LAUNCH, Cloud, View, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import displayed, printed
from mehc_checks.modelengine.names import CHART, CHART_VOLUMES, PRIORITY_CLASSES

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
_SCHEMES: Final = {
    Cloud.AWS: ("s3://",),
    Cloud.ONPREM: ("s3://",),
    Cloud.AZURE: ("azure://", "https://"),
    Cloud.GCP: ("gs://",),
}
_ECHO: Final = (True, False, "debug", None)
"""What SQLAlchemy accepts as ``echo``, and null. Source: ``log.py`` of SQLAlchemy."""

DRAIN_BLOCKED: Final = warning(
    "DrainBlocked",
    "Draining a node never ends while a gateway runs on it.",
    message="{path} is {value} of {replicas} gateways: a node with a gateway can never be drained",
    remedy="Set {path} below the number of gateways.",
)


@rule(
    "S8-01",
    title="the disruption budget lets a node be drained",
    reads=(paths.PDB_ENABLED, paths.PDB_MIN_AVAILABLE, paths.REPLICAS_GATEWAY, paths.HPA_MIN_REPLICAS),
    faults=(DRAIN_BLOCKED,),
)
def disruption_budget(view: View) -> Iterator[Finding]:
    if not view.flag(paths.PDB_ENABLED):
        return
    path = paths.PDB_MIN_AVAILABLE
    least = view.number(path)
    replicas = view.number(paths.HPA_MIN_REPLICAS if view.gateway_is_scaled else paths.REPLICAS_GATEWAY)
    if view.text(path) == "100%" or (least and replicas is not None and least >= replicas):
        yield DRAIN_BLOCKED.at(
            path, value=view.text(path), replicas=replicas if replicas is not None else "all"
        )


MIGRATION_OFF: Final = warning(
    "MigrationOff",
    "On a first install there are no tables, and every request that needs the database fails.",
    message="{path} is false: a first install has no tables, and requests fail",
    remedy="Set {path} to true.",
)
INIT_AND_MIGRATION: Final = critical(
    "InitAndMigration",
    "On an empty database the migration fails with DuplicateSchema: the init script creates tables and no revision.",
    message="{path} is true beside db.runDbMigrationScript: the migration fails on the tables that it creates",
    remedy="Set {path} to false.",
    explains=("DatabaseMigrated/IncompleteWithoutVersion", "ControlPlaneReady/MigrationJobFailed"),
)


@rule(
    "S8-02",
    title="the database is migrated by the install",
    reads=(paths.RUN_MIGRATION, paths.RUN_INIT),
    faults=(INIT_AND_MIGRATION, MIGRATION_OFF),
)
def migration(view: View) -> Iterator[Finding]:
    migrates = view.flag(paths.RUN_MIGRATION)
    if not migrates and not view.installed:  # afterwards DatabaseMigrated knows what is in the database
        yield MIGRATION_OFF.at(paths.RUN_MIGRATION)
    if migrates and view.flag(paths.RUN_INIT):
        yield INIT_AND_MIGRATION.at(paths.RUN_INIT)


POOL_SIZE_UNUSABLE: Final = critical(
    "PoolSizeUnusable",
    "Every use of the database fails with a TypeError: the chart writes numbers as text, and null as null.",
    message="{path} is {value}, which SQLAlchemy gets as {kind}: every use of the database fails (TypeError)",
    remedy="Remove the key {path} from every values file; the default is 10.",
    explains=("DatabaseMigrated/PoolSizeUnusable", *NO_START),
)


@rule(
    "S8-03",
    title="the sizes of the connection pool are left alone",
    reads=(paths.DB_ENGINE_POOL_SIZE, paths.DB_ENGINE_MAX_OVERFLOW),
    faults=(POOL_SIZE_UNUSABLE,),
)
def pool_size(view: View) -> Iterator[Finding]:
    for path in (paths.DB_ENGINE_POOL_SIZE, paths.DB_ENGINE_MAX_OVERFLOW):
        if not view.has(path):
            continue
        value = view.read(path)
        if not isinstance(value, bool):  # which Python counts with
            kind = "null" if value is None else "text"
            explains = None if path == paths.DB_ENGINE_POOL_SIZE else ("DatabaseMigrated/PoolSizeUnusable",)
            yield POOL_SIZE_UNUSABLE.at(path, value=value or kind, kind=kind, explains=explains)


DISCONNECT_STRATEGY_WEAK: Final = warning(
    "DisconnectStrategyWeak",
    "After a failover of the database, requests fail on dead connections.",
    message="{path} is {value}: after a failover of the database, requests fail on dead connections",
    remedy="Set {path} to pessimistic.",
)
DISCONNECT_STRATEGY_UNKNOWN: Final = high(
    "DisconnectStrategyUnknown",
    "After a failover of the database, requests fail on dead connections.",
    message="{path} is {value}, which the platform does not know: dead connections are not noticed",
    remedy="Set {path} to pessimistic.",
)
SQL_LOGGED: Final = info(
    "SQLLogged",
    "SQL statements fill the logs.",
    message="{path} is {value}: SQL statements fill the logs",
    remedy="Set {path} to false, or remove it.",
)
SQL_ECHO_INVALID: Final = critical(
    "SQLEchoInvalid",
    "Every use of the database fails with a KeyError: SQLAlchemy knows true, false and debug only.",
    message="{path} is the text {value}, which SQLAlchemy does not know: every use of the database fails (KeyError)",
    remedy="Write {path} as true or false, without quotes, or remove it.",
    explains=NO_START,
)


@rule(
    "S8-04",
    title="stale database connections are noticed, and SQL is not logged",
    reads=(paths.DB_ENGINE_DISCONNECT_STRATEGY, paths.DB_ENGINE_ECHO, paths.DB_ENGINE_ECHO_POOL),
    faults=(SQL_ECHO_INVALID, DISCONNECT_STRATEGY_UNKNOWN, DISCONNECT_STRATEGY_WEAK, SQL_LOGGED),
)
def database_engine(view: View) -> Iterator[Finding]:
    path = paths.DB_ENGINE_DISCONNECT_STRATEGY
    given = view.text(path)
    if given == "optimistic":
        yield DISCONNECT_STRATEGY_WEAK.at(path, value=given)
    elif given and given != "pessimistic":
        yield DISCONNECT_STRATEGY_UNKNOWN.at(path, value=given)
    for path in (paths.DB_ENGINE_ECHO, paths.DB_ENGINE_ECHO_POOL):
        value = view.read(path)
        if value not in _ECHO:
            yield SQL_ECHO_INVALID.at(path, value=repr(value))
        elif value:
            yield SQL_LOGGED.at(path, value=value)


REPOSITORY_NOT_RELATIVE: Final = critical(
    "RepositoryNotRelative",
    "Creating an endpoint fails with 404 or 500: the registry is asked for a repository of that whole name.",
    message="{path} is {value}: the platform looks for it below docker_repo_prefix and finds nothing",
    remedy="Set {path} to the path below docker_repo_prefix, for example vllm: lower-case letters, digits, -, _ and /.",
    explains=("VllmImagePullable/FullPathRepository",),
)


@rule(
    "S8-05",
    title="image repositories are relative to docker_repo_prefix",
    reads=(*_LLM, *_BUNDLES, paths.DOCKER_REPO_PREFIX, paths.DOCKER_REGISTRY_TYPE),
    faults=(REPOSITORY_NOT_RELATIVE,),
)
def repositories(view: View) -> Iterator[Finding]:
    prefix, given = view.text(paths.DOCKER_REPO_PREFIX), view.text(paths.DOCKER_REGISTRY_TYPE)
    if given == "onprem":
        return  # that class asks for nothing before it is pulled, and pulls full paths as they are
    artifacts = given == "gar" or (not given and "-docker.pkg.dev" in prefix)
    for path in (*_LLM, *(_BUNDLES if artifacts else ())):
        repository = view.text(path)
        if repository and not _RELATIVE.fullmatch(repository):
            yield REPOSITORY_NOT_RELATIVE.at(path, value=repository)


MOVING_TAG_KEPT: Final = warning(
    "MovingTagKept",
    "Nodes keep the image that they have, and replicas run different code.",
    message="{path} is {value}, but tag is {tag}, which moves: replicas run different code",
    remedy="Set tag to the tag of a commit, or {path} to Always.",
)
PULL_POLICY_UNKNOWN: Final = critical(
    "PullPolicyUnknown",
    "The API server rejects the Deployments.",
    message="{path} is {given}, not Always, IfNotPresent or Never: the API server rejects the Deployments",
    remedy="Set {path} to Always or IfNotPresent.",
    explains=("ControlPlaneReady/ComponentMissing",),
)


@rule(
    "S8-06",
    title="images that are kept have tags that do not move",
    reads=(paths.PULL_POLICY, paths.TAG),
    faults=(MOVING_TAG_KEPT, PULL_POLICY_UNKNOWN),
)
def moving_tag(view: View) -> Iterator[Finding]:
    policy, tag = view.text(paths.PULL_POLICY), view.text(paths.TAG)
    for problem in view.problems_below(paths.PULL_POLICY):
        yield PULL_POLICY_UNKNOWN.at(paths.PULL_POLICY, given=problem.given)
    if policy in ("IfNotPresent", "Never") and tag in (
        "latest",
        "main",
        "master",
        "dev",
        "stable",
        "nightly",
    ):
        yield MOVING_TAG_KEPT.at(paths.PULL_POLICY, value=policy, tag=tag)


_NO_BUILDS: Final = (
    "Builds of custom images fail: their Job runs in namespace default, as ServiceAccount kaniko."
)
IMAGE_BUILDER_NOT_IN_DEFAULT: Final = high(
    "ImageBuilderNotInDefault",
    _NO_BUILDS,
    message="{path} lacks default, where the Jobs of image builds run: builds of custom images fail",
    remedy="Add default to {path}.",
)
IMAGE_BUILDER_WITHOUT_ROLE: Final = high(
    "ImageBuilderWithoutRole",
    _NO_BUILDS,
    message="{path} has no eks.amazonaws.com/role-arn: builds of custom images cannot push to the registry",
    remedy="Set eks.amazonaws.com/role-arn in {path} to a role that can push to the registry.",
)


@rule(
    "S8-07",
    title="the image builder has its ServiceAccount in namespace default",
    reads=(paths.IMAGE_BUILDER_CREATE, paths.IMAGE_BUILDER_ANNOTATIONS, paths.ACCOUNT_NAMESPACES),
    faults=(IMAGE_BUILDER_NOT_IN_DEFAULT, IMAGE_BUILDER_WITHOUT_ROLE),
    clouds=(Cloud.AWS,),
)
def image_builder(view: View) -> Iterator[Finding]:
    if not view.flag(paths.IMAGE_BUILDER_CREATE):
        return
    if "default" not in view.items(paths.ACCOUNT_NAMESPACES) and view.seen(paths.ACCOUNT_NAMESPACES):
        yield IMAGE_BUILDER_NOT_IN_DEFAULT.at(paths.ACCOUNT_NAMESPACES)
    path = paths.IMAGE_BUILDER_ANNOTATIONS
    if not view.table(path).get("eks.amazonaws.com/role-arn") and view.seen(path):
        yield IMAGE_BUILDER_WITHOUT_ROLE.at(path)


STORE_SCHEME_WRONG: Final = high(
    "StoreSchemeWrong",
    "Fine-tuning jobs fail when they write.",
    message="{path} is {value} on {cloud}: fine-tuning jobs fail when they write",
    remedy="Begin {path} with {wanted}.",
    explains=("ObjectStoreReachable/WrongScheme",),
)
STORE_BUCKET_UNNAMED: Final = high(
    "StoreBucketUnnamed",
    "Fine-tuning jobs fail when they write.",
    message="{path} is {value}, which names no bucket",
    remedy="Add the bucket to {path}, for example s3://my-bucket/path.",
    explains=("ObjectStoreReachable/WrongScheme", "ObjectStoreReachable/BucketNameInvalid"),
)
BUCKET_NOT_BARE: Final = high(
    "BucketNotBare",
    "The platform asks for a bucket that cannot exist.",
    message="{path} is {value}, not the bare name of a bucket",
    remedy="Set {path} to the name of the bucket alone.",
    explains=("ObjectStoreReachable/BucketNameInvalid",),
)


@rule(
    "S8-08",
    title="fine-tuning files are in this cloud's store",
    reads=(paths.FINE_TUNE_REPOSITORY, paths.FINE_TUNED_WEIGHTS_PREFIX, paths.S3_BUCKET),
    faults=(STORE_SCHEME_WRONG, STORE_BUCKET_UNNAMED, BUCKET_NOT_BARE),
)
def file_schemes(view: View) -> Iterator[Finding]:
    schemes = next((known for cloud, known in _SCHEMES.items() if cloud == view.cloud), ())
    for path in (paths.FINE_TUNE_REPOSITORY, paths.FINE_TUNED_WEIGHTS_PREFIX):
        given = view.text(path)
        if given and schemes and not given.startswith(schemes):
            shown = given.partition("?")[0]
            yield STORE_SCHEME_WRONG.at(path, value=shown, cloud=view.cloud, wanted=schemes[0])
        elif given.partition("://")[1] and not given.partition("://")[2].strip("/"):
            yield STORE_BUCKET_UNNAMED.at(path, value=given)
    bucket = view.text(paths.S3_BUCKET)
    if "://" in bucket or "/" in bucket:
        yield BUCKET_NOT_BARE.at(paths.S3_BUCKET, value=bucket)


MEMORY_NOT_RESERVED: Final = warning(
    "MemoryNotReserved",
    "Nodes can be overcommitted; under memory pressure the gateway is evicted or OOM-killed first.",
    message="{path} is not set, nor is a limit: under memory pressure the gateway is evicted first",
    remedy="Set {path}, for example to 4Gi.",
)
RESOURCES_INVALID: Final = critical(
    "ResourcesInvalid",
    "The API server rejects the Deployments.",
    message="{path} is {given}, but must be {wanted}: the API server rejects the Deployments",
    remedy="Set {path} to {wanted}.",
    explains=("ControlPlaneReady/ComponentMissing",),
)


@rule(
    "S8-09",
    title="the control plane reserves memory",
    reads=(
        "resources.requests.memory",
        "resources.requests.cpu",
        "resources.limits.memory",
        "resources.limits.cpu",
    ),
    faults=(MEMORY_NOT_RESERVED, RESOURCES_INVALID),
)
def reserved_memory(view: View) -> Iterator[Finding]:
    for problem in view.problems_below("resources"):
        yield RESOURCES_INVALID.at(problem.path, given=problem.given, wanted=problem.wanted)
    if view.text("resources.limits.memory"):
        return  # which is the request, where there is none
    if view.absent("resources.requests.memory"):
        yield MEMORY_NOT_RESERVED.at("resources.requests.memory")


CONTEXT_UNSET: Final = warning(
    "ContextUnset",
    "Labels and the default names of secrets lack the environment.",
    message="{path} is not set: labels and the default names of secrets lack the environment",
    remedy="Set {path} to the name of the environment, for example production.",
)
CONTEXT_CIRCLECI: Final = high(
    "ContextCircleCI",
    "The value circleci switches the platform to fake clients.",
    message="{path} is circleci, which switches the platform to fake clients",
    remedy="Set {path} to the name of the environment, for example production.",
)
CONTEXT_NOT_A_LABEL: Final = critical(
    "ContextNotALabel",
    "Helm fails where it is not text, and the API server rejects every object that has it as a label.",
    message="{path} is {given}, which cannot be the value of a label: the API server rejects every object",
    remedy="Set {path} to at most 63 letters, digits, -, _ and ., for example production.",
    explains=NO_INSTALL,
)


@rule(
    "S8-10",
    title="context names the environment",
    reads=(paths.CONTEXT,),
    faults=(CONTEXT_UNSET, CONTEXT_CIRCLECI, CONTEXT_NOT_A_LABEL),
)
def deployment_context(view: View) -> Iterator[Finding]:
    path = paths.CONTEXT
    if view.absent(path):
        yield CONTEXT_UNSET.at(path)
    elif view.text(path) == "circleci":
        yield CONTEXT_CIRCLECI.at(path)
    for problem in view.problems_below(path):
        yield CONTEXT_NOT_A_LABEL.at(path, given=problem.given)


SPELLBOOK_ON: Final = info(
    "SpellbookOn",
    "A Job of the vendor's own runs at each install.",
    message="{path} is on: a Job of the vendor's own runs at each install",
    remedy="Set {path} to false.",
)


@rule("S8-11", title="spellbook is off", reads=("spellbook.enabled",), faults=(SPELLBOOK_ON,))
def spellbook(view: View) -> Iterator[Finding]:
    if view.flag("spellbook.enabled"):
        yield SPELLBOOK_ON.at("spellbook.enabled")


REPLICAS_MISSING: Final = critical(
    "ReplicasMissing",
    "Without a gateway nothing answers; without a builder no endpoint is created.",
    message="{path} is {value}: {lost}",
    remedy="Set {path} to at least 1.",
    explains=tuple(f"ControlPlaneReady/{name}/ScaledDown" for name in ("gateway", "builder")),
)
CACHER_WITHOUT_REPLICAS: Final = warning(
    "CacherWithoutReplicas",
    "The status of endpoints is read from Kubernetes at each request, and images are not pre-pulled.",
    message="{path} is {value}: no status is cached, and images are not pre-pulled",
    remedy="Set {path} to at least 1.",
)
GATEWAY_SINGLE: Final = warning(
    "GatewaySingle",
    "The gateway is down whenever its only pod is.",
    message="{path} is 1: a single gateway has no high availability",
    remedy="Set {path} to at least 2.",
)


@rule(
    "S8-12",
    title="gateway, cacher and builder have replicas",
    reads=(paths.REPLICAS_GATEWAY, paths.REPLICAS_CACHER, paths.REPLICAS_BUILDER),
    faults=(REPLICAS_MISSING, CACHER_WITHOUT_REPLICAS, GATEWAY_SINGLE),
)
def replicas(view: View) -> Iterator[Finding]:
    for name, path, lost in (
        ("gateway", paths.REPLICAS_GATEWAY, "nothing answers requests"),
        ("cacher", paths.REPLICAS_CACHER, ""),
        ("builder", paths.REPLICAS_BUILDER, "no endpoint is created"),
    ):
        if view.raw(path) is None or (name == "gateway" and view.gateway_is_scaled):
            continue
        count = view.number(path)
        if count is None or count < 1:
            value = view.text(path) or "not a number"
            if name == "cacher":
                yield CACHER_WITHOUT_REPLICAS.at(path, value=value)
            else:
                explains = (f"ControlPlaneReady/{name}/ScaledDown",)
                yield REPLICAS_MISSING.at(path, value=value, lost=lost, explains=explains)
        elif name == "gateway" and count == 1:
            yield GATEWAY_SINGLE.at(path)


PRIORITY_CLASS_MISSING: Final = critical(
    "GatewayPriorityClassMissing",
    "No pod of the gateway, or of an endpoint, is created: the chart names the PriorityClasses after its fullname, and "
    "pods name model-engine-high-priority and model-engine-default-priority.",
    message="{path} is {value}, and the cluster has no PriorityClass {missing}: pods that name it are not created",
    remedy="Remove {path}, or create the PriorityClass {missing} as an installation without {path} does.",
    explains=(*NO_START, "ControlPlaneReady/ObjectMissing", "EndpointsReady/PriorityClassMissing"),
)
PRIORITY_CLASS_NOT_CREATED: Final = high(
    "GatewayPriorityClassNotCreated",
    "No pod of the gateway, or of an endpoint, is created, unless another installation created the PriorityClasses.",
    message="{path} is {value}, so the chart does not create PriorityClass {missing}, which its pods name",
    remedy="Remove {path}, or make sure that another installation of the chart created PriorityClass {missing}.",
)


@rule(
    "S8-13",
    title="the PriorityClasses that pods name are created",
    reads=(paths.FULLNAME_OVERRIDE, paths.SERVICE_IDENTIFIER),
    faults=(PRIORITY_CLASS_MISSING, PRIORITY_CLASS_NOT_CREATED),
)
def priority_classes(view: View) -> Iterator[Finding]:
    path = paths.FULLNAME_OVERRIDE if view.text(paths.FULLNAME_OVERRIDE) else paths.SERVICE_IDENTIFIER
    value = view.text(path)
    if not value or view.fullname == CHART:
        return
    for name in PRIORITY_CLASSES:
        if not view.installed:
            yield PRIORITY_CLASS_NOT_CREATED.at(path, value=value, missing=name)
            return
        if view.facts.priority_classes.get(name) is False:
            yield PRIORITY_CLASS_MISSING.at(path, value=value, missing=name)


MOUNT_WITHOUT_VOLUME: Final = critical(
    "MountWithoutVolume",
    "The API server rejects the Deployments.",
    message="{path} mounts {value}, which is not in extraVolumes: the API server rejects the Deployments",
    remedy="Add a volume named {value} to extraVolumes, or remove {path}.",
    explains=NO_INSTALL,
)


@rule(
    "S8-14",
    title="every extra mount has its volume",
    reads=("extraVolumeMounts", "extraVolumes"),
    faults=(MOUNT_WITHOUT_VOLUME,),
    of_install=True,
)
def mounted_volumes(view: View) -> Iterator[Finding]:
    volumes = {str(item.get("name")) for _, item in view.entries("extraVolumes")} | CHART_VOLUMES
    for path, mount in view.entries("extraVolumeMounts"):
        name = str(mount.get("name") or "")
        if name and name not in volumes:
            yield MOUNT_WITHOUT_VOLUME.at(path, value=name)


LOCK_SECONDS_INVALID: Final = critical(
    "ModelCacheSecondsInvalid",
    "Gateway, builder and cacher crash at startup with a ValueError.",
    message="{path} is {value}, not a whole number: gateway, builder and cacher crash at startup (ValueError)",
    remedy="Set {path} to a whole number of seconds below 1000000, for example 600.",
    explains=NO_START,
)


@rule(
    "S8-15",
    title="modelCache.lockStaleSeconds is a whole number",
    reads=("modelCache.lockStaleSeconds",),
    faults=(LOCK_SECONDS_INVALID,),
)
def lock_seconds(view: View) -> Iterator[Finding]:
    path = "modelCache.lockStaleSeconds"
    value = view.raw(path)
    if value and not re.fullmatch(r"\s*[+-]?[0-9_]+\s*", printed(value)):
        yield LOCK_SECONDS_INVALID.at(path, value=displayed(value))
