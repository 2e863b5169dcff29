"""What a tenant may write into one namespace."""

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice, product
from string import ascii_letters, digits
from typing import Any

from faults.arena import NAMESPACE, PLANTED, Attack
from testbed.installation import Tree, only


def secret(object_name: str, data: dict[str, str], kind: str = "Opaque", **labels: str) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": object_name, "labels": labels},
        "stringData": data,
    }


def config_map(name: str, data: dict[str, str], **metadata: Any) -> Tree:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data}


def stored(payload: str, name: str = "me", revision: int = 1) -> Tree:
    """A release as Helm stores it."""
    return secret(
        f"sh.helm.release.v1.{name}.v{revision}",
        {"release": payload},
        "helm.sh/release.v1",
        owner="helm",
        name=name,
        status="deployed",
        version=str(revision),
    )


def packed(document: Any) -> str:
    return squeezed(json.dumps(document).encode())


def squeezed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content)).decode()


def release(config: Any = None, *, description: str = "", status: str = "deployed") -> Tree:
    chart = {"metadata": {"name": "model-engine", "version": "0.2.7"}, "values": {}}
    info = {"status": status, "description": description}
    return {"name": "me", "version": 1, "info": info, "chart": chart, "config": config or {}}


def nested(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def aliases() -> str:
    lines = ["a: &a {x: x, y: x, z: x, u: x, v: x, w: x, s: x, t: x, r: x}"]
    for level in range(1, 12):
        before, name = chr(96 + level), chr(97 + level)
        keys = ", ".join(f"k{number}: *{before}" for number in range(9))
        lines.append(f"{name}: &{name} {{{keys}}}")
    return "\n".join(lines)


def merges() -> str:
    """Each map merges nine of the one before."""
    lines = ["a: &a {x: x, y: x}"]
    for level in range(1, 12):
        before, name = chr(96 + level), chr(97 + level)
        own = ", ".join(f"{name}{number}: x" for number in range(9))
        lines.append(f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}], {own}}}")
    return "\n".join(lines)


REDIS = only("RedisReachable")
FULL = bool(os.environ.get("FULL"))
"""Whether floods have the numbers that they were reported with: the API server takes minutes for them."""


def flood(number: int, what: str, make: Callable[[int], Tree], *, says: str, **more: Any) -> Attack:
    """By ``number`` objects, or by a tenth of them."""
    number = number if FULL else number // 10
    name = f"floods: {number:,} {what}{', operator restarted' * more.get('restart', False)}"
    return Attack(name=name, objects=lambda: [make(each) for each in range(number)], says=says, **more)


def pod(name: str, **metadata: Any) -> Tree:
    """One that no node takes."""
    never = {"schedulerName": "none", "containers": [{"name": "main", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": never}


def node(name: str) -> Tree:
    labels = {f"l{number}": "x" * 60 for number in range(2_000)}
    images = [{"names": [f"registry.example.com/{'x' * 200}:{n}"], "sizeBytes": 1} for n in range(2_000)]
    made = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": made, "status": {"images": images}}


def event(number: int) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"e{number}"},
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": f"p{number}"},
        "reason": "Failed",
        "message": f"{PLANTED} {'x' * 900}",
        "type": "Warning",
    }


def endpoint(number: int) -> Tree:
    """One that has no ready pod."""
    name = f"launch-endpoint-id-end-{number}"
    labels = {"app": name, "endpoint_id": f"end_{number}", "endpoint_name": f"{'n' * 50}{number}"}
    template = pod("")["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "paused": True,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": template},
        },
    }


def autoscaler(number: int) -> Tree:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": f"keda-hpa-launch-endpoint-id-end-{number}",
            "annotations": {"a": "x" * 250_000},
        },
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"d{number}"},
        },
    }


def resource(number: int) -> Tree:
    """A ModelEngineHealthCheck of 20,000 keys."""
    many = {f"k{key}": f"v{key}" for key in range(20_000)}
    return {
        "apiVersion": "health.modelengine.io/v1alpha1",
        "kind": "ModelEngineHealthCheck",
        "metadata": {"name": f"r{number}"},
        "spec": {"values": {"config": many}, "interval": "1h", **REDIS},
    }


def values(**launch: Any) -> Tree:
    return {"config": {"values": {"infra": {"cloud_provider": "aws"}, "launch": launch}}}


def pulled() -> Tree:
    """Values of an installation whose image is pulled with the Secret "pull"."""
    infra = {
        "cloud_provider": "onprem",
        "docker_registry_type": "onprem",
        "docker_repo_prefix": "127.0.0.1:1",
    }
    launch = {"vllm_repository": "vllm"}
    return {
        "inferenceFramework": {"vllm": "0.6.3"},
        "imagePullSecrets": [{"name": "pull"}],
        "config": {"values": {"infra": infra, "launch": launch}},
    }


def long_texts() -> Iterator[tuple[str, str]]:
    yield "letters", "a" * 120_000
    yield "slashes", "/" * 120_000
    yield "at signs", "redis://" + "x@" * 60_000
    yield "schemes", "redis://:" * 13_000
    yield "brackets", "redis://[" + ":" * 110_000
    yield "percent", "redis://" + "%41" * 40_000
    yield "queries", "redis://h?" + "a=b&" * 30_000
    yield "dots", "redis://" + "a." * 60_000
    yield "ellipses", "…" * 30_000
    yield "digits", "9" * 120_000


SERVICE = "model-engine-service-config"
LETTERS = ["".join(word) for word in islice(product(ascii_letters + digits + "-_.", repeat=4), 85_000)]
BRACKETS = b"[" + b"[]," * 11_000_000 + b"[]]"
NO_RELEASE, NO_MAP, ABSENT = "InstallationNotFound", "ConfigMapUnreadable", "ComponentMissing"
TIER = {"cpus": 1, "gpus": 1, "memory": "1Gi", "storage": "1Gi", "gpu_type": "x", "nodes_per_worker": 1}
BALLOON = {"replicaCount": 1, "gpuCount": 1}


def of_release(name: str, payload: Callable[[], str], says: str = NO_RELEASE) -> Attack:
    return Attack(name=f"release: {name}", objects=lambda: [stored(payload())], says=says)


def of_service(name: str, data: Callable[[], dict[str, str]]) -> Attack:
    return Attack(
        name=f"service ConfigMap: {name}",
        objects=lambda: [stored(packed(release())), config_map(SERVICE, data())],
        says=NO_MAP,
    )


def of_values(name: str, tree: Tree, says: str = "SpecInvalid", **spec: Any) -> Attack:
    return Attack(name=f"spec.values: {name}", spec={"values": tree, **spec}, says=says)


def of_text(name: str, text: str, says: str) -> Attack:
    reference = {"configMapKeyRef": {"name": "v", "key": "values.yaml"}}
    return Attack(
        name=f"valuesFrom: {name}",
        spec={"valuesFrom": [reference]},
        objects=lambda: [config_map("v", {"values.yaml": text})],
        says=says,
    )


FLOODS = [
    flood(
        600,
        "ConfigMaps with annotations of 250 KB",
        lambda n: config_map(f"c{n}", {}, annotations={"a": "x" * 250_000}),
        restart=True,
        says=NO_RELEASE,
    ),
    flood(60, "resources of 20,000 keys", resource, restart=True, says=NO_RELEASE),
    flood(
        5_000,
        "pods with annotations of 100 KB",
        lambda n: pod(f"p{n}", annotations={"a": "x" * 100_000}),
        restart=True,
        spec={"values": {**values(endpoint_namespace=NAMESPACE), "balloons": [{"acceleratorName": "x"}]}},
        says="BalloonAcceleratorUnknown",
    ),
    flood(
        100,
        "nodes with 2,000 labels and images",
        lambda n: node(f"flood-{n}"),
        spec=only("GpuNodesReady"),
        says=NO_RELEASE,
    ),
    flood(
        3_000,
        "Events in the endpoint namespace",
        event,
        spec={"values": values(endpoint_namespace=NAMESPACE), **only("EndpointsReady")},
        says="RecordNotRead",
    ),
    flood(
        5_000,
        "stuck endpoints, and 40 broken values of 9 KB",
        endpoint,
        spec={
            "values": {
                **values(endpoint_namespace=NAMESPACE),
                "balloons": [
                    {"acceleratorName": "a" * 9_000 + str(number), **BALLOON} for number in range(40)
                ],
            },
            "checks": {"EndpointsReady": {"parameters": {"gracePeriod": "0s"}}},
        },
        says="NoPodsCreated",
    ),
    flood(
        300,
        "autoscalers of 250 KB in the endpoint namespace",
        autoscaler,
        spec={
            "values": values(endpoint_namespace=NAMESPACE),
            **only("EndpointsReady", "PrometheusQueryable"),
        },
        says="RecordNotRead",
    ),
    flood(
        3_000,
        "Helm releases",
        lambda n: stored(packed(release()), f"r{n}"),
        spec={"timeout": "60s", **REDIS},
        says="ReleaseAmbiguous",
    ),
]
"""More than anyone has."""
NUMBERS = [
    of_text(f"number {text[:24]}", f"autoscaling: {{horizontal: {{minReplicas: {text}}}}}\ntag: {text}", says)
    for text, says in {
        ".nan": "ValuesInvalid",
        ".inf": "ValuesInvalid",
        "1e400": ABSENT,
        "1_000": ABSENT,
        "9" * 5_000: "ValuesInvalid",
        "!!python/object/apply:os.system [id]": ABSENT,
        "!!timestamp 9999-99-99": ABSENT,
        "? [a, b]": "ValuesInvalid",
    }.items()
]
"""What YAML takes for a number, or does not."""
ATTACKS = [
    of_release("unpacks to 32 MiB of brackets", lambda: squeezed(BRACKETS)),
    of_release("unpacks to 64 MB of zeros", lambda: squeezed(b"0" * 64_000_000)),
    of_release("not base64", lambda: "%%%"),
    of_release("cut off", lambda: packed(release())[:40]),
    of_release("60,000 values", lambda: packed(release({"a": ["x"] * 60_000}))),
    of_release("nested 500 deep", lambda: packed(release(nested(500)))),
    of_release("a key of 1 MB", lambda: packed(release({"k" * 1_000_000: 1})), ABSENT),
    of_release("duplicate keys", lambda: squeezed(b'{"name":"me","name":{},"chart":{},"chart":[]}')),
    of_release("surrogates", lambda: squeezed(b'{"name":"\\ud800","config":{"tag":"\\udfff\\u0000"}}')),
    of_release("NaN", lambda: squeezed(b'{"version":NaN,"config":{"a":1e999}}')),
    of_release("a list", lambda: squeezed(b"[[1]]")),
    of_release("nested 100,000 deep", lambda: squeezed(b'{"config":' + b'{"a":' * 100_000)),
    of_release("gzip in gzip", lambda: squeezed(gzip.compress(b"0" * 100_000))),
    of_release(
        "wrong types", lambda: packed({"name": [], "version": {}, "info": 1, "chart": "x", "config": [1]})
    ),
    of_release(
        "a description with a token",
        lambda: packed(release(description=f"Bearer {PLANTED}", status="failed")),
        "ReleaseFailed",
    ),
    Attack(
        name="release: eight revisions of 700 KB",
        objects=lambda: [stored("A" * 700_000, revision=number) for number in range(8)],
        says=NO_RELEASE,
    ),
    of_service(
        "aliases of maps", lambda: dict.fromkeys(("launch_service_config", "infra_service_config"), aliases())
    ),
    of_service(
        "merged aliases", lambda: dict.fromkeys(("launch_service_config", "infra_service_config"), merges())
    ),
    of_service("40,000 keys", lambda: {f"k{number}": "v" for number in range(40_000)}),
    of_service(
        "duplicate keys", lambda: {"launch_service_config": "a: 1\na: 2", "infra_service_config": "[]"}
    ),
    of_service("a scalar", lambda: {"launch_service_config": "1e400", "infra_service_config": "null"}),
    of_service("tabs and a NUL", lambda: {"launch_service_config": "a:\n\t- \x00"}),
    of_service("900 KB of brackets", lambda: {"launch_service_config": "[" * 900_000}),
    Attack(
        name="Secret of 1 MB as a token",
        spec={
            "values": {
                **values(cache_redis_aws_url="redis://127.0.0.1:1/0"),
                "redis": {"enableAuth": True, "authSecretName": "token"},
            },
            **REDIS,
        },
        objects=lambda: [secret("token", {"auth_token": "x" * 1_000_000})],
        says="ConnectionRefused",
    ),
    Attack(
        name="Secret of 20,000 keys for the database",
        spec={"values": {"secrets": {"kubernetesDatabaseSecretName": "token"}}, **only("DatabaseMigrated")},
        objects=lambda: [secret("token", {f"k{number}": f"value-of-{number}" for number in range(20_000)})],
        says="SecretKeyNotFound",
    ),
    Attack(
        name="dockerconfigjson of 1 MB",
        spec={"values": pulled(), **only("VllmImagePullable")},
        objects=lambda: [
            secret(
                "pull",
                {".dockerconfigjson": json.dumps({"auths": {f"h{n}.example": {} for n in range(35_000)}})},
            ),
        ],
        says="ConnectionRefused",
    ),
    of_values("nested 4,000 deep", nested(4000)),
    of_values("nested 900 deep", nested(900)),
    of_values("a list of 100,000", {"balloons": [1] * 100_000}),
    of_values("20,000 unknown keys", {f"k{number}": "v" for number in range(20_000)}, "KeyUnknown"),
    of_values(
        "5,000 balloons",
        {"balloons": [{"acceleratorName": f"a{number}", **BALLOON} for number in range(5_000)]},
        "BalloonAcceleratorUnknown",
    ),
    of_values(
        "5,000 tiers",
        {"recommendedHardware": {"byGpuMemoryGb": [{"gpu_memory_le": n, **TIER} for n in range(5_000)]}},
        ABSENT,
    ),
    of_values(
        "3,000 environment variables",
        {"extraEnvVars": [{"name": f"V{number}", "value": PLANTED} for number in range(3_000)]},
        ABSENT,
    ),
    of_values(
        "fewest replicas over the most",
        {"autoscaling": {"horizontal": {"enabled": True, "minReplicas": 20, "maxReplicas": 10}}},
        "HPALimitsReversed",
    ),
    of_values(
        "a password with a slash",
        values(cache_redis_aws_url=f"redis://u:{PLANTED}/x@host:6379/0"),
        "RedisURLInvalid",
        **REDIS,
    ),
    of_values(
        "a token as a user",
        values(cache_redis_aws_url=f"https://{PLANTED}@host/"),
        "RedisURLInvalid",
        **REDIS,
    ),
    of_values(
        "a namespace with a path",
        values(endpoint_namespace="kube-system/secrets/x"),
        "EndpointNamespaceInvalid",
    ),
    of_text("aliases of maps", aliases(), "ValuesInvalid"),
    of_text("an integer of 1,200 bits", f"tag: 0x{'f' * 300}", ABSENT),
    of_text(
        "NUL bytes",
        'tag: "a\\0b"\nconfig: {values: {launch: {cache_redis_aws_url: "redis://a\\0b:6379/0"}}}',
        "HostUnresolvable",
    ),
    of_text("sequences for a terminal", 'tag: "\\e[2J\\e]0;x\\a"\ncloud: "\\u202e"', ABSENT),
    *FLOODS,
    Attack(
        name="floods: ConfigMap of 85,000 keys, operator restarted",
        objects=lambda: [config_map("large", dict.fromkeys(LETTERS, ""), managedFields=[{}])],
        restart=True,
        says=NO_RELEASE,
    ),
    *NUMBERS,
    *[
        of_values(f"120 KB of {name} for Redis", values(cache_redis_aws_url=text), ABSENT)
        for name, text in long_texts()
    ],
]
