"""What a client of the query API of Prometheus can find."""

from typing import Final

from mehc_checks.clients.http.reasons import HttpReasons
from mehc_checks.core.outcome import Reason, Status

_SOURCE: Final = {"source": "the configured address"}


class PrometheusApiReasons(HttpReasons):
    """What a client of the API can find.

    A check narrows the words: ``source`` is what names the address, ``client`` who asks.
    """

    CREDENTIALS_REQUIRED = Reason(
        "CredentialsRequired",
        Status.FAIL,
        "Prometheus, or a proxy in front of it, requires credentials, and the address contains none.",
        message="{address} requires credentials (HTTP 401)",
        remedy="Set {source} to an address that requires no credentials, or to one that contains them: "
        "http://USER:PASSWORD@HOST:PORT.",
        defaults=_SOURCE,
    )
    TENANT_REQUIRED = Reason(
        "TenantRequired",
        Status.FAIL,
        "Mimir, Cortex or the like answers, and requires the tenant in header X-Scope-OrgID, which KEDA does not send.",
        message="{address} requires a tenant (HTTP 401, no org id)",
        remedy="Set {source} to a proxy that adds X-Scope-OrgID to requests, or disable multi-tenancy on the server "
        "(Mimir: multitenancy_enabled: false).",
        defaults=_SOURCE,
    )
    AGENT_MODE = Reason(
        "PrometheusAgent",
        Status.FAIL,
        "The address is that of a Prometheus in agent mode, which forwards samples and answers no query.",
        message="{address} is a Prometheus in agent mode, which answers no query",
        remedy="Set {source} to the server that it writes to (remote_write in its configuration).",
        defaults=_SOURCE,
    )
    CREDENTIALS_REJECTED = Reason(
        "CredentialsRejected",
        Status.FAIL,
        "The user or the password in the address is wrong.",
        message="{address} rejected the user and password in the address (HTTP 401)",
        remedy="Correct the user and password in {source}.",
        defaults=_SOURCE,
    )
    ACCESS_DENIED = Reason(
        "AccessDenied",
        Status.FAIL,
        "An authorization policy or a proxy in front of Prometheus denies access.",
        message="{address} denied access (HTTP 403)",
        remedy="Allow {client} in the authorization policy or proxy in front of Prometheus.",
        defaults={"client": "the client"},
    )
    PATH_NOT_FOUND = Reason(
        "PathNotFound",
        Status.FAIL,
        "The query API does not exist below the address: a path prefix is missing, wrong or superfluous.",
        message="{url}/api/v1/query does not exist ({detail})",
        remedy="Correct the path in {source}: it must be the --web.route-prefix of Prometheus (by default the path of "
        "its --web.external-url).",
        defaults=_SOURCE,
    )
    NOT_PROMETHEUS = Reason(
        "NotPrometheus",
        Status.FAIL,
        "Another program answers: a web page, a login portal, Grafana, Alertmanager.",
        message="{address} is not Prometheus: {detail}",
        remedy="Set {source} to the host and port of Prometheus itself.",
        defaults=_SOURCE,
    )
    QUERY_REJECTED = Reason(
        "QueryRejected",
        Status.FAIL,
        "Prometheus rejects the query, usually because it loads more samples than --query.max-samples.",
        message="{address} rejected the query (HTTP {code}, {kind})",
        remedy="Check the log of Prometheus; if the limit of samples is exceeded, raise --query.max-samples or scrape "
        "fewer series.",
    )
    QUERY_TIMEOUT = Reason(
        "QueryTimeout",
        Status.FAIL,
        "Prometheus answers, but does not finish the query in time.",
        message="{address} answers, but did not finish the query within {seconds} s",
        remedy="Give Prometheus more memory and CPU, or scrape fewer series.",
    )
    SERVER_ERROR = Reason(
        "HTTPServerError",
        Status.FAIL,
        "Prometheus, or a proxy in front of it, returns 5xx or 429.",
        message="{address} returned HTTP {code}{kind}",
        remedy="Check the pods and the log of Prometheus: it is starting, overloaded or rate-limited.",
        defaults={"kind": ""},
    )
    ANSWER_UNUSABLE = Reason(
        "AnswerUnusable",
        Status.FAIL,
        "The result is not a vector of at most one number; KEDA accepts nothing else.",
        message="{address} returned an unusable result: {detail}",
        remedy="Set {source} to one Prometheus, not to a proxy that merges several without adding them up.",
        defaults=_SOURCE,
    )
