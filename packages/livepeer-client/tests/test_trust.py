"""Whose certificate is taken: an authority's, the first of one's own, and no other later."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import logging
import ssl
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livepeer.client import (
    CertificateChanged,
    Client,
    ConfigError,
    LocalSigner,
    NodeUnreachable,
    TrustStore,
    get_orchestrator_info,
)
from livepeer.client._net.certificates import AUTHORITY, Certificates, see_unverified
from livepeer.client._net.grpc import get_orchestrator
from livepeer.client._net.http import HTTP
from livepeer.client._net.trust import Trusted
from livepeer.client.testing import fake_orchestrator
from livepeer.client.testing._certificate import server_context
from livepeer.trickle import TricklePublisher, TrickleSubscriber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.testing import FakeCapability, FakeOrchestrator


@pytest.fixture
async def node() -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({}, tls=True) as node:
        yield node


async def status(http: HTTP, node: FakeOrchestrator) -> int:
    return (await http.exchange("GET", f"{node.url}/nothing", timeout_s=20)).status


async def test_the_first_certificate_is_remembered(node: FakeOrchestrator, tmp_path: Path) -> None:
    # Its one name is "127.0.0.1", not an address: nothing verifies it as usual.
    async with HTTP(trust=TrustStore(tmp_path)) as http:
        assert await status(http, node) == 404
    file = TrustStore(tmp_path).file(node.url.removeprefix("https://"))
    assert file is not None
    fields = json.loads(file.read_text("utf-8"))
    assert fields["host"] == node.url.removeprefix("https://")
    assert fields["name"] == "127.0.0.1"
    assert fields["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    node.host.renew_certificate()
    store = TrustStore(tmp_path)
    async with HTTP(trust=store) as http:
        with pytest.raises(CertificateChanged, match="forget") as caught:
            await status(http, node)
        assert not caught.value.retryable
        assert str(file) in str(caught.value)
        # As is said there.
        assert store.forget(fields["host"])
        assert not store.forget(node.url)
        assert await status(http, node) == 404
    async with HTTP(trust=TrustStore(tmp_path)) as http:
        assert await status(http, node) == 404


async def test_a_changed_certificate_gets_nothing(node: FakeOrchestrator) -> None:
    store = TrustStore(None)
    async with HTTP(trust=store) as http:
        await status(http, node)
    node.host.renew_certificate("other.example")
    seen = len(node.seen)
    async with HTTP(trust=store) as http:
        for _ in range(2):
            with pytest.raises(CertificateChanged):
                await http.exchange(
                    "POST", f"{node.url}/ai/stream/stop", body=b"secret", timeout_s=20
                )
    assert len(node.seen) == seen


async def test_a_changed_certificate_is_taken_by_order(
    node: FakeOrchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    async with HTTP(trust=TrustStore(None, repin=True)) as http:
        await status(http, node)
        assert caplog.text == ""
        await node.restart()
        with caplog.at_level(logging.WARNING):
            assert await asyncio.gather(*[status(http, node) for _ in range(5)]) == [404] * 5
    assert caplog.text.count("CHANGED") == 1


async def test_a_pin_holds_for_trickle(node: FakeOrchestrator) -> None:
    url = f"{node.url}/ai/trickle/x"
    node.trickle.create_channel("x")
    async with HTTP(trust=TrustStore(None)) as http:
        plain = http.trickle_session("http://127.0.0.1:1")
        assert http.trickle_session(url) is plain
        await status(http, node)
        session = http.trickle_session(url)
        assert session is not plain
        assert http.trickle_session(f"{node.url}/ai/trickle/y") is session
        async with (
            TricklePublisher(url, session=session) as publisher,
            TrickleSubscriber(url, start=0, session=session) as subscriber,
        ):
            await publisher.write_segment(b"over TLS")
            async for segment in subscriber:
                assert await segment.read() == b"over TLS"
                break
        node.host.renew_certificate()
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await session.get(url)


async def test_a_client_meets_an_orchestrator_with_its_own_certificate(
    capabilities: dict[str, FakeCapability],
) -> None:
    async with fake_orchestrator(capabilities, tls=True, grpc=True) as node:
        store = TrustStore(None)
        async with Client(orchestrators=[node.url], trust=store) as client:
            assert await client.call("echo", 1) == {"path": "/predict", "got": "1"}
            async with await client.start_stream("echo") as job, job.publisher() as publisher:
                await publisher.write_segment(b"frames")
            assert await get_orchestrator_info(
                node.url, signer=LocalSigner.ephemeral(), trust=store
            )
            await node.restart()
            with pytest.raises(CertificateChanged):
                await client.call("echo", 2)
        async with Client(orchestrators=[node.url], use_tofu=False) as client:
            with pytest.raises(NodeUnreachable, match="not trusted"):
                await client.call("echo", 3)
        async with Client(orchestrators=[node.url], verify_tls=False) as client:
            assert await client.call("echo", 4)


async def test_a_gateway_is_not_trusted_at_first_sight(node: FakeOrchestrator) -> None:
    store = TrustStore(None)
    async with Client(gateway=node.url, use_tofu=True, trust=store) as client:
        with pytest.raises(NodeUnreachable, match="not trusted"):
            await client.call("echo", 1)
    assert node.seen == []
    assert store.known(node.url.removeprefix("https://")) is None


async def test_verification_without_pins_and_none_at_all(node: FakeOrchestrator) -> None:
    async with HTTP(use_tofu=False) as http:
        with pytest.raises(NodeUnreachable, match="not trusted") as caught:
            await status(http, node)
        assert not caught.value.retryable
    async with HTTP(verify_tls=False) as http:
        assert await status(http, node) == 404
        node.host.renew_certificate()
        assert await status(http, node) == 404
        assert http.trickle_session(node.url) is http.trickle_session("http://127.0.0.1:1")


async def test_no_tls_there() -> None:
    async with fake_orchestrator({}) as node, HTTP(trust=TrustStore(None)) as http:
        node.url = node.url.replace("http:", "https:")
        with pytest.raises(NodeUnreachable):
            await status(http, node)
        node.url = "https://127.0.0.1:9"
        with pytest.raises(NodeUnreachable, match="refused"):
            await status(http, node)


async def test_pinned_connections_are_pooled() -> None:
    handshakes = 0

    def shaken(*_: object) -> None:
        nonlocal handshakes
        handshakes += 1

    context = server_context("127.0.0.1")
    context.sni_callback = shaken
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    async with HTTP(trust=TrustStore(None)) as http:
        for _ in range(5):
            await http.exchange("GET", f"https://127.0.0.1:{port}/", timeout_s=20)
    await runner.cleanup()
    # Three looks at the certificate when it was met, and one connection for all requests.
    assert handshakes == 4


class Authority:
    """Vouches for certificates, and serves with one."""

    def __init__(self, tmp_path: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "tests")])
        self.folder = tmp_path
        self.handshakes = 0

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        address: str | None,
        *,
        days: int = 1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * day)
            .not_valid_after(now + days * day)
            .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if address is not None:
            names = [x509.IPAddress(ipaddress.ip_address(address))]
            # Critical where there is no subject (RFC 5280, 4.1.2.6): Python 3.13 insists on it.
            builder = builder.add_extension(x509.SubjectAlternativeName(names), True)
        else:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, True)
        return builder.sign(self.key, hashes.SHA256())

    def trusting(self) -> ssl.SSLContext:
        root = self.sign(self.name, self.key, None)
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=root.public_bytes(serialization.Encoding.DER))
        return context

    def use(self, context: ssl.SSLContext, address: str, *, days: int = 1) -> None:
        """Let a server's context have a certificate for an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        file = self.folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self.sign(x509.Name([]), key, address, days=days).public_bytes(
                serialization.Encoding.PEM
            )
        )
        context.load_cert_chain(file)

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator[str]:
        async def shaken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.handshakes += 1
            writer.close()

        server = await asyncio.start_server(shaken, "127.0.0.1", 0, ssl=context)
        async with server:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_authority_is_believed_and_what_follows_it_is_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.use(served, "127.0.0.1")
    store = TrustStore(tmp_path / "trust")
    certificates = Certificates(store, context=authority.trusting())
    async with authority.serve(served) as url, fake_orchestrator({}, tls=True) as node:
        assert await certificates.expected(url) is AUTHORITY
        assert await certificates.expected(url) is AUTHORITY
        assert authority.handshakes == 1
        # A new certificate of an authority is no news.
        authority.use(served, "127.0.0.1")
        assert await certificates.renewed(url, AUTHORITY) == AUTHORITY
        # One of the host's own is, even for a process that has never met it.
        file = store.file(url.removeprefix("https://"))
        other = store.file(node.url.removeprefix("https://"))
        assert file is not None
        assert other is not None
        file.rename(other)
        anew = Certificates(TrustStore(store.path), context=authority.trusting())
        known = await anew.expected(node.url)
        assert known == AUTHORITY
        with pytest.raises(CertificateChanged, match="authority"):
            await anew.renewed(node.url, known)
        # The other way round it is good news.
        own = await see_unverified(node.url)
        pinned = TrustStore(None)
        pinned.remember(url.removeprefix("https://"), own)
        certificates = Certificates(pinned, context=authority.trusting())
        assert await certificates.expected(url) is own
        assert await certificates.renewed(url, own) == AUTHORITY


async def test_grpc_by_an_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with fake_orchestrator({}, verify=False, tls=True, grpc=True) as node:
        served = node.host._context
        assert served is not None
        authority.use(served, "127.0.0.1")
        store = TrustStore(None)
        for _ in range(2):
            certificates = Certificates(store, context=authority.trusting())
            assert await get_orchestrator(node.url, b"", certificates=certificates, timeout_s=20)
        assert store.known(node.url.removeprefix("https://")) is AUTHORITY
        # Back to one of its own, which is no orchestrator's right any more.
        node.host.renew_certificate()
        with pytest.raises(CertificateChanged):
            await get_orchestrator(node.url, b"", certificates=certificates, timeout_s=20)


async def test_what_an_authority_vouches_for_wrongly_is_not_pinned(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.use(served, "127.0.0.2")
    store = TrustStore(None)
    async with authority.serve(served) as url:
        with pytest.raises(NodeUnreachable, match="IP address mismatch"):
            await Certificates(store, context=authority.trusting()).expected(url)
        assert store.known(url.removeprefix("https://")) is None


async def test_many_meet_a_host_and_it_is_looked_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.use(served, "127.0.0.1")
    certificates = Certificates(TrustStore(None))
    async with authority.serve(served) as url:
        seen = await asyncio.gather(*[certificates.expected(url) for _ in range(50)])
    assert len(set(map(id, seen))) == 1
    # Once for the certificate, which nobody known vouches for, and once more for its names.
    assert authority.handshakes <= 2


async def test_a_damaged_file_is_no_reason_to_trust(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    file = store.file("[::1]:8935")
    assert file is not None
    for text in ("", "7", "{}", '{"certificate": "x", "name": ""}', "[" * 10_000):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="delete it"):
            store.load("[::1]:8935")
    assert store.forget("https://[::1]:8935/x")
    assert store.load("[::1]:8935") is None


async def test_a_damaged_file_is_of_one_node_only(
    capabilities: dict[str, FakeCapability], tmp_path: Path
) -> None:
    async with (
        fake_orchestrator(capabilities, tls=True) as bad,
        fake_orchestrator(capabilities, tls=True) as good,
    ):
        store = TrustStore(tmp_path)
        file = store.file(bad.url.removeprefix("https://"))
        assert file is not None
        file.write_text("7", encoding="utf-8")
        async with Client(orchestrators=[bad.url, good.url], trust=store) as client:
            assert await client.call("echo", 1)
        assert bad.seen == []


async def test_a_running_client_hears_of_what_another_forgot_or_took(
    node: FakeOrchestrator, tmp_path: Path
) -> None:
    async with HTTP(trust=TrustStore(tmp_path)) as http:
        await status(http, node)
        node.host.renew_certificate()
        with pytest.raises(CertificateChanged):
            await status(http, node)
        assert TrustStore(tmp_path).forget(node.url)
        assert await status(http, node) == 404
        await node.restart()
        async with HTTP(trust=TrustStore(tmp_path, repin=True)) as other:
            await status(other, node)
        assert await status(http, node) == 404


def test_of_two_that_meet_a_host_the_first_is_right(tmp_path: Path) -> None:
    one, other = (Trusted(certificate=text, name="x") for text in (b"1", b"2"))
    assert TrustStore(tmp_path).first("h:1", one) == one
    late = TrustStore(tmp_path)
    assert late.first("h:1", other) == one
    assert late.known("h:1") == one
    # Nobody else may write what is trusted.
    assert [path.name for path in tmp_path.iterdir()] == ["h%3A1.json"]
    store = TrustStore(tmp_path / "made" / "by us")
    store.remember("h:1", one)
    file = store.file("h:1")
    assert file is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_could_not_be_written_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("", encoding="utf-8")
    store = TrustStore(path)
    known = store.first("h:1", Trusted(certificate=b"1"))
    assert store.reload("h:1") == known


async def test_one_of_its_own_that_is_out_of_date_is_not_pinned(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.use(served, "127.0.0.1", days=-1)
    store = TrustStore(None)
    async with authority.serve(served) as url:
        with pytest.raises(NodeUnreachable, match="expired"):
            await Certificates(store, context=authority.trusting()).expected(url)
        assert store.known(url.removeprefix("https://")) is None


async def test_a_folder_that_cannot_be_written(
    node: FakeOrchestrator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    async with HTTP(trust=TrustStore(tmp_path / "file" / "trust")) as http:
        with caplog.at_level(logging.WARNING):
            assert await status(http, node) == 404
        assert "in memory only" in caplog.text
        node.host.renew_certificate()
        with pytest.raises(CertificateChanged):
            await status(http, node)


def test_the_users_own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    store = TrustStore.for_user(repin=True)
    assert store.path == tmp_path / "livepeer" / "trust"
    assert repr(TrustStore(None)) == "TrustStore(None, repin=False)"
