"""Our subscriber: what it asks for, when, and what it makes of answers."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.trickle import Ended, Gap, TricklePublisher, TrickleSubscriber
from livepeer.trickle.errors import ChannelNotFound

from .scripted import never, not_held

if TYPE_CHECKING:
    from .conftest import Script
    from .scripted import Exchange, Play
    from .target import Server

SETTLE_S = 0.2


def channel_of(*bodies: bytes) -> Play:
    """A channel that holds these segments, and is gone behind them."""

    async def play(exchange: Exchange) -> None:
        seq = max(exchange.seq, 0)
        if seq < len(bodies):
            await exchange.segment(seq, bodies[seq])
        else:
            await exchange.answer(404)

    return play


@pytest.mark.parametrize(("start", "first"), [(-2, 2), (1, 1), (0, 0)])
async def test_u01_a_reader_begins_where_it_wishes(server: Server, start: int, first: int) -> None:
    channel = server.channel()
    await channel.fill(0, 1, 2)
    async with TrickleSubscriber(channel.url, start=start) as subscriber:
        for seq in range(first, 3):
            segment = await anext(subscriber)
            assert (segment.seq, segment.gap, await segment.read()) == (seq, 0, b"%d" % seq)


async def test_u01_a_reader_may_wait_for_the_next(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0, 1, 2)
    async with TrickleSubscriber(channel.url, start=-1) as subscriber:
        waiting = asyncio.ensure_future(anext(subscriber))
        await server.settle()
        assert not waiting.done()
        await channel.fill(3)
        segment = await waiting
        assert (segment.seq, segment.gap, await segment.read()) == (3, 0, b"3")


async def test_u02_all_segments_come_in_order_and_then_the_end(server: Server) -> None:
    channel = server.channel()
    await channel.create("test/kind")
    events: list[object] = []
    got: list[tuple[int, bytes, str]] = []
    come = asyncio.Event()

    async def read() -> None:
        async for segment in subscriber:
            got.append((segment.seq, await segment.read(), segment.content_type))
            come.set()

    async with TrickleSubscriber(channel.url, start=0, on_event=events.append) as subscriber:
        reading = asyncio.create_task(read())
        async with TricklePublisher(channel.url) as publisher:
            for seq in range(3):
                come.clear()
                await publisher.write_segment(b"%d" % seq)
                await come.wait()
        await reading
        assert subscriber.stats.segments == 3
    assert got == [(seq, b"%d" % seq, "test/kind") for seq in range(3)]
    assert [type(event) for event in events] == [Ended]


async def test_u02_a_channel_that_is_gone_has_ended(scripted: Script) -> None:
    server = await scripted(channel_of(b"a", b"b"))
    events: list[object] = []
    async with TrickleSubscriber(server.url, start=0, on_event=events.append) as subscriber:
        assert [await segment.read() async for segment in subscriber] == [b"a", b"b"]
    assert events == [Ended(server.url, "not found")]
    assert server.seqs("GET") == ["0", "1", "2"]


async def test_u03_an_unknown_channel_is_asked_for_once(scripted: Script) -> None:
    server = await scripted(channel_of())
    async with TrickleSubscriber(server.url) as subscriber:
        with pytest.raises(ChannelNotFound) as caught:
            await anext(subscriber)
        await asyncio.sleep(SETTLE_S)
    assert caught.value.status == 404
    assert server.seqs("GET") == ["-2"]


@pytest.mark.noauto
async def test_u03_an_unknown_channel_is_told(noauto: Server) -> None:
    async with TrickleSubscriber(noauto.channel().url) as subscriber:
        with pytest.raises(ChannelNotFound):
            await anext(subscriber)


async def test_u05_a_reader_that_is_late_goes_on_at_the_edge_and_says_so(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        seq = exchange.seq
        if seq < 4:
            await exchange.answer(470, not_held(4, seq), b"Entry not found")
        elif seq == 4:
            await exchange.segment(4, b"four")
        else:
            await never()

    server = await scripted(play)
    events: list[object] = []
    async with TrickleSubscriber(server.url, start=1, on_event=events.append) as subscriber:
        segment = await anext(subscriber)
        assert (segment.seq, segment.gap, await segment.read()) == (4, 3, b"four")
        assert subscriber.stats.missed == 3
        await server.saw("GET", 5)
    assert events == [Gap(server.url, 4, 3)]
    assert server.seqs("GET") == ["1", "4", "5"]


async def test_u05_a_reader_that_is_ahead_waits_and_reads_nothing_twice(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.seq > 5:
            await never()
        elif len(server.requests("GET", 5)) < 3:
            await exchange.answer(470, not_held(3, 5), b"Entry not found")
        else:
            await exchange.segment(5, b"five")

    server = await scripted(play)
    events: list[object] = []
    async with TrickleSubscriber(server.url, start=5, on_event=events.append) as subscriber:
        segment = await anext(subscriber)
        assert (segment.seq, segment.gap, await segment.read()) == (5, 0, b"five")
        await server.saw("GET", 6)
    first, second, third, _ = server.requests("GET")
    assert server.seqs("GET") == ["5", "5", "5", "6"]
    assert second.at - first.at > 0.1
    assert third.at - second.at > 0.1
    assert events == []


async def test_u05_a_reader_may_begin_ahead_of_the_edge(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    async with TrickleSubscriber(channel.url, start=4) as subscriber:
        waiting = asyncio.ensure_future(anext(subscriber))
        for seq in range(1, 5):
            await asyncio.sleep(0.4)
            await channel.fill(seq)
        segment = await waiting
        assert (segment.seq, segment.gap, await segment.read()) == (4, 0, b"4")


async def test_u06_the_next_segment_is_asked_for_before_this_one_ends(scripted: Script) -> None:
    finish = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        if exchange.seq > 0:
            await never()
        await exchange.segment(0, b"part", end=False)
        await finish.wait()
        await exchange.more(b" rest")
        await exchange.end()

    server = await scripted(play)
    async with TrickleSubscriber(server.url, start=0) as subscriber:
        segment = await anext(subscriber)
        chunks = aiter(segment)
        assert await anext(chunks) == b"part"
        first, ahead = await server.saw("GET", 0), await server.saw("GET", 1)
        assert ahead.connection != first.connection
        finish.set()
        assert [chunk async for chunk in chunks] == [b" rest"]


async def test_u08_the_end_is_told_in_a_header_and_its_text_is_no_segment(
    scripted: Script,
) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.seq == 0:
            await exchange.segment(0, b"zero")
        else:
            closed = {"Lp-Trickle-Closed": "terminated"}
            await exchange.answer(200, {**not_held(1, 1), **closed}, b"Entry not found")

    server = await scripted(play)
    events: list[object] = []
    async with TrickleSubscriber(server.url, start=0, on_event=events.append) as subscriber:
        assert [await segment.read() async for segment in subscriber] == [b"zero"]
    assert events == [Ended(server.url, "closed")]
    assert server.seqs("GET") == ["0", "1"]


async def test_u09_an_empty_segment_is_no_end(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        match exchange.seq:
            case 0:
                await exchange.answer(200, not_held(1, 0))
            case 1:
                await exchange.segment(1, b"one")
            case _:
                await exchange.answer(404)

    server = await scripted(play)
    async with TrickleSubscriber(server.url, start=0) as subscriber:
        got = [(segment.seq, await segment.read(), segment.gap) async for segment in subscriber]
    assert got == [(0, b"", 0), (1, b"one", 0)]


async def test_u14_a_reader_that_is_overrun_jumps_and_reads_nothing_twice(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    events: list[object] = []
    async with TrickleSubscriber(channel.url, start=0, on_event=events.append) as subscriber:
        slow = await anext(subscriber)
        await server.settle()
        await channel.fill(*range(1, 11))
        assert await slow.read() == b"0"
        segment = await anext(subscriber)
        assert (segment.seq, segment.gap, await segment.read()) == (1, 0, b"1")
        waiting = asyncio.ensure_future(anext(subscriber))
        await server.settle()
        assert not waiting.done()
        await channel.fill(11)
        segment = await waiting
        assert (segment.seq, segment.gap, await segment.read()) == (11, 9, b"11")
    assert events == [Gap(channel.url, 11, 9)]


@pytest.mark.parametrize("own", [True, False])
async def test_p13_a_reader_at_the_edge_waits_for_as_long_as_it_takes(
    scripted: Script, own: bool
) -> None:
    async def play(exchange: Exchange) -> None:
        if len(server.requests("GET", 0)) < 4 or exchange.seq > 0:
            await never()
        await exchange.segment(0, b"late")

    server = await scripted(play)
    events: list[object] = []
    hasty = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.1, sock_read=0.1))
    async with (
        hasty as session,
        TrickleSubscriber(
            server.url,
            start=0,
            session=None if own else session,
            refresh_s=0.3,
            retry_s=0.2,
            on_event=events.append,
        ) as subscriber,
    ):
        segment = await anext(subscriber)
        assert (segment.gap, await segment.read()) == (0, b"late")
        assert (subscriber.stats.retries, events) == (0, [])
    waits = server.requests("GET", 0)
    assert [later.at - earlier.at > 0.25 for earlier, later in pairwise(waits)] == [True] * 3
