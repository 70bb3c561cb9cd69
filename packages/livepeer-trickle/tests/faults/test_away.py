"""A path that is away for a while, a server that starts anew, and clocks that jump."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import Ended, Retry, TricklePublisher
from livepeer.trickle.errors import ChannelUnreachable, SegmentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conftest import Follow, Log, MakePath, Until

pytestmark = pytest.mark.timeout(20)

SERVER = """
import asyncio, sys
from livepeer.trickle import TrickleServer

async def main():
    async with TrickleServer(autocreate=True).listening(port=int(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def publish(
    publisher: TricklePublisher, stop: asyncio.Event, *, every_s: float = 0.03
) -> tuple[list[int], list[int]]:
    """Publish a segment in several writes now and then; returns what arrived and what did not."""
    told, lost = [], []
    while not stop.is_set():
        seq = publisher.next_seq
        try:
            async with publisher.open_segment() as segment:
                for n in range(3):
                    await segment.write(b"%d.%d " % (segment.seq, n))
                    await asyncio.sleep(every_s / 3)
        except SegmentError:
            lost.append(seq)
        else:
            told.append(seq)
    return told, lost


def whole(seq: int) -> bytes:
    return b"".join(b"%d.%d " % (seq, n) for n in range(3))


async def test_a_path_that_is_away_for_3_s_costs_the_publisher_what_was_in_flight(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    events = []
    async with make_path() as path, follow(path.direct) as follower:
        publisher = TricklePublisher(path.url, on_event=events.append)
        stop = asyncio.Event()
        publishing = asyncio.create_task(publish(publisher, stop))
        await until(lambda: follower.got)
        async with path.proxy.away():
            await asyncio.sleep(3)
        before = publisher.stats.segments
        await until(lambda: publisher.stats.segments >= before + 5)
        stop.set()
        told, lost = await publishing
        assert len(lost) <= 1
        # None that was acknowledged is missing, but where the reader was told so; none came twice,
        # and all in order.
        acknowledged = {*told, *await follower.catch_up(publisher, whole)}
        assert follower.seqs == sorted(set(follower.seqs))
        assert acknowledged - set(follower.seqs) <= follower.missed
        assert all(body == whole(seq) for seq, body in follower.got if seq in acknowledged)
        assert publisher.stats.retries == len(events) > 2
        assert {type(event) for event in events} == {Retry}
        await publisher.close()
    # One for the path that is away, for the segment that it cut one each of writer and reader, and
    # one where the reader was late.
    assert 1 <= len(log.lines) <= 1 + 2 * len(lost) + len(follower.gaps), log.lines


async def test_a_path_that_is_away_for_3_s_costs_the_subscriber_what_is_no_longer_held(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.url) as follower:
        publisher = TricklePublisher(path.direct)
        stop = asyncio.Event()
        publishing = asyncio.create_task(publish(publisher, stop, every_s=0.6))
        await until(lambda: follower.got)
        async with path.proxy.away():
            await asyncio.sleep(3)
        stop.set()
        told, lost = await publishing
        assert lost == []
        # A reader that is late goes on at the edge, with what comes next.
        await until(lambda: path.server.stats.subscribers == 1)
        told += [publisher.next_seq]
        await publisher.write_segment(whole(told[-1]))
        await until(lambda: told[-1] in follower.seqs)
        assert follower.seqs == sorted(set(follower.seqs))
        assert all(body == whole(seq) for seq, body in follower.got)
        missed = len(follower.missed)
        assert missed == follower.subscriber.stats.missed <= 7
        assert len(follower.got) + len(follower.truncated) + missed == len(told)
        await publisher.close()
    assert 1 <= len(log.lines) <= 3, log.lines


async def test_within_the_retries_a_reader_of_a_quiet_channel_misses_nothing(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with (
        make_path() as path,
        follow(path.url) as follower,
        TricklePublisher(path.direct) as publisher,
    ):
        await publisher.write_segment(b"before")
        await until(lambda: follower.seqs == [0])
        async with path.proxy.away():
            for n in range(3):
                await publisher.write_segment(b"%d" % n)
            await asyncio.sleep(0.5)
        await until(lambda: follower.seqs == [0, 1, 2, 3])
        assert follower.subscriber.stats.missed == 0
        assert not follower.gaps
    assert len(log.lines) == 1, log.lines


async def test_beyond_the_retries_both_sides_are_told(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.url, retry_s=0.4) as follower:
        publisher = TricklePublisher(path.url, retry_s=0.4, write_timeout_s=2)
        await publisher.write_segment(b"zero")
        await until(lambda: follower.seqs == [0])
        await path.proxy.down()
        began = time.monotonic()
        with pytest.raises(ChannelUnreachable):
            await publisher.write_segment(b"one")
        await follower.ended()
        assert isinstance(follower.failure, ChannelUnreachable)
        assert 0.3 < time.monotonic() - began < 8
        with pytest.raises(ChannelUnreachable):
            await publisher.close()
    # One for each endpoint.
    assert len(log.lines) == 2, log.lines


@asynccontextmanager
async def server_process(port: int = 0) -> AsyncGenerator[str]:
    """A server of its own, that is killed without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(port), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def test_a_publisher_outlives_a_server_that_is_killed_and_started_anew(
    follow: Follow, log: Log, until: Until
):
    async with server_process() as base:
        publisher = TricklePublisher(base + "/c")
        await publisher.write_segment(b"zero")
        segment = await publisher.open_segment()
        await segment.write(b"one")
    with pytest.raises(SegmentError):
        await segment.close()
    writing = asyncio.create_task(publisher.write_segment(b"two"))
    await asyncio.sleep(0.2)
    assert not writing.done()
    async with server_process(int(base.rpartition(":")[2])):
        await writing
        async with follow(base + "/c", start=2) as follower:
            await until(lambda: follower.got == [(2, b"two")])
            await publisher.write_segment(b"three")
            await until(lambda: follower.seqs == [2, 3])
            await publisher.close()
            await follower.ended()
        assert (publisher.stats.segments, publisher.stats.lost) == (3, 1)
    assert 1 <= len(log.lines) <= 2, log.lines


async def test_a_subscriber_outlives_a_server_that_comes_back_with_the_channel(
    follow: Follow, log: Log, until: Until
):
    async with server_process() as base:
        publisher = TricklePublisher(base + "/c")
        await publisher.write_segment(b"zero")
        proxied = follow(base + "/c")
        follower = await proxied.__aenter__()
        await until(lambda: follower.seqs == [0])
    writing = asyncio.create_task(publisher.write_segment(b"one"))
    async with server_process(int(base.rpartition(":")[2])):
        await writing
        await publisher.write_segment(b"two")
        # It went on, or learned that the channel had gone before the publisher brought it back.
        await until(lambda: 2 in follower.seqs or follower.task.done())
        if follower.task.done():
            assert follower.events[-1] == Ended(base + "/c", "not found")
        else:
            assert follower.seqs == [0, 1, 2]
        await proxied.__aexit__(None, None, None)
        await publisher.close()
    assert 1 <= len(log.lines) <= 3, log.lines


async def test_clocks_that_jump_change_nothing(
    make_path: MakePath, follow: Follow, log: Log, until: Until, monkeypatch: pytest.MonkeyPatch
):
    """Only the clock that cannot jump counts."""
    shift = 0.0
    real = time.time

    monkeypatch.setattr(time, "time", lambda: real() + shift)
    async with (
        make_path(idle_timeout_s=5, sweep_interval_s=0.02, stall_timeout_s=5) as path,
        follow(path.url, retry_s=5, refresh_s=5) as follower,
        TricklePublisher(path.url, retry_s=5, write_timeout_s=5) as publisher,
    ):
        for n, shift in enumerate((0.0, 1e6, -1e6, 3e8, -1e9)):
            async with publisher.open_segment() as segment:
                await segment.write(b"before")
                await until(lambda n=n: follower.partial == (n, b"before"))
                shift = -shift
                await asyncio.sleep(0.05)
                await segment.write(b"after")
            await until(lambda n=n: follower.got[-1:] == [(n, b"beforeafter")])
        assert path.server.has_channel("c")
        assert (publisher.stats.retries, follower.subscriber.stats.retries) == (0, 0)
        await until(lambda: path.server.stats.publishers == path.server.stats.subscribers == 1)
        connections = path.proxy.stats.connections
        assert path.proxy.reset() >= 2
        shift = 1e7
        await until(lambda: path.proxy.stats.connections >= connections + 2)
        await publisher.write_segment(b"again")
        await until(lambda: follower.got[-1] == (5, b"again"))
    assert len(log.lines) <= 2, log.lines
