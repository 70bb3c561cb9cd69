"""Publisher, server and subscriber over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from livepeer.trickle import (
    JSONLPublisher,
    JSONLSubscriber,
    JSONPublisher,
    JSONSubscriber,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
)
from livepeer.trickle._reporter import Reporter
from livepeer.trickle._wire import parse_seq
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import (
    ChannelClosed,
    ChannelNotFound,
    ChannelRefused,
    ChannelUnreachable,
    MessageError,
    SegmentAborted,
    SegmentRejected,
    SegmentTimeout,
    SegmentTruncated,
)
from livepeer.trickle.messages import decode_message
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from livepeer.trickle import TrickleEvent


@asynccontextmanager
async def channel(**settings):
    server = TrickleServer(**settings)
    app = web.Application()
    server.add_routes(app, "/ai/trickle/")
    server.create_channel("c", "video/MP2T")
    async with serve(app) as base:
        yield server, f"{base}/ai/trickle/c"


async def gone(_):
    return web.Response()


async def read_all(subscriber):
    return [(segment.seq, await segment.read()) async for segment in subscriber]


async def test_segments_arrive_in_order_and_the_close_ends_the_reader():
    async with channel() as (_, url), TrickleSubscriber(url, start=0) as subscriber:
        reading = asyncio.create_task(read_all(subscriber))
        publisher = TricklePublisher(url)
        for n in range(3):
            async with await publisher.open_segment() as segment:
                await segment.write(b"a%d" % n)
                await segment.write(b"b%d" % n)
            await asyncio.sleep(0.01)
        await publisher.close()
        assert await reading == [(0, b"a0b0"), (1, b"a1b1"), (2, b"a2b2")]


async def test_bytes_are_relayed_before_the_segment_ends():
    async with (
        channel() as (_, url),
        TrickleSubscriber(url, start=0) as subscriber,
        TricklePublisher(url) as publisher,
    ):
        segment = await publisher.open_segment()
        await segment.write(b"early")
        reader = await anext(subscriber)
        chunks = aiter(reader)
        assert await anext(chunks) == b"early"
        await segment.write(b"late")
        assert await anext(chunks) == b"late"
        await segment.close()
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_many_readers_get_the_same_bytes():
    body = bytes(range(256)) * 8192
    async with channel() as (_, url), TricklePublisher(url) as publisher:
        subscribers = [TrickleSubscriber(url, start=0) for _ in range(5)]

        async def first(subscriber):
            return await (await anext(subscriber)).read(len(body))

        reading = [asyncio.create_task(first(s)) for s in subscribers]
        await publisher.write_segment(body)
        assert all(got == body for got in await asyncio.gather(*reading))
        for subscriber in subscribers:
            await subscriber.aclose()


async def test_the_next_segment_is_connected_before_its_first_byte():
    async with channel() as (server, url), TricklePublisher(url) as publisher:
        await publisher.start()
        async with asyncio.timeout(5):
            while server._channels["c"]._slots[0] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_reader_that_is_too_late_learns_how_much_it_missed():
    async with channel() as (_, url), TricklePublisher(url) as publisher:
        for n in range(8):
            await publisher.write_segment(b"%d" % n)
        async with TrickleSubscriber(url, start=0) as subscriber:
            pending = asyncio.ensure_future(anext(subscriber))
            await asyncio.sleep(0.05)
            await publisher.write_segment(b"8")
            segment = await pending
            assert (segment.seq, segment.gap, await segment.read()) == (8, 8, b"8")


async def test_an_unknown_channel_is_told_at_once_to_both_sides():
    async with channel() as (_, url):
        unknown = url + "x"
        with pytest.raises(ChannelNotFound):
            await anext(TrickleSubscriber(unknown))
        publisher = TricklePublisher(unknown)
        with pytest.raises(ChannelNotFound):
            await publisher.write_segment(b"x")
        await publisher.close()


async def test_a_closed_channel_is_told_to_a_publisher_that_waits():
    async with channel() as (server, url):
        publisher = await TricklePublisher(url).start()
        await asyncio.sleep(0.1)
        server.close_channel("c")
        with pytest.raises((ChannelClosed, ChannelNotFound)):
            await publisher.write_segment(b"x")
        await publisher.close()


async def test_a_server_that_fails_before_the_first_byte_is_tried_again():
    attempts = []

    async def post(request):
        attempts.append(request.match_info["seq"])
        if attempts.count("0") < 3:
            return web.Response(status=500)
        return web.Response(text=(await request.read()).decode())

    app = web.Application()
    app.router.add_post("/c/{seq}", post)
    app.router.add_delete("/c", gone)
    async with serve(app) as base:
        publisher = await TricklePublisher(base + "/c").start()
        async with asyncio.timeout(5):
            while attempts.count("0") < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await publisher.write_segment(b"whole")
        assert attempts.count("0") == 3
        await publisher.close()


async def test_a_server_that_never_reads_ends_the_write_with_a_timeout():
    blocked = asyncio.Event()

    async def post(_):
        await blocked.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/c/{seq}", post)
    app.router.add_delete("/c", gone)
    async with serve(app) as base:
        publisher = TricklePublisher(base + "/c", write_timeout_s=0.3, buffer_bytes=65536)
        segment = await publisher.open_segment()

        async def flood():
            for _ in range(400):
                await segment.write(b"x" * 65536)

        with pytest.raises(SegmentTimeout):
            await flood()
        blocked.set()
        await publisher.close()


async def test_idle_channels_are_closed_and_their_readers_told():
    async with (
        channel(idle_timeout_s=0.2, sweep_interval_s=0.05) as (server, url),
        TrickleSubscriber(url, start=0) as subscriber,
    ):
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(subscriber), 5)
        assert not server.has_channel("c")


async def test_a_segment_over_the_limit_is_refused():
    async with channel(max_segment_bytes=1000) as (_, url), aiohttp.ClientSession() as session:
        async with session.post(url + "/0", data=b"x" * 2000) as response:
            assert response.status == 413
        async with session.post(url + "/1", data=b"x" * 1000) as response:
            assert response.status == 200


@pytest.mark.parametrize("seq", ["abc", "-3", "-5", "1_0", "9223372036854775808"])
async def test_bad_sequence_numbers_are_refused_and_the_channel_goes_on(seq):
    async with channel() as (_, url), aiohttp.ClientSession() as session:
        for method in ("GET", "POST", "DELETE"):
            async with session.request(method, f"{url}/{seq}") as response:
                assert response.status == 400
        async with session.post(url + "/0", data=b"x") as response:
            assert response.status == 200


async def test_json_objects_come_one_a_segment_and_keep_alives_stay_hidden():
    async with channel() as (_, url):
        subscriber = JSONSubscriber(url, start=0)
        async with JSONPublisher(url) as publisher:
            await publisher.publish({"keep": "alive"})
            await publisher.publish({"n": 1, "text": "zwei\nZeilen"})
            messages = aiter(subscriber)
            assert await anext(messages) == {"n": 1, "text": "zwei\nZeilen"}
            await publisher._publisher.write_segment(b"no json")
            await publisher.publish({"n": 2})
            assert await anext(messages) == {"n": 2}
        await subscriber.aclose()


async def test_json_lines_share_a_segment_until_it_is_rotated():
    async with channel() as (server, url):
        publisher = JSONLPublisher(url, rotate_s=0.2)
        subscriber = JSONLSubscriber(url, start=0)
        messages = aiter(subscriber)
        await publisher.publish({"n": 0})
        assert await anext(messages) == {"n": 0}
        await publisher.publish({"n": 1})
        assert await anext(messages) == {"n": 1}
        assert server._channels["c"].next == 1
        await asyncio.sleep(0.4)
        await publisher.publish({"n": 2})
        assert await anext(messages) == {"n": 2}
        assert server._channels["c"].next == 2
        with pytest.raises(MessageError):
            await publisher.publish({"long": "x" * 70000})
        await publisher.close()
        await subscriber.aclose()


async def test_a_reader_that_was_cancelled_while_waiting_may_ask_again():
    async with channel() as (_, url), TrickleSubscriber(url, start=0) as subscriber:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(subscriber), 0.2)
        async with TricklePublisher(url) as publisher:
            await publisher.write_segment(b"late")
            segment = await asyncio.wait_for(anext(subscriber), 5)
            assert (segment.seq, await segment.read()) == (0, b"late")


async def test_a_server_that_cannot_be_reached_is_given_up_in_time():
    with socket.socket() as silent:
        # Bound and never listening: every connection is refused.
        silent.bind(("127.0.0.1", 0))
        subscriber = TrickleSubscriber(f"http://127.0.0.1:{silent.getsockname()[1]}/c", retry_s=0.3)
        with pytest.raises(ChannelUnreachable):
            await asyncio.wait_for(anext(subscriber), 10)
        await subscriber.aclose()


async def test_a_segment_that_was_cut_is_lost_and_the_lines_go_on():
    async with channel() as (_, url):
        publisher, subscriber = JSONLPublisher(url, rotate_s=30), JSONLSubscriber(url, start=0)
        messages = aiter(subscriber)
        await publisher.publish({"n": 0})
        assert await anext(messages) == {"n": 0}
        await cancel_and_wait(publisher._segment._post)
        await publisher.publish({"n": 1})
        await publisher.close(delete=True)
        assert {"n": 1} in [message async for message in messages]
        await subscriber.aclose()


@pytest.mark.parametrize(
    ("text", "seq"), [("1" * 5000, None), ("0" * 5000 + "7", 7), ("-0", 0), ("+3", 3), ("-3", None)]
)
def test_sequence_numbers_of_any_length_are_read_or_refused(text, seq):
    assert parse_seq(text) == seq


def test_json_that_nests_too_deeply_is_no_message():
    with pytest.raises(MessageError):
        decode_message(b"[" * 100_000)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_not_finite_are_no_message(number):
    with pytest.raises(MessageError, match="no finite number"):
        decode_message(b'{"a": [%s]}' % number)
    assert decode_message(b'{"a": [1e9, 0.5]}') == {"a": [1e9, 0.5]}


def test_a_segment_that_we_gave_up_ourselves_is_no_warning(caplog: pytest.LogCaptureFixture):
    reporter = Reporter("http://x", None)
    reporter.lost(1, SegmentAborted("segment 1 was aborted"))
    assert not caplog.records
    reporter.lost(2, SegmentTruncated("segment 2 was cut"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_nothing_follows_a_redirect_to_another_host():
    asked: list[str] = []

    async def other(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response()

    there = web.Application()
    there.router.add_route("*", "/{path:.*}", other)
    async with serve(there) as base:

        async def away(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{base}/x"})

        here = web.Application()
        here.router.add_route("*", "/{path:.*}", away)
        async with serve(here) as url:
            async with TrickleSubscriber(f"{url}/c", start=0) as subscriber:
                with pytest.raises(ChannelRefused, match="307"):
                    await read_all(subscriber)
            with pytest.raises(SegmentRejected, match="307"):
                async with TricklePublisher(f"{url}/c") as publisher:
                    await publisher.write_segment(b"x")
    assert asked == []


def test_a_channel_is_told_of_without_a_password(caplog: pytest.LogCaptureFixture):
    told: list[TrickleEvent] = []
    caplog.set_level(logging.DEBUG)
    reporter = Reporter("http://me:s3cret@h/ai/trickle/x", told.append)
    reporter.gap(5, 3)
    reporter.ended("closed")
    assert len(caplog.records) == len(told) == 2
    assert "http://h/ai/trickle/x" in caplog.text
    assert "s3cret" not in caplog.text + repr(told)
