"""Statuses that nobody wants, at every point of the exchange."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import Ended, Gap, Retry, TricklePublisher
from livepeer.trickle.errors import (
    ChannelError,
    ChannelNotFound,
    ChannelUnreachable,
    SegmentRejected,
    TrickleError,
)

if TYPE_CHECKING:
    from conftest import Follow, Log, MakePath, Until

pytestmark = pytest.mark.timeout(20)

BODY = bytes(range(256)) * 100

LATEST = "Lp-Trickle-Latest"


@pytest.mark.parametrize("status", [404, 470, 503])
async def test_creation_that_is_refused(make_path: MakePath, log: Log, status):
    async with make_path(autocreate=True) as path:
        rule = path.proxy.answer(status, method="POST", path="/new", times=None)
        publisher = TricklePublisher(path.url.replace("/c", "/new"), retry_s=0.3)
        with pytest.raises(TrickleError) as caught:
            await publisher.create()
        assert isinstance(caught.value, ChannelNotFound) == (status == 404)
        assert caught.value.status == status
        assert rule.fired == 1 if status < 500 else rule.fired > 1
        await publisher.close(delete=False)
        assert not path.server.has_channel("new")
    assert len(log.lines) == (status >= 500)


async def test_creation_that_fails_for_a_while(make_path: MakePath, log: Log):
    async with make_path(autocreate=True) as path:
        path.proxy.answer(503, method="POST", path="/new", times=2)
        async with TricklePublisher(path.url.replace("/c", "/new")) as publisher:
            await publisher.create()
            assert path.server.has_channel("new")
            assert publisher.stats.retries == 2
    assert len(log.lines) == 1, log.lines


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(("status", "error"), [(404, ChannelNotFound), (470, SegmentRejected)])
async def test_a_preconnect_that_is_refused_is_not_tried_again(
    make_path: MakePath, until: Until, status, error, waiting
):
    async with make_path() as path:
        publisher = TricklePublisher(path.url)
        if waiting:
            await publisher.start()
            await until(lambda: path.server.stats.publishers == 1)
        rule = path.proxy.answer(status, method="POST", path="*/0", times=None)
        if waiting:
            await asyncio.sleep(0.05)
        with pytest.raises(error) as caught:
            await publisher.write_segment(BODY)
        assert caught.value.status == status
        assert rule.fired == 1
        assert publisher.stats.segments == 0
        await publisher.close(delete=False)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_preconnect_that_fails_for_a_while_is_tried_again(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status
):
    async with make_path() as path, follow(path.direct) as follower:
        path.proxy.answer(status, method="POST", path="*/0", times=3)
        async with TricklePublisher(path.url) as publisher:
            # Bytes that were handed to the network already are not sent again.
            await until(lambda: path.proxy.stats.answers)
            await asyncio.sleep(0.02)
            await publisher.write_segment(BODY)
            await publisher.write_segment(BODY)
            await until(lambda: follower.got == [(0, BODY), (1, BODY)])
            assert publisher.stats.retries >= 3
            assert publisher.stats.lost == 0
    assert str(status) in log.one()


async def test_a_server_that_fails_for_ever_is_given_up_in_time(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path:
        path.proxy.answer(500, times=None)
        began = time.monotonic()
        publisher = TricklePublisher(path.url, retry_s=0.4)
        await publisher.start()
        await until(lambda: path.proxy.stats.answers)
        await asyncio.sleep(0.02)
        with pytest.raises(ChannelUnreachable):
            await publisher.write_segment(BODY)
        with pytest.raises(ChannelUnreachable):
            await publisher.close()
        async with follow(path.url, retry_s=0.4) as follower:
            await follower.ended()
            assert isinstance(follower.failure, ChannelUnreachable)
            assert follower.failure.status == 500
        assert 0.6 < time.monotonic() - began < 8
    # One for each endpoint, and one for the segment that is lost by it.
    assert 2 <= len(log.lines) <= 3, log.lines


@pytest.mark.parametrize("after", [10_000, None])
@pytest.mark.parametrize(
    ("status", "error"), [(404, ChannelNotFound), (470, SegmentRejected), (500, SegmentRejected)]
)
async def test_a_refusal_within_or_after_the_body_is_no_acknowledgement(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status, error, after
):
    async with make_path() as path, follow(path.direct) as follower:
        publisher = TricklePublisher(path.url)
        await publisher.write_segment(BODY)
        rule = path.proxy.answer(status, method="POST", path="*/1", after=after)
        segment = await publisher.open_segment()
        with pytest.raises(error) as caught:  # noqa: PT012
            for start in range(0, len(BODY), 512):
                await segment.write(BODY[start : start + 512])
            await segment.close()
        assert caught.value.status == status
        await segment.abort()
        assert rule.fired == 1
        assert (publisher.stats.segments, publisher.stats.lost) == (1, 1)
        if status != 404:
            # A channel that is gone has no readers who wait for the rest.
            await publisher.write_segment(b"next")
            await until(lambda: 2 in follower.seqs)
            assert follower.got[-1] == (2, b"next")
        assert follower.got[0] == (0, BODY)
        # Sent once and not again; what of it arrived is not taken for whole.
        assert status == 404 or not after or follower.truncated == [1]
        await publisher.close()
    assert "segment 1" in (log.of_both() if follower.truncated else log.one())


@pytest.mark.parametrize(
    ("status", "times", "first"), [(404, 1, 0), (503, 2, 3), (470, 1, 3), (500, None, 3)]
)
async def test_a_resumption_goes_on_behind_what_is_there_if_anybody_says_where(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status, times, first
):
    async with make_path() as path:
        before = TricklePublisher(path.direct)
        for n in range(3):
            await before.write_segment(b"%d" % n)
        await before.close(delete=False)
        path.proxy.answer(status, method="GET", path="*/next", times=times)
        async with follow(path.direct, start=first + (first == 0)) as follower:
            publisher = TricklePublisher(path.url, resume=True, retry_s=0.3)
            await publisher.start()
            if first:
                await publisher.write_segment(b"three")
                await publisher.write_segment(b"four")
                await until(lambda: follower.got == [(3, b"three"), (4, b"four")])
            else:
                # As if the channel were new: what is there is not written over.
                with pytest.raises(SegmentRejected):
                    await publisher.write_segment(b"zero")
            await publisher.close()
    assert len(log.lines) <= 1, log.lines


@pytest.mark.parametrize(("status", "tolerated"), [(404, True), (400, True), (470, False)])
async def test_a_channel_that_cannot_be_closed(make_path: MakePath, status, tolerated):
    async with make_path() as path:
        publisher = TricklePublisher(path.url)
        await publisher.write_segment(BODY)
        path.proxy.answer(status, method="DELETE", path="/c")
        if tolerated:
            await publisher.close()
        else:
            with pytest.raises(ChannelError) as caught:
                await publisher.close()
            assert caught.value.status == status
        await publisher.close()
        assert path.server.has_channel("c")


@pytest.mark.parametrize("status", [404, 403, 470, 500])
async def test_the_first_request_of_a_subscriber(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status
):
    async with make_path() as path, TricklePublisher(path.direct) as publisher:
        await publisher.write_segment(BODY)
        rule = path.proxy.answer(status, method="GET", times=2)
        async with follow(path.url, start=-2) as follower:
            if status in (403, 404):
                await follower.ended()
                assert isinstance(follower.failure, ChannelNotFound) == (status == 404)
                assert follower.failure is not None
                assert (follower.failure.status, rule.fired) == (status, 1)
            else:
                await until(lambda: follower.got == [(0, BODY)])
                assert rule.fired == 2
                assert follower.subscriber.stats.missed == 0
    assert len(log.lines) == (status == 500), log.lines


async def test_a_470_that_says_where_to_go_on_is_a_gap(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, TricklePublisher(path.direct, start_seq=7) as publisher:
        await publisher.write_segment(BODY)
        path.proxy.answer(470, method="GET", path="*/2", headers={LATEST: "7"})
        async with follow(path.url, start=2) as follower:
            await until(lambda: follower.got == [(7, BODY)])
            assert follower.subscriber.stats.missed == 5
            assert follower.events == [Gap(path.url, 7, 5)]
    assert "5" in log.one()


@pytest.mark.parametrize("status", [404, 470, 500])
@pytest.mark.parametrize("waiting", [False, True])
async def test_a_subscriber_at_the_edge(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status, waiting
):
    async with make_path() as path, TricklePublisher(path.direct) as publisher:
        headers = {LATEST: "1"} if status == 470 else {}

        def fail() -> None:
            path.proxy.answer(status, method="GET", path="*/1", headers=headers, times=2)

        if not waiting:
            fail()
        async with follow(path.url) as follower:
            await publisher.write_segment(BODY)
            await until(lambda: follower.seqs == [0])
            if waiting:
                await until(lambda: path.server.stats.subscribers == 1)
                fail()
            if status == 404:
                await follower.ended()
                assert follower.failure is None
                assert follower.events == [Ended(path.url, "not found")]
            else:
                await until(lambda: path.proxy.stats.answers == 2)
                await publisher.write_segment(b"next")
                await until(lambda: follower.got == [(0, BODY), (1, b"next")])
                assert [type(event) for event in follower.events] == [Retry, Retry] * (
                    status == 500
                )
    assert len(log.lines) == (status == 500), log.lines


@pytest.mark.parametrize(("status", "times"), [(404, 1), (470, 1), (403, 1), (500, 2), (500, None)])
async def test_a_segment_that_was_cut_and_is_then_refused(
    make_path: MakePath, follow: Follow, log: Log, until: Until, status, times
):
    async with (
        make_path() as path,
        TricklePublisher(path.direct) as publisher,
        follow(path.url, retry_s=0.4) as follower,
    ):
        async with publisher.open_segment() as segment:
            await segment.write(b"begun")
            await until(lambda: follower.partial == (0, b"begun"))
            # The answer that is under way has begun, so it meets the request that comes next.
            rule = path.proxy.answer(status, method="GET", path="*/0", times=times)
            path.proxy.reset(path="*/0")
            await segment.write(BODY)
        await publisher.write_segment(b"next")
        await until(lambda: 1 in follower.seqs)
        assert rule.fired == times if times else rule.fired > 2
        if times == 2:
            assert follower.got == [(0, b"begun" + BODY), (1, b"next")]
            assert follower.subscriber.stats.resumed == 1
        else:
            assert follower.got == [(1, b"next")]
            assert follower.truncated == [0]
    assert "segment 0" in log.one()
