"""Batch jobs straight to orchestrators."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from livepeer.client import (
    CapabilityUnavailable,
    Client,
    ClientError,
    ConfigError,
    InvalidAnswer,
    InvalidJob,
    JobTimeout,
    LocalSigner,
    NodeUnreachable,
    OrchestratorError,
    PaymentRequiredError,
    RunnerError,
    StreamCut,
    StreamError,
)
from livepeer.client._net.http import HTTP
from livepeer.client._nodes.node import GRACE_S
from livepeer.client.testing import FakeCapability, fake_orchestrator
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.testing import FakeOrchestrator

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities, tickets=False) as node:
        yield node


@pytest.fixture
async def client(node: FakeOrchestrator, signer: LocalSigner) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url], signer=signer) as client:
        yield client


async def test_a_call(node: FakeOrchestrator, client: Client, signer: LocalSigner) -> None:
    answer = await client.call("echo", {"text": "é"}, route="v1/run", timeout_s=30)
    assert answer == {"path": "/v1/run", "got": '{"text":"\\u00e9"}'}
    token, job = node.seen
    assert token.path == "/process/token"
    assert token.headers["livepeer-capability"] == "echo"
    # The route is the runner's, not the capability's name.
    assert job.path == "/process/request/v1/run"
    assert job.headers["content-type"] == "application/json"
    assert "livepeer-payment" not in job.headers
    assert job.job["sender"] == signer.address
    assert job.job["timeout_seconds"] == 30
    assert job.job["parameters"] == "{}"


async def test_a_throw_away_key_signs_when_none_is_given(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url]) as client:
        assert await client.call("echo", 1) == {"path": "/predict", "got": "1"}


@pytest.mark.parametrize(
    ("route", "kind", "status", "retryable"),
    [
        ("invalid", RunnerError, 422, False),
        ("fail", RunnerError, 500, False),
        ("busy", RunnerError, 503, True),
        ("deny", OrchestratorError, 500, True),
        ("image", InvalidAnswer, None, False),
        ("events", StreamError, None, False),
    ],
)
async def test_failures(
    client: Client, route: str, kind: type[ClientError], status: int | None, retryable: bool
) -> None:
    with pytest.raises(kind) as caught:
        await client.call("echo", {}, route=route)
    assert (caught.value.status, caught.value.retryable) == (status, retryable)
    assert caught.value.url.endswith("/process/request/" + route)


async def test_a_runners_detail_is_data(client: Client) -> None:
    with pytest.raises(RunnerError) as caught:
        await client.call("echo", {}, route="invalid")
    assert caught.value.detail == [{"loc": ["body", "name"], "msg": "Field required"}]


async def test_unknown_and_full_capabilities(node: FakeOrchestrator, client: Client) -> None:
    with pytest.raises(CapabilityUnavailable, match="'nope'"):
        await client.call("nope", {})
    node.capabilities["echo"].capacity = 0
    with pytest.raises(CapabilityUnavailable, match="'echo'"):
        await client.call("echo", {})
    assert set(node.paths()) == {"/process/token"}


async def test_the_runners_timeout(client: Client) -> None:
    with pytest.raises(JobTimeout) as caught:
        await client.call("echo", {}, route="slow", timeout_s=1)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retryable


def test_the_answer_that_tells_of_a_timeout_has_time_to_arrive() -> None:
    # For a job of 30 s a client waits at least 35 s, as go-livepeer's gateway does.
    assert GRACE_S >= 5


async def test_nobody_is_there() -> None:
    async with Client(orchestrators=[NOBODY]) as client:
        with pytest.raises(NodeUnreachable, match="refused") as caught:
            await client.call("echo", 1)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.retryable


async def test_a_connection_that_does_not_come_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livepeer.client._net.http.CONNECT_TIMEOUT_S", 0.3)
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            # From then on nothing more is let in.
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with HTTP() as http:
            with pytest.raises(NodeUnreachable, match=r"no connection: none within 0\.3 s") as told:
                await http.send("GET", url, timeout_s=20)
    assert not told.value.connected


async def test_a_price_stops_the_call_before_it_is_sent(
    node: FakeOrchestrator, client: Client
) -> None:
    node.capabilities["echo"].price = 10
    with pytest.raises(PaymentRequiredError, match="10 wei") as caught:
        await client.call("echo", 1)
    assert caught.value.price_per_s == 10
    assert node.paths() == ["/process/token"]


async def collect(client: Client, route: str, timeout_s: int = 30) -> list[object]:
    return [i async for i in client.call_events("echo", {}, route=route, timeout_s=timeout_s)]


async def test_events_end_at_their_end(client: Client) -> None:
    began = time.monotonic()
    assert await collect(client, "events") == [{"i": 0}, {"i": 1}, {"i": 2}]
    # The orchestrator's flood would last for the job's timeout.
    assert time.monotonic() - began < 5


async def test_a_plain_answer_is_one_item(client: Client) -> None:
    assert await collect(client, "predict") == [{"path": "/predict", "got": "{}"}]


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("events/error", RunnerError),
        ("events/unpaid", PaymentRequiredError),
        ("events/cut", StreamCut),
        ("invalid", RunnerError),
    ],
)
async def test_events_that_fail(client: Client, route: str, kind: type[ClientError]) -> None:
    got: list[object] = []

    async def read() -> None:
        async for item in client.call_events("echo", {}, route=route):
            got.append(item)

    with pytest.raises(kind):
        await read()
    assert got == ([] if route == "invalid" else [{"i": 0}, {"i": 1}, {"i": 2}])


async def test_items_come_while_the_runner_works(client: Client, runner: Runner) -> None:
    stream = client.call_events("echo", {}, route="events/slow")
    assert [await anext(stream) for _ in range(3)] == [{"i": 0}, {"i": 1}, {"i": 2}]
    runner.go_on.set()
    assert [item async for item in stream] == []


async def test_the_connection_closes_at_the_end_and_when_given_up() -> None:
    closed = asyncio.Event()

    async def forever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        if "end" in request.path:
            await response.write(b"data: [DONE]\n")
        try:
            # The server cancels this when the connection closes.
            await asyncio.sleep(30)
        finally:
            closed.set()
        return response

    async def token(request: web.Request) -> web.Response:
        return web.json_response({"available_capacity": 1})

    app = web.Application()
    app.router.add_get("/process/token", token)
    app.router.add_post("/process/request/{route}", forever)
    async with serve(app) as url, Client(orchestrators=[url]) as client:
        assert await collect(client, "end") == [1]
        await asyncio.wait_for(closed.wait(), 2)
        closed.clear()
        stream = client.call_events("echo", {}, route="go-on")
        assert await anext(stream) == 1
        await stream.aclose()
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_stream_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "livepeer.client._answers.answer.EVENTS_GRACE_S", -5.0
    )  # + 5 s, + 1 s of the job

    async def forever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b": still here\n")
            await asyncio.sleep(0.05)

    async def token(request: web.Request) -> web.Response:
        return web.json_response({"available_capacity": 1})

    app = web.Application()
    app.router.add_get("/process/token", token)
    app.router.add_post("/process/request/{route}", forever)
    async with serve(app) as url, Client(orchestrators=[url]) as client:
        with pytest.raises(JobTimeout):
            await collect(client, "events", timeout_s=1)


async def test_an_answer_has_a_limit(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url], max_answer_bytes=1000) as client:
        assert await client.call("echo", "x" * 500)
        with pytest.raises(InvalidAnswer, match="1000 bytes"):
            await client.call("echo", "x" * 1000)


async def test_an_open_call_tells_who_answered(node: FakeOrchestrator, client: Client) -> None:
    async with client.open_call("echo", 1) as answer:
        assert answer.orchestrator_url == node.url
        assert answer.balance == "0"
        assert not answer.is_events
        assert await answer.json() == {"path": "/predict", "got": "1"}


async def test_calls_run_side_by_side(client: Client, runner: Runner) -> None:
    waiting = asyncio.create_task(client.call("echo", 1, route="slow"))
    await runner.started.wait()
    answers = await asyncio.gather(*(client.call("echo", n) for n in range(20)))
    assert [answer["got"] for answer in answers if isinstance(answer, dict)] == [
        str(n) for n in range(20)
    ]
    runner.go_on.set()
    assert await waiting


async def test_what_cannot_be_sent_is_not(node: FakeOrchestrator, client: Client) -> None:
    with pytest.raises(InvalidJob, match="payload"):
        await client.call("echo", float("inf"))
    with pytest.raises(InvalidJob, match="route"):
        await client.call("echo", 1, route="a?b=c")
    with pytest.raises(InvalidJob, match="timeout_s"):
        await client.call("echo", 1, timeout_s=0)
    assert "/process/request/a" not in node.paths()


async def test_a_redirect_is_no_answer() -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "http://127.0.0.1:9/"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    async with serve(app) as url, Client(orchestrators=[url]) as client:
        with pytest.raises(OrchestratorError, match="301"):
            await client.call("echo", 1)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="nobody to call"):
        Client()
    with pytest.raises(ConfigError, match="exclude each other"):
        Client(gateway=NOBODY, orchestrators=[NOBODY])
    with pytest.raises(ConfigError, match="`orchestrators`"):
        Client(orchestrators=["localhost:8935"])
    with pytest.raises(ConfigError, match="keep_alive_s"):
        Client(gateway=NOBODY, keep_alive_s=0)


async def test_a_client_is_opened_once_and_used_open() -> None:
    client = Client(gateway=NOBODY)
    with pytest.raises(RuntimeError, match="async with"):
        await client.call("echo", 1)
    async with client:
        with pytest.raises(RuntimeError, match="already"):
            await client.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        await client.call("echo", 1)
