"""Real Prometheus servers and what may answer in their place: the stage of PrometheusQueryable and of its oracle."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mehc_checks.checks.prometheus.gather import NO_ENDPOINT
from mehc_checks.core.outcome import Status
from mehc_checks.modelengine.scaling import resource_name
from testbed import ports
from testbed.httpserver import Reply, Request, Script, ScriptedServer
from testbed.istio_exporter import SERIES, IstioExporter
from testbed.pki import Certificate, CertificateAuthority
from testbed.process import Ensemble
from testbed.prometheus import Prometheus
from testbed.waiting import eventually

USER, PASSWORD = "keda", "prometheus-password"
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body></body></html>"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"
BUSY = "busy"
"""The endpoint with traffic."""
UNKNOWN = 'destination_workload="unknown"'
RECEIVED = 'reporter="destination",response_code="200"'
SENT = (
    'reporter="source",response_code="200",'
    f'destination_service="{resource_name(BUSY)}.endpoints.svc.cluster.local"'
)


class Stage(Ensemble):
    """Starts all servers at once on entering; they scrape five seconds later."""

    def _start(self) -> None:
        enter = self.enter_context
        self.ca = CertificateAuthority("testbed Prometheus CA")
        self.foreign_ca = CertificateAuthority("testbed CA that nobody trusts")
        pair = self.ca.issue()
        in_flight = {resource_name(BUSY): 2.0}
        self.busy = enter(IstioExporter(in_flight))
        self.idle = enter(IstioExporter())
        self.old = enter(IstioExporter(in_flight, sidecars=0, age=200))
        self.leaving = enter(IstioExporter(in_flight))
        costly = {NO_ENDPOINT: 1.0, resource_name("too-many-samples"): 1.0}
        self.costly = enter(IstioExporter(costly))
        self.unlabelled = self.scraped(others=('reporter="destination",response_code="200"',))
        self.unknown = self.scraped(others=(f"{UNKNOWN},{RECEIVED}",))
        self.no_sidecar = self.scraped({"model-engine": 1.0}, others=(f"{UNKNOWN},{SENT}",))
        self.leaves_the_mesh = self.scraped(
            others=(
                f"{UNKNOWN},{SENT.replace(resource_name(BUSY), 's3.amazonaws.com')}".replace(".svc", ""),
                f"{UNKNOWN},{SENT}".replace("200", "503"),
            )
        )
        self.disabled = self.scraped(counted=True)
        self.sound = Prometheus([self.busy.address])
        self.secured = Prometheus([self.busy.address], certificate=pair, users={USER: PASSWORD})
        self.private = Prometheus([self.busy.address], certificate=pair)
        self.prefixed = Prometheus([self.idle.address], prefix="/prometheus")
        self.empty = Prometheus()
        self.agent = Prometheus(agent=True)
        self.stale = Prometheus([self.old.address])
        self.left = Prometheus([self.leaving.address])
        self.limited = Prometheus([self.costly.address], flags={"query.max-samples": 3})
        scraping = {
            self.sound: f"count_over_time({SERIES}[1m]) > 3",
            self.secured: f"count_over_time({SERIES}[1m]) > 3",
            self.private: f"count_over_time({SERIES}[1m]) > 3",
            self.prefixed: "istio_build",
            self.stale: SERIES,
            self.left: SERIES,
            self.limited: "up",
            self.unlabelled: SERIES,
            self.unknown: SERIES,
            self.no_sidecar: f"count({SERIES}) == 2",
            self.leaves_the_mesh: f"count({SERIES}) == 2",
            self.disabled: "istio_requests_total",
        }
        with ThreadPoolExecutor(max_workers=len(scraping) + 2) as side_by_side:
            list(side_by_side.map(enter, [*scraping, self.empty, self.agent]))
            list(side_by_side.map(lambda item: _scrapes(*item), scraping.items()))
        self.leaving.workloads = {}
        self.leaving.sidecars = 0
        eventually(lambda: self.left.query(SERIES), lambda found: not found)

    def scraped(self, workloads: dict[str, float] | None = None, **words: Any) -> Prometheus:
        """A server that scrapes an exporter of its own, to be started."""
        exporter = self.enter_context(IstioExporter(workloads, **words))
        return Prometheus([exporter.address])

    def scripted(
        self, script: Script, certificate: Certificate | None = None, *, client_ca: bool = False
    ) -> str:
        """The URL of a server that answers as the script says."""
        server = ScriptedServer(
            script, certificate=certificate, client_ca=self.ca.ca_file if client_ca else None
        )
        return self.enter_context(server).url

    def relay(self, answer: Any = None, *, delay: float = 0) -> str:
        """The URL of the sound server behind one whose queries are slow, or that answers KEDA's query itself."""

        def script(request: Request) -> Reply:
            if "/query" in request.path:
                time.sleep(delay)
            query = parse_qs(urlsplit(request.path).query).get("query", [""])[0]
            if answer is not None and query.startswith("sum("):
                return _json({"status": "success", "data": {"resultType": "vector", "result": answer}})
            try:
                with urllib.request.urlopen(self.sound.url() + request.path, timeout=5) as response:  # noqa: S310
                    return Reply(200, response.read(), {"Content-Type": "application/json"})
            except urllib.error.HTTPError as error:
                with error:
                    return Reply(error.code, error.read())

        return self.scripted(script)

    def at(self, server: contextlib.AbstractContextManager[ports.Address], scheme: str = "http") -> str:
        host, port = self.enter_context(server)
        return f"{scheme}://{host}:{port}"


def _scrapes(server: Prometheus, promql: str) -> None:
    eventually(lambda: server.query(promql), bool, seconds=20)


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def always(status: int, body: bytes = b"", **headers: str) -> Script:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: Reply(status, body, named)


def _grafana(request: Request) -> Reply:
    if request.path == "/api/health":
        return _json({"commit": "83b9528bce", "database": "ok", "version": "11.1.0"})
    return _json({"message": "Not found", "traceID": ""}, 404)


def _alertmanager(request: Request) -> Reply:
    if request.path == "/api/v2/status":
        return _json({"cluster": {"status": "ready"}, "versionInfo": {"version": "0.27.0"}, "uptime": "x"})
    return Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})


def _login_page(request: Request) -> Reply:
    if request.path.startswith("/api/"):
        return Reply(302, b"", {"Location": "/login"})
    return Reply(200, HTML, {"Content-Type": "text/html"})


def _element(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [time.time(), value]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """``address`` is what the values hold; ``keda`` whether KEDA's operator reads a number there.

    ``stricter`` marks the cases in which KEDA is content and we are not, on purpose.
    """

    name: str
    reason: str
    address: Callable[[Stage], str | None]
    status: Status = Status.FAIL
    keda: bool = False
    stricter: bool = False
    says: str = ""
    seconds: float = 2.5

    @property
    def endpoint_id(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())


def _ok(name: str, address: Callable[[Stage], str | None], says: str, reason: str = "Queryable") -> Case:
    return Case(name=name, reason=reason, address=address, status=Status.PASS, keda=True, says=says)


def _bad(name: str, reason: str, address: Callable[[Stage], str | None], says: str = "") -> Case:
    return Case(name=name, reason=reason, address=address, says=says)


def _strict(name: str, reason: str, address: Callable[[Stage], str | None], says: str = "") -> Case:
    return Case(name=name, reason=reason, address=address, keda=True, stricter=True, says=says)


EMPTY = "the result is empty, which is normal"

CASES = [
    _bad("unset", "PrometheusAddressUnset", lambda s: None),
    _bad("empty", "PrometheusAddressEmpty", lambda s: "", "dummy-value"),
    _bad("no scheme", "PrometheusAddressInvalid", lambda s: s.sound.address, "http://"),
    _bad("dummy by hand", "PrometheusAddressInvalid", lambda s: "dummy-value"),
    _bad("ftp", "PrometheusAddressInvalid", lambda s: f"ftp://{s.sound.address}"),
    _bad("no host", "PrometheusAddressInvalid", lambda s: "http://"),
    _bad("port not a number", "PrometheusAddressInvalid", lambda s: "http://127.0.0.1:http"),
    _bad("port too large", "PrometheusAddressInvalid", lambda s: "http://127.0.0.1:99999"),
    _bad("blank", "PrometheusAddressInvalid", lambda s: " "),
    _bad("blank within", "PrometheusAddressInvalid", lambda s: f"{s.sound.url()}/ /", "white space"),
    _bad("lone percent", "PrometheusAddressInvalid", lambda s: f"{s.sound.url()}/%", "escapes nothing"),
    _bad("with a query", "PrometheusAddressInvalid", lambda s: f"{s.sound.url()}/?orgId=1", "query"),
    _bad("with a fragment", "PrometheusAddressInvalid", lambda s: f"{s.sound.url()}/#x", "fragment"),
    _bad("unresolvable", "HostUnresolvable", lambda s: "http://prometheus.invalid:9090"),
    _bad("refused", "ConnectionRefused", lambda s: s.at(ports.refused_port())),
    _bad("black hole", "ConnectionTimeout", lambda s: s.at(ports.black_hole())),
    _bad("hangs", "ConnectionTimeout", lambda s: s.at(ports.silent_server())),
    Case(
        name="hangs for longer than KEDA waits",
        reason="ConnectionTimeout",
        address=lambda s: s.at(ports.silent_server()),
        says="did not answer within 4 s",
        seconds=5,
    ),
    _bad("hangs up", "ConnectionClosed", lambda s: s.at(ports.garbage_server(b""))),
    _bad("hangs up on TLS", "ConnectionClosed", lambda s: s.at(ports.garbage_server(b""), "https")),
    _bad("not HTTP", "ServerNotHTTP", lambda s: s.at(ports.garbage_server(b"220 smtp ready\r\n"))),
    _bad("foreign CA", "TLSUntrusted", lambda s: s.scripted(always(200), s.foreign_ca.issue())),
    _bad("expired", "TLSExpired", lambda s: s.scripted(always(200), s.ca.expired())),
    _bad(
        "not yet valid",
        "TLSNotYetValid",
        lambda s: s.scripted(always(200), s.ca.issue(begins_in=timedelta(days=2))),
    ),
    _bad("wrong host", "TLSWrongHost", lambda s: s.scripted(always(200), s.ca.wrong_host())),
    _bad(
        "client certificate",
        "TLSHandshakeFailed",
        lambda s: s.scripted(always(200), s.ca.issue(), client_ca=True),
    ),
    _bad("https to http", "ServerNotTLS", lambda s: f"https://{s.sound.address}"),
    _bad("http to https", "TLSRequired", lambda s: f"http://{s.private.address}"),
    _bad(
        "http to https that hangs up",
        "TLSRequired",
        lambda s: s.scripted(always(200), s.ca.issue()).replace("https", "http"),
    ),
    _bad("401", "CredentialsRequired", lambda s: s.secured.url(), "requires credentials"),
    _bad(
        "401 with credentials",
        "CredentialsRejected",
        lambda s: s.secured.url(user=USER, password="wrong"),
        "rejected the user and password",
    ),
    _bad(
        "no tenant", "TenantRequired", lambda s: s.scripted(always(401, b"no org id\n")), "requires a tenant"
    ),
    _bad("agent mode", "PrometheusAgent", lambda s: s.agent.url(), "answers no query"),
    _bad("403", "AccessDenied", lambda s: s.scripted(always(403, b"RBAC: access denied"))),
    _bad(
        "prefix forgotten",
        "PathNotFound",
        lambda s: f"http://{s.prefixed.address}",
        "answers below path /prometheus",
    ),
    _bad("prefix too much", "PathNotFound", lambda s: f"{s.sound.url()}/prom", "answers below path /"),
    _bad("404", "PathNotFound", lambda s: s.scripted(always(404)), "does not exist"),
    _bad(
        "web page",
        "NotPrometheus",
        lambda s: s.scripted(always(200, HTML, Content_Type="text/html")),
        "not Prometheus",
    ),
    _bad("login page", "NotPrometheus", lambda s: s.scripted(_login_page)),
    _bad("redirects", "NotPrometheus", lambda s: s.scripted(always(302, Location="/")), "endlessly"),
    _bad("Grafana", "NotPrometheus", lambda s: s.scripted(_grafana), "is Grafana"),
    _bad("Alertmanager", "NotPrometheus", lambda s: s.scripted(_alertmanager), "is Alertmanager"),
    _bad("other status", "NotPrometheus", lambda s: s.scripted(always(418))),
    _strict("other JSON", "NotPrometheus", lambda s: s.scripted(always(200, b'{"status": "ok"}'))),
    _bad("cut short", "ConnectionClosed", lambda s: s.at(ports.garbage_server(SHORT))),
    _bad("not gzip", "ServerNotHTTP", lambda s: s.scripted(always(200, b"{}", Content_Encoding="gzip"))),
    _strict(
        "endless",
        "NotPrometheus",
        lambda s: s.scripted(always(200, b'{"filler": "' + b"x" * 5_000_000 + b'"}')),
        "larger than 4 MiB",
    ),
    _bad("too many samples", "QueryRejected", lambda s: s.limited.url(), "execution"),
    _bad("starting", "HTTPServerError", lambda s: s.scripted(always(503, b"Service Unavailable"))),
    _bad("rate limited", "HTTPServerError", lambda s: s.scripted(always(429))),
    _bad("two elements", "AnswerUnusable", lambda s: s.relay([_element("1", pod="a"), _element("2")])),
    _bad("no number", "AnswerUnusable", lambda s: s.relay([_element("many")])),
    _bad("half a pair", "AnswerUnusable", lambda s: s.relay([{"metric": {}, "value": [1]}])),
    Case(
        name="never done",
        reason="QueryTimeout",
        address=lambda s: s.relay(delay=9),
        says="did not finish the query within 4 s",
        seconds=5,
    ),
    Case(
        name="slow",
        reason="SlowerThanKeda",
        address=lambda s: s.relay(delay=3.3),
        says="KEDA gives up after 3 s",
        seconds=5,
    ),
    _strict("nothing scraped", "IstioNotScraped", lambda s: s.empty.url()),
    _strict(
        "no workload label",
        "WorkloadLabelMissing",
        lambda s: s.unlabelled.url(),
        "names its destination_workload",
    ),
    _strict("unknown workload", "WorkloadLabelMissing", lambda s: s.unknown.url(), "none of 1 series"),
    _strict(
        "endpoints without sidecar", "WorkloadLabelMissing", lambda s: s.no_sidecar.url(), "of endpoints"
    ),
    _strict("durations disabled", "IstioSeriesDisabled", lambda s: s.disabled.url(), "istio_requests_total"),
    _strict("old samples", "IstioSeriesStale", lambda s: s.stale.url(), "s old"),
    _strict("no samples any more", "IstioSeriesStale", lambda s: s.left.url(), "within the last hour"),
    _ok("sound", lambda s: s.sound.url(), EMPTY),
    _ok("trailing slash", lambda s: f"{s.sound.url()}/", EMPTY),
    _ok("blanks around", lambda s: f" {s.sound.url()} ", EMPTY),
    _ok("upper case", lambda s: s.sound.url().replace("http", "HTTP"), EMPTY),
    _ok("by name", lambda s: f"http://localhost:{s.sound.port}", EMPTY),
    _ok("TLS", lambda s: s.private.url(), EMPTY),
    _ok("credentials", lambda s: s.secured.url(user=USER, password=PASSWORD), EMPTY),
    _ok(
        "redirected",
        lambda s: s.scripted(lambda request: Reply(301, b"", {"Location": s.sound.url() + request.path})),
        EMPTY,
    ),
    _ok("not a number", lambda s: s.relay([_element("NaN")]), "KEDA reads 0 requests"),
    _ok("infinite", lambda s: s.relay([_element("+Inf")]), "KEDA reads 0 requests"),
    _ok("some", lambda s: s.relay([_element("1.5")]), "KEDA reads 1.5 requests"),
    _ok("calls out of the mesh", lambda s: s.leaves_the_mesh.url(), "no request", "NoTrafficYet"),
    _ok("prefixed, no request yet", lambda s: s.prefixed.url(), "1 sidecar;", "NoTrafficYet"),
]


def values(address: str | None) -> dict[str, Any]:
    """Values with that address; absent for None."""
    infra = {} if address is None else {"prometheus_server_address": address}
    return {"config": {"values": {"infra": infra}}}
