"""Section 5: Istio, the gateway's Service, and KEDA's way to Redis."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH, NO_INSTALL, Broken, Cloud, View, known, rule
from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine.valuesfile import is_number

_OFF: Final = frozenset({"false", "no", "off", "n"})
_ISTIO: Final = f"{LAUNCH}.istio_enabled"
_CRDS: Final = (
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "telemetries.telemetry.istio.io",
    "wasmplugins.extensions.istio.io",
)
_CACHE: Final = tuple(
    f"{LAUNCH}.{name}" for name in ("cache_redis_onprem_url", "cache_redis_aws_url", "cache_redis_gcp_url")
)
ENDPOINT_GATEWAY: Final = "default/internal-gateway"
"""The Istio gateway that the VirtualServices of endpoints name, whatever the values say."""


@rule(
    "S5-01",
    title="Istio is installed, also where its toggles are off",
    severity=Severity.CRITICAL,
    reads=("azure", "virtualservice.enabled", "destinationrule.enabled"),
    consequence="helm install fails: a Telemetry and a WasmPlugin go into istio-system wherever the azure block is "
    "empty, whatever the Istio toggles say.",
    remedy="Install Istio with its CRDs and the namespace istio-system.",
    needs_cluster=True,
    explains=NO_INSTALL,
)
def istio_installed(view: View) -> Iterator[Broken]:
    if not view.flag("azure"):
        if known(view.facts.istio_namespace_exists, "the namespace istio-system") is False:
            yield Broken(path="azure", message="is empty, and the cluster has no namespace istio-system")
        for crd in _CRDS[2:]:
            if view.lacks_crd(crd):
                yield Broken(path="azure", message=f"is empty, and the cluster has no {crd}")
    for path, crd in (("virtualservice.enabled", _CRDS[0]), ("destinationrule.enabled", _CRDS[1])):
        if view.flag(path) and view.lacks_crd(crd):
            yield Broken(path=path, message=f"is true, and the cluster has no {crd}")


@rule(
    "S5-02",
    title="istio_enabled is a boolean and agrees with the mesh",
    severity=Severity.CRITICAL,
    reads=(_ISTIO,),
    consequence="With the wrong value endpoints end as UPDATE_FAILED: the builder makes Istio objects that the cluster "
    "does not know, or none where the mesh needs them.",
    remedy='Write true or false without quotes: any text that is not empty counts as true, "false" too.',
    explains=("EndpointsReady/EndpointUpdateFailed", "EndpointsReady/UpdateFailedWithPodsReady"),
)
def istio_flag(view: View) -> Iterator[Broken]:
    given = view.raw(_ISTIO)
    if isinstance(given, str):
        counts = ", which counts as true" if given.lower() in _OFF else ""
        yield Broken(path=_ISTIO, message=f"is the text {given!r}{counts}")
        return
    if not view.installed:
        return
    if given is True and view.lacks_crd(_CRDS[0]):
        yield Broken(path=_ISTIO, message="is true, and Istio is not installed")
    elif given is False and not view.lacks_crd(_CRDS[0]):
        yield Broken(
            path=_ISTIO,
            message="is false, and Istio is installed: KEDA's query counts on its metrics",
            severity=Severity.WARNING,
        )


@rule(
    "S5-03",
    title="the VirtualService has hosts, and gateways that exist",
    severity=Severity.HIGH,
    reads=("virtualservice.enabled", "virtualservice.hostDomains", "virtualservice.gateways"),
    consequence="Requests from outside reach neither the gateway nor endpoints; those of endpoints are bound to "
    f"{ENDPOINT_GATEWAY}, whatever the values say.",
    remedy="Create the Istio Gateway, as <namespace>/<name>, and list it in virtualservice.gateways.",
)
def istio_gateways(view: View) -> Iterator[Broken]:
    if not view.flag("virtualservice.enabled"):
        return
    for name in ("hostDomains", "gateways"):
        path = f"virtualservice.{name}"
        if not view.items(path) and view.seen(path):
            yield Broken(path=path, message="is empty, while virtualservice.enabled is true")
    for gateway in map(str, view.items("virtualservice.gateways")):
        if gateway != "mesh" and not re.fullmatch(r"[a-z0-9.-]+/[a-z0-9.-]+", gateway):
            yield Broken(path="virtualservice.gateways", message=f"has {gateway}, not <namespace>/<name>")
    if view.installed:
        for gateway, exists in view.facts.gateways.items():
            if not exists:
                yield Broken(
                    path="virtualservice.gateways", message=f"needs the Gateway {gateway}, which is not there"
                )


@rule(
    "S5-04",
    title="the gateway's Service listens on port 80",
    severity=Severity.HIGH,
    reads=("service.port",),
    consequence="The VirtualService sends to port 80, whatever service.port says: 503 for everybody.",
    remedy="Set service.port to 80.",
)
def service_port(view: View) -> Iterator[Broken]:
    given = view.text("service.port")
    if given and view.number("service.port") != 80:
        yield Broken(path="service.port", message=f"is {given}")


@rule(
    "S5-05",
    title="hostDomain.prefix is http://",
    severity=Severity.WARNING,
    reads=("hostDomain.prefix",),
    consequence="GATEWAY_URL becomes https on a port that speaks plain HTTP.",
    remedy="Keep http://. The values reference advises https:// for clusters that end TLS elsewhere; the chart "
    "uses the "
    "prefix for the address inside the cluster.",
)
def host_prefix(view: View) -> Iterator[Broken]:
    given = view.text("hostDomain.prefix")
    if given.startswith("https"):
        yield Broken(path="hostDomain.prefix", message=f"is {given}")
    elif given and given != "http://":
        yield Broken(
            path="hostDomain.prefix", message=f"is {given}, no prefix of a URL", severity=Severity.HIGH
        )


@rule(
    "S5-06",
    title="the gateway is not open to the outside",
    severity=Severity.HIGH,
    reads=("service.type",),
    consequence="Whoever reaches it is let in: the platform's own authentication takes any user name, as privileged.",
    remedy="Set service.type to ClusterIP and put an ingress that authenticates before it.",
)
def exposed(view: View) -> Iterator[Broken]:
    given = view.text("service.type")
    if given in ("LoadBalancer", "NodePort"):
        yield Broken(path="service.type", message=f"is {given}")
    elif given not in ("", "ClusterIP", "ExternalName"):
        yield Broken(path="service.type", message=f"is {given}, which Kubernetes does not know")


@rule(
    "S5-07",
    title="Redis' token is in a Secret",
    severity=Severity.HIGH,
    reads=("redis.auth", "redis.authSecretName"),
    consequence="The token can be read in every pod's spec and in Helm's Secret; one of digits alone is refused by the "
    "API server.",
    remedy="Put it into a Secret and name it in redis.authSecretName, its key in redis.authSecretKey.",
)
def redis_token(view: View) -> Iterator[Broken]:
    given = view.raw("redis.auth")
    if given is None or given == "":
        return
    digits = not isinstance(given, str) or is_number(given)
    yield Broken(path="redis.auth", message="is set" + (", and reads as a number" if digits else ""))


@rule(
    "S5-08",
    title="KEDA reads Redis as the platform does",
    severity=Severity.HIGH,
    reads=("redis.enableAuth", "redis.enableTLS", "redis.kedaSecretName", *_CACHE),
    consequence="KEDA cannot read the demand lists, and nothing scales up from zero.",
    remedy="Set redis.enableTLS to true exactly where the cache URL is rediss://. redis.enableAuth works on aws only, "
    "with redis.kedaSecretName naming a secret of AWS Secrets Manager: the values reference says a Kubernetes Secret, "
    "the chart's TriggerAuthentication asks AWS.",
    explains=(
        "RedisReachable/keda/KedaAuthUnavailable",
        "RedisReachable/keda/KedaSecretUnnamed",
        "RedisReachable/keda/TLSRequired",
        "RedisReachable/keda/ServerNotTLS",
    ),
)
def keda_redis(view: View) -> Iterator[Broken]:
    if view.flag("redis.enableAuth"):
        if view.cloud != Cloud.AWS:
            yield Broken(
                path="redis.enableAuth",
                message=f"is true, on {view.cloud}, where the chart has no way for it",
            )
        elif view.absent("redis.kedaSecretName"):
            yield Broken(path="redis.kedaSecretName", message="is not set, while redis.enableAuth is true")
    url = next((view.text(path) for path in _CACHE if view.text(path)), "")
    encrypted = url.startswith("rediss://") or (
        not url and bool(view.text(f"{LAUNCH}.cache_redis_azure_host"))
    )
    if not (url or encrypted):
        return
    if view.flag("redis.enableTLS") != encrypted:
        said = "rediss://" if encrypted else "redis://"
        yield Broken(
            path="redis.enableTLS",
            message=f"is {view.text('redis.enableTLS') or 'not set'}, while the cache is reached by {said}",
        )


@rule(
    "S5-09",
    title="Redis' certificate is verified",
    severity=Severity.WARNING,
    reads=("redis.unsafeSsl",),
    consequence="KEDA gives the demand lists' password to whoever answers.",
    remedy="Set redis.unsafeSsl to false, and give KEDA the authority of the certificate.",
)
def unsafe_ssl(view: View) -> Iterator[Broken]:
    if view.flag("redis.unsafeSsl"):
        yield Broken(path="redis.unsafeSsl", message="is true")


@rule(
    "S5-10",
    title="dns_host_domain is a domain name",
    severity=Severity.HIGH,
    reads=(f"{INFRA}.dns_host_domain",),
    consequence="Endpoints get hosts that no client can ask for.",
    remedy="Set it to the domain alone: no scheme, port or path.",
)
def host_domain(view: View) -> Iterator[Broken]:
    path = f"{INFRA}.dns_host_domain"
    given = view.text(path)
    if given and not re.fullmatch(
        r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", given.lower()
    ):
        yield Broken(path=path, message=f"is {given}, no domain name")
