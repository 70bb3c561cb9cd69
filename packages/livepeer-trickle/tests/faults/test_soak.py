"""Many segments over a path that resets connections at random."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import TricklePublisher
from livepeer.trickle.errors import SegmentError

if TYPE_CHECKING:
    from conftest import Follow, Follower, MakePath, Until

pytestmark = pytest.mark.timeout(60)

SEGMENTS = 220


def body(seq: int) -> bytes:
    """A segment that differs from every other, of up to 40 kB."""
    rng = random.Random(seq)
    return rng.randbytes(rng.randrange(1, 40_000))


async def publish(publisher: TricklePublisher, count: int) -> set[int]:
    """Publish segments in pieces, at the pace of media; returns the numbers that arrived."""
    told: set[int] = set()
    for _ in range(count):
        try:
            async with publisher.open_segment() as segment:
                whole = body(segment.seq)
                for start in range(0, len(whole), 8192):
                    await segment.write(whole[start : start + 8192])
                    await asyncio.sleep(0.002)
        except SegmentError:
            continue
        told.add(segment.seq)
    return told


@pytest.mark.parametrize(("side", "seed"), [("publisher", 1), ("subscriber", 2), ("both", 3)])
async def test_every_segment_that_was_told_delivered_is_read_or_reported(
    make_path: MakePath, follow: Follow, side, seed
):
    """The publisher is so fast that a reader which waits for 50 ms is too late for some."""
    async with make_path(proxy_seed=seed) as path:
        up = path.direct if side == "subscriber" else path.url
        down = path.direct if side == "publisher" else path.url
        path.proxy.random_resets(60_000)
        async with follow(down) as follower:
            publisher = TricklePublisher(up)
            told = await publish(publisher, SEGMENTS)
            path.proxy.clear()
            told |= await follower.catch_up(publisher, body)
            assert path.proxy.stats.resets > 20
            check(follower, told)
            stats = publisher.stats
            assert stats.segments == len(told)
            assert stats.segments + stats.lost == publisher.next_seq
            await publisher.close()
            await follower.ended()
            assert follower.failure is None


@pytest.mark.parametrize("seed", [4, 5])
async def test_a_publisher_that_waits_for_its_reader_loses_nothing_that_was_told_delivered(
    make_path: MakePath, follow: Follow, until: Until, seed
):
    """Save what follows a lost segment: a reader that asks for the lost one is sent to the edge."""
    async with make_path(proxy_seed=seed) as path:
        path.proxy.random_resets(100_000)
        async with follow(path.url) as follower:
            publisher = TricklePublisher(path.url)
            told: set[int] = set()
            while len(told) < SEGMENTS // 5:
                arrived = await publish(publisher, 1)
                told |= arrived
                await until(
                    lambda arrived=arrived: arrived <= follower.missed | set(follower.seqs),
                    10.0,
                )
            path.proxy.clear()
            check(follower, told)
            unread = told - set(follower.seqs)
            assert not {seq for seq in unread if seq - 1 in told}
            assert len(unread) < len(told) / 10
            assert not told & set(follower.truncated)
            await publisher.close()
            await follower.ended()


def check(follower: Follower, told: set[int]) -> None:
    """Every segment that arrived was handed out whole and in order, or told to be missing."""
    assert follower.seqs == sorted(set(follower.seqs))
    got = dict(follower.got)
    missed = follower.missed
    told_missed = sum(gap.missed for gap in follower.gaps)
    assert told_missed == follower.subscriber.stats.missed == len(missed)
    for seq in told:
        if seq in got:
            assert got[seq] == body(seq), seq
        else:
            assert seq in missed or seq in follower.truncated, seq
    assert not missed & set(got)
    # What was not told delivered may have arrived in part, and never wrong.
    for seq in set(got) - told:
        assert body(seq).startswith(got[seq]), seq
    assert len(told & set(got)) > len(told) / 4
