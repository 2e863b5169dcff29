"""The variables that the chart sets for a CA bundle are those that the clients read."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.awsfailures import IDENTITY, isolation
from testbed.chart import of_kind, rendered
from testbed.helm import Helm
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import Tree, aws_values, overlaid
from testbed.pki import CertificateAuthority
from testbed.redis import Redis

from .conftest import scenario

MEHC = Path(sys.executable).with_name("mehc")
UNTRUSTED = {
    "RedisReachable": "TLSUntrusted",
    "BrokerReachable": "AWSEndpointUntrusted",
    "VllmImagePullable": "TLSUntrusted",
}
QUEUE = {"QueueUrl": "https://127.0.0.1/1/model-engine-service-builder"}


def results(values: Tree, folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The results of `mehc check` without a cluster, in an environment of nothing else."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    given = {**isolation(folder), **IDENTITY, **variables}
    environment = {name: value for name, value in given.items() if value}
    done = subprocess.run(
        [MEHC, "check", "--inside", "-o", "json", "--values", file, "--only", ",".join(UNTRUSTED)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def bundle_variables(helm: Helm) -> set[str]:
    """The variables that name the mounted bundle."""
    (deployment,) = of_kind(rendered(helm, scenario("everything")), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    return {each["name"] for each in container["env"] if each.get("value", "").startswith(mount["mountPath"])}


def test_redis_aws_and_registries_trust_the_bundle(
    helm: Helm, redis_tls: Redis, certificate_authority: CertificateAuthority, tmp_path: Path
) -> None:
    certificate = certificate_authority.issue()
    with (
        ScriptedServer(lambda _: Reply(200, json.dumps(QUEUE).encode()), certificate=certificate) as aws,
        ScriptedServer(lambda _: Reply(404), certificate=certificate) as registry,
    ):
        url = redis_tls.url(15, password="secret")
        infra = {"docker_repo_prefix": f"{registry.address}/ml", "ml_account_id": "111122223333"}
        values = overlaid(
            aws_values(cache_redis_aws_url=url, vllm_repository="vllm"),
            {"redis": {"enableTLS": True}, "config": {"values": {"infra": infra}}},
        )
        endpoint = {"AWS_ENDPOINT_URL": aws.url, "AWS_REGION": "us-east-1"}
        without = results(values, tmp_path, endpoint)
        bundle = dict.fromkeys(bundle_variables(helm), str(certificate_authority.ca_file))
        trusting = results(values, tmp_path, {**endpoint, **bundle})
    for name, reason in UNTRUSTED.items():
        assert without[name]["reason"] == reason
        assert "trusted" not in trusting[name]["message"]
        assert trusting[name]["reason"] != reason
