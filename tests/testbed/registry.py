"""A real image registry (Debian's docker-registry), its token service, and images of the testbed's own making."""

import base64
import ctypes
import gzip
import hashlib
import http.client
import io
import json
import shutil
import ssl
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.pki import Certificate, CertificateAuthority
from testbed.ports import LOOPBACK, free_port
from testbed.process import ComponentError, Process

USER, PASSWORD = "puller", "pull-password"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

SERVICE, ISSUER = "testbed-registry", "testbed-tokens"

Tree = dict[str, Any]


class Registry(Process):
    """One registry process. Several may share a `storage` directory, each with an authentication of its own.

    `certificate`: TLS with it, else plain HTTP. `basic`: passwords by user, for basic authentication. `tokens`: the
    started token service to send clients to.
    """

    def __init__(
        self,
        *,
        storage: Path,
        certificate: Certificate | None = None,
        basic: Mapping[str, str] | None = None,
        tokens: "TokenService | None" = None,
    ) -> None:
        super().__init__("registry")
        self.port = free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self.storage = storage
        self._certificate = certificate
        self._basic = basic
        self._tokens = tokens

    def command(self) -> Sequence[str | Path]:
        executable = shutil.which("docker-registry")
        if executable is None:
            raise ComponentError("no docker-registry on the PATH; run `make setup`")
        return [executable, "serve", self.directory / "config.yaml"]

    def prepare(self) -> None:
        listener: Tree = {"addr": self.address, "secret": "testbed"}
        if self._certificate:
            listener["tls"] = {
                "certificate": str(self._certificate.certificate_file),
                "key": str(self._certificate.key_file),
            }
        config: Tree = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": listener,
        }
        if self._basic:
            users = self.directory / "htpasswd"
            users.write_text("".join(f"{user}:{bcrypt(word)}\n" for user, word in self._basic.items()))
            config["auth"] = {"htpasswd": {"realm": "testbed", "path": str(users)}}
        if self._tokens:
            config["auth"] = {
                "token": {
                    "realm": f"{self._tokens.url}/token",
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(self._tokens.ca.ca_file),
                }
            }
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config))

    def ready(self) -> bool:
        return self.call("GET", "/v2/")[0] in (200, 401)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request without credentials and without verifying the certificate: status, headers, body."""
        connection: http.client.HTTPConnection
        if self._certificate:
            insecure = ssl.create_default_context()  # reads the system's authorities, which takes a while
            insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self.address, timeout=5, context=insecure)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request(method, path, body=body or None, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()


class ImageStore:
    """Images in a registry's storage: pushed through an open registry, then damaged on its disk.

    Every method that pushes returns the digest of what the tag points at.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def push(
        self,
        repository: str,
        tag: str,
        *,
        architecture: str = "amd64",
        manifest_type: str = MANIFEST,
        layers: int = 2,
        created: str = "2026-01-02T03:04:05Z",
        claimed_size: int = 0,
    ) -> str:
        """`claimed_size`: what the manifest says that its first layer has, in bytes."""
        manifest = self._image(
            repository, architecture, manifest_type, layers, created, f"{repository}:{tag}"
        )
        if claimed_size:
            content = json.loads(manifest)
            content["layers"][0]["size"] = claimed_size
            manifest = json.dumps(content).encode()
        return self._put(repository, tag, manifest, manifest_type)

    def push_index(
        self,
        repository: str,
        tag: str,
        architectures: Sequence[str] = ("amd64", "arm64"),
        *,
        index_type: str = INDEX,
        attestation: bool = False,
    ) -> str:
        kind = DOCKER_MANIFEST if index_type == DOCKER_LIST else MANIFEST
        entries = []
        for architecture in architectures:
            manifest = self._image(
                repository, architecture, kind, 1, "2026-01-02T03:04:05Z", f"{repository}:{tag}"
            )
            self._put(repository, digest(manifest), manifest, kind)
            platform = {"os": "linux", "architecture": architecture}
            entries.append(
                {"mediaType": kind, "digest": digest(manifest), "size": len(manifest), "platform": platform}
            )
        if attestation:
            entries.append({**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}})
        index = json.dumps({"schemaVersion": 2, "mediaType": index_type, "manifests": entries}).encode()
        return self._put(repository, tag, index, index_type)

    def manifest(self, repository: str, version: str) -> Tree:
        accept = {"Accept": ", ".join((INDEX, DOCKER_LIST, MANIFEST, DOCKER_MANIFEST))}
        status, _, body = self._registry.call("GET", f"/v2/{repository}/manifests/{version}", headers=accept)
        if status != 200:
            raise ComponentError(f"no manifest {repository}:{version}: {status}")
        content: Tree = json.loads(body)
        return content

    def lose_manifest(self, repository: str, manifest_digest: str) -> None:
        """The repository forgets a manifest, as an incomplete mirror never had it."""
        path = self._repository(repository) / "_manifests" / "revisions" / manifest_digest.replace(":", "/")
        shutil.rmtree(path)

    def lose_blob(self, repository: str, blob_digest: str) -> None:
        """The repository forgets a layer."""
        shutil.rmtree(self._repository(repository) / "_layers" / blob_digest.replace(":", "/"))
        algorithm, _, name = blob_digest.partition(":")
        blob = self._registry.storage / "docker/registry/v2/blobs" / algorithm / name[:2] / name
        shutil.rmtree(blob, ignore_errors=True)

    def _repository(self, repository: str) -> Path:
        return self._registry.storage / "docker/registry/v2/repositories" / repository

    def _image(
        self, repository: str, architecture: str, kind: str, layers: int, created: str, seed: str
    ) -> bytes:
        docker = kind == DOCKER_MANIFEST
        contents = [_layer(f"{seed} {architecture} {number}") for number in range(layers)]
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "created": created,
                "config": {},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [digest(gzip.decompress(content)) for content in contents],
                },
            }
        ).encode()
        for blob in (config, *contents):
            self._upload(repository, blob)
        vendor = "application/vnd.docker" if docker else "application/vnd.oci"
        config_type = f"{vendor}.container.image.v1+json" if docker else f"{vendor}.image.config.v1+json"
        layer_type = f"{vendor}.image.rootfs.diff.tar.gzip" if docker else f"{vendor}.image.layer.v1.tar+gzip"
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": {"mediaType": config_type, "digest": digest(config), "size": len(config)},
                "layers": [
                    {"mediaType": layer_type, "digest": digest(content), "size": len(content)}
                    for content in contents
                ],
            }
        ).encode()

    def _upload(self, repository: str, blob: bytes) -> None:
        _, headers, _ = self._registry.call("POST", f"/v2/{repository}/blobs/uploads/")
        location = urlsplit(headers["Location"])
        path = f"{location.path}?{location.query}&digest={digest(blob)}"
        status, _, body = self._registry.call("PUT", path, blob, {"Content-Type": "application/octet-stream"})
        if status != 201:
            raise ComponentError(f"upload to {repository}: {status} {body!r}")

    def _put(self, repository: str, version: str, manifest: bytes, kind: str) -> str:
        status, _, body = self._registry.call(
            "PUT", f"/v2/{repository}/manifests/{version}", manifest, {"Content-Type": kind}
        )
        if status != 201:
            raise ComponentError(f"push of {repository}:{version}: {status} {body!r}")
        return digest(manifest)


@dataclass(kw_only=True)
class TokenService:
    """Issues the bearer tokens of one or more registries, over TLS.

    `users`: password and the repositories that a login may pull ("*" for all); "" is everybody without a login.
    """

    ca: CertificateAuthority
    users: Mapping[str, tuple[str, frozenset[str]]]
    server: ScriptedServer = field(init=False)

    def __post_init__(self) -> None:
        pair = self.ca.issue("tokens")
        self._key = serialization.load_pem_private_key(pair.key_file.read_bytes(), None)
        leaf = x509.load_pem_x509_certificate(pair.certificate_file.read_bytes())
        self._chain = [base64.b64encode(leaf.public_bytes(serialization.Encoding.DER)).decode()]
        self.server = ScriptedServer(self._answer, certificate=pair)

    @property
    def url(self) -> str:
        return self.server.url

    def _answer(self, request: Request) -> Reply:
        if request.method == "POST":  # OAuth, which clients try first; they fall back to GET, as we answer it
            return Reply(405)
        user, password = request.login or ("", "")
        known, repositories = self.users.get(user, (None, frozenset()))
        if user and (known is None or known != password):
            return Reply(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        scopes = parse_qs(urlsplit(request.path).query).get("scope", [])
        granted = []
        for scope in scopes:
            kind, name, _ = scope.split(":", 2)
            if name in repositories or "*" in repositories:
                granted.append({"type": kind, "name": name, "actions": ["pull"]})
        return Reply(200, json.dumps({"token": self._sign(user, granted)}).encode())

    def _sign(self, subject: str, access: list[Tree]) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": str(time.monotonic_ns()),
            "access": access,
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = f"{_url64(json.dumps(header).encode())}.{_url64(json.dumps(claims).encode())}"
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_url64(r.to_bytes(32) + s.to_bytes(32))}"


def bcrypt(password: str) -> str:
    """The only hash that Go servers take; of the C library, as Python has none."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed: bytes = crypt(password.encode(), b"$2b$04$" + b"testbed" * 3 + b"u")
    return hashed.decode()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def schema_1_manifest(repository: str, tag: str) -> bytes:
    """What a registry of ten years ago would serve, unsigned."""
    return json.dumps(
        {
            "schemaVersion": 1,
            "name": repository,
            "tag": tag,
            "architecture": "amd64",
            "fsLayers": [{"blobSum": digest(b"")}],
            "history": [{"v1Compatibility": "{}"}],
        }
    ).encode()


def _layer(text: str) -> bytes:
    """A gzipped tar archive with one file, the same bytes each time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(text.encode())
        tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(archive.getvalue(), mtime=0)


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
