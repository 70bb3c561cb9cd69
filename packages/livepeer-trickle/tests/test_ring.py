"""The ring's odd corners, one by one; in the pure core, and where it takes a server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from livepeer.trickle import ServerStats, TrickleServer
from livepeer.trickle._ring import Channel, NotHeld, Segment
from livepeer.trickle._wire import CURRENT, NEXT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


@pytest.fixture
def channel() -> Channel:
    return Channel("name", "video/MP2T", 0.0)


def publish(channel: Channel, seq: int, *, whole: bool = True) -> Segment:
    segment = channel.for_write(seq)
    channel.write(segment, b"%d" % seq, 0.0)
    if whole:
        channel.finish(segment, 0.0)
    return segment


def test_only_a_segment_that_is_evicted_with_bytes_and_without_an_end_is_cut(
    channel: Channel,
) -> None:
    whole, half, empty = publish(channel, 0), publish(channel, 1, whole=False), channel.for_write(2)
    for seq in (5, 6, 7):
        channel.for_write(seq)
    assert (whole.ended, half.ended, empty.ended) == (True, True, True)
    assert (whole.cut, half.cut, empty.cut) == (False, True, False)


def test_what_a_publisher_sends_after_the_end_goes_nowhere(channel: Channel) -> None:
    segment = publish(channel, 0, whole=False)
    channel.finish_held(0)
    channel.write(segment, b"late", 1.0)
    channel.finish(segment, 1.0)
    assert (segment.chunks, segment.size, segment.cut) == ([b"0"], 1, False)


def test_the_edge_is_assigned_wherever_a_publisher_begins(channel: Channel) -> None:
    edges = []
    for seq in (0, 1, 9, 3, 10**12, NEXT, 2):
        publish(channel, seq)
        edges.append(channel.next)
    assert edges == [1, 2, 10, 4, 10**12 + 1, 10**12 + 2, 3]


def test_a_reader_may_be_one_ahead_of_an_empty_channel_and_nowhere_else(channel: Channel) -> None:
    assert [channel.for_read(seq).seq for seq in (CURRENT, NEXT, 0, 1)] == [0, 0, 0, 1]
    with pytest.raises(NotHeld):
        channel.for_read(2)
    publish(channel, 0)
    assert channel.for_read(CURRENT).seq == 0
    assert channel.for_read(NEXT).seq == 1


def test_a_closed_channel_holds_what_it_held_and_takes_no_reader_at_its_edge(
    channel: Channel,
) -> None:
    half = publish(channel, 0, whole=False)
    waiting = channel.for_read(NEXT)
    channel.close()
    assert (half.ended, half.cut, waiting.ended) == (True, False, True)
    assert channel.for_read(0) is half
    with pytest.raises(NotHeld):
        channel.for_read(2)


def test_what_is_no_longer_held_says_which_number_was_asked_for(channel: Channel) -> None:
    publish(channel, 0)
    channel.drop(publish(channel, 1, whole=False))
    with pytest.raises(NotHeld) as not_held:
        channel.for_read(CURRENT)
    assert not_held.value.seq == CURRENT


class Wire:
    """Raw requests to one channel of one server."""

    def __init__(self, server: TrickleServer, base: str) -> None:
        self.server = server
        self.address = urlsplit(base)
        self.writers: list[asyncio.StreamWriter] = []

    async def send(
        self, head: str, body: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        self.writers.append(writer)
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return reader, writer

    async def post(self, seq: int, *chunks: bytes, whole: bool) -> asyncio.StreamWriter:
        """Publish, or leave the body open."""
        before = self.server.stats
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        end = b"0\r\n\r\n" if whole else b""
        head = f"POST /c/{seq} HTTP/1.1\nHost: x\nTransfer-Encoding: chunked"
        reader, writer = await self.send(head, body + end)
        if whole:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        else:
            bytes_in = before.bytes_in + sum(map(len, chunks))
            await self.until(lambda now: now.publishers > before.publishers)
            await self.until(lambda now: now.bytes_in == bytes_in)
        return writer

    async def until(self, condition: Callable[[ServerStats], bool]) -> None:
        while not condition(self.server.stats):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def get(self, seq: int) -> asyncio.StreamReader:
        """Ask for a segment, and go on when the server waits for its bytes."""
        subscribers = self.server.stats.subscribers
        reader, _ = await self.send(f"GET /c/{seq} HTTP/1.1\nHost: x")
        await self.until(lambda now: now.subscribers > subscribers)
        return reader

    async def idle_connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One on which the server has answered before, so that the next is heard at once."""
        reader, writer = await self.send("GET /c/next HTTP/1.1\nHost: x")
        await reader.readuntil(b"\r\n\r\n0")
        return reader, writer

    async def edge(self) -> int:
        reader, _ = await self.send("GET /c/next HTTP/1.1\nHost: x\nConnection: close")
        return int((await reader.read()).partition(b"\r\n\r\n")[2])


@asynccontextmanager
async def wire(slots: int = 5) -> AsyncGenerator[Wire]:
    server = TrickleServer(slots=slots)
    server.create_channel("c")
    async with server.listening() as base, asyncio.timeout(10):
        made = Wire(server, base)
        try:
            yield made
        finally:
            for writer in made.writers:
                writer.transport.abort()


@pytest.mark.parametrize("more", [b"more", b""])
async def test_every_publisher_of_a_segment_moves_the_edge_where_it_begins(more: bytes) -> None:
    async with wire() as on:
        cut = await on.post(0, b"begun", whole=False)
        cut.transport.abort()
        await on.post(1, b"whole", whole=True)
        assert await on.edge() == 2
        await on.post(0, *([more] if more else []), whole=True)
        assert await on.edge() == 1


@pytest.mark.parametrize("turns", range(5))
async def test_a_publisher_moves_the_edge_once_however_its_segment_ends(turns: int) -> None:
    async with wire() as on:
        publisher = await on.post(3, whole=False)
        control, ending = await on.idle_connection()
        # The end comes from elsewhere, as the first byte does.
        ending.write(b"DELETE /c/3 HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        publisher.write(b"1\r\na\r\n")
        assert b" 200 " in await control.readuntil(b"\r\n\r\n")
        await on.edge()
        await on.post(7, b"whole", whole=True)
        publisher.write(b"1\r\nb\r\n")
        assert await on.edge() == 8


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("cut_first", [False, True])
async def test_a_cut_is_seen_by_readers_that_have_all_bytes_to_come_yet(
    turns: int, cut_first: bool
) -> None:
    async with wire() as on:
        _, evicting = await on.idle_connection()
        publisher, reader = await on.post(0, whole=False), await on.get(0)
        evict = b"POST /c/5 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sends = [(publisher, b"4\r\nhalf\r\n"), (evicting, evict)]
        for writer, data in reversed(sends) if cut_first else sends:
            writer.write(data)
            for _ in range(turns):
                await asyncio.sleep(0)
        head = await reader.readuntil(b"\r\n\r\n")
        # Evicted before its first byte it is empty; after that the connection is cut.
        if b"chunked" in head:
            assert await reader.read() == b"4\r\nhalf\r\n"


async def test_a_channel_holds_as_many_segments_as_its_server_has_slots() -> None:
    async with wire(slots=3) as on:
        for seq in range(4):
            await on.post(seq, b"whole", whole=True)
        for seq, status in ((0, b" 470 "), (1, b" 200 "), (3, b" 200 ")):
            reader, _ = await on.send(f"GET /c/{seq} HTTP/1.1\nHost: x")
            assert status in await reader.readuntil(b"\r\n\r\n")
