"""A test certificate authority with leaves of every kind a TLS check has to tell apart."""

import datetime
import ipaddress
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.process import temporary_directory

LOCAL_NAMES = ("localhost", "127.0.0.1")

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """PEM files of a leaf certificate and its key (mode 0600)."""

    certificate_file: Path
    key_file: Path

    def copy_to(self, directory: Path, *, user: str | None = None) -> "Certificate":
        """The same pair elsewhere, owned by `user`: servers refuse keys that others own."""
        pair = Certificate(
            certificate_file=directory / self.certificate_file.name, key_file=directory / self.key_file.name
        )
        for source, target in (
            (self.certificate_file, pair.certificate_file),
            (self.key_file, pair.key_file),
        ):
            shutil.copy(source, target)
            target.chmod(0o600)
            if user is not None:
                shutil.chown(target, user)
        return pair


class CertificateAuthority:
    """A self-signed authority with EC keys; the files live until the process exits."""

    def __init__(self, common_name: str = "testbed CA") -> None:
        self.directory = temporary_directory("pki")
        self.directory.chmod(0o755)  # servers under other accounts read the CA file
        self._count = itertools.count(1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.datetime.now(datetime.UTC)
        public = self._key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3650 * _DAY)
            .not_valid_after(now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = self.directory / "ca.crt"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key_file = self.directory / "ca.key"
        _write_key(self.key_file, self._key)

    @property
    def ca_pem(self) -> str:
        return self.ca_file.read_text()

    def issue(
        self,
        common_name: str = "localhost",
        *,
        names: Sequence[str] = LOCAL_NAMES,
        valid_for: datetime.timedelta = 365 * _DAY,
        begins_in: datetime.timedelta | None = None,
        organizations: Sequence[str] = (),
    ) -> Certificate:
        """A leaf for server and client use.

        `names`: DNS names and IP addresses; one that lacks the server's address makes a wrong-host certificate.
        `valid_for`: from now; negative makes an expired one. `begins_in`: from then on.
        `organizations`: Kubernetes reads them as groups.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + valid_for) - _DAY if begins_in is None else now + begins_in)
            .not_valid_after(now + valid_for)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        number = next(self._count)
        pair = Certificate(
            certificate_file=self.directory / f"leaf-{number}.crt",
            key_file=self.directory / f"leaf-{number}.key",
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        pair.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(pair.key_file, key)
        return pair

    def expired(self) -> Certificate:
        return self.issue(valid_for=-_DAY)

    def expiring(self, days: float) -> Certificate:
        return self.issue(valid_for=days * _DAY)

    def wrong_host(self) -> Certificate:
        return self.issue("elsewhere.example", names=("elsewhere.example",))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
