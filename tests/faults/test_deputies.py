"""The operator lends its rights and its place in the network to nobody: what is not proved is not asked."""

import copy
from collections.abc import Callable

import pytest

from faults.arena import ELSEWHERE, PLANTED, Arena, database_at
from faults.deputies import (
    BY_SERVERS,
    NOBODY,
    OF_AWS,
    SECRETS,
    SURVIVORS,
    aws_spec,
    forged,
    live,
    planted,
    recorded,
    token_spec,
)
from faults.objects import config_map
from faults.servers import everywhere, prometheus_spec, registry_spec
from mehc_checks.clients.network.reasons import NetworkReasons
from testbed.eavesdropper import Eavesdropper
from testbed.installation import Tree, only, overlaid
from testbed.rawserver import RawServer, Script


@pytest.mark.parametrize("host", [ELSEWHERE, "169.254.169.254", "[fd00:ec2::254]", "[::1]"])
def test_what_only_the_operator_reaches_is_not_contacted(arena: Arena, host: str) -> None:
    """Five checks are led there. Whoever listens on all of this machine's addresses hears nothing."""
    with Eavesdropper("::") as server:
        address = f"{host}:{server.port}"
        status = arena.told(everywhere(address), [database_at(address)], trusted=True)
        assert server.accepted == 0
    for check in status["checks"]:
        found = {(each["status"], each["reason"]) for each in check.get("findings", ())}
        told = {("Error", "AddressNotAllowed"), ("Fail", "NothingOnLocalhost")}
        assert check["status"] == "Skip" or told & found, check
    assert len([check for check in status["checks"] if check["status"] != "Skip"]) == 5


def reasons(status: Tree) -> dict[str, set[str]]:
    """By check, of all its findings."""
    found = {check["name"]: check for check in status["checks"] if check["status"] != "Skip"}
    return {name: {each["reason"] for each in check.get("findings", ())} for name, check in found.items()}


@pytest.mark.parametrize("spec", SECRETS.values(), ids=SECRETS)
def test_a_secret_that_no_live_workload_uses_is_not_read(arena: Arena, spec: Callable[[str], Tree]) -> None:
    heard = bytearray()
    with RawServer(recorded(heard)) as server:
        status = arena.told(spec(server.address), [planted()])
    assert all("NotVerified" in found for found in reasons(status).values()), status
    assert PLANTED.encode() not in heard
    assert PLANTED not in str(status)


def test_a_secret_that_the_gateway_uses_goes_where_the_gateway_sends_it_and_nowhere_else(
    arena: Arena,
) -> None:
    heard, astray = bytearray(), bytearray()
    tls = arena.certificate
    with RawServer(recorded(heard), tls) as server, RawServer(recorded(astray), tls) as other:
        own, theirs = token_spec(server.address), token_spec(other.address)
        sound = arena.told(own, [planted(), *live(own)])
        arena.told(theirs, [planted(), *live(own)])
    assert not any("NotVerified" in found for found in reasons(sound).values()), sound
    assert PLANTED.encode() in heard
    assert PLANTED.encode() not in astray


def signed_for(arena: Arena, region: str) -> list[str]:
    """The paths of requests to AWS in ``region``."""
    scope = f"/{region}/"
    return [each.path for each in arena.aws.requests if scope in each.headers.get("Authorization", "")]


@pytest.mark.parametrize(
    ("left", "region"),
    [*zip(SURVIVORS.values(), ("eu-west-1", "eu-west-2", "eu-west-3"), strict=True)],
    ids=SURVIVORS,
)
def test_an_installation_without_a_running_gateway_keeps_its_verdicts(
    arena: Arena, left: Callable[[Tree], list[Tree]], region: str
) -> None:
    heard = bytearray()
    with RawServer(recorded(heard), arena.certificate) as server:
        spec = token_spec(server.address)
        status = arena.told(spec, [planted(), *left(spec)])
    assert not any("NotVerified" in found for found in reasons(status).values()), status
    assert PLANTED.encode() in heard
    spec = aws_spec(region)
    of_aws = arena.told(spec, left(spec))
    assert not {name for name, own in reasons(of_aws).items() if "NotVerified" in own}, of_aws
    assert signed_for(arena, region)


@pytest.mark.parametrize("left", [lambda _: [], *SURVIVORS.values()], ids=["nothing is left", *SURVIVORS])
@pytest.mark.parametrize("spec", SECRETS.values(), ids=SECRETS)
def test_values_do_not_pair_a_secret_of_live_workloads_with_a_server_of_theirs(
    arena: Arena, spec: Callable[[str], Tree], left: Callable[[Tree], list[Tree]]
) -> None:
    """Whatever is left of the installation, which uses the Secret for its own Redis."""
    heard = bytearray()
    with RawServer(recorded(heard), arena.certificate) as theirs:
        own = token_spec("redis.tenant.invalid:6379")
        status = arena.told(spec(theirs.address), [planted(), *left(own)])
    assert PLANTED.encode() not in heard
    assert PLANTED not in str(status)


def test_nothing_of_aws_is_asked_for_that_no_live_object_names(arena: Arena) -> None:
    spec = aws_spec("eu-north-1")
    status = arena.told(spec)
    found = reasons(status)
    assert signed_for(arena, "eu-north-1") == []
    assert {name for name, own in found.items() if "NotVerified" in own} == {*OF_AWS}, status
    named = arena.told(spec, live(spec))
    assert not {name for name, own in reasons(named).items() if "NotVerified" in own}, named
    assert signed_for(arena, "eu-north-1")


def test_another_repository_of_the_same_registry_is_not_asked_for(arena: Arena) -> None:
    """With the operator's identity, which reads all of the registry."""
    spec = aws_spec()
    asked = copy.deepcopy(spec)
    asked["values"]["config"]["values"]["launch"]["vllm_repository"] = "wages"
    asked["checks"] = only("VllmImagePullable")["checks"]
    status = arena.told(asked, live(spec))
    (check,) = (each for each in status["checks"] if each["name"] == "VllmImagePullable")
    assert "/wages is not named" in check["message"], check
    assert check["reason"] == "NotVerified"


@pytest.mark.parametrize("kind", ["helm.sh/release.v1", "kubernetes.io/service-account-token"])
def test_a_secret_of_kubernetes_or_helm_is_no_values_file(arena: Arena, kind: str) -> None:
    reference = {"secretKeyRef": {"name": "token", "key": "auth_token"}}
    token = planted(kind)
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    status = arena.told({"valuesFrom": [reference]}, [token])
    assert {check["reason"] for check in status["checks"]} == {"ValuesInvalid"}


def test_a_node_pulls_only_what_live_objects_name(arena: Arena) -> None:
    """Neither another repository nor another ServiceAccount; the operator is not even asked to create a pod."""
    spec = aws_spec()
    parameters = {"pullFrom": "node", "architectures": ["amd64"]}
    asking = {**only("VllmImagePullable")["checks"], "VllmImagePullable": {"parameters": parameters}}
    other, account = copy.deepcopy(spec), copy.deepcopy(spec)
    other["values"]["config"]["values"]["launch"]["vllm_repository"] = "payroll"
    account["values"]["serviceTemplate"] = {"serviceAccountName": "payroll"}
    for asked, what in ((other, "payroll:latest"), (account, "ServiceAccount payroll")):
        status = arena.told({**asked, "checks": asking}, live(spec))
        (check,) = (each for each in status["checks"] if each["name"] == "VllmImagePullable")
        (finding,) = (each for each in check["findings"] if each["reason"] == "PullProbeNotRun")
        assert f"{what} is not named by the live workloads" in finding["message"]


@pytest.mark.parametrize("host", [NOBODY, "nobody.example.com"])
def test_nothing_is_told_of_an_address_that_only_the_resource_names(arena: Arena, host: str) -> None:
    """Not whether it refuses, drops, resolves or has no TLS; where the gateway is led there, that is told."""
    spec = token_spec(f"{host}:6379")
    del spec["values"]["redis"]["authSecretName"]
    spec["timeout"] = "60s"
    told = arena.told(spec)
    (found,) = reasons(told).values()
    assert "AddressNotVerified" in found
    assert not {reason.name for reason in NetworkReasons.all()} & found, told
    named = arena.told(spec, [planted(), *live(spec)])
    (found,) = reasons(named).values()
    assert {reason.name for reason in NetworkReasons.all()} & found, named


@pytest.mark.parametrize(
    "host", ["nobody\u3002example\uff0ecom", "nobody.example.com.", "$(PART).example.com"]
)
def test_nothing_is_told_of_an_address_that_is_spelled_otherwise(arena: Arena, host: str) -> None:
    variables = {"PART": "nobody", "DB_HOST": host, "DB_USER": "u", "DB_PASSWORD": "p", "DB_NAME": "llm"}
    env = [{"name": name, "value": value} for name, value in variables.items()]
    values = {"extraEnvVars": env, "config": {"values": {"infra": {"cloud_provider": "onprem"}}}}
    (found,) = reasons(arena.told({"values": values, "timeout": "60s", **only("DatabaseMigrated")})).values()
    assert "AddressNotVerified" in found
    assert not {reason.name for reason in NetworkReasons.all()} & found


@pytest.mark.parametrize(("script", "spec"), BY_SERVERS.values(), ids=BY_SERVERS)
def test_nothing_is_told_of_an_address_to_which_a_tenants_server_leads(
    arena: Arena, script: Script, spec: Callable[[str], Tree]
) -> None:
    with RawServer(script, arena.certificate if spec is registry_spec else None) as server:
        (found,) = reasons(arena.told({**spec(server.address), "timeout": "60s"})).values()
    assert "AddressNotVerified" in found
    assert not {reason.name for reason in NetworkReasons.all()} & found


@pytest.mark.parametrize(
    ("host", "region"),
    [("kubernetes.default.svc", "eu-south-1"), ("nobody.example.com", "eu-central-1")],
)
def test_a_forged_release_proves_nothing(arena: Arena, host: str, region: str) -> None:
    """A tenant may write Secrets, those of Helm too."""
    heard = bytearray()
    with RawServer(recorded(heard), arena.certificate) as server:
        spec, forgery = forged(token_spec(server.address))
        arena.told(spec, [planted(), *forgery])
    assert PLANTED.encode() not in heard
    spec, forgery = forged(aws_spec(region))
    found = reasons(arena.told(spec, forgery))
    assert {name for name, own in found.items() if "NotVerified" in own} == {*OF_AWS}, found
    assert signed_for(arena, region) == []
    spec, forgery = forged(prometheus_spec(f"{host}:443"))
    (told,) = reasons(arena.told({**spec, "timeout": "60s"}, forgery)).values()
    assert "AddressNotVerified" in told


def test_a_live_workload_proves_nothing_in_another_namespace(arena: Arena) -> None:
    """What the tenant's own gateway names as its endpoint namespace is another tenant's."""
    victim = arena.plane.create_namespace("victim")
    for manifest in (
        planted(),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}},
        config_map("model-engine-service-config", {"launch_service_config": "gateway_namespace: victim"}),
    ):
        path = f"/api/v1/namespaces/{victim}/{manifest['kind'].lower()}s"
        arena.plane.api("POST", path, manifest)
    spec = overlaid(
        aws_spec(), {"values": {"config": {"values": {"launch": {"endpoint_namespace": victim}}}}}
    )
    spec["checks"] = only("VllmImagePullable", "EndpointsReady", "GpuNodesReady")["checks"]
    status = arena.told(spec, live(spec))
    assert {"VllmImagePullable", "EndpointsReady"} <= {
        name for name, found in reasons(status).items() if "EndpointNamespaceNotVerified" in found
    }, status
    arena.plane.delete_namespace(victim)
