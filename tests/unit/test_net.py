"""Each way of not reaching a server, staged for real, has its own fault."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from mehc_checks.clients.network import Fault, NetworkFailure, client_context, connect, handshake, resolve
from testbed import ports
from testbed.pki import Certificate, CertificateAuthority


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return CertificateAuthority()


@asynccontextmanager
async def tls_server(certificate: Certificate) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


listening = partial(ports.garbage_server, b"+hello\r\n")


@pytest.mark.parametrize(
    ("stage", "fault", "words"),
    [
        (ports.refused_port, Fault.REFUSED, "nothing listens there"),
        (ports.black_hole, Fault.NO_ANSWER, "did not answer within 0.3 s"),
    ],
)
async def test_connect_fails(
    stage: Callable[[], AbstractContextManager[ports.Address]], fault: Fault, words: str
) -> None:
    with stage() as (host, port):
        with pytest.raises(NetworkFailure, match=words) as caught:
            await connect(host, port, timeout=0.3)
        assert caught.value.fault is fault
        assert f"{host}:{port}" in str(caught.value)


async def test_connect_says_which_address_accepted() -> None:
    with listening() as (_, port):
        assert await connect("localhost", port, timeout=2) == "127.0.0.1"


@pytest.mark.parametrize("name", ["does-not-exist.invalid", "a..b", "x" * 70, ""])
async def test_a_name_that_does_not_resolve(name: str) -> None:
    with pytest.raises(NetworkFailure) as caught:
        await resolve(name, 1, timeout=5)
    assert caught.value.fault is Fault.UNRESOLVABLE


async def test_handshake_reads_the_certificate(ca: CertificateAuthority) -> None:
    trusting = ssl.create_default_context(cafile=str(ca.ca_file))
    async with tls_server(ca.expiring(7)) as port:
        peer = await handshake("localhost", port, trusting, timeout=2)
    assert peer.not_after
    assert 6 <= (peer.not_after - datetime.now(UTC)).days <= 7
    assert peer.protocol.startswith("TLSv1.")


async def test_an_unverified_certificate_is_not_read(ca: CertificateAuthority) -> None:
    async with tls_server(ca.expired()) as port:
        peer = await handshake("localhost", port, client_context(verify=False), timeout=2)
    assert peer.not_after is None
    assert peer.protocol.startswith("TLSv1.")


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        (lambda ca: ca.expired(), Fault.TLS_EXPIRED),
        (lambda ca: ca.wrong_host(), Fault.TLS_WRONG_HOST),
        (lambda _: CertificateAuthority().issue(), Fault.TLS_UNTRUSTED),
    ],
)
async def test_a_certificate_that_does_not_do(
    ca: CertificateAuthority, certificate: Callable[[CertificateAuthority], Certificate], fault: Fault
) -> None:
    trusting = ssl.create_default_context(cafile=str(ca.ca_file))
    async with tls_server(certificate(ca)) as port:
        with pytest.raises(NetworkFailure) as caught:
            await handshake("localhost", port, trusting, timeout=2)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("stage", "fault"), [(listening, Fault.NOT_TLS), (ports.silent_server, Fault.NO_ANSWER)]
)
async def test_tls_begun_with_a_peer_that_does_not_speak_it(
    stage: Callable[[], AbstractContextManager[ports.Address]], fault: Fault
) -> None:
    with stage() as (host, port), pytest.raises(NetworkFailure) as caught:
        await handshake(host, port, ssl.create_default_context(), timeout=0.5)
    assert caught.value.fault is fault


async def test_a_deadline_is_kept() -> None:
    with ports.silent_server() as (host, port):
        clock = time.monotonic()
        with pytest.raises(NetworkFailure):
            await handshake(host, port, ssl.create_default_context(), timeout=0.2)
    assert time.monotonic() - clock < 2
