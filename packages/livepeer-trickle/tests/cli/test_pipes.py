"""Bytes from a file or a pipe, through a channel, to a file or a pipe."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import TrickleError, TricklePublisher, TrickleSubscriber
from livepeer.trickle.testing import FaultProxy

if TYPE_CHECKING:
    from pathlib import Path

    from livepeer.trickle import TrickleServer

    from .conftest import Start, Until

AT_ONCE = ("--lead", 0, "--linger", 0)
IN_A_MOMENT = ("--linger", 1)


async def segments(subscriber: TrickleSubscriber) -> list[tuple[int, bytes]]:
    async with asyncio.timeout(60), subscriber:
        return [(segment.seq, await segment.read()) async for segment in subscriber]


async def test_a_file_comes_out_as_it_went_in(start: Start, base: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(20 * 1024 * 1024)
    there, back = tmp_path / "in.bin", tmp_path / "out.bin"
    there.write_bytes(data)
    sub = await start("sub", f"{base}/c", back, "--start", 0, "--wait", 60)
    pub = await start("pub", f"{base}/c", there, "--linger", 2)
    for ended in await asyncio.gather(pub.ended(), sub.ended()):
        assert (ended.status, ended.out, ended.err) == (0, b"", "")
    assert back.read_bytes() == data


async def test_standard_input_comes_out_of_standard_output(start: Start, base: str) -> None:
    data = random.Random(2).randbytes(3 * 1024 * 1024)
    sub = await start("sub", f"{base}/c", "--start", 0, "--wait", 60)
    pub = await start("pub", f"{base}/c", "-", "--segment-bytes", "300K", "--rate", "8m")
    ended, received = await asyncio.gather(pub.ended(data), sub.ended())
    assert (ended.status, ended.err) == (received.status, received.err) == (0, "")
    assert received.out == data


async def test_bytes_come_out_while_their_segment_is_open(start: Start, base: str) -> None:
    sub = await start("sub", f"{base}/c", "--wait", 60)
    pub = await start("pub", f"{base}/c", *AT_ONCE, "--segment-seconds", 600)
    for word in (b"first", b"then", b"last"):
        pub.feed(word)
        assert await sub.read(len(word)) == word
    assert (await pub.ended()).status == (await sub.ended()).status == 0


async def test_a_segment_ends_in_time_when_nothing_follows(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    pub = await start("pub", f"{base}/c", *AT_ONCE, "--segment-seconds", 0.1)
    await until(lambda: server.has_channel("c"))
    async with TrickleSubscriber(f"{base}/c", start=0) as subscriber:
        for seq, word in enumerate((b"one", b"two")):
            pub.feed(word)
            async with asyncio.timeout(60):
                segment = await anext(subscriber)
                assert (segment.seq, await segment.read()) == (seq, word)
    assert (await pub.ended()).status == 0


async def test_a_segment_ends_when_it_is_full(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    pub = await start(
        *("pub", f"{base}/c", *IN_A_MOMENT, "--segment-bytes", 4, "--segment-seconds", 600)
    )
    await until(lambda: server.has_channel("c"))
    reading = asyncio.create_task(segments(TrickleSubscriber(f"{base}/c", start=0)))
    assert (await pub.ended(b"aaaabbbbcc")).status == 0
    assert await reading == [(0, b"aaaa"), (1, b"bbbb"), (2, b"cc")]


async def test_no_more_than_the_rate_goes_out(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    pub = await start("pub", f"{base}/c", "--rate", "20K", *AT_ONCE)
    await until(lambda: server.has_channel("c"))
    # From before the first byte, which may be late, so that a busy machine only adds to it.
    began = time.monotonic()
    pub.feed(bytes(20 * 1024))
    await until(lambda: server.stats.bytes_in >= 20 * 1024)
    # A second's worth, less the first piece of it and the credit of a moment.
    assert time.monotonic() - began > 0.9
    assert server.stats.bytes_in == 20 * 1024
    pub.process.kill()


async def test_each_line_is_a_segment_of_its_own(
    start: Start, base: str, server: TrickleServer
) -> None:
    sub = await start("sub", f"{base}/c", "--lines", "--start", 0, "--wait", 60)
    pub = await start("pub", f"{base}/c", "--lines", "--keep")
    ended = await pub.ended(b'{"a":1}\n\n{"b":2}\r\n' + b'{"c":"no line break"}')
    assert (ended.status, ended.err) == (0, "")
    async with TrickleSubscriber(f"{base}/c", start=0) as subscriber:
        segment = await anext(subscriber)
        assert (segment.content_type, await segment.read()) == ("application/json", b'{"a":1}')
    server.close_channel("c")
    assert (await sub.ended()).out == b'{"a":1}\n{"b":2}\n{"c":"no line break"}\n'


async def test_a_line_without_an_end_is_refused(start: Start, base: str) -> None:
    pub = await start("pub", f"{base}/c", "--lines", *AT_ONCE)
    ended = await pub.ended(bytes(1024 * 1024 + 65536))
    assert ended.status == 1
    assert "a line is longer than 1048576 bytes" in ended.error()


async def test_a_channel_that_was_kept_is_resumed_and_not_overwritten(
    start: Start, base: str
) -> None:
    for data, options in ((b"one", ()), (b"two", ("--resume",))):
        pub = await start("pub", f"{base}/c", *AT_ONCE, "--keep", *options)
        assert (await pub.ended(data)).status == 0
    again = await (await start("pub", f"{base}/c", *AT_ONCE)).ended(b"three")
    assert again.status == 1
    assert "up to 1: --resume goes on behind them" in again.error()
    sub = await start("sub", f"{base}/c", "--start", 0, "--max-segments", 2)
    assert (await sub.ended()).out == b"onetwo"


async def test_an_empty_channel_makes_an_empty_file(
    start: Start, base: str, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"what was there before")
    sub = await start("sub", f"{base}/c", file, "--wait", 60)
    pub = await start("pub", f"{base}/c", "--linger", 1)
    assert (await pub.ended()).status == (await sub.ended()).status == 0
    assert file.read_bytes() == b""


async def test_what_was_missed_is_told(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    async with TricklePublisher(f"{base}/c") as publisher:
        for n in range(10):
            await publisher.write_segment(b"%d" % n)
        sub = await start("sub", f"{base}/c", "--start", 2)
        await until(lambda: server.stats.subscribers)
        await publisher.write_segment(b"ten")
        assert await sub.read(3) == b"ten"
    ended = await sub.ended()
    assert ended.status == 1
    warning, error = ended.err.splitlines()
    assert warning.startswith("warning: missed 8 segments, going on with segment 10"), warning
    assert error.startswith("error: 8 segments missed"), error


async def test_a_reader_is_not_troubled_by_a_connection_that_breaks(
    start: Start, base: str
) -> None:
    async with FaultProxy(base) as proxy, TricklePublisher(f"{base}/c") as publisher:
        proxy.cut(down=2000, method="GET", path="/c/0")
        await publisher.start()
        sub = await start("sub", f"{proxy.url}/c", "--start", 0, "--wait", 60)
        async with publisher.open_segment() as segment:
            await segment.write(b"a" * 1000)
            await sub.read(1000)
            await segment.write(b"b" * 5000)
        assert await sub.read(5000) == b"b" * 5000
        assert proxy.stats.resets == 1
    ended = await sub.ended()
    assert ended.status == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("warning: trying again: segment 0 was cut"), line


async def test_a_publisher_whose_connection_breaks_says_so_and_goes_on(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    async with FaultProxy(base) as proxy:
        rule = proxy.cut(up=4, method="POST", path="/c/0")
        pub = await start("pub", f"{proxy.url}/c", *IN_A_MOMENT, "--segment-bytes", 8)
        await until(lambda: server.has_channel("c"))
        reading = asyncio.create_task(segments(TrickleSubscriber(f"{base}/c", start=1)))
        ended = await pub.ended(b"aaaaaaaabbbbbbbb")
    assert rule.fired
    assert ended.status == 1
    assert "error: 1 segment lost" in ended.err
    assert "warning: segment 0 is lost" in ended.err
    assert (1, b"bbbbbbbb") in await reading


async def test_a_channel_that_others_close_ends_the_publisher(
    start: Start, base: str, server: TrickleServer, until: Until
) -> None:
    pub = await start("pub", f"{base}/c")
    pub.feed(b"something")
    # The next segment is connected too; a POST that came later would make the channel anew.
    await until(lambda: server.stats.bytes_in and server.stats.publishers == 2)
    server.close_channel("c")
    assert pub.process.stderr is not None
    # Its standard input is still open.
    line = await asyncio.wait_for(pub.process.stderr.readline(), 60)
    assert line.startswith(b"error: the channel was closed"), line
    assert await pub.process.wait() == 1


async def test_a_channel_that_vanished_while_nobody_looked_may_have_had_more(
    start: Start, base: str, server: TrickleServer
) -> None:
    publisher = TricklePublisher(f"{base}/c")
    async with FaultProxy(base) as proxy:
        await publisher.write_segment(b"one")
        sub = await start("sub", f"{proxy.url}/c", "--start", 0)
        assert await sub.read(3) == b"one"
        async with proxy.away():
            server.close_channel("c")
        ended = await sub.ended()
    with pytest.raises(TrickleError):
        await publisher.write_segment(b"two")
    await publisher.close()
    assert ended.status == 1
    assert "may have had more" in ended.err.splitlines()[-1]
