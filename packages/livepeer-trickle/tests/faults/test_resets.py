"""Connections that are reset, on the publisher's way and on the subscriber's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import Ended, Retry, TricklePublisher
from livepeer.trickle.errors import SegmentTruncated

if TYPE_CHECKING:
    from conftest import Follow, Log, MakePath, Until
    from livepeer.trickle import SegmentWriter

pytestmark = pytest.mark.timeout(20)

BODY = bytes(range(256)) * 400


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_publisher_that_is_cut_within_a_segment_loses_that_one_and_no_other(
    make_path: MakePath, follow: Follow, log: Log, until: Until, how
):
    async with make_path() as path, follow(path.direct) as follower:
        publisher = TricklePublisher(path.url)
        await publisher.write_segment(BODY)
        path.proxy.cut(up=5000, path="*/1", how=how)
        segment = await publisher.open_segment()
        await segment.write(b"first")
        await until(lambda: follower.partial == (1, b"first"))
        await segment.write(bytes(10_000))
        with pytest.raises(SegmentTruncated):
            await segment.close()
        with pytest.raises(SegmentTruncated):
            await segment.close()
        await publisher.write_segment(BODY)
        await until(lambda: 2 in follower.seqs)
        assert follower.got[0] == (0, BODY)
        assert follower.got[-1] == (2, BODY)
        # What was not acknowledged is not taken for whole.
        assert follower.truncated == [1]
        stats = publisher.stats
        assert (stats.segments, stats.lost, stats.retries) == (2, 1, 0)
        await publisher.close()
        await follower.ended()
    assert "cut" in log.of_both()


async def test_a_write_into_a_connection_that_is_gone_fails_in_time(
    make_path: MakePath, log: Log, until: Until
):
    async def write_on(segment: SegmentWriter) -> None:
        while True:
            await segment.write(BODY)

    async with make_path() as path, TricklePublisher(path.url) as publisher:
        segment = await publisher.open_segment()
        writing = asyncio.create_task(write_on(segment))
        await until(lambda: path.server.stats.bytes_in)
        assert path.proxy.reset(path="*/0") == 1
        with pytest.raises(SegmentTruncated):
            await asyncio.wait_for(writing, 2)
        assert publisher.stats.lost == 1
    assert "cut" in log.one()


async def test_an_end_at_the_moment_of_the_reset_is_as_ordinary_as_any(
    make_path: MakePath, log: Log, until: Until
):
    async with make_path() as path, TricklePublisher(path.url) as publisher:
        for turns in range(30):
            segment = await publisher.open_segment()
            await segment.write(b"begun")
            received = path.server.stats.bytes_in
            await until(lambda received=received: path.server.stats.bytes_in >= received)
            path.proxy.reset(path=f"*/{segment.seq}")
            for _ in range(turns):
                await asyncio.sleep(0)
            with suppress(SegmentTruncated):
                await segment.close()
            assert publisher.stats.segments + publisher.stats.lost == turns + 1
        assert publisher.stats.lost > 10
    # What a reset breaks is told once for each segment, and nothing else is.
    assert len(log.lines) == publisher.stats.lost, log.lines


async def test_a_preconnected_segment_is_connected_again(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    events = []
    async with make_path() as path, follow(path.direct) as follower:
        async with TricklePublisher(path.url, on_event=events.append) as publisher:
            await until(lambda: path.server.stats.publishers == 1)
            assert path.proxy.reset() == 1
            await until(lambda: path.proxy.stats.connections == 2)
            await publisher.write_segment(BODY)
            await publisher.write_segment(BODY)
            await until(lambda: follower.got == [(0, BODY), (1, BODY)])
            assert publisher.stats.retries == 1
        await follower.ended()
    assert [type(e) for e in events] == [Retry]
    assert (events[0].seq, events[0].attempt) == (0, 1)
    assert "again" in log.one()


async def test_an_answer_that_is_lost_is_no_acknowledgement(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.direct) as follower:
        publisher = TricklePublisher(path.url)
        await publisher.write_segment(b"zero")
        path.proxy.cut(down=0, path="*/1")
        with pytest.raises(SegmentTruncated):
            await publisher.write_segment(b"one")
        await publisher.write_segment(b"two")
        assert (publisher.stats.segments, publisher.stats.lost) == (2, 1)
        await until(lambda: 2 in follower.seqs)
        # It had arrived, and is not doubled by another attempt.
        assert follower.got == [(0, b"zero"), (1, b"one"), (2, b"two")]
        await publisher.close()
    assert "cut" in log.one()


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("down", [300, 60_000, 102_350])
async def test_a_subscriber_that_is_cut_takes_the_segment_up_where_it_was(
    make_path: MakePath, follow: Follow, log: Log, until: Until, down, how
):
    async with make_path() as path, TricklePublisher(path.direct) as publisher:
        path.proxy.cut(down=down, path="*/0", how=how)
        async with follow(path.url) as follower:
            await until(lambda: path.server.stats.subscribers)
            async with publisher.open_segment() as segment:
                for start in range(0, len(BODY), 10_240):
                    await segment.write(BODY[start : start + 10_240])
                    await asyncio.sleep(0.001)
            await publisher.write_segment(b"next")
            await until(lambda: len(follower.got) == 2)
            assert follower.got == [(0, BODY), (1, b"next")]
            stats = follower.subscriber.stats
            assert (stats.segments, stats.bytes, stats.missed) == (2, len(BODY) + 4, 0)
            assert (stats.retries, stats.resumed) == (0, 1)
    assert "segment 0" in log.one()


async def test_a_subscriber_that_is_cut_again_and_again_gets_every_byte(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, TricklePublisher(path.direct) as publisher:
        path.proxy.cut(down=40_000, path="*/0", times=1)
        path.proxy.cut(down=60_000, path="*/0", times=1)
        path.proxy.cut(down=80_000, path="*/0", times=1)
        async with follow(path.url) as follower:
            async with publisher.open_segment() as segment:
                for start in range(0, len(BODY), 1024):
                    await segment.write(BODY[start : start + 1024])
                    await asyncio.sleep(0)
            await until(lambda: follower.got == [(0, BODY)])
            assert follower.subscriber.stats.resumed == 3
    assert 1 <= len(log.lines) <= 3, log.lines


@pytest.mark.parametrize("down", [0, 50])
async def test_a_subscriber_that_is_cut_before_the_body_asks_again(
    make_path: MakePath, follow: Follow, log: Log, until: Until, down
):
    async with make_path() as path, TricklePublisher(path.direct) as publisher:
        path.proxy.cut(down=down, path="*/0", times=3)
        async with follow(path.url) as follower:
            await publisher.write_segment(BODY)
            await until(lambda: follower.got == [(0, BODY)])
            stats = follower.subscriber.stats
            assert (stats.segments, stats.missed, stats.resumed) == (1, 0, 0)
            # One may be a connection that the server had closed: ordinary, and not told.
            assert 1 <= stats.retries <= 3
            assert [type(event) for event in follower.events] == [Retry] * stats.retries
    assert "segment 0" in log.one()


async def test_a_subscriber_that_waits_at_the_edge_is_connected_again(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.url) as follower:
        await until(lambda: path.server.stats.subscribers)
        assert path.proxy.reset() == 1
        await until(lambda: path.proxy.stats.connections == 2)
        async with TricklePublisher(path.direct) as publisher:
            await publisher.write_segment(BODY)
            await until(lambda: follower.got == [(0, BODY)])
        await follower.ended()
        assert isinstance(follower.events[-1], Ended)
        assert follower.subscriber.stats.retries <= 1
    assert len(log.lines) <= 1, log.lines


async def test_a_segment_that_is_evicted_meanwhile_is_reported_as_cut_and_the_rest_as_a_gap(
    make_path: MakePath, follow: Follow, until: Until
):
    async with make_path() as path, follow(path.url) as follower:
        publisher = TricklePublisher(path.direct)
        segment = await publisher.open_segment()
        await segment.write(b"begun")
        await until(lambda: follower.partial == (0, b"begun"))
        async with path.proxy.away():
            await segment.close()
            for n in range(1, 9):
                await publisher.write_segment(b"%d" % n)
        await until(lambda: follower.truncated == [0])
        await until(lambda: path.server.stats.subscribers == 1)
        await publisher.write_segment(b"9")
        await until(lambda: follower.seqs[-1:] == [9])
        gaps = follower.gaps
        assert len(gaps) == 1
        # Every number from 0 on was read, reported as cut, or is part of the gap.
        assert gaps[0].missed == follower.subscriber.stats.missed
        assert follower.seqs == list(range(gaps[0].seq, 10))
        assert len(follower.truncated) + gaps[0].missed + len(follower.got) == 10
        await publisher.close()


async def test_a_reset_of_one_reader_is_nobody_elses(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with (
        make_path() as path,
        TricklePublisher(path.direct) as publisher,
        follow(path.direct) as near,
        follow(path.url) as far,
    ):
        async with publisher.open_segment() as segment:
            await segment.write(BODY)
            await until(lambda: near.partial == far.partial == (0, BODY))
            path.proxy.reset()
            await segment.write(BODY)
        await until(lambda: near.got == far.got == [(0, BODY + BODY)])
        assert (near.events, near.subscriber.stats.resumed) == ([], 0)
        assert far.subscriber.stats.resumed == 1
    assert len(log.lines) == 1, log.lines
