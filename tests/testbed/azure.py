"""Azure, as far as mehc asks it: Microsoft Entra's token endpoint, and services that know each token and its roles.

One HTTPS server under their real names (``testbed.names``), with the answers that the services' documentation has; the
vendor's own clients are held against it in the tests. Tokens are as Entra's, but that no key signs them.
"""

import base64
import contextlib
import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.names import leading
from testbed.pki import CertificateAuthority

LOGIN = "login.microsoftonline.com"
TENANT = "7f0f5a0c-1111-4222-8333-aaaaaaaaaaaa"
VAULT, BLOBS, BUS, REGISTRY = (
    "vault.azure.net",
    "blob.core.windows.net",
    "servicebus.windows.net",
    "azurecr.io",
)
AUDIENCES = {
    VAULT: "https://vault.azure.net",
    BLOBS: "https://storage.azure.com",
    BUS: "https://servicebus.azure.net",
    REGISTRY: "https://containerregistry.azure.net",
}


@dataclass(frozen=True, kw_only=True)
class Principal:
    """An identity; ``assertion`` is the ServiceAccount's token that its federated credential accepts."""

    client: str
    object: str
    assertion: str

    def environment(self, folder: Path) -> dict[str, str]:
        """What the webhook of workload identity gives a pod."""
        file = folder / f"{self.client}.token"
        file.write_text(self.assertion)
        return {
            "AZURE_CLIENT_ID": self.client,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
            "AZURE_AUTHORITY_HOST": f"https://{LOGIN}/",
        }


def principal() -> Principal:
    """A new one, which no service admits yet."""
    return Principal(client=_guid(), object=_guid(), assertion=secrets.token_hex(16))


def _guid() -> str:
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


@dataclass(kw_only=True)
class Secret:
    """A secret of a vault."""

    text: str
    enabled: bool = True


@dataclass(kw_only=True)
class BusQueue:
    """A queue of Service Bus."""

    active: int = 0
    dead: int = 0
    status: str = "Active"


@dataclass
class State:
    """What is there, and who may do what: ``roles`` are pairs of object ID and resource ("kv.vault.azure.net")."""

    principals: dict[str, Principal] = field(default_factory=dict)
    roles: set[tuple[str, str]] = field(default_factory=set)
    secrets: dict[tuple[str, str], Secret] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    firewalled: set[str] = field(default_factory=set)
    queues: dict[tuple[str, str], BusQueue] = field(default_factory=dict)
    containers: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By host and name; of each blob when it was written."""
    writers: set[tuple[str, str]] = field(default_factory=set)
    registry: str = ""
    """The address of an open registry, whose content all registries of Azure have."""
    passwords: dict[str, Principal] = field(default_factory=dict)
    """What registries took a token for, and made of it."""


class AzureCloud:
    """The server, at ``place``. ``certificates``: its authority is the one that clients must trust."""

    def __init__(self, certificates: CertificateAuthority, place: tuple[str, int] | None = None) -> None:
        self.state = State()
        self._ca = certificates
        names = (LOGIN, *(f"*.{suffix}" for suffix in (VAULT, BLOBS, BUS, REGISTRY)))
        certificate = certificates.issue("azure", names=names)
        self.server = ScriptedServer(self._answer, certificate=certificate, place=place)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def led(self, *hosts: str, **more: str) -> Iterator[None]:
        """Within, this process finds Entra and ``hosts`` here."""
        routes = {f"{host}:443": self.server.address for host in (LOGIN, *hosts)}
        with leading({**routes, **more}):
            yield

    @property
    def ca_file(self) -> Path:
        return self._ca.ca_file

    def identity(self) -> Principal:
        """A new identity."""
        made = principal()
        self.state.principals[made.client] = made
        return made

    def grant(self, to: Principal, host: str) -> None:
        """The role that reading of ``host`` takes."""
        self.state.roles.add((to.object, host))

    def keep(self, vault: str, name: str, text: str, *, enabled: bool = True) -> None:
        self.state.secrets[f"{vault}.{VAULT}", name] = Secret(text=text, enabled=enabled)

    def token(self, of: Principal, audience: str) -> str:
        """The one token of ``of`` for ``audience`` ("https://redis.azure.com")."""
        expires = int(time.time()) + 3600
        claims = {"aud": audience, "appid": of.client, "oid": of.object, "tid": TENANT, "exp": expires}
        return self.state.tokens.setdefault((of.client, audience), _unsigned(claims))

    def holder(self, request: Request, audience: str) -> Principal | None:
        """Whose token a request has."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        for (client, wanted), text in self.state.tokens.items():
            if text == given and wanted.rstrip("/") == audience:
                return self.state.principals[client]
        return None

    def _answer(self, request: Request) -> Reply:
        host = request.headers.get("Host", "").partition(":")[0]
        if host == LOGIN:
            return self._entra(request)
        suffix = host.partition(".")[2]
        held = self.holder(request, AUDIENCES[suffix]) if suffix in AUDIENCES else None
        if suffix == VAULT:
            return self._vault(host, request, held)
        if suffix == BUS:
            return self._bus(host, request, held)
        if suffix == BLOBS:
            return self._blobs(host, request, held)
        if suffix == REGISTRY:
            return self._acr(host, request)
        return Reply(404)

    def _entra(self, request: Request) -> Reply:
        """Source: Microsoft identity platform, OAuth 2.0 client credentials flow with a federated credential."""
        tenant, form = urlsplit(request.path).path.split("/")[1], parse_qs(request.body.decode())
        client, scope = form["client_id"][0], form["scope"][0]
        if tenant != TENANT:
            return _refused("invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if client not in self.state.principals:
            return _refused("unauthorized_client", 700016, f"Application '{client}' was not found.")
        found = self.state.principals[client]
        if form["client_assertion"][0] != found.assertion:
            return _refused("invalid_client", 700213, "No matching federated identity record found.")
        audience = scope.removesuffix("/.default")
        return _json(
            200,
            {
                "token_type": "Bearer",
                "expires_in": 3599,
                "ext_expires_in": 3599,
                "access_token": self.token(found, audience),
            },
        )

    def _vault(self, host: str, request: Request, held: Principal | None) -> Reply:
        """Source: Key Vault REST API reference, Get Secret, and its authentication by challenge."""
        if held is None:
            challenge = f'Bearer authorization="https://{LOGIN}/{TENANT}", resource="{AUDIENCES[VAULT]}"'
            return _error(401, "Unauthorized", headers={"WWW-Authenticate": challenge})
        if host in self.state.firewalled:
            return _error(403, "Forbidden", inner="ForbiddenByFirewall")
        if (held.object, host) not in self.state.roles:
            return _error(403, "Forbidden", inner="ForbiddenByRbac")
        name = urlsplit(request.path).path.strip("/").split("/")[1]
        found = self.state.secrets.get((host, name))
        if found is None:
            return _error(404, "SecretNotFound")
        if not found.enabled:
            return _error(403, "Forbidden", inner="SecretDisabled")
        attributes = {"enabled": True, "created": 1700000000, "updated": 1700000000}
        identifier = f"https://{host}/secrets/{name}/{secrets.token_hex(16)}"
        return _json(200, {"value": found.text, "id": identifier, "attributes": attributes})

    def _bus(self, host: str, request: Request, held: Principal | None) -> Reply:
        """Source: Service Bus REST API reference, Get Queue. What is not there is an empty feed."""
        if held is None or (held.object, host) not in self.state.roles:
            detail = "Unauthorized access. 'Manage,EntityRead' claim is required to perform this operation."
            return _xml(401, f"<Error><Code>401</Code><Detail>{detail}</Detail></Error>")
        name = urlsplit(request.path).path.strip("/")
        found = self.state.queues.get((host, name))
        if found is None:
            return _xml(
                200, f'<feed xmlns="{_ATOM}"><title type="text">Publicly Listed Services</title></feed>'
            )
        described = "".join(
            (
                "<LockDuration>PT1M</LockDuration><MaxSizeInMegabytes>1024</MaxSizeInMegabytes>",
                f"<MessageCount>{found.active + found.dead}</MessageCount><Status>{found.status}</Status>",
                f'<CountDetails xmlns:d2p1="{_COUNTS}">',
                f"<d2p1:ActiveMessageCount>{found.active}</d2p1:ActiveMessageCount>",
                f"<d2p1:DeadLetterMessageCount>{found.dead}</d2p1:DeadLetterMessageCount>",
                "<d2p1:ScheduledMessageCount>0</d2p1:ScheduledMessageCount>",
                "<d2p1:TransferMessageCount>0</d2p1:TransferMessageCount>",
                "<d2p1:TransferDeadLetterMessageCount>0</d2p1:TransferDeadLetterMessageCount></CountDetails>",
            )
        )
        return _xml(
            200,
            f'<entry xmlns="{_ATOM}"><id>https://{host}/{name}</id><title type="text">{name}</title>'
            f'<content type="application/xml"><QueueDescription xmlns="{_CONNECT}" '
            f'xmlns:i="http://www.w3.org/2001/XMLSchema-instance">{described}</QueueDescription></content></entry>',
        )

    def _blobs(self, host: str, request: Request, held: Principal | None) -> Reply:
        """Source: Blob service REST API, List Blobs, Put Blob, Get Blob Properties, Delete Blob."""
        if held is None:
            given = "Authorization" in request.headers
            return (
                _storage(403, "AuthenticationFailed")
                if given
                else _storage(401, "NoAuthenticationInformation")
            )
        if host in self.state.firewalled:
            return _storage(403, "AuthorizationFailure")
        parts, query = urlsplit(request.path), parse_qs(urlsplit(request.path).query)
        name, _, blob = unquote(parts.path).strip("/").partition("/")
        roles = self.state.writers if request.method in ("PUT", "DELETE") else self.state.roles
        if (held.object, host) not in roles:
            return _storage(403, "AuthorizationPermissionMismatch")
        held_blobs = self.state.containers.get((host, name))
        if held_blobs is None:
            return _storage(404, "ContainerNotFound")
        if not blob:
            prefix = query.get("prefix", [""])[0]
            listed = "".join(
                f"<Blob><Name>{each}</Name><Properties><Last-Modified>{written}</Last-Modified>"
                "<Content-Length>1</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
                for each, written in held_blobs.items()
                if each.startswith(prefix)
            )
            return _xml(
                200,
                f'<EnumerationResults ServiceEndpoint="https://{host}/" ContainerName="{name}">'
                f"<Blobs>{listed}</Blobs><NextMarker /></EnumerationResults>",
            )
        if request.method == "PUT":
            held_blobs[blob] = formatdate(usegmt=True)
            return Reply(201, headers={"ETag": '"1"', "Last-Modified": held_blobs[blob]})
        if blob not in held_blobs:
            return _storage(404, "BlobNotFound")
        if request.method == "DELETE":
            del held_blobs[blob]
            return Reply(202)
        return Reply(200, headers={"Last-Modified": held_blobs[blob]})

    def _acr(self, host: str, request: Request) -> Reply:
        """Source: Azure Container Registry, AAD integration: token of Entra, refresh token, access token."""
        url = urlsplit(request.path)
        sent = f"{url.query}&{request.body.decode()}"
        form = {name: given[0] for name, given in parse_qs(sent).items()}
        if url.path == "/oauth2/exchange":
            given = Request(
                method="", path="", headers={"Authorization": f"Bearer {form.get('access_token', '')}"}
            )
            found = self.holder(given, AUDIENCES[REGISTRY])
            if found is None or form["service"] != host:
                return _json(401, {"errors": [{"code": "UNAUTHORIZED", "message": "remote words"}]})
            password = _unsigned({"oid": found.object, "aud": host, "exp": int(time.time()) + 10800})
            self.state.passwords[password] = found
            return _json(200, {"refresh_token": password})
        if url.path == "/oauth2/token":
            password = request.login[1] if request.login else form.get("refresh_token", "")
            found = self.state.passwords.get(password)
            if found is None or (found.object, host) not in self.state.roles:
                return _json(401, {"errors": [{"code": "UNAUTHORIZED", "message": "remote words"}]})
            return _json(200, {"access_token": f"of-{found.object}"})
        entitled = {f"Bearer of-{who}" for who, where in self.state.roles if where == host}
        if request.headers.get("Authorization") not in entitled:
            repository = url.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
            scope = f',scope="repository:{repository}:pull"' if repository else ""
            challenge = f'Bearer realm="https://{host}/oauth2/token",service="{host}"{scope}'
            return _error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})
        passed = {name: text for name, text in request.headers.items() if name.title() in ("Accept", "Range")}
        connection = http.client.HTTPConnection(self.state.registry, timeout=60)
        with contextlib.closing(connection):
            connection.request(request.method, request.path, headers=passed)
            answer = connection.getresponse()
            headers = {
                name: text
                for name, text in answer.getheaders()
                if name in ("Content-Type", "Docker-Content-Digest", "Content-Length", "Content-Range")
            }
            return Reply(answer.status, answer.read(), headers)


_ATOM = "http://www.w3.org/2005/Atom"
_CONNECT = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
_COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"


def _xml(status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()
    return Reply(status, body, {"Content-Type": "application/xml", **(headers or {})})


def _storage(status: int, code: str) -> Reply:
    error = f"<Error><Code>{code}</Code><Message>remote words</Message></Error>"
    return _xml(status, error, {"x-ms-error-code": code})


def _unsigned(claims: Mapping[str, object]) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims, secrets.token_hex(8)))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _refused(error: str, code: int, text: str) -> Reply:
    described = f"AADSTS{code}: {text} Trace ID: {_guid()}"
    return _json(
        400 if code != 700213 else 401,
        {"error": error, "error_description": described, "error_codes": [code]},
    )


def _error(status: int, code: str, *, inner: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    error: dict[str, object] = {"code": code, "message": "remote words"}
    if inner:
        error["innererror"] = {"code": inner}
    return _json(status, {"error": error}, headers)


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
