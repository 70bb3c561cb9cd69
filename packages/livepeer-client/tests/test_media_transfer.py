"""Files, cameras and test pictures through a job, into files and players."""

from __future__ import annotations

import asyncio
import queue
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import av
import pytest

from livepeer.client import Client, LocalSigner, SyncClient
from livepeer.client.media import (
    FramePublisher,
    FrameSource,
    MediaSource,
    Player,
    Recorder,
    TestPattern,
    Transfer,
    VideoOutputConfig,
    Webcam,
    frames,
)
from livepeer.client.media.pattern import Pattern, pattern_number
from livepeer.client.testing import FakeCapability, fake_orchestrator
from livepeer.trickle.errors import MediaError

from .echo import LIMIT_S, Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.media import Summary

# Shows nothing, and keeps what it is given.
PLAYER = """#!{python}
import os, sys
with open({kept!r}, "wb") as kept:
    while data := os.read(0, 65536):
        kept.write(data)
        kept.flush()
        if {most} and kept.tell() >= {most}:
            sys.exit({status})
"""


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def client(echo: Echo, signer: LocalSigner) -> AsyncIterator[Client]:
    async with (
        fake_orchestrator({"echo": FakeCapability(echo)}) as node,
        Client(orchestrators=[node.url], signer=signer) as client,
    ):
        yield client


def test_a_transfer_without_a_loop_of_ones_own(tmp_path: Path, signer: LocalSigner) -> None:
    target = tmp_path / "out.mp4"

    async def network(urls: queue.Queue[str], over: asyncio.Event) -> None:
        async with Echo() as echo, fake_orchestrator({"echo": FakeCapability(echo)}) as node:
            urls.put(node.url)
            await over.wait()

    urls: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor(1) as thread:
        over = asyncio.Event()
        loop = asyncio.new_event_loop()
        serving = thread.submit(loop.run_until_complete, network(urls, over))
        try:
            with (
                SyncClient(orchestrators=[urls.get(timeout=LIMIT_S)], signer=signer) as client,
                MediaSource(clip(tmp_path / "in.mp4", 30)) as source,
                Recorder(target) as recorder,
                client.start_stream("echo") as job,
            ):
                for wrong in (Transfer, FramePublisher):
                    with pytest.raises(TypeError, match=r"`job\.job`, not a SyncBYOCJob"):
                        wrong(job, source)  # type: ignore[arg-type]  # the mistake under test
                with pytest.raises(TypeError, match=r"`job\.job`"):
                    next(client.iterate(frames(job)))  # type: ignore[arg-type]  # as above
                summary = client.run(Transfer(job.job, source, fast=True).run(recorder))
                assert recorder.finish()
        finally:
            loop.call_soon_threadsafe(over.set)
            serving.result(LIMIT_S)
            loop.close()
    assert (summary.frames_in, summary.frames_out, summary.errors) == (30, 30, ())


def numbers(path: Path) -> list[int]:
    """The test pictures of a file."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [pattern_number(frame.to_ndarray(format="rgb24")) for frame in frames]


def clip(path: Path, count: int, fps: int = 20, *, key_every: int = 10) -> Path:
    """A file of test pictures."""
    pattern = Pattern(192, 108)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"g": str(key_every), "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(pattern.picture(n), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def player(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, most: int = 0, status: int = 0
) -> Path:
    """Install a player that is called mpv, and no other; what it was given."""
    kept = folder / "shown.ts"
    program = folder / "mpv"
    text = PLAYER.format(python=sys.executable, kept=str(kept), most=most, status=status)
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return kept


async def test_a_file_goes_through_whole(client: Client, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", 90)
    target = tmp_path / "out.mp4"
    with MediaSource(source) as media, Recorder(target) as recorder:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            summary = await Transfer(job, media, fast=True).run(recorder)
        assert recorder.finish()
    assert (summary.frames_in, summary.frames_out, summary.errors) == (90, 90, ())
    assert summary.latency_ms is not None
    assert numbers(target) == list(range(90))


async def test_a_limit_ends_what_has_no_end(client: Client, tmp_path: Path) -> None:
    source = TestPattern((192, 108), VideoOutputConfig(fps=20))
    with source, Recorder(tmp_path / "out.ts") as recorder:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            summary = await Transfer(job, source, fast=True, limit_s=1.5).run(recorder)
        assert recorder.finish()
    assert summary.frames_in == 30
    assert numbers(tmp_path / "out.ts") == list(range(30))


async def test_a_generator_of_arrays_is_a_source(client: Client, tmp_path: Path) -> None:
    pattern = Pattern(192, 108)
    source = FrameSource((pattern.picture(n) for n in range(100, 120)), VideoOutputConfig(fps=10))
    with source, Recorder(tmp_path / "out.mkv") as recorder:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            await Transfer(job, source, fast=True).run(recorder)
        assert recorder.finish()
    assert numbers(tmp_path / "out.mkv") == list(range(100, 120))


async def test_a_stopped_transfer_gives_what_came(client: Client, tmp_path: Path) -> None:
    stopping: list[Transfer] = []

    def stop(progress: object) -> None:
        if recorder.pipe and getattr(progress, "frames_out", 0) >= 5:
            stopping[0].stop()

    source = TestPattern((192, 108))
    with source, Recorder(tmp_path / "out.mp4") as recorder:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            stopping.append(Transfer(job, source, on_progress=stop))
            summary = await stopping[0].run(recorder)
        assert recorder.finish()
    assert summary.frames_out == summary.frames_in >= 5
    assert not summary.errors


@pytest.mark.parametrize("key_every", [10, 75, 1000])
async def test_a_file_goes_on_elsewhere_where_it_was(
    echo: Echo, signer: LocalSigner, tmp_path: Path, key_every: int
) -> None:
    source, target = clip(tmp_path / "in.mp4", 110, key_every=key_every), tmp_path / "out.mp4"
    killing: list[asyncio.Task[None]] = []
    async with (
        fake_orchestrator({"echo": FakeCapability(echo)}) as first,
        Echo() as other,
        fake_orchestrator({"echo": FakeCapability(other)}) as second,
        Client(orchestrators=[first.url, second.url], signer=signer) as client,
    ):

        def kill(progress: object) -> None:
            if getattr(progress, "frames_out", 0) >= 20 and not killing:
                killing.append(asyncio.create_task(first.kill()))

        with MediaSource(source) as media, Recorder(target) as recorder:
            async with (
                await client.start_stream("echo", reconnect=True) as job,
                asyncio.timeout(2 * LIMIT_S),
            ):
                summary = await Transfer(job, media, on_progress=kill).run(recorder)
            assert recorder.finish()
    (gap,) = summary.reconnects
    assert (gap.from_url, gap.to_url) == (first.url, second.url)
    assert 0 < gap.gap_s < LIMIT_S
    seen = numbers(target)
    # Each as it was and in order, and after the gap all to the end.
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (0, 109)
    assert 110 - len(seen) < 60


async def test_a_stream_that_dies_with_all_in_it_is_not_waited_for(
    echo: Echo, signer: LocalSigner, tmp_path: Path
) -> None:
    echo.turns = asyncio.Semaphore(0)
    source = clip(tmp_path / "in.mp4", 30)
    async with (
        fake_orchestrator({"echo": FakeCapability(echo)}) as first,
        Echo() as other,
        fake_orchestrator({"echo": FakeCapability(other)}) as second,
        Client(orchestrators=[first.url, second.url], signer=signer) as client,
    ):

        async def run() -> Summary:
            with MediaSource(str(source)) as media, Recorder(str(tmp_path / "out.ts")) as recorder:
                async with await client.start_stream("echo", reconnect=True) as job:
                    transfer = Transfer(job, media, fast=True, stall_s=600, drain_s=600)
                    return await transfer.run(recorder)

        running = asyncio.create_task(run())
        async with asyncio.timeout(LIMIT_S):
            while "the last segment" not in {  # noqa: ASYNC110 - a task of the transfer
                task.get_name() for task in asyncio.all_tasks()
            }:
                await asyncio.sleep(0.01)
            await first.kill()
            summary = await running
    assert summary.frames_in == 30
    assert summary.errors == ("the stream was lost before all had come out",)


async def test_a_player_is_fed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = player(tmp_path, monkeypatch)
    source = clip(tmp_path / "in.mp4", 40)
    with MediaSource(source) as media, Player() as sink:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            summary = await Transfer(job, media, fast=True).run(sink)
        assert sink.finish() is False
    assert summary.frames_out == 40
    assert numbers(shown) == list(range(40))


async def test_a_window_that_is_closed_ends_the_transfer(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player(tmp_path, monkeypatch, most=20_000)
    summaries: list[Summary] = []
    with TestPattern((192, 108)) as source, Player() as sink:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            summaries.append(await Transfer(job, source, fast=True).run(sink))
        assert sink.closed_by_user
    assert summaries[0].frames_out


async def test_a_player_that_fails_is_no_window_that_was_closed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player(tmp_path, monkeypatch, most=1, status=3)
    with TestPattern((192, 108)) as source, Player() as sink:
        async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
            with pytest.raises(MediaError, match="mpv ended with status 3"):
                await Transfer(job, source, fast=True).run(sink)


def test_without_a_player_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediaError, match=r"install ffplay .*, mpv or VLC, or write to a file"):
        Player()
    with pytest.raises(MediaError, match="install vlc"):
        Player("vlc")
    with pytest.raises(MediaError, match="totem is no player that is known here"):
        Player("totem")


def test_a_camera_gives_pictures_on_a_clock_that_begins_at_a_second() -> None:
    # A graph in the place of a device: the rest is as with a camera.
    graph = "testsrc=size=128x96:rate=20"
    with Webcam(graph, system="lavfi", config=VideoOutputConfig(width=64)) as camera:
        units = list(islice(camera, 12))
    assert camera.live
    assert [unit.pts for unit in units] == [90_000 + n * 4500 for n in range(12)]
    assert [unit.key for unit in units] == [True] + [False] * 11


def test_without_a_camera_it_says_what_to_do() -> None:
    with pytest.raises(MediaError, match=r"no camera /dev/video63: connect one, choose another"):
        Webcam(63)
    with pytest.raises(MediaError, match="this build of PyAV opens no camera"):
        Webcam(0, system="betamax")
