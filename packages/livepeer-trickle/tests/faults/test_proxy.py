"""The fault proxy itself, on any HTTP."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from livepeer.trickle.testing import FaultProxy, serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conftest import Until

BODY = bytes(range(256)) * 4096


class Target:
    """A server that echoes bodies, and remembers what it got of each."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.cut: list[int] = []
        self.open = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.open += 1
        body, whole = bytearray(), False
        try:
            while chunk := await request.content.readany():
                body += chunk
            whole = True
            self.seen.append((request.method, request.path, len(body)))
            return web.Response(body=bytes(body) or BODY)
        finally:
            self.open -= 1
            if not whole:
                self.cut.append(len(body))


@asynccontextmanager
async def proxied(
    seed: int = 0,
) -> AsyncGenerator[tuple[Target, FaultProxy, aiohttp.ClientSession]]:
    target = Target()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", target.handle)
    async with (
        serve(app) as base,
        FaultProxy(base + "/base", seed=seed) as proxy,
        aiohttp.ClientSession() as session,
    ):
        assert proxy.url.endswith("/base")
        assert proxy.url != base + "/base"
        yield target, proxy, session


async def chunks(parts: int, size: int = 1000) -> AsyncGenerator[bytes]:
    for _ in range(parts):
        yield bytes(size)


async def forever() -> AsyncGenerator[bytes]:
    yield b"begun"
    await asyncio.Event().wait()


async def fetch(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url) as response:
        return response.status, await response.read()


async def test_without_faults_everything_passes_and_is_counted():
    async with proxied() as (target, proxy, session):
        for _ in range(2):
            async with session.post(proxy.url + "/a", data=BODY) as response:
                assert await response.read() == BODY
            async with session.post(proxy.url + "/b", data=chunks(50)) as response:
                assert await response.read() == bytes(50_000)
        assert target.seen[:2] == [("POST", "/base/a", len(BODY)), ("POST", "/base/b", 50_000)]
        stats = proxy.stats
        assert (stats.connections, stats.open, stats.resets, stats.answers) == (1, 1, 0, 0)
        assert stats.bytes_up > 2 * len(BODY)
        assert stats.bytes_down > 2 * len(BODY)


async def test_reset_ends_open_connections_and_new_ones_pass(until: Until):
    async with proxied() as (target, proxy, session):
        posting = asyncio.create_task(session.post(proxy.url, data=forever()))
        await until(lambda: target.open)
        assert proxy.reset(method="GET") == 0
        assert proxy.reset() == 1
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(posting, 2)
        assert await fetch(session, proxy.url) == (200, BODY)
        assert proxy.stats.resets == 1


async def test_a_connection_is_cut_after_some_bytes_of_a_chosen_request(until: Until):
    async with proxied() as (target, proxy, session):
        rule = proxy.cut(up=2500, method="POST", path="*/b")
        async with session.post(proxy.url + "/a", data=chunks(9)) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.post(proxy.url + "/b", data=chunks(100))
        await until(lambda: target.cut)
        # On the wire each chunk has a frame of seven bytes.
        assert 2000 <= target.cut[0] <= 2500
        assert (rule.fired, rule.spent) == (1, True)
        async with session.post(proxy.url + "/b", data=chunks(100)) as response:
            assert response.status == 200


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_an_answer_is_cut_after_some_bytes(how):
    async with proxied() as (target, proxy, session):
        proxy.cut(down=100_000, how=how)
        async with session.get(proxy.url) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert target.seen == [("GET", "/base", 0)]
        assert proxy.stats.bytes_down == 100_000


async def test_an_answer_is_lost_that_the_target_gave():
    async with proxied() as (target, proxy, session):
        proxy.cut(down=0, path="*/a")
        with pytest.raises(aiohttp.ClientError):
            await session.post(proxy.url + "/a", data=b"once")
        assert target.seen == [("POST", "/base/a", 4)]


async def test_a_frozen_connection_is_half_open_and_new_ones_pass(until: Until):
    async with proxied() as (target, proxy, session):
        feed = asyncio.Queue[bytes]()

        async def body():
            while piece := await feed.get():
                yield piece

        posting = asyncio.create_task(session.post(proxy.url, data=body()))
        feed.put_nowait(b"before")
        await until(lambda: target.open)
        assert proxy.freeze(method="POST") == 1
        feed.put_nowait(b"after")
        assert await fetch(session, proxy.url + "/other") == (200, BODY)
        posting.cancel()
        await asyncio.wait((posting,))
        await asyncio.sleep(0.05)
        # The target does not learn that its client has left.
        assert (target.open, target.cut) == (1, [])


async def test_a_stall_stops_old_and_new_connections_and_loses_nothing():
    async with proxied() as (_, proxy, session):
        await fetch(session, proxy.url)
        with proxy.stalled():
            fetching = [asyncio.create_task(fetch(session, proxy.url)) for _ in range(3)]
            done, _ = await asyncio.wait(fetching, timeout=0.1)
            assert not done
            moved = proxy.stats.bytes_up
            await asyncio.sleep(0.02)
            assert proxy.stats.bytes_up == moved
        assert await asyncio.gather(*fetching) == [(200, BODY)] * 3


async def test_a_path_that_is_away_refuses_and_comes_back():
    async with proxied() as (_, proxy, session):
        await fetch(session, proxy.url)
        async with proxy.away():
            assert proxy.stats.open == 0
            with pytest.raises(aiohttp.ClientConnectorError):
                await fetch(session, proxy.url)
        assert await fetch(session, proxy.url) == (200, BODY)


async def test_a_throttle_holds_each_way_to_its_rate():
    async with proxied() as (_, proxy, session):
        began = time.monotonic()
        proxy.throttle(2 * len(BODY), direction="down")
        assert await fetch(session, proxy.url) == (200, BODY)
        assert 0.4 < time.monotonic() - began < 8
        proxy.throttle(None)
        times: list[float] = []
        for _ in range(3):
            began = time.monotonic()
            assert await fetch(session, proxy.url) == (200, BODY)
            times.append(time.monotonic() - began)
        assert min(times) < 0.3


async def test_a_delay_holds_every_piece_back():
    async with proxied() as (_, proxy, session):
        proxy.delay(0.1)
        began = time.monotonic()
        async with session.post(proxy.url, data=b"x") as response:
            assert await response.read() == b"x"
        assert 0.2 <= time.monotonic() - began < 8


async def test_answers_are_given_to_requests_on_a_connection_that_is_kept():
    async with proxied() as (target, proxy, session):
        proxy.answer(470, path="*/7", headers={"Lp-Trickle-Latest": "9"}, body=b"no", times=2)
        assert await fetch(session, proxy.url) == (200, BODY)
        for _ in range(2):
            async with session.get(proxy.url + "/7?query") as response:
                assert (response.status, await response.read()) == (470, b"no")
                assert response.headers["Lp-Trickle-Latest"] == "9"
        assert await fetch(session, proxy.url + "/7") == (200, BODY)
        assert [path for _, path, _ in target.seen] == ["/base", "/base/7"]
        assert (proxy.stats.connections, proxy.stats.answers) == (1, 2)


@pytest.mark.parametrize(("after", "whole", "cut"), [(0, 0, 0), (5000, 0, 1), (None, 1, 0)])
async def test_an_answer_comes_before_amid_or_after_the_body(until: Until, after, whole, cut):
    async with proxied() as (target, proxy, session):
        proxy.answer(503, after=after, method="POST")
        async with session.post(proxy.url, data=chunks(20)) as response:
            assert (response.status, await response.read()) == (503, b"")
        await until(lambda: (len(target.seen), len(target.cut)) == (whole, cut))
        async with session.post(proxy.url, data=chunks(20)) as response:
            assert response.status == 200


async def test_a_request_that_waits_is_answered_or_cut_as_the_rule_is_made(until: Until):
    async with proxied() as (target, proxy, session):
        posting = asyncio.create_task(session.post(proxy.url + "/a", data=forever()))
        await until(lambda: target.open)
        proxy.answer(404, path="*/a")
        assert (await asyncio.wait_for(posting, 2)).status == 404
        posting = asyncio.create_task(session.post(proxy.url + "/b", data=forever()))
        await until(lambda: target.open)
        proxy.cut(up=1, path="*/b")
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(posting, 2)


async def test_random_resets_follow_the_seed():
    async def fates(seed: int) -> list[int]:
        async with proxied(seed) as (_, proxy, session):
            proxy.random_resets(2 * len(BODY))
            passed = []
            for n in range(20):
                try:
                    await fetch(session, proxy.url)
                except aiohttp.ClientError:
                    continue
                passed.append(n)
            assert 0 < proxy.stats.resets == 20 - len(passed) < 20
            return passed

    assert await fates(1) == await fates(1) != await fates(2)


async def test_clear_takes_the_faults_back():
    async with proxied() as (_, proxy, session):
        proxy.answer(500, times=None)
        proxy.throttle(1)
        proxy.delay(10)
        proxy.random_resets(1)
        proxy.stall()
        proxy.clear()
        assert await asyncio.wait_for(fetch(session, proxy.url), 2) == (200, BODY)


async def test_other_protocols_pass_as_bytes():
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for scheme in ("https", "http"):
            async with FaultProxy(f"{scheme}://127.0.0.1:{port}") as proxy:
                proxied_port = int(proxy.url.rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", proxied_port)
                writer.write(b"\x16\x03\x01\r\n")
                writer.write_eof()
                assert await reader.read() == b"\x16\x03\x01\r\n"
                writer.close()
                await writer.wait_closed()


async def test_a_target_that_is_not_there_resets_the_client():
    async with FaultProxy("http://127.0.0.1:1") as proxy, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await fetch(session, proxy.url)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="URL"):
        FaultProxy("ftp://127.0.0.1")
    with pytest.raises(ValueError, match="up"):
        FaultProxy("http://127.0.0.1").cut()
    with pytest.raises(ValueError, match="TLS"):
        FaultProxy("https://127.0.0.1").answer(500)


async def test_what_the_system_took_before_the_path_went_away_is_reset(until: Until):
    async with proxied() as (target, proxy, _):
        port = int(proxy.url.split(":")[2].partition("/")[0])
        for turns in range(8):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n")
                for _ in range(turns):
                    await asyncio.sleep(0)
                async with proxy.away():
                    await asyncio.sleep(0.02)
                    assert target.open == proxy.stats.open == 0
