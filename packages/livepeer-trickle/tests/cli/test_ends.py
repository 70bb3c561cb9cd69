"""How the commands end: mistakes, missing channels and servers, signals, closed pipes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import (
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
    trickle_session,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Command, Start, Until


async def base_of(serve: Command) -> str:
    base = await serve.line()
    assert base.startswith("http://127.0.0.1:"), base
    return base


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_ends_well_when_told_to(start: Start, number: signal.Signals) -> None:
    serve = await start("serve", "--port", 0, "--path", "ai/trickle/")
    base = await base_of(serve)
    assert base.endswith("/ai/trickle")
    async with TricklePublisher(f"{base}/c") as publisher:
        await publisher.write_segment(b"served")
        async with TrickleSubscriber(f"{base}/c") as subscriber:
            assert await (await anext(subscriber)).read() == b"served"
        serve.process.send_signal(number)
        ended = await serve.ended()
        assert (ended.status, ended.out, ended.err) == (0, b"", "")
        await publisher.close(delete=False)


async def test_serve_takes_its_options(start: Start) -> None:
    serve = await start(
        *("serve", "--port", 0, "--no-autocreate", "--changefeed", "--idle-timeout", 0.5)
    )
    base = await base_of(serve)
    pub = await (await start("pub", f"{base}/c", "--lead", 60)).ended(b"refused")
    assert (pub.status, "does not exist" in pub.error()) == (1, True)
    feed = await start("sub", f"{base}/_changes", "--start", 0, "--lines", "--max-segments", 1)
    assert (await feed.ended()).out == b'{"added":["_changes"]}\n'
    serve.process.send_signal(signal.SIGINT)
    await serve.ended()


@pytest.mark.parametrize(
    ("origin", "status"), [("https://elsewhere.example", 403), ("http://localhost:3000", 200)]
)
async def test_serve_refuses_pages_from_elsewhere(start: Start, origin: str, status: int) -> None:
    base = await base_of(await start("serve", "--port", 0))
    async with trickle_session() as session:
        answer = await session.post(f"{base}/c", headers={"Origin": origin})
        assert answer.status == status


async def test_serve_closes_idle_channels(start: Start) -> None:
    serve = await start("serve", "--port", 0, "--idle-timeout", 0.2)
    base = await base_of(serve)
    async with TricklePublisher(f"{base}/c") as publisher, asyncio.timeout(60):
        await publisher.write_segment(b"left alone")
        async with TrickleSubscriber(f"{base}/c") as subscriber:
            assert [await segment.read() async for segment in subscriber] == [b"left alone"]


async def test_an_address_that_is_taken(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await (await start("serve", "--port", port)).ended()
    assert (ended.status, ended.out) == (1, b"")
    error = f"cannot listen on 127.0.0.1, port {port}: Address already in use"
    assert ended.error() == f"{error} (--host, --port; 0 is free)"


async def test_an_address_that_is_none(start: Start) -> None:
    ended = await (await start("serve", "--host", "no-such-host.invalid")).ended()
    assert ended.status == 1
    assert "cannot listen on no-such-host.invalid" in ended.error()


async def test_an_open_address_is_warned_of(start: Start) -> None:
    serve = await start("serve", "--host", "0.0.0.0", "--port", 0)
    assert (await serve.line()).startswith("http://0.0.0.0:")
    serve.process.send_signal(signal.SIGINT)
    ended = await serve.ended()
    assert ended.status == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("warning: ")
    assert "no authentication" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sub", "c"), "begins with http://"),
        (("pub", "http://127.0.0.1:99999/c"), "out of range"),
        (("sub", "http://127.0.0.1:9"), "http://127.0.0.1:9/NAME"),
        (("pub", "http://127.0.0.1:9/c", "--segment-bytes", "4 MB"), "--segment-bytes"),
        (("pub", "http://127.0.0.1:9/c", "--segment-bytes", "0"), "more than 0"),
        (("pub", "http://127.0.0.1:9/c", "--rate", "fast"), "--rate"),
        (("pub", "http://127.0.0.1:9/c", "/nonexistent"), "no file /nonexistent"),
        (("sub", "http://127.0.0.1:9/c", "/"), "no file /"),
        (("sub", "http://127.0.0.1:9/c", "/nonexistent/file"), "no file /nonexistent/file"),
        (("ls", "ftp://127.0.0.1/"), "begins with http://"),
        (("serve", "--path", "/a b"), "--path"),
    ],
)
async def test_mistakes(start: Start, arguments: tuple[str, ...], words: str) -> None:
    ended = await (await start(*arguments)).ended()
    assert ended.status == 2
    assert words in ended.error()


async def test_mistakes_that_typer_finds(start: Start) -> None:
    for arguments in (
        ("sub", "http://127.0.0.1:9/c", "--start", "-3"),
        ("serve", "--port", "65536"),
        ("mix",),
    ):
        assert (await (await start(*arguments)).ended()).status == 2


async def test_a_server_that_is_not_there(start: Start) -> None:
    url = "http://127.0.0.1:9/c"
    runs = [await start(command, url, "--retry", 0) for command in ("pub", "sub")]
    for run in (*runs, await start("ls", url)):
        ended = await run.ended()
        assert (ended.status, "127.0.0.1" in ended.error()) == (1, True)


async def test_a_channel_that_is_not_there(start: Start, base: str, tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"kept")
    ended = await (await start("sub", f"{base}/c", file, "--wait", 0.2)).ended()
    assert ended.status == 1
    assert "the channel does not exist" in ended.error()
    assert file.read_bytes() == b"kept"


async def test_the_server_may_be_waited_for(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sub = await start("sub", f"http://127.0.0.1:{port}/c", "--wait", 60)
    async with TrickleServer(autocreate=True).listening(port=port) as base:
        pub = await start("pub", f"{base}/c", "--linger", 1)
        ended, received = await asyncio.gather(pub.ended(b"at last"), sub.ended())
    assert (ended.status, received.out) == (0, b"at last")


async def test_a_file_that_cannot_be_written(
    start: Start, base: str, server: TrickleServer, tmp_path: Path, until: Until
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with TricklePublisher(f"{base}/c") as publisher:
        sub = await start("sub", f"{base}/c", folder / "file", "--wait", 60)
        await until(lambda: server.stats.subscribers)
        folder.rmdir()
        await publisher.write_segment(b"bytes")
        ended = await sub.ended()
    assert ended.status == 1
    assert "No such file" in ended.error()


async def test_a_reader_that_has_enough_ends_it(start: Start, base: str) -> None:
    async with TricklePublisher(f"{base}/c") as publisher, publisher.open_segment() as segment:
        await segment.write(b"headtail")
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "livepeer.cli", "trickle", "sub", f"{base}/c"),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        assert await asyncio.to_thread(os.read, reading, 8) == b"headtail"
        os.close(reading)
        await segment.write(b"more")
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_publisher_closes_its_channel(
    start: Start,
    base: str,
    server: TrickleServer,
    until: Until,
    number: signal.Signals,
    status: int,
) -> None:
    sub = await start("sub", f"{base}/c", "--wait", 60)
    pub = await start("pub", f"{base}/c")
    pub.feed(b"so far")
    assert await sub.read(6) == b"so far"
    await until(lambda: server.stats.subscribers == 2)
    # Its standard input is open, and a thread waits for it.
    pub.process.send_signal(number)
    assert await asyncio.wait_for(pub.process.wait(), 60) == status
    assert not server.has_channel("c")
    assert (await pub.ended()).err == ""
    assert (await sub.ended()).status == 0


async def test_an_interrupted_subscriber(
    start: Start, base: str, tmp_path: Path, until: Until
) -> None:
    file = tmp_path / "out"
    async with TricklePublisher(f"{base}/c") as publisher, publisher.open_segment() as segment:
        await segment.write(b"so far")
        sub = await start("sub", f"{base}/c", file)
        await until(lambda: file.exists() and file.stat().st_size == 6)
        sub.process.send_signal(signal.SIGINT)
        ended = await sub.ended()
    assert (ended.status, ended.out, ended.err) == (130, b"", "")


async def test_a_subscriber_whose_reader_is_stuck_can_be_interrupted(
    start: Start, base: str
) -> None:
    async with TricklePublisher(f"{base}/c") as publisher, publisher.open_segment() as segment:
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "livepeer.cli", "trickle", "sub", f"{base}/c"), stdout=writing
        )
        os.close(writing)
        await segment.write(bytes(1024 * 1024))
        # The first byte is out, so all that the pipe holds will be, and the next write blocks.
        await asyncio.to_thread(os.read, reading, 1)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 60) == 130
        os.close(reading)


async def test_ls(start: Start, server: TrickleServer, base: str) -> None:
    server.create_channel("évil\x1b[2J", "video/MP2T")
    async with TricklePublisher(f"{base}/c", content_type="application/json") as publisher:
        await publisher.write_segment(b"{}")
        listed, one, as_json = [
            await (await start("ls", *arguments)).ended()
            for arguments in ((base,), (f"{base}/c",), (base, "--json"))
        ]
    rows = [line.split() for line in listed.out.decode().splitlines()]
    assert rows == [
        ["CHANNEL", "NEXT", "CONTENT", "TYPE"],
        ["évil\\x1b[2J", "0", "video/MP2T"],
        ["c", "1", "application/json"],
    ]
    assert [line.split() for line in one.out.splitlines()][1:] == [[b"c", b"1"]]
    assert json.loads(as_json.out)["channels"][1] == {
        "name": "c",
        "next": 1,
        "content_type": "application/json",
    }
    assert listed.status == one.status == as_json.status == 0


async def test_ls_of_a_server_that_lists_nothing(start: Start) -> None:
    async with TrickleServer().listening() as base:
        for url in (base, f"{base}/unknown"):
            ended = await (await start("ls", url)).ended()
            assert ended.status == 1
            assert f"ask for one channel, {url}/NAME" in ended.error()


async def test_ls_of_a_server_that_refuses(start: Start) -> None:
    server = TrickleServer(listing=True, authorize=lambda operation, *_: operation != "list")
    async with server.listening() as base:
        ended = await (await start("ls", base)).ended()
    assert (ended.status, "refused with 403" in ended.error()) == (1, True)


async def test_who_may_publish_need_not_be_allowed_to_read(start: Start) -> None:
    server = TrickleServer(autocreate=True, authorize=lambda operation, *_: operation == "publish")
    async with server.listening() as base:
        pub = await start("pub", f"{base}/c", "--lead", 0, "--keep")
        assert (await pub.ended(b"written")).status == 0
    assert server.stats.segments == 1


async def test_progress_is_for_terminals(start: Start, base: str, tmp_path: Path) -> None:
    sub = await start("sub", f"{base}/c", tmp_path / "out", "--wait", 60)
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livepeer.cli", "trickle", "pub", f"{base}/c"),
        *("--linger", "0.2"),
        stdin=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    await process.communicate(b"watched")
    shown = b""
    # The other end of a terminal that was closed is an error of its own.
    while b"1 segment" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 65536)
    os.close(ours)
    assert process.returncode == 0
    assert b"publishing" in shown
    assert b"published 7 bytes in 1 segment" in shown
    assert (await sub.ended()).err == ""
