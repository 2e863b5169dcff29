"""Google Cloud, as far as mehc asks it: the metadata server, the token services, and services that know each token.

One HTTPS server under their real names (``testbed.names``), and one without TLS as the metadata server, with the
answers that their documentation has; the vendor's own clients are held against it in the tests.
"""

import base64
import contextlib
import http.client
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.names import leading
from testbed.pki import CertificateAuthority

SECRETS, STS, IAM, OAUTH, STORAGE = (
    f"{service}.googleapis.com" for service in ("secretmanager", "sts", "iamcredentials", "oauth2", "storage")
)
REGISTRY = "us-docker.pkg.dev"
HOSTS = (SECRETS, STS, IAM, OAUTH, STORAGE, REGISTRY)
POOL = "//iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/clusters/providers/onprem"
USER = "oauth2accesstoken"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(kw_only=True)
class Account:
    """A service account. ``assertion`` is the ServiceAccount's token that may use it by federation."""

    email: str
    token: str
    assertion: str = ""
    usable: bool = True
    """Whether the operator's ServiceAccount has roles/iam.workloadIdentityUser on it."""

    def file(self, folder: Path, *, audience: str = POOL, assertion: str | None = None) -> Path:
        """A file of credentials of workload identity federation, which impersonates the account."""
        token, path = folder / "assertion", folder / "credentials.json"
        token.write_text(self.assertion if assertion is None else assertion)
        impersonation = f"https://{IAM}/v1/projects/-/serviceAccounts/{self.email}:generateAccessToken"
        content = {
            "type": "external_account",
            "audience": audience,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"https://{STS}/v1/token",
            "service_account_impersonation_url": impersonation,
            "credential_source": {"file": str(token)},
        }
        path.write_text(json.dumps(content))
        return path


@dataclass
class State:
    """What is there, and who may do what: ``roles`` are pairs of an email and a project, or a bucket."""

    accounts: dict[str, Account] = field(default_factory=dict)
    roles: set[tuple[str, str]] = field(default_factory=set)
    secrets: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    """Content and state of the last version, by project and name."""
    buckets: dict[str, dict[str, datetime]] = field(default_factory=dict)
    """When each object was written, by bucket and name."""
    writers: set[str] = field(default_factory=set)
    """Emails of accounts that may write objects where they may list them."""
    refusing: dict[str, Reply] = field(default_factory=dict)
    """Services, projects and buckets that answer everybody so."""
    on_node: str = ""
    """The email of the account that the metadata server has; "" for none."""
    metadata: Reply | None = None
    """What the metadata server answers in place of a token."""
    registry: str = ""
    """The address of an open registry, whose content Artifact Registry has."""
    federated: dict[str, str] = field(default_factory=dict)
    """By a token of the token service, the assertion that it was given for."""


class GoogleCloud:
    """The servers. ``certificates``: its authority is the one that clients must trust."""

    def __init__(self, certificates: CertificateAuthority, *, host: str = "") -> None:
        """``host`` is where its services and the metadata server are, at their own ports; needs root."""
        services, metadata = ((host, 443), (host, 80)) if host else (None, None)
        self.state = State()
        self._ca = certificates
        self.server = ScriptedServer(
            self._answer, certificate=certificates.issue("google", names=HOSTS), place=services
        )
        self.metadata = ScriptedServer(self._metadata, place=metadata)

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.metadata.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.metadata.__exit__(kind, error, trace)
        self.server.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def led(self, *, metadata: bool = True, **more: str) -> Iterator[None]:
        """Within, this process finds Google's services here, and ``metadata``: a node's identity."""
        routes = {f"{host}:443": self.server.address for host in HOSTS}
        if metadata:
            routes[f"{os.environ['GCE_METADATA_HOST']}:80"] = self.metadata.address
        with leading({**routes, **more}):
            yield

    @property
    def ca_file(self) -> Path:
        return self._ca.ca_file

    def account(self, name: str = "") -> Account:
        """A new service account, which no service admits yet."""
        email = f"{name or 'sa-' + secrets.token_hex(4)}@p1.iam.gserviceaccount.com"
        made = Account(email=email, token=f"ya29.{secrets.token_hex(24)}", assertion=secrets.token_hex(16))
        self.state.accounts[email] = made
        return made

    def grant(self, to: Account, resource: str) -> None:
        self.state.roles.add((to.email, resource))

    def keep(self, project: str, name: str, content: str | bytes, *, state: str = "ENABLED") -> None:
        data = content.encode() if isinstance(content, str) else content
        self.state.secrets[project, name] = (data, state)

    def _holder(self, request: Request) -> Account | None:
        given = _header(request, "Authorization").removeprefix("Bearer ")
        return next((each for each in self.state.accounts.values() if each.token == given), None)

    def _metadata(self, request: Request) -> Reply:
        """Source: Compute Engine, "Access metadata"; GKE, "About Workload Identity Federation"."""
        if _header(request, "Metadata-Flavor") != "Google":
            return Reply(403, b"Missing Metadata-Flavor:Google header.")
        path = urlsplit(request.path).path
        account = self.state.accounts.get(self.state.on_node)
        if account is None:
            return Reply(404, b"The requested service account was not found.")
        if path.endswith("/token"):
            if self.state.metadata:
                return self.state.metadata
            return _json(
                200, {"access_token": account.token, "expires_in": 3599, "token_type": "Bearer"}, flavor=True
            )
        return _json(200, {"aliases": ["default"], "email": account.email, "scopes": [SCOPE]}, flavor=True)

    def _answer(self, request: Request) -> Reply:
        host, path = _header(request, "Host").partition(":")[0], urlsplit(request.path).path
        if host in self.state.refusing:
            return self.state.refusing[host]
        if host == STS:
            return self._exchange(parse_qs(request.body.decode()))
        if host == IAM:
            return self._impersonate(request, path)
        if host == REGISTRY:
            return self._registry(request)
        held = self._holder(request)
        if held is None:
            return error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED")
        if host == SECRETS:
            return self._secret(held, path)
        if host == STORAGE:
            return self._storage(held, request)
        return Reply(404)

    def _registry(self, request: Request) -> Reply:
        """Source: Artifact Registry, access tokens for Docker; the distribution's token specification."""
        url = urlsplit(request.path)
        login = request.login
        if url.path == "/v2/token":
            holder = next(
                (each for each in self.state.accounts.values() if login == (USER, each.token)), None
            )
            if login and holder is None:
                return Reply(401)
            token = f"of-{holder.email.encode().hex()}" if holder else "of-nobody"
            return _json(200, {"token": token, "expires_in": 3600})
        given = _header(request, "Authorization").removeprefix("Bearer of-")
        if not given:
            scope = "/".join(url.path.removeprefix("/v2/").split("/")[:-2])
            realm = f'Bearer realm="https://{REGISTRY}/v2/token",service="{REGISTRY}"'
            challenge = f'{realm},scope="repository:{scope}:pull"' if scope else realm
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
        if (given, REGISTRY) not in {(who.encode().hex(), where) for who, where in self.state.roles}:
            return _json(403, {"errors": [{"code": "DENIED", "message": "remote words"}]})
        return forwarded(self.state.registry, request)

    def _exchange(self, form: dict[str, list[str]]) -> Reply:
        """Source: Security Token Service API, method token."""
        if form["audience"][0] != POOL:
            return _json(400, {"error": "invalid_target", "error_description": "remote words"})
        given = form["subject_token"][0]
        if given not in {each.assertion for each in self.state.accounts.values()}:
            return _json(400, {"error": "invalid_grant", "error_description": "remote words"})
        text = f"federated-{secrets.token_hex(8)}"
        self.state.federated[text] = given
        token_type = "urn:ietf:params:oauth:token-type:access_token"
        content = {
            "access_token": text,
            "issued_token_type": token_type,
            "token_type": "Bearer",
            "expires_in": 3599,
        }
        return _json(200, content)

    def _impersonate(self, request: Request, path: str) -> Reply:
        """Source: IAM Service Account Credentials API, generateAccessToken."""
        account = self.state.accounts.get(unquote(path.rpartition("/")[2]).partition(":")[0])
        if account is None:
            return error(404, "NOT_FOUND")
        given = _header(request, "Authorization").removeprefix("Bearer ")
        if not account.usable or self.state.federated.get(given) != account.assertion:
            return error(403, "PERMISSION_DENIED", reason="IAM_PERMISSION_DENIED")
        return _json(200, {"accessToken": account.token, "expireTime": "2099-01-01T00:00:00Z"})

    def _secret(self, held: Account, path: str) -> Reply:
        """Source: Secret Manager API, projects.secrets.versions.access."""
        _, _, _, project, _, name, _, version = path.split("/")
        if project in self.state.refusing:
            return self.state.refusing[project]
        if (held.email, project) not in self.state.roles:
            return error(403, "PERMISSION_DENIED", reason="IAM_PERMISSION_DENIED")
        if (project, name) not in self.state.secrets:
            return error(404, "NOT_FOUND")
        data, state = self.state.secrets[project, name]
        if state != "ENABLED":
            message = f"Secret Version [{path[4:]}] is in {state} state. remote words"
            return error(400, "FAILED_PRECONDITION", message=message)
        payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": "1"}
        return _json(200, {"name": f"{path[4:]} {version}", "payload": payload})

    def _storage(self, held: Account, request: Request) -> Reply:
        """Source: Cloud Storage JSON API, methods of objects."""
        parts = urlsplit(request.path)
        query = {name: texts[0] for name, texts in parse_qs(parts.query).items()}
        before, _, after = parts.path.partition("/b/")
        bucket, _, rest = after.partition("/o")
        if bucket in self.state.refusing:
            return self.state.refusing[bucket]
        if bucket not in self.state.buckets:
            return refused(404, "notFound")
        objects, name = self.state.buckets[bucket], unquote(rest.lstrip("/"))
        is_listing = request.method == "GET" and not name
        if (held.email, bucket) not in self.state.roles or not (
            is_listing or held.email in self.state.writers
        ):
            return refused(403, "forbidden")
        if is_listing:
            found = [
                _object(each, when)
                for each, when in sorted(objects.items())
                if each.startswith(query.get("prefix", ""))
            ]
            listed = found[: int(query.get("maxResults", 1000))]
            return _json(200, {"kind": "storage#objects", **({"items": listed} if listed else {})})
        if before.startswith("/upload"):
            objects[query["name"]] = datetime.now(UTC)
            return _json(200, _object(query["name"], objects[query["name"]]))
        if name not in objects:
            return refused(404, "notFound")
        if request.method == "DELETE":
            del objects[name]
            return Reply(204)
        return _json(200, _object(name, objects[name]))


def _object(name: str, written: datetime) -> dict[str, str]:
    when = written.isoformat().replace("+00:00", "Z")
    return {"kind": "storage#object", "name": name, "updated": when, "timeCreated": when}


def refused(code: int, reason: str) -> Reply:
    """An error of Cloud Storage. Source: its JSON API, HTTP status and error codes."""
    error = {"message": "remote words", "domain": "global", "reason": reason}
    return _json(code, {"error": {"code": code, "message": "remote words", "errors": [error]}})


def forwarded(address: str, request: Request) -> Reply:
    """What the open registry at ``address`` answers."""
    passed = {name: text for name, text in request.headers.items() if name.title() in ("Accept", "Range")}
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request(request.method, request.path, headers=passed)
        answer = connection.getresponse()
        kept = ("Content-Type", "Docker-Content-Digest", "Content-Length", "Content-Range")
        headers = {name: text for name, text in answer.getheaders() if name in kept}
        return Reply(answer.status, answer.read(), headers)


def _header(request: Request, name: str) -> str:
    return next((text for key, text in request.headers.items() if key.lower() == name.lower()), "")


def error(
    code: int, status: str, *, reason: str = "", message: str = "remote words", **metadata: str
) -> Reply:
    """An error of a Google API. Source: AIP-193, google.rpc.ErrorInfo."""
    content: dict[str, Any] = {"code": code, "message": message, "status": status}
    if reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        detail = {"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}
        content["details"] = [detail]
    return _json(code, {"error": content})


def _json(status: int, content: object, *, flavor: bool = False) -> Reply:
    headers = {"Content-Type": "application/json", **({"Metadata-Flavor": "Google"} if flavor else {})}
    return Reply(status, json.dumps(content).encode(), headers)
