"""Each way of not reaching a server, staged for real, has its own fault."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from mehc_checks.clients.network.connect import (
    NetworkProblem,
    classify,
    client_context,
    connect,
    handshake,
    resolve,
)
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.outcome import Reason
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
        (ports.refused_port, N.CONNECTION_REFUSED, "nothing listens there"),
        (ports.black_hole, N.CONNECTION_TIMEOUT, "did not answer within 0.3 s"),
    ],
)
async def test_connect_fails(
    stage: Callable[[], AbstractContextManager[ports.Address]], fault: Reason, words: str
) -> None:
    with stage() as (host, port):
        with pytest.raises(NetworkProblem, match=words) as caught:
            await connect(host, port, timeout=0.3)
        assert caught.value.reason is fault
        assert f"{host}:{port}" in str(caught.value)


async def test_connect_says_which_address_accepted() -> None:
    with listening() as (_, port):
        assert await connect("localhost", port, timeout=20) == "127.0.0.1"


@pytest.mark.parametrize("name", ["does-not-exist.invalid", "a..b", "x" * 70, ""])
async def test_a_name_that_does_not_resolve(name: str) -> None:
    with pytest.raises(NetworkProblem) as caught:
        await resolve(name, 1, timeout=20)
    assert caught.value.reason is N.HOST_UNRESOLVABLE


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("cache.example", socket.EAI_AGAIN, N.DNS_TIMEOUT),
        ("cache.example", socket.EAI_NONAME, N.HOST_UNRESOLVABLE),
        ("cache.invalid", socket.EAI_AGAIN, N.HOST_UNRESOLVABLE),
    ],
)
def test_a_resolver_that_gives_up_is_a_dns_that_does_not_answer(name: str, code: int, reason: Reason) -> None:
    """What the C library says once it has asked every server in vain, and of a name that is none."""
    problem = classify(socket.gaierror(code, "as it says"), name, 1)
    assert problem.reason is reason
    assert problem.finding().remediation.startswith(
        "Check" if reason is N.DNS_TIMEOUT else "Correct the host"
    )


async def test_handshake_reads_the_certificate(ca: CertificateAuthority) -> None:
    trusting = ssl.create_default_context(cafile=str(ca.ca_file))
    async with tls_server(ca.expiring(7)) as port:
        peer = await handshake("localhost", port, trusting, timeout=20)
    assert peer.not_after
    assert 6 <= (peer.not_after - datetime.now(UTC)).days <= 7
    assert peer.protocol.startswith("TLSv1.")


async def test_an_unverified_certificate_is_not_read(ca: CertificateAuthority) -> None:
    async with tls_server(ca.expired()) as port:
        peer = await handshake("localhost", port, client_context(verify=False), timeout=20)
    assert peer.not_after is None
    assert peer.protocol.startswith("TLSv1.")


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        (lambda ca: ca.expired(), N.TLS_EXPIRED),
        (lambda ca: ca.issue(begins_in=timedelta(days=2)), N.TLS_NOT_YET_VALID),
        (lambda ca: ca.wrong_host(), N.TLS_WRONG_HOST),
        (lambda _: CertificateAuthority().issue(), N.TLS_UNTRUSTED),
    ],
)
async def test_a_certificate_that_does_not_do(
    ca: CertificateAuthority, certificate: Callable[[CertificateAuthority], Certificate], fault: Reason
) -> None:
    trusting = ssl.create_default_context(cafile=str(ca.ca_file))
    async with tls_server(certificate(ca)) as port:
        with pytest.raises(NetworkProblem) as caught:
            await handshake("localhost", port, trusting, timeout=20)
    assert caught.value.reason is fault


@pytest.mark.parametrize(
    ("stage", "fault"), [(listening, N.SERVER_NOT_TLS), (ports.silent_server, N.CONNECTION_TIMEOUT)]
)
async def test_tls_begun_with_a_peer_that_does_not_speak_it(
    stage: Callable[[], AbstractContextManager[ports.Address]], fault: Reason
) -> None:
    with stage() as (host, port), pytest.raises(NetworkProblem) as caught:
        await handshake(host, port, ssl.create_default_context(), timeout=0.5)
    assert caught.value.reason is fault


async def test_a_deadline_is_kept() -> None:
    with ports.silent_server() as (host, port):
        clock = time.monotonic()
        with pytest.raises(NetworkProblem):
            await handshake(host, port, ssl.create_default_context(), timeout=0.2)
    assert time.monotonic() - clock < 2
