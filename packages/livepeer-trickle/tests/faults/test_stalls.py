"""Paths that fall silent: half-open connections, stalls longer than each timeout, a byte a tick."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from livepeer.trickle import TricklePublisher
from livepeer.trickle.errors import ChannelUnreachable, SegmentTimeout

if TYPE_CHECKING:
    from conftest import Follow, Log, MakePath, Until

pytestmark = pytest.mark.timeout(20)

BODY = bytes(range(256)) * 400


async def test_a_half_open_connection_at_the_edge_is_made_anew(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.url, refresh_s=0.2) as follower:
        await until(lambda: path.server.stats.subscribers)
        assert path.proxy.freeze() == 1
        async with TricklePublisher(path.direct) as publisher:
            await publisher.write_segment(BODY)
            await until(lambda: follower.got == [(0, BODY)])
            stats = follower.subscriber.stats
            # Silence at the edge is ordinary, and told to nobody.
            assert (stats.retries, stats.resumed, stats.missed) == (0, 0, 0)
        await follower.ended()
        assert follower.failure is None
    assert log.lines == []


async def test_a_half_open_connection_within_a_segment_is_taken_up_anew(
    make_path: MakePath, follow: Follow, until: Until
):
    async with (
        make_path() as path,
        TricklePublisher(path.direct) as publisher,
        follow(path.url, refresh_s=0.2) as follower,
    ):
        async with publisher.open_segment() as segment:
            await segment.write(b"first")
            await until(lambda: follower.partial == (0, b"first"))
            assert path.proxy.freeze(path="*/0") == 1
            await segment.write(b"second")
            await until(lambda: follower.partial == (0, b"firstsecond"))
            await segment.write(b"third")
        await publisher.write_segment(b"next")
        await until(lambda: follower.got == [(0, b"firstsecondthird"), (1, b"next")])
        assert follower.subscriber.stats.resumed >= 1
        assert follower.subscriber.stats.retries == 0


async def test_a_publisher_whose_pause_is_longer_than_the_refresh_is_waited_for(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with (
        make_path() as path,
        TricklePublisher(path.direct) as publisher,
        follow(path.direct, refresh_s=0.1) as follower,
    ):
        async with publisher.open_segment() as segment:
            await segment.write(b"first")
            await asyncio.sleep(0.5)
            await segment.write(b"second")
        await until(lambda: follower.got == [(0, b"firstsecond")])
    # Nothing was lost and nothing failed.
    assert log.lines == []


async def test_a_publisher_on_a_half_open_connection_gives_the_segment_up_in_time(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.direct) as follower:
        publisher = TricklePublisher(path.url, write_timeout_s=0.3)
        segment = await publisher.open_segment()
        await segment.write(b"first")
        await until(lambda: follower.partial == (0, b"first"))
        assert path.proxy.freeze(path="*/0") == 1
        began = time.monotonic()
        await segment.write(b"second")
        with pytest.raises(SegmentTimeout):
            await segment.close()
        assert 0.2 < time.monotonic() - began < 8
        await publisher.write_segment(BODY)
        await until(lambda: (1, BODY) in follower.got)
        assert follower.truncated == [0]
        assert (publisher.stats.segments, publisher.stats.lost) == (1, 1)
        await publisher.close()
    assert "segment 0" in log.of_both()


async def test_a_write_into_a_stall_fails_in_time_and_holds_no_more_than_its_buffer(
    make_path: MakePath, log: Log, until: Until
):
    async with make_path() as path:
        publisher = TricklePublisher(path.url, write_timeout_s=0.3, buffer_bytes=100_000)
        segment = await publisher.open_segment()
        await segment.write(BODY)
        await until(lambda: path.server.stats.bytes_in)
        path.proxy.stall()

        async def flood() -> None:
            for _ in range(600):
                await segment.write(BODY)

        with pytest.raises(SegmentTimeout):
            await flood()
        path.proxy.resume()
        await publisher.write_segment(b"next")
        await publisher.close()
    assert "segment 0" in log.one()


async def test_a_stall_shorter_than_the_timeouts_costs_time_alone(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.url) as follower:
        publisher = TricklePublisher(path.url, write_timeout_s=2)
        await publisher.write_segment(BODY)
        with path.proxy.stalled():
            writing = asyncio.create_task(publisher.write_segment(BODY))
            await asyncio.sleep(0.3)
            assert not writing.done()
        await writing
        await until(lambda: follower.got == [(0, BODY), (1, BODY)])
        await publisher.close()
    assert log.lines == []


async def test_a_publisher_that_takes_its_time_to_begin_is_kept(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path(first_byte_tick_s=0.05) as path, follow(path.url) as follower:
        publisher = TricklePublisher(path.url, write_timeout_s=0.2, retry_s=0.2)
        await publisher.start()
        # Longer than the server's ticks and the publisher's own timeouts.
        await asyncio.sleep(0.5)
        await publisher.write_segment(BODY)
        await until(lambda: follower.got == [(0, BODY)])
        assert publisher.stats.retries == 0
        # Two each: what is under way, and what was connected ahead.
        assert path.proxy.stats.connections == 4
        await publisher.close()
    assert log.lines == []


async def test_a_stalled_path_lets_nobody_wait_for_ever(make_path: MakePath, log: Log):
    async with make_path() as path:
        path.proxy.stall()
        publisher = TricklePublisher(path.url, write_timeout_s=0.2, retry_s=0.2)
        with pytest.raises(SegmentTimeout):
            await publisher.write_segment(BODY)
        began = time.monotonic()
        with pytest.raises(ChannelUnreachable):
            await publisher.close()
        resuming = TricklePublisher(path.url, resume=True, write_timeout_s=0.2, retry_s=0.2)
        with pytest.raises(ChannelUnreachable):
            await resuming.start()
        await resuming.close(delete=False)
        assert time.monotonic() - began < 8
        path.proxy.resume()
    assert log.lines


async def test_a_byte_a_tick_arrives_whole(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    """A tick is 10 ms; a timeout is 20 of them, and the segment takes 100."""
    async with make_path() as path, follow(path.url, refresh_s=0.2) as follower:
        publisher = TricklePublisher(path.url, write_timeout_s=0.2)
        await publisher.write_segment(b"zero")
        # A byte is six on the wire.
        path.proxy.throttle(800)
        body = bytes(range(100))
        async with publisher.open_segment() as segment:
            for n in body:
                await segment.write(bytes([n]))
                await asyncio.sleep(0.01)
        await until(lambda: follower.got == [(0, b"zero"), (1, body)])
        assert (publisher.stats.segments, publisher.stats.lost) == (2, 0)
        assert follower.subscriber.stats.resumed == 0
        path.proxy.throttle(None)
        await publisher.close()
    assert log.lines == []


async def test_a_path_slower_than_the_media_is_told_to_the_writer(
    make_path: MakePath, log: Log, until: Until
):
    async with make_path() as path:
        publisher = TricklePublisher(path.url, write_timeout_s=0.3)
        segment = await publisher.open_segment()
        await segment.write(b"begun")
        await until(lambda: path.server.stats.bytes_in)
        path.proxy.throttle(1000)
        with pytest.raises(SegmentTimeout):
            await segment.close(bytes(50_000_000))
        path.proxy.throttle(None)
        await publisher.write_segment(b"next")
        await publisher.close()
    assert "segment 0" in log.one()


async def greedy(url: str, seq: int, buffer_bytes: int = 4096) -> socket.socket:
    """A reader that asks, and never reads."""
    parts = urlsplit(url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, (parts.hostname, parts.port))
    request = f"GET {parts.path}/{seq} HTTP/1.1\r\nHost: test\r\n\r\n"
    await loop.sock_sendall(reader, request.encode())
    return reader


@pytest.mark.parametrize("writes", [1, 100])
async def test_a_reader_that_never_reads_is_let_go_and_the_others_go_on(
    make_path: MakePath, follow: Follow, log: Log, until: Until, writes
):
    body = bytes(12_000_000)
    async with (
        make_path(stall_timeout_s=0.3, sweep_interval_s=0.05) as path,
        TricklePublisher(path.direct) as publisher,
        follow(path.direct) as follower,
    ):
        silent = [await greedy(path.direct, 0) for _ in range(3)]
        await until(lambda: path.server.stats.subscribers == 4)
        began = time.monotonic()
        async with publisher.open_segment() as segment:
            step = len(body) // writes
            for start in range(0, len(body), step):
                await segment.write(body[start : start + step])
        await publisher.write_segment(b"next")
        # Nobody waited for them.
        await until(lambda: follower.got == [(0, body), (1, b"next")])
        assert time.monotonic() - began < 8
        # The follower's own wait for segment 2 stays.
        await until(lambda: path.server.stats.subscribers == 1)
        for reader in silent:
            reader.close()
    assert len(log.lines) <= 3, log.lines


async def test_a_reader_that_leaves_the_last_bytes_is_let_go(make_path: MakePath, until: Until):
    """The system has taken all but a rest, too small to make the server's own buffer wait."""
    async with (
        make_path(stall_timeout_s=0.2, sweep_interval_s=0.05) as path,
        TricklePublisher(path.direct) as publisher,
    ):

        async def given(size: int) -> int:
            """How much a reader can have of a segment after the server has let go of it."""
            seq = publisher.next_seq
            await publisher.write_segment(bytes(size))
            reader = await greedy(path.direct, seq)
            await asyncio.sleep(0.5)
            taken = 0
            with suppress(ConnectionResetError, TimeoutError):
                async with asyncio.timeout(0.3):
                    while piece := await asyncio.get_running_loop().sock_recv(reader, 2**16):
                        taken += len(piece)
            reader.close()
            return taken

        system = await given(12_000_000)
        size = system + 30_000
        assert await given(size) < size


async def test_a_slow_reader_that_goes_on_reading_is_kept(make_path: MakePath, log: Log):
    async with (
        make_path(stall_timeout_s=0.4, sweep_interval_s=0.05) as path,
        TricklePublisher(path.direct) as publisher,
    ):
        await publisher.write_segment(bytes(8_000_000))
        reader = await greedy(path.direct, 0, buffer_bytes=2**16)
        taken, began = 0, time.monotonic()
        while taken < 8_000_000:
            piece = await asyncio.get_running_loop().sock_recv(reader, 2**17)
            assert piece, taken
            taken += len(piece)
            await asyncio.sleep(0.005)
        assert time.monotonic() - began > 0.4
        reader.close()
    assert log.lines == []


@pytest.mark.parametrize("body", [b"", b"3\r\nabc\r\n"])
async def test_a_publisher_that_falls_silent_does_not_hold_the_channel_for_ever(
    make_path: MakePath, follow: Follow, log: Log, until: Until, body
):
    async with (
        make_path(idle_timeout_s=0.3, sweep_interval_s=0.05) as path,
        follow(path.direct) as follower,
    ):
        parts = urlsplit(path.direct)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"POST {parts.path}/0 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + body)
        await until(lambda: path.server.stats.publishers == 1)
        await until(lambda: path.server.stats.publishers == 0)
        await follower.ended()
        assert path.server.stats.channels == 0
        writer.close()
        await writer.wait_closed()
    assert log.lines == []
