"""Our subscriber where the server fails for a while, or a body is cut."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import Retry, TrickleSubscriber
from livepeer.trickle.errors import ChannelUnreachable, SegmentTruncated

from .scripted import never, not_held

if TYPE_CHECKING:
    from .conftest import Script
    from .scripted import Exchange, Play

SETTLE_S = 0.2


async def test_u11_a_server_that_fails_for_a_while_is_asked_again(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.seq > 0:
            await never()
        elif len(server.requests("GET", 0)) <= 4:
            await exchange.answer(503, body=b"busy\n")
        else:
            await exchange.segment(0, b"zero")

    server = await scripted(play)
    events: list[object] = []
    async with TrickleSubscriber(server.url, start=0, on_event=events.append) as subscriber:
        assert await (await anext(subscriber)).read() == b"zero"
        assert subscriber.stats.retries == 4
    retries = [event for event in events if isinstance(event, Retry)]
    assert [(retry.seq, retry.attempt) for retry in retries] == [(0, n) for n in range(1, 5)]
    assert len(events) == 4


async def test_u11_a_server_that_fails_for_too_long_ends_the_reader(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(503, body=b"busy\n")

    server = await scripted(play)
    began = time.monotonic()
    async with TrickleSubscriber(server.url, start=0, retry_s=0.6) as subscriber:
        with pytest.raises(ChannelUnreachable) as caught:
            await anext(subscriber)
    assert 0.5 < time.monotonic() - began < 8
    assert caught.value.status == 503
    assert set(server.seqs("GET")) == {"0"}


def cut_after(size: int, body: bytes, *, silent: bool = False, then: Play | None = None) -> Play:
    """Segment 0 comes in part and stops; asked for again `then` answers, or it comes whole."""
    asked = 0

    async def play(exchange: Exchange) -> None:
        nonlocal asked
        if exchange.seq > 0:
            await never()
        asked += 1
        if asked == 1:
            await exchange.segment(0, body[: size // 2], body[size // 2 : size], end=False)
            await (never() if silent else asyncio.sleep(SETTLE_S / 2))
            exchange.cut()
        elif then is not None:
            await then(exchange)
        else:
            await exchange.segment(0, *(body[at : at + 7] for at in range(0, len(body), 7)))

    return play


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("size", [2, 5, 999])
async def test_u13_a_body_that_is_cut_is_taken_up_where_it_stopped(
    scripted: Script, size: int, silent: bool
) -> None:
    body = b"".join(b"%04d" % n for n in range(250))
    server = await scripted(cut_after(size, body, silent=silent))
    async with TrickleSubscriber(server.url, start=0, refresh_s=0.3) as subscriber:
        segment = await anext(subscriber)
        assert b"".join([chunk async for chunk in segment]) == body
        assert subscriber.stats.resumed == 1
        assert subscriber.stats.bytes == len(body)
    assert len(server.requests("GET", 0)) == 2


@pytest.mark.parametrize("why", ["not held", "closed", "gone", "another", "shorter"])
async def test_u13_a_body_that_cannot_be_taken_up_is_an_error(scripted: Script, why: str) -> None:
    async def then(exchange: Exchange) -> None:
        match why:
            case "not held":
                await exchange.answer(470, not_held(9, 0), b"Entry not found")
            case "closed":
                await exchange.answer(200, {"Lp-Trickle-Closed": "terminated"})
            case "gone":
                await exchange.answer(404)
            case "another":
                await exchange.segment(0, b"another one of that number")
            case _:
                await exchange.segment(0, b"abc")

    server = await scripted(cut_after(6, b"abcdefghi", then=then))
    got: list[bytes] = []

    async def read() -> None:
        async for chunk in await anext(subscriber):
            got.append(chunk)

    async with TrickleSubscriber(server.url, start=0) as subscriber:
        with pytest.raises(SegmentTruncated):
            await read()
    assert b"".join(got) == b"abcdef"


async def test_u13_a_body_that_is_cut_again_and_again_is_an_error_in_time(
    scripted: Script,
) -> None:
    async def then(exchange: Exchange) -> None:
        await exchange.segment(0, b"abc", end=False)
        exchange.cut()

    server = await scripted(cut_after(3, b"abcdef", then=then))
    began = time.monotonic()
    async with TrickleSubscriber(server.url, start=0, retry_s=0.6) as subscriber:
        segment = await anext(subscriber)
        with pytest.raises(SegmentTruncated):
            await segment.read()
    assert 0.5 < time.monotonic() - began < 8
