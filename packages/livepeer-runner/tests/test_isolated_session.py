"""A session whose model process dies, hangs or cannot be set up, as its callers see it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np

from livepeer.runner import PipelineSpec
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.testing import LiveSession, live_session
from livepeer.trickle.media import TIME_BASE, EncoderOptions, Segmenter, VideoEncoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

STEP = 3000
AUTHOR = """
import os, time
from livepeer.runner import LivePipeline

class Inverts(LivePipeline):
    def setup(self):
        time.sleep(SETUP_S)
        with open("LOG", "a") as log:
            print("ready", os.getpid(), time.time(), file=log)

    def on_stream_start(self, params):
        self.stream.state["level"] = params.get("level", 0)

    def on_params_update(self, params):
        self.stream.state["level"] = params["level"]

    def process_video(self, frame):
        if os.path.exists("HANG"):
            os.remove("HANG")
            time.sleep(60)
        with open(f"MADE-{os.getpid()}-{self.stream.state['level']}", "a") as made:
            made.write(".")
        luma = frame.planes[0]
        luma[:] = 255 - luma
        luma[: luma.shape[0] // 2] = 90 + self.stream.state["level"]
        return frame
"""


def author(folder: Path, setup_s: float) -> PipelineSpec:
    path = folder / "pipeline.py"
    text = AUTHOR.replace("SETUP_S", str(setup_s))
    for name in ("LOG", "HANG", "MADE"):
        text = text.replace(name, str(folder / name.lower()))
    path.write_text(text)
    return PipelineSpec("inverts", f"{path}:Inverts")


def setups(folder: Path) -> list[tuple[int, float]]:
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    return [(int(pid), float(at)) for _, pid, at in lines]


async def made(folder: Path, *, model: int, level: int = 0) -> None:
    """Wait until the model that was set up as that one has made so many pictures that some came."""
    async with asyncio.timeout(20):
        while True:
            pids = [pid for pid, _ in setups(folder)]
            count = folder / f"made-{pids[model]}-{level}" if len(pids) > model else None
            if count is not None and count.exists() and count.stat().st_size > 20:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def paced(session: LiveSession) -> AsyncGenerator[None, None]:
    """Publishes for as long as it is open, as a camera would."""
    enough = asyncio.Event()
    sending = asyncio.create_task(publish(session, enough))
    try:
        yield
    finally:
        enough.set()
        await sending


async def publish(session: LiveSession, enough: asyncio.Event) -> None:
    """Publish 30 pictures a second, in segments of a tenth of one."""
    encoder = VideoEncoder(EncoderOptions(key_every_s=2.5 / 30))
    segmenter, segment = Segmenter({"video": "h264"}, segment_s=2.5 / 30), b""
    began = time.monotonic()
    for n in itertools.takewhile(lambda _: not enough.is_set(), itertools.count()):
        raw = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 200, np.uint8), format="rgb24")
        raw.pts, raw.time_base = n * STEP, TIME_BASE
        for unit in encoder.encode(VideoFrame(raw)):
            piece = segmenter.add(unit)
            if piece.starts and segment:
                await session.publish(segment)
                segment = b""
            segment += piece.data
        await asyncio.sleep(max(0.0, began + n / 30 - time.monotonic()))
    await session.publish(segment)


class Arrivals:
    """When each byte of the output came, read beside the session."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self.longest_s = 0.0

    async def watch(self) -> None:
        size, last = 0, time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now, got = time.monotonic(), self._session.received
            if got != size:
                self.longest_s = max(self.longest_s, now - last) if size else 0.0
                size, last = got, now


def processed(frames: list[VideoFrame | AudioFrame], level: int = 0) -> list[VideoFrame]:
    """The pictures that the author has made."""
    pictures = [frame for frame in frames if isinstance(frame, VideoFrame)]
    return [f for f in pictures if abs(float(f.planes[0][8:40, 8:150].mean()) - 90 - level) < 3]


def gap_s(frames: list[VideoFrame | AudioFrame]) -> float:
    times = [frame.time for frame in frames]
    return max(b - a for a, b in pairwise(times))


async def test_a_model_that_is_killed_does_not_stop_the_stream(tmp_path: Path):
    spec = author(tmp_path, setup_s=1.2)
    options = {"live_policy": "drop", "isolation": "process"}
    async with live_session(spec, params={"level": 20}, **options) as session:
        arrivals = Arrivals(session)
        watching = asyncio.create_task(arrivals.watch())
        began = time.time()
        async with paced(session):
            await made(tmp_path, model=0, level=20)
            await session.update({"level": 40})
            await made(tmp_path, model=0, level=40)
            killed = time.time()
            os.kill(setups(tmp_path)[0][0], signal.SIGKILL)
            error = await session.event("error")
            await made(tmp_path, model=1, level=40)
        watching.cancel()
        frames = await session.frames()
        assert (await session.get("/health"))[1]["status"] == "OK"
    assert "SIGKILL" in str(error["message"])
    pids = [pid for pid, _ in setups(tmp_path)]
    assert len(pids) == len(set(pids)) == 2
    ready = setups(tmp_path)[1][1]
    mine = [frame.time for frame in processed(frames, 40)]
    before = [at for at in mine if began + at < killed]
    after = [at for at in mine if began + at > killed + 0.3]
    assert len(before) > 5
    assert began + after[0] - ready < 3.0
    overlays = [frame for frame in frames if before[-1] < frame.time < after[0]]
    assert len(overlays) > 10
    assert not processed(overlays, 40)
    without = after[0] - before[-1]
    assert gap_s(frames) < without / 2
    assert arrivals.longest_s < without / 2, "the output stood still"


async def test_a_model_that_hangs_is_replaced(tmp_path: Path):
    spec = author(tmp_path, setup_s=0.0)
    options = {
        "live_policy": "drop",
        "isolation": "process",
        "hook_timeout_s": 1.5,
        "overlay_after_s": 0.15,
    }
    async with live_session(spec, **options) as session:
        async with paced(session):
            await made(tmp_path, model=0)
            (tmp_path / "hang").touch()
            await session.event("error")
            await made(tmp_path, model=1)
        frames = await session.frames()
    assert len(setups(tmp_path)) == 2
    mine = [frame.time for frame in processed(frames)]
    before, after = max(pairwise(mine), key=lambda pair: pair[1] - pair[0])
    assert after - before > 1.4, "it never hung"
    assert min(mine.index(before), len(mine) - mine.index(after)) > 5
    assert gap_s(frames) < 1.0, "the output stood still while it hung"
