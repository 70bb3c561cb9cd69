"""A remote signer: what it is asked, how often, and what its refusals become."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from livepeer.client import (
    Client,
    ClientError,
    ConfigError,
    DiscoveryError,
    InvalidAnswer,
    Job,
    NothingDue,
    PriceTooHigh,
    RemoteSigner,
    SignerError,
    SignerRefused,
    SignerUnavailable,
    TermsExpired,
)
from livepeer.client._sign.remote import LivePayment
from livepeer.client.testing import FakeCapability, fake_orchestrator, fake_signer
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.testing import FakeSigner

NETWORK = Path(__file__).parents[3] / "tests" / "conformance" / "vectors" / "network.json"
JOB = Job(id="j1", capability="echo", timeout_s=30)
BEARER = "s3cret-token"
PAYMENT = "/generate-live-payment"


def network_vector(name: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(NETWORK.read_text(encoding="utf-8"))["vectors"][name]
    return row


@pytest.fixture
async def service() -> AsyncIterator[FakeSigner]:
    async with fake_signer(flavour="byoc", key="11" * 32, bearer=BEARER) as service:
        yield service


@pytest.fixture
async def remote(service: FakeSigner) -> AsyncIterator[RemoteSigner]:
    headers = {"Authorization": f"Bearer {BEARER}"}
    async with RemoteSigner(service.url, headers=headers, pause_s=0.01, timeout_s=10) as remote:
        yield remote


async def test_credentials_are_asked_for_once_and_kept_as_they_came(
    service: FakeSigner, remote: RemoteSigner
) -> None:
    many = await asyncio.gather(*(remote.token_credentials() for _ in range(20)))
    assert {id(each) for each in many} == {id(await remote.token_credentials())}
    assert service.paths() == ["/sign-orchestrator-info"]
    expected = network_vector("sign_orchestrator_info")["outputs"]
    assert (many[0].address, many[0].signature) == (expected["address"], expected["signature"])
    sent = json.loads(base64.b64decode(many[0].header()))
    # In the letter case that was signed.
    assert sent == {"addr": expected["address"], "sig": expected["signature"]}


async def test_a_failure_is_not_kept(service: FakeSigner, remote: RemoteSigner) -> None:
    service.faults.answer(400, "not now", json_body=True)
    with pytest.raises(SignerRefused, match="not now"):
        await remote.token_credentials()
    assert (await remote.token_credentials()).address == service.address


async def test_one_who_gives_up_takes_nothing_from_the_others(
    service: FakeSigner, remote: RemoteSigner
) -> None:
    gate = asyncio.Event()
    service.faults.hold(gate)
    first = asyncio.create_task(remote.token_credentials())
    async with asyncio.timeout(20):
        while not service.seen:  # noqa: ASYNC110 - the service tells nobody
            await asyncio.sleep(0.005)
    second = asyncio.create_task(remote.token_credentials())
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert (await second).address == service.address
    assert len(service.seen) == 1


async def test_jobs_are_signed_by_v1(vectors: dict[str, Any]) -> None:
    rows = vectors["job_signature_v1_branch"]["vectors"]
    for name in {row["key"] for row in rows}:
        key = next(key for key in vectors["keys"] if key["name"] == name)
        async with (
            fake_signer(flavour="byoc", key=key["private_key"]) as service,
            RemoteSigner(service.url) as remote,
        ):
            for row in (row for row in rows if row["key"] == name and row["fields"]["id"]):
                fields = row["fields"]
                job = Job(
                    id=fields["id"],
                    request=fields["request"],
                    parameters=fields["parameters"],
                    capability=fields["capability"],
                    timeout_s=fields["timeout_seconds"],
                )
                signed = await remote.sign_job(job)
                assert signed.signature == row["signature"]
                assert await remote.sign_job(job, "v1") is signed
            assert len(service.seen) == len(set(map(bytes, (s.body for s in service.seen))))
    with pytest.raises(SignerRefused, match="'legacy'"):
        await RemoteSigner("signer.example").sign_job(JOB, "legacy")


async def test_every_call_carries_the_headers_and_nobody_else_gets_them(
    service: FakeSigner, remote: RemoteSigner, runner: Runner
) -> None:
    service.discovery = [{"address": "http://127.0.0.1:1"}]
    echo = {"echo": FakeCapability(runner)}
    async with fake_orchestrator(echo, flavour="byoc") as node:
        async with Client(orchestrators=[node.url], signer=remote) as client:
            assert await client.call("echo", 1)
        await remote.discover([])
        with pytest.raises(ClientError):
            await remote.generate_live_payment({"type": "byoc"})
        assert {
            "/sign-orchestrator-info",
            "/sign-byoc-job",
            "/discover-orchestrators",
            PAYMENT,
        } == {*service.paths()}
        assert all(s.headers["authorization"] == f"Bearer {BEARER}" for s in service.seen)
        assert all("authorization" not in seen.headers for seen in node.seen)
        assert BEARER not in repr(node.seen)
    assert BEARER not in repr(remote) + str(vars(service)["url"])


async def test_a_signer_that_cannot_sign_jobs_is_told_of_before_a_job_is_sent(
    runner: Runner,
) -> None:
    async with (
        fake_signer(flavour="head") as service,
        fake_orchestrator({"echo": FakeCapability(runner, price=10)}) as node,
        fake_orchestrator({"echo": FakeCapability(runner)}) as other,
        Client(orchestrators=[node.url, other.url], signer=RemoteSigner(service.url)) as client,
    ):
        with pytest.raises(SignerRefused, match="cannot sign BYOC jobs"):
            await client.call("echo", 1)
        with pytest.raises(SignerRefused, match="cannot sign BYOC jobs"):
            await client.start_stream("echo")
        # No job, and nothing paid for one that cannot be sent.
        assert {*node.paths(), *other.paths()} == {"/process/token"}
        assert PAYMENT not in service.paths()
    assert runner.seen == []


@pytest.mark.parametrize(
    ("status", "message", "kind", "said"),
    [
        (480, "refresh session", TermsExpired, "terms anew"),
        (481, "price 9 above 5", PriceTooHigh, "price 9 above 5"),
        (482, "", NothingDue, "nothing is due"),
        (400, "numTickets 300 exceeds maximum of 100", SignerRefused, "maximum of 100"),
        (403, "denied", SignerRefused, "403: denied"),
        (429, "slow down", SignerRefused, "slow down"),
    ],
)
async def test_refusals_of_a_payment_are_not_repeated(
    service: FakeSigner,
    remote: RemoteSigner,
    status: int,
    message: str,
    kind: type[ClientError],
    said: str,
) -> None:
    headers = {"Livepeer-Orchestrator-URL": "http://o"}
    service.faults.answer(status, message, json_body=True, headers=headers)
    with pytest.raises(kind, match=said) as caught:
        await remote.generate_live_payment({"type": "live"})
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert service.paths() == [PAYMENT]
    if isinstance(caught.value, TermsExpired):
        assert caught.value.orchestrator_url == "http://o"


def test_a_payment_shows_nothing_of_itself() -> None:
    shown = repr(LivePayment(payment="s3cret-1", segment="s3cret-2", state={"s3cret-3": 1}))
    assert "s3cret" not in shown


async def test_what_may_pass_is_tried_again_and_no_oftener_than_allowed(
    service: FakeSigner, remote: RemoteSigner
) -> None:
    service.faults.answer(500, "Internal Server Error", json_body=True, times=2)
    assert (await remote.sign_job(JOB)).sender == service.address
    assert len(service.seen) == 3
    service.faults.drop()
    assert (await remote.sign_job(Job(id="j2", capability="echo", timeout_s=1))).signature
    service.seen.clear()
    service.faults.answer(503, "Service Unavailable Error", json_body=True, times=9)
    with pytest.raises(SignerUnavailable, match="503: it hides the reason") as caught:
        await remote.generate_live_payment({})
    assert caught.value.retryable
    assert len(service.seen) == 3


async def test_one_that_does_not_answer_is_not_waited_for_thrice(service: FakeSigner) -> None:
    gate = asyncio.Event()
    service.faults.hold(gate, times=9)
    headers = {"Authorization": f"Bearer {BEARER}"}
    async with RemoteSigner(service.url, headers=headers, timeout_s=0.2, pause_s=0.01) as remote:
        with pytest.raises(SignerUnavailable, match=r"0\.2 s"):
            await remote.sign_job(JOB)
    gate.set()
    assert len(service.seen) == 1


async def test_nobody_is_there_and_no_other_orchestrator_is_bothered(runner: Runner) -> None:
    signer = RemoteSigner("http://127.0.0.1:9", attempts=1)
    async with (
        fake_orchestrator({"echo": FakeCapability(runner)}) as node,
        Client(orchestrators=[node.url], signer=signer) as client,
    ):
        with pytest.raises(SignerUnavailable, match="refused") as caught:
            await client.call("echo", 1)
        assert isinstance(caught.value, SignerError)
        assert node.paths() == []


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "{}",
        "no json",
        '{"address":"0x12","signature":"0x12"}',
        '{"address":5,"signature":"0x' + "1" * 130 + '"}',
    ],
)
async def test_an_answer_that_is_none(answer: str) -> None:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_post("/{path:.*}", reply)
    async with serve(app) as url, RemoteSigner(url) as remote:
        with pytest.raises(InvalidAnswer):
            await remote.token_credentials()
        with pytest.raises(InvalidAnswer):
            await remote.sign_job(JOB)
        with pytest.raises(InvalidAnswer):
            await remote.generate_live_payment({})


async def test_discovery(service: FakeSigner, remote: RemoteSigner) -> None:
    with pytest.raises(DiscoveryError, match="without discovery"):
        await remote.discover([])
    service.discovery = []
    with pytest.raises(DiscoveryError) as caught:
        await remote.discover([])
    assert caught.value.retryable
    model = "text-to-image/black-forest-labs/FLUX.1-dev"
    service.discovery = [
        {"address": "http://127.0.0.1:1/", "capabilities": [model]},
        {"address": "http://127.0.0.1:2", "capabilities": ["llm/x"]},
    ]
    assert [found.url for found in await remote.discover([model])] == ["http://127.0.0.1:1"]
    assert service.seen[-1].path == f"/discover-orchestrators?caps={model}"


async def test_it_opens_again_after_it_was_closed(
    service: FakeSigner, remote: RemoteSigner
) -> None:
    await remote.aclose()
    assert await remote.sign_job(JOB)
    await remote.aclose()
    assert await remote.sign_job(Job(id="j9", capability="echo", timeout_s=3))
    assert len(service.seen) == 2


async def test_connections_are_kept_and_certificates_verified(runner: Runner) -> None:
    peers: set[object] = set()

    async def reply(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({"sender": "0x" + "1" * 40, "signature": "0x" + "2" * 130})

    app = web.Application()
    app.router.add_post("/sign-byoc-job", reply)
    async with serve(app) as url, RemoteSigner(url) as remote:
        for n in range(5):
            await remote.sign_job(Job(id=f"{n}", capability="echo", timeout_s=1))
    assert len(peers) == 1
    async with fake_orchestrator({"echo": FakeCapability(runner)}, tls=True) as impostor:
        async with RemoteSigner(impostor.url) as remote:
            with pytest.raises(SignerUnavailable, match="certificate") as caught:
                await remote.token_credentials()
        assert not caught.value.retryable
        assert impostor.paths() == []


def test_urls_and_limits() -> None:
    assert RemoteSigner("signer.example:8935").url == "https://signer.example:8935"
    assert RemoteSigner("http://127.0.0.1:1/").url == "http://127.0.0.1:1"
    assert RemoteSigner("signer.example").schemes == ("v1",)
    assert "pass" not in repr(RemoteSigner("https://me:pass@signer.example"))
    with pytest.raises(ConfigError, match="`signer`"):
        RemoteSigner("ftp://signer.example")
    with pytest.raises(ConfigError, match="attempts"):
        RemoteSigner("signer.example", attempts=0)
