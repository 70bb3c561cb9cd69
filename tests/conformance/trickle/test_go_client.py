"""go-livepeer's own client against the server under test, and our clients at the other end.

The program that `--trickle-go-client` names is not built here. With `-mode pub -url CHANNEL -n N`
it publishes segments `go-seg-0` and so on and closes the channel; with `-mode sub -url CHANNEL
-start SEQ -n N` it makes so many reads. It prints a line for each step: `write SEQ ERROR`, `close
ERROR`, `seg SEQ BODY SIZE ERROR`, `470 latest LATEST seq SEQ`, `err ERROR`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import TricklePublisher, TrickleSubscriber

from .wire import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from .conftest import Serve
    from .target import Channel, Server

    Run = Callable[..., AbstractAsyncContextManager[asyncio.StreamReader]]


@pytest.fixture
def go(request: pytest.FixtureRequest) -> Run:
    """Run the program; what is given is its output."""
    program = str(request.config.getoption("--trickle-go-client"))

    @asynccontextmanager
    async def run(
        mode: str, channel: Channel, **options: object
    ) -> AsyncGenerator[asyncio.StreamReader]:
        arguments = [f"-{name}={value}" for name, value in options.items()]
        process = await asyncio.create_subprocess_exec(
            program,
            f"-mode={mode}",
            f"-url={channel.url}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return run


async def lines(output: asyncio.StreamReader) -> list[str]:
    """All that the program prints until it ends."""
    async with asyncio.timeout(LIMIT_S):
        return (await output.read()).decode().splitlines()


async def line(output: asyncio.StreamReader) -> str:
    async with asyncio.timeout(LIMIT_S):
        return (await output.readline()).decode().rstrip("\n")


async def test_its_segments_reach_our_reader(server: Server, go: Run) -> None:
    channel = server.channel()
    await channel.create()
    async with TrickleSubscriber(channel.url, start=0) as subscriber:
        reading = asyncio.create_task(_collect(subscriber), name="reads what the program publishes")
        async with go("pub", channel, n=4, delay="150ms") as output:
            printed = await lines(output)
        assert printed == [*(f"write {n} <nil>" for n in range(4)), "close <nil>"]
        assert await reading == [(n, b"go-seg-%d" % n) for n in range(4)]


async def _collect(subscriber: TrickleSubscriber) -> list[tuple[int, bytes]]:
    return [(segment.seq, await segment.read()) async for segment in subscriber]


async def test_our_segments_reach_its_reader(server: Server, go: Run) -> None:
    channel = server.channel()
    await channel.create()
    async with go("sub", channel, n=10, start=0) as output:
        publisher = await TricklePublisher(channel.url).start()
        await server.settle()
        for n in range(3):
            async with publisher.open_segment() as segment:
                await segment.write(b"ours-")
                await segment.write(b"%d" % n)
            assert await line(output) == f"seg {n} ours-{n} 6 <nil>"
        await publisher.close()
        assert (await lines(output))[0].startswith("err ")


async def test_its_reader_learns_where_to_go_on(server: Server, go: Run) -> None:
    channel = server.channel()
    await channel.fill(*range(8))
    async with go("sub", channel, n=3, start=0) as output:
        assert await line(output) == "470 latest 8 seq 0"
        await server.settle()
        await channel.fill(8)
        assert await line(output) == "seg 8 8 1 <nil>"


async def test_its_reader_takes_an_empty_segment(server: Server, go: Run) -> None:
    channel = server.channel()
    await channel.create()
    async with go("sub", channel, n=2, start=0) as output:
        await server.settle()
        await channel.publish(0, b"")
        await channel.fill(1)
        assert [await line(output), await line(output)] == ["seg 0  0 <nil>", "seg 1 1 1 <nil>"]


@pytest.mark.noauto
@pytest.mark.parametrize("mode", ["pub", "sub"])
async def test_an_unknown_channel_is_told_to_it(noauto: Server, go: Run, mode: str) -> None:
    async with go(mode, noauto.channel(), n=1) as output:
        assert "stream not found" in (await line(output)).lower()


async def test_a_closed_channel_is_told_to_its_publisher(server: Server, go: Run) -> None:
    channel = server.channel()
    async with go("pub", channel, n=2, delay="500ms") as output:
        assert await line(output) == "write 0 <nil>"
        # Its next POST, which is to be told, has to be there.
        await server.settle()
        await channel.delete()
        assert "end of stream" in (await line(output)).lower()


async def test_its_reader_sees_an_error_where_our_server_cuts_a_segment(
    ours: Serve, go: Run
) -> None:
    server = await ours(autocreate=True)
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"part")
    await server.settle()
    async with go("sub", channel, n=1, start=0) as output:
        await asyncio.sleep(0.5)
        await channel.fill(5)
        assert await line(output) == "seg 0 part 4 unexpected EOF"
