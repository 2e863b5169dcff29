"""Section 5: Istio, the gateway's Service, and how KEDA reaches Redis."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_INSTALL, critical, high, warning
from mehc_checks.checks.config.rules.rule import Cloud, View, known, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import displayed
from mehc_checks.modelengine.valuesfile import is_number

OFF_WORDS: Final = frozenset({"false", "no", "off", "n"})
"""Texts that were meant to be false."""
_CRDS: Final = (
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "telemetries.telemetry.istio.io",
    "wasmplugins.extensions.istio.io",
)
_CACHE: Final = (paths.CACHE_REDIS_ONPREM_URL, paths.CACHE_REDIS_AWS_URL, paths.CACHE_REDIS_GCP_URL)
ENDPOINT_GATEWAY: Final = "default/internal-gateway"
"""The Istio gateway that the VirtualServices of endpoints name, whatever the values say."""

ISTIO_NOT_INSTALLED: Final = critical(
    "IstioNotInstalled",
    "helm install fails: wherever the azure block is empty, the chart creates a Telemetry and a WasmPlugin in "
    "istio-system, whatever the Istio toggles say.",
    message="{path} is {value}, so the chart creates objects of Istio, but the cluster has no {missing}",
    remedy="Install Istio with its CRDs and the namespace istio-system.",
    explains=(*NO_INSTALL, "ConfigValid/IstioEnabledWithoutIstio", "ConfigValid/IstioGatewayMissing"),
)


@rule(
    "S5-01",
    title="Istio is installed, also where its toggles are off",
    reads=(paths.AZURE, paths.VIRTUAL_SERVICE_ENABLED, paths.DESTINATION_RULE_ENABLED),
    faults=(ISTIO_NOT_INSTALLED,),
    needs_cluster=True,
)
def istio_installed(view: View) -> Iterator[Finding]:
    if not view.flag(paths.AZURE):
        if known(view.facts.istio_namespace_exists, "the namespace istio-system") is False:
            yield ISTIO_NOT_INSTALLED.at(paths.AZURE, value="empty", missing="namespace istio-system")
        for crd in _CRDS[2:]:
            if view.lacks_crd(crd):
                yield ISTIO_NOT_INSTALLED.at(paths.AZURE, value="empty", missing=f"CRD {crd}")
    for path, crd in ((paths.VIRTUAL_SERVICE_ENABLED, _CRDS[0]), (paths.DESTINATION_RULE_ENABLED, _CRDS[1])):
        if view.flag(path) and view.lacks_crd(crd):
            yield ISTIO_NOT_INSTALLED.at(path, value="on", missing=f"CRD {crd}")


_UPDATE_FAILS: Final = ("EndpointsReady/EndpointUpdateFailed", "EndpointsReady/UpdateFailedWithPodsReady")
ISTIO_ENABLED_QUOTED: Final = critical(
    "IstioEnabledQuoted",
    'Any text that is not empty is true, "false" too: endpoints end as UPDATE_FAILED where Istio is absent.',
    message="{path} is the text {value}, which the platform takes for true",
    remedy="Write {path} as true or false, without quotes.",
    explains=_UPDATE_FAILS,
)
ISTIO_ENABLED_WITHOUT_ISTIO: Final = critical(
    "IstioEnabledWithoutIstio",
    "Endpoints end as UPDATE_FAILED: the builder creates objects of Istio that the cluster does not know.",
    message="{path} is true, but Istio is not installed: endpoints end as UPDATE_FAILED",
    remedy="Set {path} to false, or install Istio.",
    explains=_UPDATE_FAILS,
)
ISTIO_NOT_USED: Final = warning(
    "IstioNotUsed",
    "KEDA's query counts on the metrics of Istio's sidecars.",
    message="{path} is false, but Istio is installed: KEDA's query counts on its metrics",
    remedy="Set {path} to true if endpoints run in the mesh.",
)


@rule(
    "S5-02",
    title="istio_enabled is a boolean and agrees with the mesh",
    reads=(paths.ISTIO_ENABLED,),
    faults=(ISTIO_ENABLED_QUOTED, ISTIO_ENABLED_WITHOUT_ISTIO, ISTIO_NOT_USED),
)
def istio_flag(view: View) -> Iterator[Finding]:
    path = paths.ISTIO_ENABLED
    given = view.raw(path)
    if isinstance(given, str):
        if given:
            yield ISTIO_ENABLED_QUOTED.at(path, value=repr(given))
        return
    if not view.installed:
        return
    if given is True and view.lacks_crd(_CRDS[0]):
        yield ISTIO_ENABLED_WITHOUT_ISTIO.at(path)
    elif given is False and not view.lacks_crd(_CRDS[0]):
        yield ISTIO_NOT_USED.at(path)


_UNROUTED: Final = "Requests from outside reach neither the gateway nor endpoints."
VIRTUAL_SERVICE_INCOMPLETE: Final = high(
    "VirtualServiceIncomplete",
    _UNROUTED,
    message="{path} is empty, but virtualservice.enabled is on: requests from outside are not routed",
    remedy="Set {path}, or set virtualservice.enabled to false.",
)
ISTIO_GATEWAY_MALFORMED: Final = high(
    "IstioGatewayMalformed",
    _UNROUTED,
    message="{path} has {value}, not NAMESPACE/NAME of an Istio Gateway",
    remedy="Write each item of {path} as NAMESPACE/NAME.",
)
ISTIO_GATEWAY_MISSING: Final = high(
    "IstioGatewayMissing",
    f"{_UNROUTED} VirtualServices of endpoints name {ENDPOINT_GATEWAY}, whatever the values say.",
    message="the Istio Gateway {value} does not exist: requests from outside are not routed",
    remedy="Create the Istio Gateway {value}.",
)


@rule(
    "S5-03",
    title="the VirtualService has hosts, and gateways that exist",
    reads=(paths.VIRTUAL_SERVICE_ENABLED, paths.VIRTUAL_SERVICE_HOSTS, paths.VIRTUAL_SERVICE_GATEWAYS),
    faults=(VIRTUAL_SERVICE_INCOMPLETE, ISTIO_GATEWAY_MALFORMED, ISTIO_GATEWAY_MISSING),
)
def istio_gateways(view: View) -> Iterator[Finding]:
    if not view.flag(paths.VIRTUAL_SERVICE_ENABLED):
        return
    for path in (paths.VIRTUAL_SERVICE_HOSTS, paths.VIRTUAL_SERVICE_GATEWAYS):
        if not view.items(path) and view.seen(path):
            yield VIRTUAL_SERVICE_INCOMPLETE.at(path)
    path = paths.VIRTUAL_SERVICE_GATEWAYS
    for gateway in map(displayed, view.items(path)):
        if gateway != "mesh" and not re.fullmatch(r"[a-z0-9.-]+/[a-z0-9.-]+", gateway):
            yield ISTIO_GATEWAY_MALFORMED.at(path, value=gateway)
    if view.installed:
        for gateway, exists in view.facts.gateways.items():
            if not exists:
                yield ISTIO_GATEWAY_MISSING.at(path, value=gateway)


SERVICE_PORT_NOT_80: Final = high(
    "ServicePortNot80",
    "Every request through Istio gets a 503: the VirtualService routes to port 80, whatever service.port says.",
    message="{path} is {value}, but the VirtualService routes to port 80: every request through Istio gets a 503",
    remedy="Set {path} to 80.",
)


@rule(
    "S5-04",
    title="the gateway's Service listens on port 80",
    reads=(paths.SERVICE_PORT,),
    faults=(SERVICE_PORT_NOT_80,),
)
def service_port(view: View) -> Iterator[Finding]:
    given = view.text(paths.SERVICE_PORT)
    if given and view.number(paths.SERVICE_PORT) != 80:
        yield SERVICE_PORT_NOT_80.at(paths.SERVICE_PORT, value=given)


HOST_PREFIX_HTTPS: Final = warning(
    "HostPrefixHTTPS",
    "GATEWAY_URL becomes https on a port that serves plain HTTP: the chart uses the prefix inside the cluster.",
    message="{path} is {value}: GATEWAY_URL becomes https on a port that serves plain HTTP",
    remedy="Set {path} to http://.",
)
HOST_PREFIX_INVALID: Final = high(
    "HostPrefixInvalid",
    "GATEWAY_URL is not a URL.",
    message="{path} is {value}, not the scheme of a URL",
    remedy="Set {path} to http://.",
)


@rule(
    "S5-05",
    title="hostDomain.prefix is http://",
    reads=(paths.HOST_DOMAIN_PREFIX,),
    faults=(HOST_PREFIX_HTTPS, HOST_PREFIX_INVALID),
)
def host_prefix(view: View) -> Iterator[Finding]:
    given = view.text(paths.HOST_DOMAIN_PREFIX)
    if given.startswith("https"):
        yield HOST_PREFIX_HTTPS.at(paths.HOST_DOMAIN_PREFIX, value=given)
    elif given and given != "http://":
        yield HOST_PREFIX_INVALID.at(paths.HOST_DOMAIN_PREFIX, value=given)


GATEWAY_EXPOSED: Final = high(
    "GatewayExposed",
    "Anyone who can reach the gateway has full access: built-in auth accepts any user name as a privileged user.",
    message="{path} is {value}: anyone who can reach the gateway has full access",
    remedy="Set {path} to ClusterIP and put an ingress that authenticates in front of the gateway.",
)
SERVICE_TYPE_UNKNOWN: Final = critical(
    "ServiceTypeUnknown",
    "The API server rejects the Service.",
    message="{path} is {given}, a type of Service that Kubernetes does not know",
    remedy="Set {path} to ClusterIP.",
    explains=NO_INSTALL,
)


@rule(
    "S5-06",
    title="the gateway is not exposed",
    reads=(paths.SERVICE_TYPE,),
    faults=(GATEWAY_EXPOSED, SERVICE_TYPE_UNKNOWN),
)
def exposed(view: View) -> Iterator[Finding]:
    given = view.text(paths.SERVICE_TYPE)
    if given in ("LoadBalancer", "NodePort"):
        yield GATEWAY_EXPOSED.at(paths.SERVICE_TYPE, value=given)
    for problem in view.problems_below(paths.SERVICE_TYPE):
        yield SERVICE_TYPE_UNKNOWN.at(paths.SERVICE_TYPE, given=problem.given)


REDIS_TOKEN_IN_VALUES: Final = high(
    "RedisTokenInValues",
    "The token can be read in every pod's spec and in Helm's Secret.",
    message="{path} is set: the token can be read in every pod's spec and in Helm's Secret",
    remedy="Put the token into a Secret, name it in redis.authSecretName and its key in redis.authSecretKey, and "
    "remove {path}.",
)
REDIS_TOKEN_NOT_TEXT: Final = high(
    "RedisTokenNotText",
    "The API server rejects the pods, or the token is not what was meant.",
    message="{path} is a {kind}, but a token is text: the API server rejects pods that have it",
    remedy="Put the token into a Secret, name it in redis.authSecretName and its key in redis.authSecretKey, and "
    "remove {path}.",
)


@rule(
    "S5-07",
    title="Redis' token is in a Secret",
    reads=(paths.REDIS_AUTH, paths.REDIS_AUTH_SECRET_NAME),
    faults=(REDIS_TOKEN_IN_VALUES, REDIS_TOKEN_NOT_TEXT),
)
def redis_token(view: View) -> Iterator[Finding]:
    given = view.raw(paths.REDIS_AUTH)
    if given is None or given == "":
        return
    if isinstance(given, bool):
        yield REDIS_TOKEN_NOT_TEXT.at(paths.REDIS_AUTH, kind="boolean")
    elif not isinstance(given, str) or is_number(given):
        yield REDIS_TOKEN_NOT_TEXT.at(paths.REDIS_AUTH, kind="number")
    else:
        yield REDIS_TOKEN_IN_VALUES.at(paths.REDIS_AUTH)


_UNREAD: Final = "KEDA cannot read the demand lists in Redis, and nothing scales up from zero."
KEDA_AUTH_UNAVAILABLE: Final = high(
    "KedaAuthNotOnThisCloud",
    f"{_UNREAD} The chart's TriggerAuthentication reads the password from AWS Secrets Manager only.",
    message="{path} is on, but on {cloud} the chart cannot give KEDA a password: nothing scales up from zero",
    remedy="Set {path} to false, and use a Redis that KEDA can read without a password.",
    explains=("RedisReachable/keda/KedaAuthUnavailable",),
)
KEDA_SECRET_NAME_UNSET: Final = high(
    "KedaSecretNameUnset",
    _UNREAD,
    message="{path} is not set, but redis.enableAuth is on: KEDA cannot read the demand lists in Redis",
    remedy="Set {path} to the secret of AWS Secrets Manager that holds the password; a Kubernetes Secret is not read.",
    explains=("RedisReachable/keda/KedaSecretUnnamed",),
)
KEDA_TLS_MISMATCH: Final = high(
    "KedaTLSMismatch",
    _UNREAD,
    message="{path} is {value}, but the cache is reached by {scheme}: KEDA cannot read the demand lists in Redis",
    remedy="Set {path} to {wanted}.",
    explains=("RedisReachable/keda/TLSRequired", "RedisReachable/keda/ServerNotTLS"),
)


@rule(
    "S5-08",
    title="KEDA reads Redis as the platform does",
    reads=(paths.REDIS_ENABLE_AUTH, paths.REDIS_ENABLE_TLS, paths.KEDA_SECRET_NAME, *_CACHE),
    faults=(KEDA_AUTH_UNAVAILABLE, KEDA_SECRET_NAME_UNSET, KEDA_TLS_MISMATCH),
)
def keda_redis(view: View) -> Iterator[Finding]:
    if view.flag(paths.AZURE):
        return  # the ScaledObject asks Service Bus there
    if view.flag(paths.REDIS_ENABLE_AUTH):
        if view.cloud != Cloud.AWS:
            yield KEDA_AUTH_UNAVAILABLE.at(paths.REDIS_ENABLE_AUTH, cloud=view.cloud)
        elif view.absent(paths.KEDA_SECRET_NAME):
            yield KEDA_SECRET_NAME_UNSET.at(paths.KEDA_SECRET_NAME)
    url = next((view.text(path) for path in _CACHE if view.text(path)), "")
    if not url:
        return
    encrypted = url.startswith("rediss://")
    if view.flag(paths.REDIS_ENABLE_TLS) != encrypted:
        yield KEDA_TLS_MISMATCH.at(
            paths.REDIS_ENABLE_TLS,
            value=view.text(paths.REDIS_ENABLE_TLS) or "not set",
            scheme="rediss://" if encrypted else "redis://",
            wanted="true" if encrypted else "false",
        )


REDIS_NOT_VERIFIED: Final = warning(
    "RedisNotVerified",
    "KEDA sends the password of the demand lists to any server that answers.",
    message="{path} is on: KEDA does not verify the certificate of Redis",
    remedy="Set {path} to false, and give KEDA the CA of the certificate.",
)


@rule(
    "S5-09",
    title="the certificate of Redis is verified",
    reads=(paths.REDIS_UNSAFE_SSL,),
    faults=(REDIS_NOT_VERIFIED,),
)
def unsafe_ssl(view: View) -> Iterator[Finding]:
    if view.flag(paths.REDIS_UNSAFE_SSL):
        yield REDIS_NOT_VERIFIED.at(paths.REDIS_UNSAFE_SSL)


HOST_DOMAIN_INVALID: Final = high(
    "HostDomainInvalid",
    "Endpoints get host names that no client can resolve.",
    message="{path} is {value}, not a domain name: endpoints get host names that no client can resolve",
    remedy="Set {path} to the domain alone, without scheme, port or path.",
)


@rule(
    "S5-10",
    title="dns_host_domain is a domain name",
    reads=(paths.DNS_HOST_DOMAIN,),
    faults=(HOST_DOMAIN_INVALID,),
)
def host_domain(view: View) -> Iterator[Finding]:
    given = view.text(paths.DNS_HOST_DOMAIN)
    if given and not re.fullmatch(
        r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", given.lower()
    ):
        yield HOST_DOMAIN_INVALID.at(paths.DNS_HOST_DOMAIN, value=given)
