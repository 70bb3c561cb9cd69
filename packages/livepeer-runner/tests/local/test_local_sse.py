"""Event streams through orchestrator and gateway: lines, end marker, limits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from livepeer.runner._local.lines import MAX_LINE, LineScanner

if TYPE_CHECKING:
    from conftest import FakeRunner, Network


def stream_of(*chunks: bytes, status: int = 200, hold: float = 0.0) -> Any:
    async def reply(request: web.Request) -> web.StreamResponse:
        kind = {"Content-Type": "text/event-stream; charset=utf-8", "X-Metadata": "m"}
        response = web.StreamResponse(status=status, headers=kind)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        await asyncio.sleep(hold)
        return response

    return reply


async def read(
    network: Network, base: str, *, until: bytes | None = b"[DONE]", **job: Any
) -> tuple[bytes, dict[str, str]]:
    """The body up to what follows `until`, or to the end."""
    body = b""
    url = base + "/process/request/sse"
    async with network.session.post(url, headers=network.header(**job)) as response:
        assert response.status == 200
        async for chunk in response.content.iter_any():
            body += chunk
            if until is not None and body.find(until) >= 0 and not body.endswith(until):
                break
        return body, dict(response.headers)


async def test_orchestrator_transcript(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    rows = vectors["sse_transcripts"]
    runner.replies["/sse"] = stream_of(rows["runner_sends"].encode())
    await network.register("c1", runner.url)
    body, headers = await read(network, network.orchestrator)
    wanted = rows["orchestrator_sends_prefix"].encode()
    assert body.startswith(wanted.rstrip(b"\n"))
    assert body.strip(b"\n") == wanted.strip(b"\n")
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Metadata"] == "m"
    assert headers["Livepeer-Payment-Balance"] == "0"
    assert "Livepeer-Balance" not in headers


async def test_gateway_transcript(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    rows = vectors["sse_transcripts"]
    runner.replies["/sse"] = stream_of(rows["runner_sends"].encode())
    await network.register("c1", runner.url)
    # The gateway ends the response itself, right after the line.
    body, headers = await read(network, network.gateway, until=None)
    assert body.decode() == rows["gateway_sends_one_orchestrator"]
    assert headers["X-Orchestrator-Url"] == network.orchestrator
    assert headers["Livepeer-Balance"] == ""


async def test_after_the_end_the_orchestrator_holds_the_response(
    network: Network, runner: FakeRunner
) -> None:
    runner.replies["/sse"] = stream_of(b"data: 1\n\ndata: [DONE]\n\n")
    await network.register("c1", runner.url)
    started = time.monotonic()
    body, _ = await read(network, network.orchestrator, until=None, timeout_seconds=1)
    assert 0.8 < time.monotonic() - started < 20
    assert body.rstrip(b"\n").endswith(b"[DONE]")
    # A newline now and then, not a flood.
    assert 3 < len(body) - len(body.rstrip(b"\n")) < 50
    assert await network.available() == 1


async def test_the_hard_cut_is_a_clean_end_without_a_marker(
    network: Network, runner: FakeRunner
) -> None:
    runner.replies["/sse"] = stream_of(b"data: 1\n\n", hold=30)
    await network.register("c1", runner.url)
    body, _ = await read(network, network.orchestrator, until=None, timeout_seconds=1)
    assert body == b"data: 1\n\n"


async def test_a_marker_inside_text_draws_the_balance_event(
    network: Network, runner: FakeRunner
) -> None:
    runner.replies["/sse"] = stream_of(b'data: "say [DONE] now"\r\n\r\ndata: 2\n\n')
    await network.register("c1", runner.url)
    body, _ = await read(network, network.orchestrator, until=b"data: 2\n")
    assert body.startswith(b'data: {"balance": 0.000}\n\n\ndata: "say [DONE] now"\n\ndata: 2\n\n')


async def test_an_error_status_with_events_becomes_200(
    network: Network, runner: FakeRunner
) -> None:
    runner.replies["/sse"] = stream_of(b"data: [DONE]\n\n", status=500)
    await network.register("c1", runner.url)
    body, _ = await read(network, network.orchestrator)
    assert b"[DONE]" in body


@pytest.mark.parametrize(("length", "passes"), [(65_535, True), (65_536, False)])
async def test_the_longest_line(
    network: Network, runner: FakeRunner, length: int, *, passes: bool
) -> None:
    line = b"data: " + b"x" * (length - 6)
    runner.replies["/sse"] = stream_of(b"data: 1\n\n", line + b"\n\ndata: 2\n\n")
    await network.register("c1", runner.url)
    body, _ = await read(network, network.orchestrator, until=None, timeout_seconds=1)
    wanted = b"data: 1\n\n" + line + b"\n\ndata: 2\n\n" if passes else b"data: 1\n\n"
    assert body.strip(b"\n") == wanted.strip(b"\n")


async def test_a_reader_that_leaves_frees_the_slot(network: Network, runner: FakeRunner) -> None:
    runner.replies["/sse"] = stream_of(b"data: [DONE]\n\n")
    await network.register("c1", runner.url)
    await read(network, network.orchestrator, timeout_seconds=60)
    await network.free(1)


async def test_events_arrive_one_by_one(network: Network, runner: FakeRunner) -> None:
    more = asyncio.Event()

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await more.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    runner.replies["/sse"] = reply
    await network.register("c1", runner.url, capacity=2)
    for base in (network.orchestrator, network.gateway):
        more.clear()
        url = base + "/process/request/sse"
        async with network.session.post(url, headers=network.header()) as response:
            assert await response.content.readline() == b"data: 1\n"
            more.set()


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_do_not_depend_on_the_cuts(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    scanner, found, rest = LineScanner(), [], text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += scanner.feed(rest[:size])
        rest = rest[size:]
    assert found + scanner.end() == [line.removesuffix(b"\r") for line in lines]


def test_a_line_that_is_too_long_ends_the_scanner_before_its_newline() -> None:
    scanner = LineScanner()
    assert scanner.feed(b"a\n" + b"x" * MAX_LINE) == [b"a"]
    assert not scanner.too_long
    assert scanner.feed(b"x") == []
    assert scanner.too_long
    assert scanner.feed(b"\nb\n") == []
    assert scanner.end() == []
