"""What publishers and subscribers do when they, their sessions or their callbacks are misused."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from livepeer.trickle import (
    JSONPublisher,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
    trickle_session,
)
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import (
    ChannelNotFound,
    ChannelRefused,
    ChannelUnreachable,
    MessageError,
    SegmentRejected,
    SegmentTruncated,
    TrickleError,
)
from livepeer.trickle.testing import FaultProxy

LIMIT_S = 5.0


@asynccontextmanager
async def channel(**settings):
    server = TrickleServer(**settings)
    server.create_channel("c")
    async with server.listening() as base:
        yield server, f"{base}/c"


@asynccontextmanager
async def path(**settings):
    async with channel(**settings) as (server, url), FaultProxy(url) as proxy:
        yield server, url, proxy


async def test_the_retries_last_as_long_as_was_asked_whatever_the_write_timeout():
    async with path() as (_, _, proxy):
        publisher = TricklePublisher(proxy.url, retry_s=8, write_timeout_s=0.3)
        await publisher.write_segment(b"0")
        async with proxy.away():
            writing = asyncio.create_task(publisher.write_segment(b"1"))
            await asyncio.sleep(1)
        await asyncio.wait_for(writing, LIMIT_S)
        assert (publisher.stats.segments, publisher.stats.lost) == (2, 0)
        await publisher.close()


async def test_a_number_of_which_nothing_arrived_is_used_again():
    async with path() as (_, url, proxy), TrickleSubscriber(url, start=0) as subscriber:
        publisher = TricklePublisher(proxy.url, retry_s=0.2)
        await publisher.write_segment(b"0")
        async with proxy.away():
            with pytest.raises(ChannelUnreachable):
                await publisher.write_segment(b"lost")
        assert publisher.stats.lost == 1
        await publisher.write_segment(b"1")
        for n in range(2):
            segment = await anext(subscriber)
            assert (segment.seq, await segment.read()) == (n, b"%d" % n)
        await publisher.close()


async def test_a_server_that_swallows_connections_is_given_up_in_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # Once the queue is full, further connects get no answer at all.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(address)
        began = time.monotonic()
        async with TrickleSubscriber(f"http://127.0.0.1:{address[1]}/c", retry_s=0.5) as subscriber:
            with pytest.raises(ChannelUnreachable):
                await asyncio.wait_for(anext(subscriber), LIMIT_S)
        assert time.monotonic() - began < 8
        for each in waiting:
            each.close()


async def test_a_shared_session_that_is_closed_is_told_to_all():
    async with channel() as (_, url):
        session = trickle_session()
        publisher = TricklePublisher(url, session=session)
        await publisher.write_segment(b"x")
        await session.close()
        with pytest.raises(TrickleError):  # noqa: PT012
            for _ in range(2):
                await asyncio.wait_for(publisher.write_segment(b"y"), LIMIT_S)
        with pytest.raises(ChannelRefused):
            await publisher.close()
        with pytest.raises(ChannelRefused):
            await anext(TrickleSubscriber(url, session=session))


async def test_a_callback_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture):
    def tell(event):
        raise RuntimeError("mine")

    async with path() as (_, _, proxy):
        publisher = TricklePublisher(proxy.url, on_event=tell)
        async with proxy.away():
            writing = asyncio.create_task(publisher.write_segment(b"1"))
            await asyncio.sleep(0.3)
        await asyncio.wait_for(writing, LIMIT_S)
        await publisher.close()
    assert "on_event raised" in caplog.text


async def test_a_long_body_is_taken_up_over_a_slow_path():
    body = bytes(range(256)) * 1200
    async with path() as (_, url, proxy), TricklePublisher(url) as publisher:
        segment = await publisher.open_segment()
        await segment.write(body)
        async with TrickleSubscriber(proxy.url, start=0, refresh_s=0.4) as subscriber:
            chunks, got = aiter(await anext(subscriber)), b""
            while len(got) < len(body):
                got += await anext(chunks)
            # What was handed out takes several times `refresh_s` to come again.
            proxy.throttle(250_000, direction="down")
            proxy.reset()
            await asyncio.sleep(0.2)
            await segment.close(b"the rest")
            async with asyncio.timeout(LIMIT_S):
                async for chunk in chunks:
                    got += chunk
            assert got == body + b"the rest"
            assert subscriber.stats.resumed >= 1


async def test_bytes_that_went_nowhere_are_not_acknowledged():
    async with channel() as (_, url), TricklePublisher(url) as late:
        segment = await late.open_segment()
        await segment.write(b"begun")
        await asyncio.sleep(0.1)
        async with TricklePublisher(url, start_seq=5) as other:
            await other.write_segment(b"evicts 0")
            with pytest.raises(SegmentRejected):
                await segment.close(b"after that")
            assert late.stats.lost == 1


async def test_a_segment_that_its_publisher_cut_is_not_taken_for_whole():
    async with channel() as (_, url), TrickleSubscriber(url, start=0) as subscriber:
        publisher = TricklePublisher(url)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with publisher.open_segment() as segment:
                await segment.write(b"half")
                reader = await anext(subscriber)
                raise ZeroDivisionError
        with pytest.raises(SegmentTruncated):
            await reader.read()
        await publisher.write_segment(b"next")
        following = await anext(subscriber)
        assert (following.seq, await following.read()) == (1, b"next")
        await publisher.close()


async def test_giving_segments_up_ourselves_does_not_end_the_publisher():
    async with channel() as (_, url), TricklePublisher(url, retry_s=0.0) as publisher:
        for _ in range(5):
            with suppress(ZeroDivisionError):
                async with publisher.open_segment() as segment:
                    await segment.write(b"half")
                    raise ZeroDivisionError
        await publisher.write_segment(b"whole")
        assert publisher.stats.segments == 1


async def test_a_channel_that_somebody_else_publishes_is_left_alone():
    async with channel() as (server, url):
        await (first := TricklePublisher(url)).write_segment(b"theirs")
        with pytest.raises(SegmentRejected, match="resume=True"):
            async with TricklePublisher(url) as publisher:
                await publisher.write_segment(b"mine")
        assert server.has_channel("c")
        await first.close()
        assert not server.has_channel("c")


async def test_the_error_within_a_publisher_is_not_hidden_by_its_end():
    async with channel() as (_, url):
        with pytest.raises(ChannelNotFound):  # noqa: PT012
            async with FaultProxy(url + "x") as proxy, TricklePublisher(proxy.url) as publisher:
                proxy.answer(500, method="DELETE", times=None)
                await publisher.write_segment(b"x")


async def test_a_publisher_that_is_closed_while_it_starts_does_not_come_back():
    async with path(autocreate=True) as (server, _, proxy):
        proxy.delay(0.0)
        proxy.stall()
        publisher = TricklePublisher(proxy.url, resume=True, write_timeout_s=0.5)
        starting = asyncio.create_task(publisher.start())
        await asyncio.sleep(0.1)
        await publisher.close(delete=False)
        proxy.resume()
        with pytest.raises((ValueError, TrickleError)):
            await asyncio.wait_for(starting, LIMIT_S)
        assert server.stats.publishers == 0


async def test_who_waits_for_a_segment_when_the_subscriber_is_closed_sees_an_end():
    async with channel() as (_, url):
        subscriber = TrickleSubscriber(url)
        waiting = asyncio.create_task(anext(subscriber, "the end"))
        await asyncio.sleep(0.1)
        await subscriber.aclose()
        assert await asyncio.wait_for(waiting, LIMIT_S) == "the end"


async def test_limits_hold_while_a_hook_makes_up_its_mind():
    async def slow(operation, name, headers):
        await asyncio.sleep(0.1)
        return True

    async with (
        channel(authorize=slow, max_subscribers=1) as (server, url),
        trickle_session() as session,
    ):

        async def read() -> int:
            async with session.get(url + "/0") as response:
                return response.status

        readers = [asyncio.create_task(read()) for _ in range(8)]
        await asyncio.sleep(0.5)
        assert server.stats.subscribers == 1
        server.close_channel("c")
        assert sorted(await asyncio.gather(*readers)) == [200] + [503] * 7


async def test_publishers_that_leave_before_the_answer_leave_no_trace(
    caplog: pytest.LogCaptureFixture,
):
    async with channel() as (_, url):
        parts = urlsplit(url)
        for _ in range(30):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"POST /unknown/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            writer.transport.abort()
        await asyncio.sleep(0.2)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_cut_reader_that_takes_nothing_is_let_go():
    async with (
        channel(stall_timeout_s=0.2, sweep_interval_s=0.05) as (server, url),
        TricklePublisher(url) as publisher,
    ):
        parts = urlsplit(url)
        segment = await publisher.open_segment()
        await segment.write(b"x")
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
        writer.write(b"GET /c/0 HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"x")
        reader._transport.pause_reading()
        for _ in range(300):
            await segment.write(bytes(65536))
        await segment.abort()
        async with asyncio.timeout(LIMIT_S):
            while server.stats.subscribers:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        writer.transport.abort()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8888/x", "ftp://host/x", "http://host", "", "http:///x"]
)
def test_a_url_that_is_no_channels_is_refused_at_once(url):
    for kind in (TricklePublisher, TrickleSubscriber):
        with pytest.raises(ValueError, match="a channel's URL is like"):
            kind(url)


def test_a_start_that_means_nothing_is_refused_at_once():
    with pytest.raises(ValueError, match="-2 for the current"):
        TrickleSubscriber("http://host/x", start=-3)


async def test_text_is_no_bytes():
    async with channel() as (_, url), TricklePublisher(url) as publisher:
        with pytest.raises(TypeError, match="bytes, not str"):
            await publisher.write_segment("text")
        async with publisher.open_segment() as segment:
            with pytest.raises(TypeError, match="bytes, not str"):
                await segment.write("text")
            await segment.write(bytearray(b"fine"))


async def test_a_message_that_no_reader_takes_is_refused():
    async with channel() as (_, url), JSONPublisher(url) as publisher:
        with pytest.raises(MessageError, match="1048576"):
            await publisher.publish({"long": "x" * 2_000_000})


def test_errors_do_not_tell_who_a_url_is_for():
    error = ChannelRefused("no", url="http://me:secret@host/c?q=a@b")
    assert error.url in str(error)
    assert error.url == "http://host/c?q=a@b"


async def test_writes_that_wait_do_so_together():
    async with path() as (_, _, proxy):
        proxy.stall()
        publisher = TricklePublisher(proxy.url, buffer_bytes=10)
        segment = await publisher.open_segment()
        writing = [asyncio.create_task(segment.write(bytes(100))) for _ in range(3)]
        await asyncio.sleep(0.2)
        proxy.resume()
        await asyncio.wait_for(asyncio.gather(*writing), LIMIT_S)
        await cancel_and_wait(*writing)
        await segment.close()
        assert publisher.stats.bytes == 300
        await publisher.close()
