"""An installation whose servers have private addresses: the operator reaches them as the chart has it, and says what is
so, because live workloads name them; nobody allows anything.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mehc_checks.modelengine.fields import CHART_DEFAULTS
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster, is_current
from testbed.helm import Helm
from testbed.installation import DATABASE_SECRET, Tree, only, overlaid
from testbed.modelengine import migrate
from testbed.pki import LOCAL_NAMES, CertificateAuthority
from testbed.postgres import Postgres
from testbed.privatenetwork import PrivateNetwork, PrivateOperator, can_be_private
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import ImageStore, Registry
from testbed.rulejudging import at
from testbed.sound import AWS, ONPREM
from testbed.waiting import eventually

LONG = 300.0
DATABASE, CACHE, METRICS, IMAGES, OFFICIAL = (f"10.66.0.{number}" for number in range(1, 6))
NOBODY = "10.66.0.99"
"""An address that nothing has."""
NAMES = tuple(f"{service}.us-east-1.amazonaws.com" for service in ("sqs", "sts", "secretsmanager", "ecr"))
BUCKETS = (
    "s3.us-east-1.amazonaws.com",
    "private-bucket.s3.us-east-1.amazonaws.com",
    "private-bucket.s3.amazonaws.com",
)
INFRA, LAUNCH = "config.values.infra", "config.values.launch"
SERVERS = ("DatabaseMigrated", "RedisReachable", "PrometheusQueryable", "VllmImagePullable")
LAUNCHED: Tree = ONPREM["config"]["values"]["launch"]
FILES = {key: value for key, value in AWS["config"]["values"]["launch"].items() if "my-bucket" in str(value)}

pytestmark = pytest.mark.skipif(not can_be_private(), reason="needs a network namespace, and with it root")


@pytest.fixture(scope="module")
def operator(
    control_plane: ControlPlane,
    redis_server: Redis,
    certificate_authority: CertificateAuthority,
) -> Iterator[PrivateOperator]:
    with ExitStack() as stack:
        network = stack.enter_context(PrivateNetwork((DATABASE, CACHE, METRICS, IMAGES, OFFICIAL)))
        storage = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with Registry(storage=storage) as open_registry:
            ImageStore(open_registry).push("llm/vllm", "0.6.3")
        own = certificate_authority.issue("registry", names=(IMAGES, *LOCAL_NAMES))
        registry = stack.enter_context(Registry(storage=storage, certificate=own))
        prometheus = stack.enter_context(Prometheus())
        postgres = stack.enter_context(Postgres(max_connections=2000))
        aws = stack.enter_context(
            Aws(account="111122223333", ca=certificate_authority, names=(*NAMES, *BUCKETS, *LOCAL_NAMES))
        )
        aws.client("s3").create_bucket(Bucket="private-bucket")
        aws.client("sqs").create_queue(QueueName="model-engine-service-builder")
        for address, port, server in (
            (DATABASE, 5432, postgres),
            (CACHE, 6379, redis_server),
            (METRICS, 9090, prometheus),
            (IMAGES, 5000, registry),
            (OFFICIAL, 443, aws),
        ):
            network.lead(address, port, server.port)
        postgres.create_role("modelengine", "password")
        postgres.create_database("private", owner="modelengine")
        migrate(postgres, "private", revision="head")
        environment = {
            "SSL_CERT_FILE": str(certificate_authority.ca_file),
            "AWS_CA_BUNDLE": str(certificate_authority.ca_file),
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing"),
        }
        hosts = dict.fromkeys((*NAMES, *BUCKETS), OFFICIAL)
        # not even loopback, which an operator outside a pod is allowed
        words = ("--allow-address", "192.0.2.1/32")
        yield stack.enter_context(
            PrivateOperator(control_plane, network, *words, environment=environment, hosts=hosts)
        )


class Judged:
    """What the operator says of a resource that says nothing, for what Helm installs; an endpoint namespace goes with
    it.
    """

    def __init__(self, plane: ControlPlane, namespace: str, values: Tree, *checks: str) -> None:
        secret = {"database_url": f"postgresql://modelengine:password@{DATABASE}:5432/private"}
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": DATABASE_SECRET}}
        plane.apply([{**manifest, "stringData": secret}], namespace=namespace)
        endpoints = plane.create_namespace()
        Helm(plane).install("me", namespace, overlaid(values, at(f"{LAUNCH}.endpoint_namespace", endpoints)))
        cluster = Cluster(plane, namespace)
        cluster.apply({"timeout": "60s", "confirmations": 1, **only(*checks)})
        eventually(lambda: is_current(cluster.get()), bool, LONG)
        plane.delete_namespace(endpoints)
        self.status: Tree = cluster.get()["status"]
        found = {each["name"]: each for each in self.status["checks"]}
        self.reasons = {name: {each["reason"] for each in found[name].get("findings", ())} for name in checks}


def on_premises() -> Tree:
    repositories = dict.fromkeys((key for key in LAUNCHED if key.endswith("_repository")), "vllm")
    return overlaid(
        ONPREM,
        at("tag", "0.6.3"),
        at("image", dict.fromkeys(ONPREM["image"].keys() - {"pullPolicy"}, f"{IMAGES}:5000/llm/vllm")),
        at("redisHost", CACHE),
        at("secrets.kubernetesDatabaseSecretName", DATABASE_SECRET),
        at("inferenceFramework", dict.fromkeys(CHART_DEFAULTS["inferenceFramework"], "0.6.3")),
        at(f"{INFRA}.redis_host", CACHE),
        at(f"{INFRA}.docker_registry_type", "onprem"),
        at(f"{INFRA}.docker_repo_prefix", f"{IMAGES}:5000/llm"),
        at(f"{INFRA}.prometheus_server_address", f"http://{METRICS}:9090"),
        at(LAUNCH, {**repositories, "cache_redis_onprem_url": f"redis://{CACHE}:6379/15"}),
    )


def test_an_installation_with_private_addresses_is_sound(
    control_plane: ControlPlane, namespace: str, operator: PrivateOperator
) -> None:
    """Prometheus answers that it has no series of Istio. What else is said of it is about the cluster and its KEDA."""
    found = Judged(control_plane, namespace, on_premises(), *SERVERS)
    assert "IstioNotScraped" in found.reasons.pop("PrometheusQueryable"), found.status
    assert set().union(*found.reasons.values()) == set(), found.status


def test_what_is_wrong_with_a_private_address_is_said(
    control_plane: ControlPlane, namespace: str, operator: PrivateOperator
) -> None:
    values = overlaid(on_premises(), at(f"{LAUNCH}.cache_redis_onprem_url", f"redis://{NOBODY}:6379/15"))
    found = Judged(control_plane, namespace, values, "RedisReachable")
    assert "HostUnreachable" in found.reasons["RedisReachable"]


def test_aws_behind_private_endpoints_is_asked(
    control_plane: ControlPlane, namespace: str, operator: PrivateOperator
) -> None:
    """The official names lead to private addresses, as with VPC endpoints."""
    values = overlaid(
        AWS,
        at(f"{INFRA}.s3_bucket", "private-bucket"),
        at(LAUNCH, {key: value.replace("my-bucket", "private-bucket") for key, value in FILES.items()}),
    )
    found = Judged(control_plane, namespace, values, "ObjectStoreReachable", "BrokerReachable")
    assert found.status["health"] == "Healthy", found.status
