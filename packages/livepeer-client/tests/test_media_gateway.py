"""Media through a gateway, which takes it in and gives it out over RTMP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from livepeer.client import (
    BYOCJobRequest,
    Client,
    EndReason,
    StreamError,
    StreamLost,
    StreamSettings,
)
from livepeer.client.media import (
    FramePublisher,
    Recorder,
    TestPattern,
    Transfer,
    VideoOutputConfig,
    frames,
)
from livepeer.client.media.pattern import Pattern, pattern_number
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator
from livepeer.trickle.media import VideoFrame

from .echo import LIMIT_S, Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livepeer.client.testing import FakeGateway

STREAM = "abc123"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with (
        fake_orchestrator({}) as node,
        fake_gateway([node]) as gateway,
        Echo() as echo,
    ):
        node.capabilities["echo"] = FakeCapability(echo)
        yield gateway


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with Client(gateway=gateway.url) as client:
        yield client


def free_server() -> str:
    """Where nobody listens as yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"rtmp://127.0.0.1:{probe.getsockname()[1]}"


@asynccontextmanager
async def media_server(gateway: FakeGateway, folder: Path) -> AsyncIterator[None]:
    """A media server beside the gateway, for stream `STREAM`: an echo."""
    gateway.rtmp, gateway.rtmp_out = free_server(), free_server()
    urls = (f"{gateway.rtmp}/{STREAM}", f"{gateway.rtmp_out}/{STREAM}-out")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("media_server.py")),
        *urls,
        str(folder / "between.ts"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class SilentServer:
    """A media server that takes connections, and says nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        self.left.set()


@asynccontextmanager
async def silent_server() -> AsyncIterator[SilentServer]:
    silent = SilentServer()
    async with await asyncio.start_server(silent.take, "127.0.0.1", 0) as server:
        silent.url = f"rtmp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield silent


async def test_a_source_goes_through_over_rtmp(
    gateway: FakeGateway, client: Client, tmp_path: Path
) -> None:
    source = TestPattern((192, 108), VideoOutputConfig(fps=20))
    async with media_server(gateway, tmp_path), asyncio.timeout(2 * LIMIT_S):
        with source, Recorder(tmp_path / "out.mp4") as recorder:
            async with await client.start_stream("echo", stream_id=STREAM) as job:
                summary = await Transfer(job, source, limit_s=2).run(recorder)
            assert recorder.finish()
    with av.open(str(tmp_path / "out.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    seen = [pattern_number(picture) for picture in pictures]
    assert seen == list(range(len(seen)))
    # The server's listener may lose the last ones.
    assert 25 <= len(seen) == summary.frames_out <= summary.frames_in == 40
    assert not summary.errors


async def test_frames_go_in_and_out_over_rtmp(
    gateway: FakeGateway, client: Client, tmp_path: Path
) -> None:
    pattern, seen = Pattern(192, 108), list[int]()
    async with (
        media_server(gateway, tmp_path),
        asyncio.timeout(2 * LIMIT_S),
        await client.start_stream("echo", stream_id=STREAM) as job,
    ):

        async def read() -> None:
            async for frame in frames(job):
                assert isinstance(frame, VideoFrame)
                seen.append(pattern_number(frame.to_ndarray()))

        reading = asyncio.create_task(read())
        async with FramePublisher(job, VideoOutputConfig(fps=20)) as publisher:
            for n in range(60):
                await publisher.write(pattern.picture(n))
        await reading
    assert len(seen) >= 40
    assert seen == list(range(len(seen)))


async def test_a_media_server_that_is_not_there_is_named(
    gateway: FakeGateway, client: Client
) -> None:
    gateway.rtmp = free_server()
    job = await client.start_stream("echo", stream_id="hidden")

    async def publish() -> None:
        async with FramePublisher(job) as publisher:
            for n in range(5):
                await publisher.write(Pattern(192, 108).picture(n))

    async with asyncio.timeout(LIMIT_S), job:
        with pytest.raises(StreamLost, match="media server does not take the stream") as told:
            await publish()
    assert gateway.rtmp in str(told.value)
    # A path often ends with a key.
    assert "hidden" not in str(told.value)


async def test_a_media_server_that_takes_nothing_ends_the_stream(gateway: FakeGateway) -> None:
    async with silent_server() as server, Client(gateway=gateway.url) as client:
        gateway.rtmp = server.url
        request = BYOCJobRequest(capability="echo", enable_video_ingress=True, id="hidden")
        job = await client.start(request, settings=StreamSettings(media_silent_s=0.5))

        async def publish() -> None:
            async with FramePublisher(job, realtime=True) as publisher:
                for n in count():
                    await publisher.write(Pattern(192, 108).picture(n))

        with pytest.raises(StreamLost, match=r"it took nothing for 0\.5 s") as told:
            await asyncio.wait_for(publish(), LIMIT_S)
    assert job.end is not None
    assert (job.end.reason, job.end.error) == (EndReason.NETWORK, told.value)
    assert server.url in str(told.value)
    assert "hidden" not in str(told.value)


PULL = """
import asyncio, sys
from livepeer.client.media.rtmp import RTMPPull
async def main():
    async with RTMPPull(sys.argv[1]) as pull:
        async for _ in pull: pass
asyncio.run(main())
"""
PUSH = """
import asyncio, sys
from livepeer.client.media import TestPattern, VideoOutputConfig
from livepeer.client.media.rtmp import RTMPPush
from livepeer.trickle.media import Segmenter
async def main():
    push, segmenter = RTMPPush(sys.argv[1], take_s=1), Segmenter({"video": "h264"})
    for unit in TestPattern((192, 108), VideoOutputConfig(fps=20)):
        await push.put(segmenter.add(unit))
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [PULL, PUSH], ids=["pull", "push"])
async def test_what_hangs_in_libav_ends_with_a_parent_that_is_killed(program: str) -> None:
    async with silent_server() as server, asyncio.timeout(LIMIT_S):
        parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, server.url)
        await server.asked.wait()
        # The child is in libav by now.
        server.left.clear()
        parent.kill()
        await parent.wait()
        killed = time.monotonic()
        await server.left.wait()
    # Long before it would have given the server up.
    assert time.monotonic() - killed < 8


async def test_media_by_webrtc_alone_is_said(gateway: FakeGateway, client: Client) -> None:
    async with await client.start_stream("echo") as job:
        with pytest.raises(StreamError, match="gives media out by WebRTC only: open http://"):
            await anext(frames(job))


async def test_the_command_streams_through_a_gateway(gateway: FakeGateway, tmp_path: Path) -> None:
    # No media server: the command says so, and ends.
    gateway.rtmp, gateway.rtmp_out = free_server(), free_server()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livepeer.cli", "stream", "echo", "--gateway", gateway.url),
        *("--input", "test", "--duration", "0.5", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * LIMIT_S):
        while not gateway.seen:  # noqa: ASYNC110 - another process fills it
            await asyncio.sleep(0.02)
        words = {"error_message": "no orchestrator took it", "error_time": 1}
        gateway.status[json.loads(gateway.seen[0].body)["stream_id"]] = {"error": words}
        out, err = await process.communicate()
    assert process.returncode == 1, err
    assert (out, err.count(b"error: ")) == (b"", 1)
    assert gateway.rtmp in err.decode()
    assert b"the gateway says: no orchestrator took it" in err
    assert json.loads(gateway.seen[0].body)["params"] == "{}"
