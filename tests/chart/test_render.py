"""The chart rendered by Helm itself, and its objects put before a real API server."""

import json
from typing import Any

import pytest
import yaml

from mehc_checks.core.links import VARIABLE
from testbed.chart import CHART, Manifest, of_kind, rendered, rules_of
from testbed.controlplane import ControlPlane
from testbed.helm import Helm, HelmError

from .conftest import SCENARIOS, scenario, scenarios

NAME = "mehc"
IMAGE = {"image": {"repository": "registry.example.com/mehc"}}

ALWAYS = {"Deployment mehc"}
WITH_ACCOUNT = ALWAYS | {"ServiceAccount mehc"}
CLUSTERWIDE = WITH_ACCOUNT | {"ClusterRole -", "ClusterRoleBinding -"}


def roles(*namespaces: str) -> set[str]:
    return {f"{kind} {namespace}" for kind in ("Role", "RoleBinding") for namespace in namespaces}


KINDS = {
    "minimal": CLUSTERWIDE | {"CustomResourceDefinition -", "PodDisruptionBudget mehc"},
    "namespaced": WITH_ACCOUNT | {"PodDisruptionBudget mehc"} | roles("team-a", "team-b", "team-endpoints"),
    "ha": CLUSTERWIDE | {"CustomResourceDefinition -", "PodDisruptionBudget mehc"},
    "monitoring": CLUSTERWIDE
    | {"CustomResourceDefinition -", "PodDisruptionBudget mehc", "Service mehc", "ServiceMonitor monitoring"}
    | {"PodMonitor mehc", "PrometheusRule mehc", "ConfigMap monitoring"},
    "locked-down": ALWAYS
    | {"CustomResourceDefinition -", "NetworkPolicy mehc"}
    | roles("team-a", "team-endpoints"),
    "everything": CLUSTERWIDE
    | {"CustomResourceDefinition -", "PodDisruptionBudget mehc", "Service mehc", "ServiceMonitor mehc"}
    | {"PodMonitor mehc", "PrometheusRule mehc", "ConfigMap mehc", "NetworkPolicy mehc"}
    | {"ModelEngineHealthCheck team-a"}
    | roles("team-a", "team-endpoints"),
}
"""By scenario, what it makes besides the Role that the operator has in its own namespace: kind and namespace."""


@pytest.mark.parametrize("name", scenarios())
def test_lint(helm: Helm, name: str) -> None:
    assert "0 chart(s) failed" in helm.run(
        "lint", "--strict", str(CHART), "-f", str(SCENARIOS / f"{name}.yaml")
    )


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_makes_these_objects(helm: Helm, name: str) -> None:
    objects = rendered(helm, scenario(name))
    found = {f"{each['kind']} {each['metadata'].get('namespace', '-')}" for each in objects}
    assert found == KINDS[name] | roles("mehc")
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", scenarios())
def test_a_real_api_server_takes_them(helm: Helm, stocked: ControlPlane, name: str) -> None:
    objects = rendered(helm, scenario(name))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    words = ("--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors")
    applied = stocked.kubectl("apply", *words, "--force-conflicts", "-f", "-", input=text)
    assert len(applied.splitlines()) == len(objects)


@pytest.mark.parametrize("name", scenarios())
def test_restricted_pod_security_admits_the_pod(helm: Helm, stocked: ControlPlane, name: str) -> None:
    (deployment,) = of_kind(rendered(helm, scenario(name)), "Deployment")
    template = deployment["spec"]["template"]
    # Admission of ServiceAccounts wants them there, which a dry run leaves out
    pod = {**template, "metadata": {**template["metadata"], "name": "operator"}}
    pod["spec"] = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    stocked.api("POST", "/api/v1/namespaces/mehc/pods?dryRun=All", pod)


@pytest.mark.parametrize("name", scenarios())
def test_no_wildcard_anywhere(helm: Helm, name: str) -> None:
    rules = rules_of(rendered(helm, scenario(name)))
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not rule.get("nonResourceURLs")


def test_the_chart_and_the_image_have_the_projects_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    assert chart["version"] == chart["appVersion"]
    assert f"/v{chart['version']}/" in chart["icon"]


def container(objects: list[Manifest]) -> Any:
    (deployment,) = of_kind(objects, "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]


def test_names_are_the_charts_and_the_releases(helm: Helm) -> None:
    def name(release: str = "mehc", **values: Any) -> Any:
        (found,) = of_kind(rendered(helm, {**IMAGE, **values}, release=release), "Deployment")
        return found["metadata"]["name"]

    assert name() == NAME
    assert name(nameOverride="doctor") == "mehc-doctor"
    assert name(fullnameOverride="doctor") == "doctor"
    assert name(release="acme") == "acme-mehc"
    assert name(release="acme-mehc") == "acme-mehc"
    assert name(release="r" * 53, nameOverride="nine-nine-nine") == "r" * 53 + "-nine-nine"


def test_labels(helm: Helm) -> None:
    for each in rendered(helm, scenario("everything")):
        if each["kind"] == "CustomResourceDefinition":
            continue
        labels = each["metadata"]["labels"]
        assert labels["team"] == "platform"
        assert labels["app.kubernetes.io/name"] == "doctor"
        assert labels["app.kubernetes.io/instance"] == "mehc"
    objects = rendered(helm, scenario("everything"))
    (deployment,) = of_kind(objects, "Deployment")
    template = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodDisruptionBudget")),
        *(each["spec"]["podSelector"]["matchLabels"] for each in of_kind(objects, "NetworkPolicy")),
        *(each["spec"]["selector"] for each in of_kind(objects, "Service")),
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodMonitor")),
    ]
    assert len(selectors) == 6
    for selector in selectors:
        assert selector.items() <= template.items()
    service, page = sorted(of_kind(objects, "Service"), key=lambda each: len(each["metadata"]["name"]))
    assert page["metadata"]["name"] == f"{service['metadata']['name']}-status"
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_the_image_by_tag_by_digest_and_by_the_charts_version(helm: Helm) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert container(rendered(helm, IMAGE))["image"] == f"registry.example.com/mehc:{version}"
    assert container(rendered(helm, scenario("everything")))["image"].endswith("/mehc:1.2.3")
    assert "/mehc@sha256:9f86" in container(rendered(helm, scenario("ha")))["image"]
    with pytest.raises(HelmError, match=r"image\.repository must name where you pushed the operator's image"):
        rendered(helm, {})


def test_what_the_container_is_told(helm: Helm) -> None:
    found = container(rendered(helm, scenario("everything")))
    assert found["args"] == [
        *("run", "--leader-elect", "--leader-elect-resource-name=mehc-doctor"),
        *(
            "--log-format=text",
            "--port=8080",
            "--status-page-port=8081",
            "--namespace=team-a",
            "--probes=256",
        ),
    ]
    off = {**scenario("everything"), "tripwires": {"enabled": False}}
    assert "--no-tripwires" in container(rendered(helm, off))["args"]
    environment = {each["name"]: each.get("value") for each in found["env"]}
    (mount,) = found["volumeMounts"]
    assert environment["SSL_CERT_FILE"] == environment["AWS_CA_BUNDLE"] == f"{mount['mountPath']}/ca.crt"
    assert environment["HTTP_PROXY"] == environment["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert environment["NO_PROXY"].startswith(".example.com,10.0.0.0/8,$(KUBERNETES_SERVICE_HOST),.svc,")
    plain = container(rendered(helm, IMAGE))
    assert [each["name"] for each in plain["env"]] == ["POD_NAME", "POD_NAMESPACE"]
    assert "volumeMounts" not in plain


def test_the_status_page(helm: Helm) -> None:
    """A port, a Service and who may connect; nothing of it by default, nor for who reuses the values of before."""
    page = {"statusPage": {"enabled": True, "port": 9000}}
    closed = {"networkPolicy": {"enabled": True, "statusPageFrom": [{"podSelector": {}}]}}
    objects = rendered(helm, {**IMAGE, **page, **closed})
    assert "--status-page-port=9000" in container(objects)["args"]
    (service,) = of_kind(objects, "Service")
    assert (service["metadata"]["name"], service["spec"]["type"]) == ("mehc-status", "ClusterIP")
    (port,) = service["spec"]["ports"]
    assert {"name": port["targetPort"], "containerPort": 9000} in container(objects)["ports"]
    (policy,) = of_kind(objects, "NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"port": port["targetPort"], "protocol": "TCP"}]
    for off in ({}, {"statusPage": None}):
        objects = rendered(helm, {**IMAGE, **closed, **off})
        assert not any("status-page" in word for word in container(objects)["args"])
        assert of_kind(objects, "Service") == []
        assert "ingress" not in of_kind(objects, "NetworkPolicy")[0]["spec"]
    with pytest.raises(HelmError, match="statusPage"):
        rendered(helm, {**IMAGE, "statusPage": {"enabled": True, "port": 8080}})


def test_whom_probes_may_reach(helm: Helm) -> None:
    probes = {"allowedAddresses": ["127.0.0.0/8", "fd00::1"], "insecureRegistries": ["registry:5000"]}
    plain, given = (container(rendered(helm, {**IMAGE, **more}))["args"] for more in ({}, {"probes": probes}))
    added = ["--allow-address=127.0.0.0/8", "--allow-address=fd00::1", "--insecure-registry=registry:5000"]
    assert given == [*plain, *added]
    of_before = container(rendered(helm, {**IMAGE, "probes": None}))["args"]  # upgraded with --reuse-values
    assert of_before == plain
    with pytest.raises(HelmError, match="allowedAddresses"):
        rendered(helm, {**IMAGE, "probes": {"allowedAddresses": ["localhost"]}})


def test_a_single_replica_has_no_budget(helm: Helm) -> None:
    assert of_kind(rendered(helm, {**IMAGE, "replicas": 2}), "PodDisruptionBudget")
    assert not of_kind(rendered(helm, {**IMAGE, "replicas": 1}), "PodDisruptionBudget")


def test_secrets_by_name(helm: Helm) -> None:
    """An empty list of names must not become a rule without names, which would allow all."""
    objects = rendered(helm, scenario("locked-down"))
    about_secrets = [
        (each["metadata"]["namespace"], rule["verbs"], rule.get("resourceNames"))
        for each in of_kind(objects, "Role")
        for rule in each["rules"]
        if "secrets" in rule["resources"]
    ]
    assert about_secrets == [("team-a", ["get"], ["llm-engine-postgres-credentials"])]


def test_the_lease_by_name(helm: Helm) -> None:
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    (role,) = of_kind(rendered(helm, IMAGE), "Role")
    assert role["metadata"]["namespace"] == "mehc"
    assert role["rules"] == [
        {**lease, "verbs": ["create"]},
        {**lease, "verbs": ["get", "update"], "resourceNames": [NAME]},
    ]
    assert f"--leader-elect-resource-name={NAME}" in container(rendered(helm, IMAGE))["args"]


def test_alerts_and_dashboard_arrive_as_they_are(helm: Helm) -> None:
    objects = rendered(helm, scenario("monitoring"))
    (rule,) = of_kind(objects, "PrometheusRule")
    text = (CHART / "files" / "alerts.yaml").read_text()
    assert rule["spec"] == yaml.safe_load(text)
    assert "{{ $labels.namespace }}" in text  # which is Prometheus's to fill in
    (dashboard,) = of_kind(objects, "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = dashboard["data"].values()
    assert json.loads(text) == json.loads((CHART / "files" / "dashboard.json").read_text())


@pytest.mark.parametrize("base", ["https://git.example.com/mehc", "https://git.example.com/mehc/"])
def test_all_links_lead_to_where_the_documentation_is_kept(helm: Helm, base: str) -> None:
    values = {**IMAGE, "docsUrl": base, "prometheusRule": {"enabled": True}}
    objects = rendered(helm, values)
    (rule,) = of_kind(objects, "PrometheusRule")
    links = {
        each["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for each in group["rules"]
    }
    assert "https://git.example.com/mehc/docs/runbooks/ModelEngineNotReady.md" in links
    assert all(link.startswith("https://git.example.com/mehc/docs/runbooks/") for link in links)
    assert {"name": VARIABLE, "value": base} in container(objects)["env"]
    assert VARIABLE not in str(container(rendered(helm, IMAGE))["env"])


def test_series_keep_the_namespace_of_their_resource(helm: Helm) -> None:
    values = {**IMAGE, "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
    pod, service = of_kind(rendered(helm, values), "PodMonitor", "ServiceMonitor")
    assert service["spec"]["endpoints"][0]["honorLabels"] is True
    assert pod["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True


def test_every_value_has_a_schema_and_every_property_a_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(properties: Any, given: Any, where: str) -> None:
        assert set(properties) - {"global"} == set(given), where
        for name, part in properties.items():
            resolved = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
            free = name in ("resources", "affinity", "global")  # their properties are Kubernetes's
            if not free and "properties" in resolved:
                assert resolved["additionalProperties"] is False, name
                compare(resolved["properties"], given[name], name)

    compare(schema["properties"], values, "values.yaml")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"imagePullSecret": []}, "imagePullSecret"),
    ({"image": {"repo": "x"}}, "/image.*repo"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"image": {"tag": "a b"}}, "/image/tag"),
    ({"imagePullSecrets": ["name"]}, "/imagePullSecrets/0"),
    ({"replicas": "two"}, "/replicas"),
    ({"replicas": -1}, "/replicas"),
    ({"watchNamespaces": "team-a"}, "/watchNamespaces"),
    ({"watchNamespaces": ["Team_A"]}, "/watchNamespaces/0"),
    ({"endpointNamespaces": ["*"]}, "/endpointNamespaces/0"),
    ({"rbac": {"secretNames": {"team-a": "one"}}}, "/rbac/secretNames/team-a"),
    ({"rbac": {"secretNames": {"team-a": ["*"]}}}, "/rbac/secretNames/team-a/0"),
    ({"helmReleases": {"enabled": "yes"}}, "/helmReleases/enabled"),
    ({"healthChecks": [{"name": "a"}]}, "/healthChecks/0.*namespace"),
    ({"healthChecks": [{"name": "a", "namespace": "b", "specs": {}}]}, "/healthChecks/0.*specs"),
    ({"caBundle": {"kind": "File"}}, "/caBundle/kind"),
    ({"proxy": {"https": "proxy:3128"}}, "/proxy/https"),
    ({"serviceMonitor": {"interval": "soon"}}, "/serviceMonitor/interval"),
    ({"docsUrl": "docs"}, "/docsUrl"),
    ({"networkPolicy": {"metricsFrom": [{}]}}, "/networkPolicy/metricsFrom/0"),
    ({"networkPolicy": {"egress": {"presets": ["all"]}}}, "/networkPolicy/egress/presets/0"),
    ({"networkPolicy": {"egress": {"apiServer": ["10.0.0.1"]}}}, "/networkPolicy/egress/apiServer/0"),
    ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    ({"podLabels": {"enabled": True}}, "/podLabels/enabled"),
    ({"logFormat": "xml"}, "/logFormat"),
    ({"service": {"port": 0}}, "/service/port"),
]


@pytest.mark.parametrize(("values", "named"), REFUSED, ids=[json.dumps(values) for values, _ in REFUSED])
def test_bad_values_are_refused_with_the_field_named(helm: Helm, values: dict[str, Any], named: str) -> None:
    image = {"image": {**IMAGE["image"], **values.get("image", {})}}
    with pytest.raises(HelmError, match=f"(?s)specifications of the schema.*{named}"):
        rendered(helm, {**values, **image})


UNFIT = [
    ({"rbac": {"secretNames": {"team-a": []}}}, "rbac.secretNames needs watchNamespaces"),
    (
        {"watchNamespaces": ["team-a"], "rbac": {"secretNames": {"team-a": []}}},
        "rbac.secretNames needs helmReleases.enabled=false",
    ),
]


@pytest.mark.parametrize(("values", "message"), UNFIT, ids=[message for _, message in UNFIT])
def test_values_that_do_not_go_together(helm: Helm, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError, match=message):
        rendered(helm, {**IMAGE, **values})
