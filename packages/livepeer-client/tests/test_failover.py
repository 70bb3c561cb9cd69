"""From one orchestrator to the next, and what is told when none does it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from livepeer.client import (
    BYOCJobRequest,
    CapabilityUnavailable,
    Client,
    FreeOnly,
    InvalidAnswer,
    InvalidJob,
    Job,
    JobTimeout,
    LocalSigner,
    NodeUnreachable,
    NoOrchestrator,
    OrchestratorError,
    OrchestratorTransport,
    PaymentRequiredError,
    RunnerError,
    SignatureRefused,
    StreamError,
    StreamHandle,
    TicketPayments,
    in_order,
)
from livepeer.client._body.body import Body
from livepeer.client._find.discovery import ListSource
from livepeer.client._find.finder import Finder
from livepeer.client._net.http import HTTP
from livepeer.client._nodes.failover import Failover
from livepeer.client._nodes.node import Node
from livepeer.client.testing import FakeCapability, fake_discovery, fake_orchestrator
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from conftest import Runner
    from livepeer.client import JobToken
    from livepeer.client.testing import FakeOrchestrator

NOBODY = "http://127.0.0.1:9"
PREDICT = "/process/request/predict"
TOKEN = "/process/token"
NOT_PROCESSED = 'job not able to be processed, removing capability err=Post "http://r/x": '


@pytest.fixture
async def nodes(runner: Runner) -> AsyncIterator[list[FakeOrchestrator]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(fake_orchestrator({"echo": FakeCapability(runner)}))
            for _ in range(2)
        ]


@pytest.fixture
async def client(nodes: list[FakeOrchestrator], signer: LocalSigner) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url for node in nodes], signer=signer) as client:
        yield client


@asynccontextmanager
async def carried(
    urls: list[str], signer: LocalSigner, *, probe_timeout_s: float = 5
) -> AsyncGenerator[OrchestratorTransport]:
    async with HTTP() as http:
        finder = Finder(ListSource(urls), probe_timeout_s=probe_timeout_s)
        yield OrchestratorTransport(http, finder, signer=signer, payments=FreeOnly())


def full(node: FakeOrchestrator) -> None:
    node.capabilities["echo"].capacity = 0


def unknown(node: FakeOrchestrator) -> None:
    node.capabilities.clear()


def fault(status: int, text: str, path: str = PREDICT) -> Callable[[FakeOrchestrator], None]:
    return lambda node: node.faults.answer(status, text, path=path)


def cut(node: FakeOrchestrator) -> None:
    node.faults.drop(path=PREDICT)


FAULTS: list[tuple[Callable[[FakeOrchestrator], None], list[str]]] = [
    (full, [TOKEN]),
    (unknown, [TOKEN]),
    (fault(503, "Could not get price err=insufficient sender reserve", TOKEN), [TOKEN]),
    (fault(400, "Invalid eth address header ", TOKEN), [TOKEN]),
    (fault(404, "404 page not found", TOKEN), [TOKEN]),
    (fault(503, "No capacity available for capability"), [TOKEN, PREDICT]),
    (fault(403, "incompatible capabilities"), [TOKEN, PREDICT]),
    (fault(500, NOT_PROCESSED + "context canceled"), [TOKEN, PREDICT]),
    (fault(500, NOT_PROCESSED + "dial tcp: connection refused"), [TOKEN, PREDICT]),
    (fault(503, '{"detail":"busy"}'), [TOKEN, PREDICT]),
    (fault(429, '{"detail":"busy"}'), [TOKEN, PREDICT]),
    (fault(502, "bad gateway"), [TOKEN, PREDICT]),
    (fault(502, "bad gateway" * 10_000), [TOKEN, PREDICT]),
    (fault(301, ""), [TOKEN, PREDICT]),
    (cut, [TOKEN, PREDICT]),
]


@pytest.mark.parametrize(("spoil", "asked"), FAULTS)
async def test_the_next_one_does_what_the_first_does_not(
    nodes: list[FakeOrchestrator],
    client: Client,
    runner: Runner,
    spoil: Callable[[FakeOrchestrator], None],
    asked: list[str],
) -> None:
    spoil(nodes[0])
    async with client.open_call("echo", 1) as answer:
        assert answer.orchestrator_url == nodes[1].url
    # One request each, and the runner worked once.
    assert nodes[0].paths() == asked
    assert nodes[1].paths() == [TOKEN, PREDICT]
    assert runner.paths() == ["/predict"]


@pytest.mark.parametrize(("route", "status"), [("invalid", 422), ("fail", 500)])
async def test_what_would_be_the_same_everywhere_is_final(
    nodes: list[FakeOrchestrator], client: Client, runner: Runner, route: str, status: int
) -> None:
    with pytest.raises(RunnerError) as caught:
        await client.call("echo", 1, route=route)
    assert caught.value.status == status
    assert not caught.value.elsewhere
    assert nodes[1].paths() == []
    assert len(runner.seen) == 1


async def test_the_error_says_why_each_failed(
    nodes: list[FakeOrchestrator], client: Client, runner: Runner
) -> None:
    nodes[0].capabilities["echo"].price = 10
    nodes[1].faults.answer(500, NOT_PROCESSED + "connection refused", path=PREDICT)
    urls = [NOBODY, nodes[0].url, nodes[1].url]
    async with Client(orchestrators=urls) as client:
        with pytest.raises(NoOrchestrator) as caught:
            await client.call("echo", 1)
    kinds = [NodeUnreachable, PaymentRequiredError, OrchestratorError]
    assert [type(cause) for cause in caught.value.causes] == kinds
    assert caught.value.__cause__ is caught.value.causes[-1]
    for url, said in zip(urls, ("refused", "10 wei", "connection refused"), strict=True):
        assert url in str(caught.value)
        assert said in str(caught.value)
    assert caught.value.retryable
    assert runner.seen == []


async def test_causes_of_one_kind_are_one_error_of_that_kind(
    nodes: list[FakeOrchestrator], client: Client
) -> None:
    for node in nodes:
        node.capabilities["echo"].price = 10
    with pytest.raises(PaymentRequiredError, match="none of 2"):
        await client.call("echo", 1)
    for node in nodes:
        unknown(node)
    with pytest.raises(CapabilityUnavailable, match="none of 2"):
        await client.call("echo", 1)


async def test_a_dead_one_and_a_silent_one_are_passed_over(
    nodes: list[FakeOrchestrator], signer: LocalSigner, runner: Runner
) -> None:
    gate = asyncio.Event()
    nodes[0].faults.hold(gate, times=9)
    urls = [NOBODY, nodes[0].url, nodes[1].url]
    async with carried(urls, signer, probe_timeout_s=0.2) as transport:
        job = Job(capability="echo", timeout_s=30)
        async with transport.call(job, Body.of(b"1"), route="predict") as answer:
            assert answer.orchestrator_url == nodes[1].url
        nodes[1].faults.answer(503, "No capacity available for capability", path="/ai/stream/start")
        with pytest.raises(NoOrchestrator) as caught:
            await transport.start(BYOCJobRequest(capability="echo"), None)
    gate.set()
    # The one that took the last job is asked first.
    kinds = [CapabilityUnavailable, NodeUnreachable, JobTimeout]
    assert [type(cause) for cause in caught.value.causes] == kinds
    assert runner.paths() == ["/predict"]


async def test_one_that_falls_silent_over_the_job(
    nodes: list[FakeOrchestrator], monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr("livepeer.client._nodes.node.GRACE_S", -0.8)
    gate = asyncio.Event()
    nodes[0].faults.hold(gate, path=PREDICT)
    async with client.open_call("echo", 1, timeout_s=1) as answer:
        assert answer.orchestrator_url == nodes[1].url
    for node in nodes:
        node.faults.hold(gate, path=PREDICT)
    with pytest.raises(NoOrchestrator) as caught:
        await client.call("echo", 1, timeout_s=1)
    gate.set()
    assert [type(cause) for cause in caught.value.causes] == [JobTimeout, JobTimeout]


async def test_no_further_one_is_tried_when_the_time_of_two_has_passed(
    nodes: list[FakeOrchestrator], monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr("livepeer.client._nodes.node.GRACE_S", -0.8)
    monkeypatch.setattr("livepeer.client._nodes.failover.DEADLINE", 0.01)
    gate = asyncio.Event()
    nodes[0].faults.hold(gate, path=PREDICT)
    # Of the timeout and the 5 s of grace, so that a short timeout leaves time for another one.
    with pytest.raises(NoOrchestrator, match=r"0\.06 s.* no further orchestrator") as caught:
        await client.call("echo", 1, timeout_s=1)
    gate.set()
    assert [type(cause) for cause in caught.value.causes] == [JobTimeout]
    assert nodes[1].paths() == []


async def test_one_that_uses_its_time_up_leaves_as_much_for_another(
    nodes: list[FakeOrchestrator], signer: LocalSigner
) -> None:
    asked: list[str] = []

    async def silent(node: Node, _: JobToken) -> None:
        asked.append(node.url)
        await asyncio.sleep(0.3)
        raise JobTimeout("nothing came", url=node.url)

    urls = [node.url for node in nodes]
    async with HTTP() as http:
        finder = Finder(ListSource([*urls, NOBODY]))
        failover = Failover(http, finder, signer=signer, terms_ttl_s=0)
        with pytest.raises(NoOrchestrator, match="no further orchestrator"):
            await failover.first("echo", silent, attempt_s=0.3)
    assert asked == urls


ADMITTED = {"Livepeer-Balance": "0"}


@pytest.mark.parametrize(
    ("status", "text", "headers", "goes_on"),
    [
        # The orchestrator's own words, before it asks its runner; and who says when to come again.
        (503, "No capacity available for capability", {}, True),
        (503, '{"detail":"full","retry_after":2}', ADMITTED, True),
        (429, '{"detail":"full"}', ADMITTED, True),
        # Whoever was at work may say so as well.
        (503, "No capacity available for capability", ADMITTED, False),
        (503, '{"detail":"busy"}', ADMITTED, False),
        (503, "upstream connect error or disconnect/reset before headers", {}, False),
        (504, '{"detail":"late","retry_after":2}', ADMITTED, False),
    ],
)
async def test_at_most_once_goes_on_only_where_nobody_can_have_begun(
    nodes: list[FakeOrchestrator],
    client: Client,
    status: int,
    text: str,
    headers: dict[str, str],
    goes_on: bool,
) -> None:
    nodes[0].faults.answer(status, text, path=PREDICT, headers=headers)
    if goes_on:
        assert await client.call("echo", 1, at_most_once=True)
    else:
        with pytest.raises(RunnerError) as caught:
            await client.call("echo", 1, at_most_once=True)
        assert caught.value.status == status
    assert nodes[1].paths() == ([TOKEN, PREDICT] if goes_on else [])


async def test_terms_that_no_payment_can_be_made_of_are_of_one_node_only(
    nodes: list[FakeOrchestrator], signer: LocalSigner
) -> None:
    bad = '{"available_capacity":1,"price":{"pricePerUnit":10,"pixelsPerUnit":1}}'
    huge = '{"available_capacity":1,"price":{"pricePerUnit":10,"pixelsPerUnit":%s}}' % ("9" * 5000)
    urls = [node.url for node in nodes]
    for token in (bad, huge, "[]"):
        nodes[0].faults.answer(200, token, path=TOKEN)
        payments = TicketPayments(signer)
        async with (
            Client(orchestrators=urls, signer=signer, payments=payments) as client,
            client.open_call("echo", 1, at_most_once=True) as answer,
        ):
            assert answer.orchestrator_url == nodes[1].url


async def test_terms_that_never_end_are_not_waited_for(
    nodes: list[FakeOrchestrator], monkeypatch: pytest.MonkeyPatch, signer: LocalSigner
) -> None:
    monkeypatch.setattr("livepeer.client._nodes.terms.TERMS_TIMEOUT_S", 0.1)
    gate = asyncio.Event()
    nodes[0].faults.hold(gate, path=TOKEN)
    async with HTTP() as http:
        with pytest.raises(JobTimeout):
            await Node(http, nodes[0].url, signer=signer).terms.fetch("echo")
    gate.set()


async def test_a_start_is_stopped_that_gives_no_channels_and_its_body_is_not_read(
    signer: LocalSigner,
) -> None:
    asked: list[str] = []
    over = asyncio.Event()
    control: dict[str, str] = {}

    async def token(_: web.Request) -> web.Response:
        return web.json_response({"available_capacity": 1})

    async def start(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=control)
        await response.prepare(request)
        await over.wait()
        return response

    async def stop(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get(TOKEN, token)
    app.router.add_post("/ai/stream/start", start)
    app.router.add_post("/ai/stream/stop", stop)
    async with serve(app) as url, carried([url], signer) as transport:
        request = BYOCJobRequest(capability="echo")
        with pytest.raises(OrchestratorError, match="without a control channel"):
            await transport.start(request, None)
        control["X-Control-Url"] = "http://[x"
        with pytest.raises(InvalidAnswer, match="no URL"):
            await transport.start(request, None)
        assert asked == ["/ai/stream/stop"] * 2
        control["X-Control-Url"] = "http://inside/ai/trickle/c"
        stream = await transport.start(request, None)
        assert stream.channels.control == f"{url}/ai/trickle/c"
        over.set()


async def test_the_first_that_lives_is_used(nodes: list[FakeOrchestrator]) -> None:
    dead = [f"http://127.0.0.1:{port}" for port in range(2, 7)]
    urls = [*dead, *(node.url for node in nodes)]
    async with (
        fake_discovery([{"address": url} for url in urls]) as listing,
        Client(discovery=listing.url, selection=in_order) as client,
        client.open_call("echo", 1) as answer,
    ):
        assert answer.orchestrator_url == nodes[0].url
    assert nodes[1].paths() == []


async def test_at_most_once_is_no_gateways_promise() -> None:
    async with Client(gateway=NOBODY) as client:
        with pytest.raises(InvalidJob, match="at_most_once"):
            await client.call("echo", 1, at_most_once=True)


async def test_terms_of_a_free_capability_are_asked_for_once(
    nodes: list[FakeOrchestrator], client: Client
) -> None:
    await asyncio.gather(*(client.call("echo", n) for n in range(20)))
    assert nodes[0].paths().count(TOKEN) == 1
    assert nodes[0].paths().count(PREDICT) == 20
    assert nodes[1].paths() == []
    # Of one that is not offered as well, but for those only who ask at the same time.
    nodes[0].seen.clear()
    asking = (client.call("nope", n) for n in range(20))
    refused = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(error) for error in refused} == {CapabilityUnavailable}
    assert nodes[0].paths() == [TOKEN]


async def test_who_took_a_job_gets_the_next_until_it_refuses(
    nodes: list[FakeOrchestrator], client: Client
) -> None:
    nodes[0].faults.answer(503, "busy", path=PREDICT)
    for _ in range(3):
        await client.call("echo", 1)
    assert nodes[0].paths() == [TOKEN, PREDICT]
    assert nodes[1].paths() == [TOKEN, PREDICT, PREDICT, PREDICT]
    nodes[0].seen.clear()
    nodes[1].seen.clear()
    unknown(nodes[1])
    for _ in range(2):
        await client.call("echo", 1)
    assert nodes[1].paths() == [PREDICT]
    assert nodes[0].paths() == [TOKEN, PREDICT, PREDICT]


async def test_terms_of_a_priced_capability_are_never_shared(
    nodes: list[FakeOrchestrator], client: Client
) -> None:
    for node in nodes:
        node.capabilities["echo"].price = 1
    for _ in range(2):
        results = await asyncio.gather(
            *(client.call("echo", n) for n in range(5)), return_exceptions=True
        )
        assert {type(result) for result in results} == {PaymentRequiredError}
    assert nodes[0].paths() == [TOKEN] * 10


async def test_a_price_that_comes_up_meanwhile(
    nodes: list[FakeOrchestrator], signer: LocalSigner
) -> None:
    async with Client(orchestrators=[nodes[0].url], signer=signer) as client:
        assert await client.call("echo", 1)
        nodes[0].capabilities["echo"].price = 10
        nodes[0].seen.clear()
        with pytest.raises(PaymentRequiredError, match="10 wei"):
            await client.call("echo", 1)
    # Refused, asked what it costs now, and not sent again.
    assert nodes[0].paths() == [PREDICT, TOKEN]


async def test_the_form_of_the_signature_is_found_out_once(runner: Runner) -> None:
    async with fake_orchestrator({"echo": FakeCapability(runner)}, flavour="byoc") as node:
        async with Client(orchestrators=[node.url]) as client:
            for n in range(3):
                assert await client.call("echo", n)
            async with await client.start_stream("echo", video_in=False, video_out=False):
                pass
        jobs = [path for path in node.paths() if path != TOKEN]
        assert jobs == [PREDICT] * 4 + ["/ai/stream/start", "/ai/stream/stop"]
        async with Client(
            orchestrators=[node.url], signer=LocalSigner.ephemeral(scheme="legacy")
        ) as client:
            with pytest.raises(SignatureRefused, match="scheme"):
                await client.call("echo", 1)


async def test_a_form_that_is_found_out_while_a_job_is_on_its_way(
    runner: Runner, signer: LocalSigner
) -> None:
    async with (
        fake_orchestrator({"echo": FakeCapability(runner)}, flavour="byoc") as orchestrator,
        HTTP() as http,
    ):
        node = Node(http, orchestrator.url, signer=signer)
        early, late = [await node.sign(Job(capability="echo", timeout_s=9, id=n)) for n in "ab"]
        for signed in (late, early):
            assert (await node.post(PREDICT, signed, b"{}")).status == 200
        assert (early.scheme, (await node.sign(early.job)).scheme) == ("legacy", "v1")


async def test_a_signature_that_neither_form_mends(
    nodes: list[FakeOrchestrator], signer: LocalSigner
) -> None:
    nodes[0].faults.answer(400, "Could not verify job creds", path=PREDICT, times=2)
    async with Client(orchestrators=[nodes[0].url], signer=signer) as client:
        with pytest.raises(SignatureRefused):
            await client.call("echo", 1)
        assert nodes[0].paths() == [TOKEN, PREDICT, PREDICT]
        nodes[0].seen.clear()
        assert await client.call("echo", 1)
        # The first form again, and the terms, as it had refused.
        assert nodes[0].paths() == [TOKEN, PREDICT]


async def test_a_runner_says_when_to_come_again(runner: Runner) -> None:
    async def token(_: web.Request) -> web.Response:
        return web.json_response({"available_capacity": 1})

    async def busy(_: web.Request) -> web.Response:
        return web.Response(
            status=503, text='{"detail":"full"}\n', headers={"X-Metadata": '{"retry_after":7}'}
        )

    app = web.Application()
    app.router.add_get(TOKEN, token)
    app.router.add_post("/process/request/{route}", busy)
    async with serve(app) as url, Client(orchestrators=[url]) as client:
        with pytest.raises(RunnerError, match="failed with 503") as caught:
            await client.call("echo", 1)
    assert caught.value.retry_after == 7


async def test_a_stream_starts_at_another_one_than_those_left_out(
    nodes: list[FakeOrchestrator], signer: LocalSigner
) -> None:
    urls = [node.url for node in nodes]
    async with carried(urls, signer) as transport:
        request = BYOCJobRequest(capability="echo")
        stream = await transport.start(request, None, exclude={urls[0]})
        assert stream.node_url == urls[1]
        # Nothing is owed; a price may come later.
        assert await transport.pay(stream) == 20
        await transport.stop(stream)
        with pytest.raises(NoOrchestrator, match="left to ask"):
            await transport.start(request, None, exclude=set(urls))
    assert nodes[0].paths() == []


async def test_what_a_stream_lacks_is_told_without_secrets(signer: LocalSigner) -> None:
    stream = StreamHandle(
        stream_id="s", capability="echo", node_url="http://me:s3cret@127.0.0.1:9", timeout_s=1
    )
    async with carried([NOBODY], signer) as transport:
        for items in (transport.events(stream), transport.data(stream)):
            with pytest.raises(StreamError) as caught:
                await anext(items)
            assert "127.0.0.1:9" in caught.value.url
            assert "s3cret" not in f"{caught.value} {caught.value.url}"
