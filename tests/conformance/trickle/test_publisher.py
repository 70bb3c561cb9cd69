"""Our publisher: what it sends, when, and what it makes of answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.trickle import TricklePublisher, trickle_session
from livepeer.trickle.errors import ChannelUnreachable

from .scripted import take

if TYPE_CHECKING:
    from .conftest import Script
    from .scripted import Exchange
    from .target import Server

SETTLE_S = 0.2


async def test_p01_a_segment_is_connected_before_its_first_byte(scripted: Script) -> None:
    server = await scripted(take)
    async with TricklePublisher(server.url, content_type="test/kind") as publisher:
        ahead = await server.saw("POST", 0)
        assert ahead.headers["content-type"] == "test/kind"
        assert ahead.headers["transfer-encoding"] == "chunked"
        assert "expect" not in ahead.headers
        await asyncio.sleep(SETTLE_S)
        assert (ahead.body, server.seqs("POST")) == (b"", ["0"])
        async with publisher.open_segment() as segment:
            following = await server.saw("POST", 1)
            assert following.connection != ahead.connection
            await segment.write(b"now")
        assert (ahead.body, ahead.whole, following.body) == (b"now", True, b"")


async def test_p01_bytes_go_out_as_they_are_written(server: Server) -> None:
    channel = server.channel()
    async with TricklePublisher(channel.url) as publisher:
        async with publisher.open_segment() as segment:
            await segment.write(b"early")
            await server.settle()
            reader = await channel.reader(0)
            await reader.head()
            assert await reader.exactly(5) == b"early"
            await segment.write(b"late")
            assert await reader.exactly(4) == b"late"
        assert await reader.chunk() == b""


async def test_p03_a_publisher_goes_on_behind_what_is_there(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await exchange.answer(headers={"Lp-Trickle-Latest": "4"}, body=b"4")
        else:
            await take(exchange)

    server = await scripted(play)
    async with TricklePublisher(server.url, resume=True) as publisher:
        for _ in range(3):
            await publisher.write_segment(b"x")
        await server.saw("POST", 7)
    assert server.seqs("GET") == ["next"]
    resets = {e.path: e.headers.get("lp-trickle-reset") for e in server.requests("POST")}
    assert list(resets) == ["/c/4", "/c/5", "/c/6", "/c/7"]
    assert resets.pop("/c/4")
    assert set(resets.values()) == {None}


async def test_p03_a_publisher_that_comes_back_ends_what_hung(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    hanging = await channel.post(1)
    await hanging.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(1)
    assert (await reader.head()).status == 200
    async with TricklePublisher(channel.url, resume=True) as publisher:
        assert await reader.rest() == b"part"
        assert publisher.next_seq == 2
        await publisher.write_segment(b"2")
        assert (await channel.get(2)).body == b"2"


@pytest.mark.parametrize("status", [500, 403, 200])
async def test_p04_a_publisher_that_is_not_told_learns_its_number_by_publishing(
    scripted: Script, status: int
) -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await exchange.answer(status)
        elif exchange.path == "/c/-1":
            await exchange.read()
            await exchange.answer(headers={"Lp-Trickle-Seq": "7"})
        else:
            await take(exchange)

    server = await scripted(play)
    async with TricklePublisher(server.url, resume=True, retry_s=0.2) as publisher:
        await publisher.write_segment(b"first")
        await publisher.write_segment(b"second")
        await server.saw("POST", 9)
    bodies = {e.path: e.body for e in server.requests("POST")}
    assert bodies == {"/c/-1": b"first", "/c/8": b"second", "/c/9": b""}
    assert server.requests("POST")[0].headers["lp-trickle-reset"]


async def test_p10_interim_answers_are_no_answers(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        for _ in range(3):
            await exchange.interim()
            await asyncio.sleep(0.05)
        await take(exchange)

    server = await scripted(play)
    events: list[object] = []
    async with TricklePublisher(server.url, on_event=events.append) as publisher:
        await server.saw("POST", 0)
        await asyncio.sleep(0.1)
        segment = await publisher.open_segment()
        await segment.write(b"a")
        await asyncio.sleep(0.1)
        await segment.write(b"b")
        await segment.close()
        assert server.requests("POST", 0)[0].body == b"ab"
        assert (publisher.stats.segments, events) == (1, [])


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_p11_the_channel_is_deleted_behind_the_last_segment(
    scripted: Script, status: int
) -> None:
    ended: list[str] = []

    async def play(exchange: Exchange) -> None:
        if exchange.method == "DELETE":
            ended.append(exchange.path)
            await exchange.answer(status)
            return
        try:
            await exchange.read()
            await asyncio.sleep(SETTLE_S)
            await exchange.answer(headers={"Lp-Trickle-Seq": "0"})
        finally:
            ended.append(exchange.path)

    server = await scripted(play)
    publisher = TricklePublisher(server.url)
    await publisher.write_segment(b"last")
    await server.saw("POST", 1)
    await publisher.close()
    await publisher.close()
    assert (server.requests("POST", 0)[0].body, server.requests("POST", 0)[0].whole) == (
        b"last",
        True,
    )
    assert not server.requests("POST", 1)[0].whole
    assert ended == ["/c/0", "/c/1", "/c"]
    assert len(server.requests("DELETE")) == 1


async def test_p11_a_channel_may_be_left_open(scripted: Script) -> None:
    server = await scripted(take)
    publisher = TricklePublisher(server.url)
    await publisher.write_segment(b"x")
    await publisher.close(delete=False)
    assert server.requests("DELETE") == []


async def test_p11_a_channel_that_cannot_be_closed_is_told(scripted: Script) -> None:
    async def play(exchange: Exchange) -> None:
        await (exchange.answer(500) if exchange.method == "DELETE" else take(exchange))

    server = await scripted(play)
    publisher = await TricklePublisher(server.url).start()
    with pytest.raises(ChannelUnreachable):
        await publisher.close()


async def test_p11_the_last_segment_reaches_a_reader_whole(server: Server) -> None:
    channel = server.channel()
    publisher = await TricklePublisher(channel.url).start()
    await server.settle()
    reader, following = await channel.reader(0), await channel.reader(1)
    body = bytes(range(256)) * 4096
    await publisher.write_segment(body)
    await publisher.close()
    assert (await reader.answer()).body == body
    assert "Closed" in (await following.answer()).trickle
    assert (await channel.get(0)).status == 404


async def test_p13_a_session_of_ours_sets_no_total_timeout() -> None:
    async with trickle_session() as session:
        assert (session.timeout.total, session.timeout.sock_read) == (None, None)


@pytest.mark.parametrize("begun", [True, False])
async def test_p13_a_silent_segment_outlives_the_timeouts_of_a_given_session(
    scripted: Script, begun: bool
) -> None:
    server = await scripted(take)
    events: list[object] = []
    hasty = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2, sock_read=0.2))
    async with (
        hasty as session,
        TricklePublisher(server.url, session=session, on_event=events.append) as publisher,
    ):
        segment = await publisher.open_segment()
        await segment.write(b"a" if begun else b"")
        await asyncio.sleep(0.6)
        await segment.write(b"b")
        await segment.close()
        assert (publisher.stats.segments, publisher.stats.retries, events) == (1, 0, [])
        assert server.requests("POST", 0)[0].body.endswith(b"b")
