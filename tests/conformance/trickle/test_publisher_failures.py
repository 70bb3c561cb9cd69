"""Our publisher where the server is not there, refuses, or takes nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import TricklePublisher
from livepeer.trickle.errors import (
    ChannelClosed,
    ChannelNotFound,
    ChannelUnreachable,
    SegmentError,
    SegmentTimeout,
)

from .scripted import never, take
from .wire import LIMIT_S

if TYPE_CHECKING:
    from .conftest import Script
    from .scripted import Exchange
    from .target import Server

SETTLE_S = 0.2


async def test_p05_an_unknown_channel_is_not_asked_for_again(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(404, {"Connection": "close"}, b"Stream not found\n")
        exchange.cut()

    server = await scripted(play)
    publisher = TricklePublisher(server.url)
    with pytest.raises(ChannelNotFound) as caught:
        await publisher.write_segment(b"x")
    assert (caught.value.status, caught.value.retryable) == (404, False)
    await asyncio.sleep(2 * SETTLE_S)
    posted = server.seqs("POST")
    assert len(posted) == len(set(posted)) <= 2
    await publisher.close()
    assert server.seqs("POST") == posted


@pytest.mark.noauto
async def test_p05_an_unknown_channel_is_told_before_anything_is_written(noauto: Server) -> None:
    publisher = await TricklePublisher(noauto.channel().url).start()
    await noauto.settle()
    with pytest.raises(ChannelNotFound):
        await publisher.open_segment()
    await publisher.close()


async def test_p07_a_segment_that_was_not_begun_is_sent_anew(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if len(server.requests("POST", 0)) <= 3 and exchange.path == "/c/0":
            await exchange.answer(500, {"Connection": "close"}, b"Server error\n")
            exchange.cut()
        else:
            await take(exchange)

    server = await scripted(play)
    async with TricklePublisher(server.url) as publisher:
        segment = await publisher.open_segment()
        await server.saw("POST", 0, times=4)
        await segment.write(b"all ")
        await segment.write(b"bytes")
        await segment.close()
        assert publisher.stats.retries == 3
        assert (publisher.stats.segments, publisher.stats.lost) == (1, 0)
    attempts = server.requests("POST", 0)
    assert [attempt.body for attempt in attempts] == [b"", b"", b"", b"all bytes"]
    assert len({attempt.connection for attempt in attempts}) == 4


async def test_p07_a_segment_that_was_begun_is_not_sent_twice(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if (exchange.method, exchange.path) == ("POST", "/c/0"):
            await exchange.chunk()
            await exchange.answer(500, {"Connection": "close"}, b"Server error\n")
            exchange.cut()
        else:
            await take(exchange)

    server = await scripted(play)
    async with TricklePublisher(server.url) as publisher:
        with pytest.raises(SegmentError):
            await publisher.write_segment(b"first")
        await publisher.write_segment(b"second")
    assert [e.body for e in server.requests("POST", 0)] == [b"first"]
    assert [e.body for e in server.requests("POST", 1)] == [b"second"]


async def test_p07_a_segment_that_is_given_up_is_ended_for_its_readers(server: Server) -> None:
    channel = server.channel()
    async with TricklePublisher(channel.url) as publisher:
        segment = await publisher.open_segment()
        await segment.write(b"part")
        await server.settle()
        reader = await channel.reader(0)
        assert (await reader.head()).status == 200
        assert await reader.exactly(4) == b"part"
        await segment.abort()
        await reader.over()
        await publisher.write_segment(b"next")
        assert (await channel.get(1)).body == b"next"


async def refuse(exchange: Exchange) -> None:
    """A server that has no room, and does not wait for a body."""
    await exchange.answer(503, {"Connection": "close"}, b"busy\n")
    exchange.cut()


async def test_p09_a_server_that_refuses_a_segment_for_too_long_ends_the_publisher(
    scripted: Script,
) -> None:
    server = await scripted(refuse)
    began = time.monotonic()
    publisher = TricklePublisher(server.url, retry_s=0.6)
    segment = await publisher.open_segment()
    with pytest.raises(ChannelUnreachable) as caught:
        await segment.close()
    assert 0.5 < time.monotonic() - began < 8
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert len(server.requests("POST", 0)) >= 3
    assert set(server.seqs("POST")) == {"0", "1"}
    await publisher.close(delete=False)


async def test_p09_a_server_that_refuses_every_segment_ends_the_publisher(
    scripted: Script,
) -> None:
    server = await scripted(refuse)
    publisher = TricklePublisher(server.url, retry_s=0.6)

    async def write_on() -> None:
        while True:
            with suppress(SegmentError):
                await publisher.write_segment(b"x")

    try:
        async with asyncio.timeout(4):
            with pytest.raises(ChannelUnreachable):
                await write_on()
    finally:
        await publisher.close(delete=False)


async def test_p12_a_server_that_takes_nothing_ends_the_write(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.method == "POST":
            await never()
        await exchange.answer()

    server = await scripted(play, receive_bytes=64 * 1024)
    piece = b"x" * 65536
    publisher = TricklePublisher(server.url, write_timeout_s=0.3, buffer_bytes=1024 * 1024)
    segment = await publisher.open_segment()
    accepted = 0
    began = time.monotonic()

    async def flood() -> None:
        nonlocal accepted
        for _ in range(16 * 16):
            await segment.write(piece)
            accepted += len(piece)

    with pytest.raises(SegmentTimeout):
        await flood()
    assert time.monotonic() - began < 8
    # The system's own buffer for a socket is some megabytes; all else is bounded by ours.
    assert accepted < 10 * 1024 * 1024
    await publisher.close()


async def test_p05_a_closed_channel_is_told_to_a_publisher_that_waits(server: Server) -> None:
    channel = server.channel()
    publisher = await TricklePublisher(channel.url).start()
    await server.settle()
    await channel.delete()
    await server.settle()
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(ChannelClosed):
            await publisher.write_segment(b"x")
    await publisher.close()
