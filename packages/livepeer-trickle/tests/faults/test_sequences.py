"""Servers that miscount, and publishers that die between header and body."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from livepeer.trickle import Ended, Gap, TricklePublisher
from livepeer.trickle.errors import ChannelUnreachable
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conftest import Follow, Log, MakePath, Until

pytestmark = pytest.mark.timeout(20)


class Scripted:
    """A server that answers each GET by a script: status, number, body or None to wait for ever."""

    def __init__(self, script: list[tuple[int, dict[str, Any], bytes]]) -> None:
        self.script = script
        self.asked: list[str] = []

    async def get(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["seq"])
        if len(self.asked) > len(self.script):
            await asyncio.Event().wait()
        status, headers, body = self.script[len(self.asked) - 1]
        named = {f"Lp-Trickle-{name}": str(value) for name, value in headers.items()}
        return web.Response(status=status, reason="Scripted", headers=named, body=body)


@asynccontextmanager
async def scripted(
    *script: tuple[int, dict[str, Any], bytes],
) -> AsyncGenerator[tuple[Scripted, str]]:
    server = Scripted(list(script))
    app = web.Application()
    app.router.add_get("/c/{seq}", server.get)
    async with serve(app) as base:
        yield server, base + "/c"


async def test_a_segment_that_is_sent_twice_is_handed_out_once(
    follow: Follow, log: Log, until: Until
):
    script = ((200, {"Seq": 0}, b"zero"), (200, {"Seq": 0}, b"zero"), (200, {"Seq": 1}, b"one"))
    async with scripted(*script) as (server, url), follow(url) as follower:
        await until(lambda: follower.got == [(0, b"zero"), (1, b"one")])
        assert server.asked[:3] == ["0", "1", "1"]
    assert len(log.lines) == 1, log.lines


async def test_a_server_that_repeats_itself_for_ever_is_given_up(
    follow: Follow, log: Log, until: Until
):
    async with (
        scripted(*[(200, {"Seq": 0}, b"zero")] * 100) as (server, url),
        follow(url, retry_s=0.4) as follower,
    ):
        await follower.ended()
        assert follower.got == [(0, b"zero")]
        assert isinstance(follower.failure, ChannelUnreachable)
        assert len(server.asked) < 20
    assert len(log.lines) == 1, log.lines


async def test_segments_that_a_server_skips_are_a_gap(follow: Follow, log: Log, until: Until):
    script = ((200, {"Seq": 0}, b"zero"), (200, {"Seq": 4}, b"four"), (200, {"Seq": 5}, b"five"))
    async with scripted(*script) as (server, url), follow(url) as follower:
        await until(lambda: follower.seqs == [0, 4, 5])
        assert server.asked[:4] == ["0", "1", "5", "6"]
        assert follower.events == [Gap(url, 4, 3)]
        assert follower.subscriber.stats.missed == 3
    assert "3" in log.one()


async def test_answers_without_a_number_count_on(follow: Follow, log: Log, until: Until):
    script = ((200, {"Seq": 3}, b"three"), (200, {}, b"four"), (200, {"Seq": "x"}, b"five"))
    async with scripted(*script) as (_, url), follow(url, start=-2) as follower:
        await until(lambda: follower.seqs == [3, 4, 5])
    assert log.lines == []


@pytest.mark.parametrize("headers", [{}, {"Latest": "no number"}, {"Latest": 0}, {"Latest": -5}])
async def test_a_470_that_leads_nowhere_is_asked_again_without_haste(
    follow: Follow, log: Log, headers
):
    async with (
        scripted(*[(470, headers, b"")] * 100) as (server, url),
        follow(url) as follower,
    ):
        await asyncio.sleep(0.6)
        assert 2 <= len(server.asked) <= 4
        assert set(server.asked) == {"0"}
        assert not follower.task.done()
    assert log.lines == []


async def test_a_server_that_sends_its_reader_on_and_on_is_not_followed_at_full_speed(
    follow: Follow,
):
    script = [(470, {"Latest": n + 1}, b"") for n in range(5000)]
    async with scripted(*script) as (server, url), follow(url):
        await asyncio.sleep(0.5)
        assert len(server.asked) < 100


async def test_a_gap_that_the_channels_end_follows_is_told(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path:
        publisher = TricklePublisher(path.direct)
        for n in range(8):
            await publisher.write_segment(b"%d" % n)
        async with follow(path.direct, start=1) as follower:
            await until(lambda: path.server.stats.subscribers == 1)
            await publisher.close()
            await follower.ended()
            assert follower.got == []
            assert follower.events == [Gap(path.direct, 8, 7), Ended(path.direct, "closed")]
            assert follower.subscriber.stats.missed == 7
    assert len(log.lines) == 1, log.lines


async def test_a_470_that_jumps_to_and_fro_does_not_lead_back(follow: Follow, log: Log):
    script = [(470, {"Latest": latest}, b"") for latest in (9, 3, 9, 3, 9, 3)]
    async with scripted(*script) as (server, url), follow(url) as follower:
        await asyncio.sleep(1)
        assert server.asked[:2] == ["0", "9"]
        assert set(server.asked[1:]) == {"9"}
        assert follower.got == []
    assert len(log.lines) <= 1, log.lines


HEAD = (
    "POST {path}/{seq} HTTP/1.1\r\nHost: test\r\n"
    "Content-Type: video/MP2T\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("body", [b"", b"ff", b"ff\r\n", b"5\r\nbegun\r\n", b"8\r\nbegun"])
async def test_a_publisher_that_dies_after_the_header_leaves_the_channel_whole(
    make_path: MakePath, follow: Follow, log: Log, until: Until, body, how
):
    async with make_path() as path, follow(path.direct) as follower:
        parts = urlsplit(path.direct)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(HEAD.format(path=parts.path, seq=0).encode() + body)
        await until(lambda: path.server.stats.publishers == 1)
        if b"begun" in body:
            await until(lambda: follower.partial == (0, b"begun"))
        if how == "abort":
            writer.transport.abort()
        else:
            writer.close()
            await writer.wait_closed()
        await until(lambda: path.server.stats.publishers == 0)
        # The segment is open, and another may go on with it.
        async with TricklePublisher(path.direct) as publisher:
            await publisher.write_segment(b" and ended")
            await publisher.write_segment(b"next")
            await until(lambda: follower.seqs == [0, 1])
            whole = b"begun and ended" if b"begun" in body else b" and ended"
            assert follower.got == [(0, whole), (1, b"next")]
    assert log.lines == []


async def test_a_publisher_that_dies_through_the_proxy_between_header_and_body(
    make_path: MakePath, follow: Follow, log: Log, until: Until
):
    async with make_path() as path, follow(path.direct) as follower:
        path.proxy.cut(up=0, method="POST", path="*/0")
        async with TricklePublisher(path.url) as publisher:
            await until(lambda: publisher.stats.retries == 1)
            await publisher.write_segment(b"zero")
            await until(lambda: follower.got == [(0, b"zero")])
            assert (publisher.stats.retries, publisher.stats.lost) == (1, 0)
    assert len(log.lines) == 1, log.lines
