"""A model process for a test, and frames for it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import av
import numpy as np
import pytest

from livepeer.runner import PipelineSpec, Settings
from livepeer.runner._live.isolated.host import IsolatedHost
from livepeer.runner._stream import Stream
from livepeer.runner.frames import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from livepeer.runner._live.isolated.stage import IsolatedStage


class Sent:
    """What hooks emitted for one stream."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, object]] = []
        self.data: list[Mapping[str, object]] = []
        self.frames: list[VideoFrame | AudioFrame] = []
        self.reports: list[str] = []
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def emit_event(self, message: Mapping[str, object]) -> None:
        self.events.append(message)
        self._loop.call_soon_threadsafe(self._changed.set)

    def emit_data(self, message: Mapping[str, object]) -> None:
        self.data.append(message)
        self._loop.call_soon_threadsafe(self._changed.set)

    def report(self, message: str) -> None:
        self.reports.append(message)

    def emit_frame(self, frame: VideoFrame | AudioFrame) -> None:
        self.frames.append(frame)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Lab:
    """One host, and stages for it."""

    def __init__(self, host: IsolatedHost, notes: Path) -> None:
        self.host = host
        self._notes = notes

    @property
    def notes(self) -> list[str]:
        """What the model processes noted, without their numbers."""
        return [line.partition(" ")[2] for line in self._notes.read_text().splitlines()]

    @property
    def pids(self) -> list[int]:
        """The processes that noted something, in order."""
        lines = self._notes.read_text().splitlines()
        return list(dict.fromkeys(int(line.partition(" ")[0]) for line in lines))

    async def start(self, name: str, **params: Any) -> tuple[IsolatedStage, Sent]:
        sent = Sent()
        stage = self.host.stage(Stream(name, sent))
        await stage.start(params)
        return stage, sent

    def sent(self) -> Sent:
        return Sent()

    async def gone(self, stage: IsolatedStage) -> None:
        """Until a stage cannot be used."""
        for _ in range(12_000):
            if stage.away:
                return
            await asyncio.sleep(0.005)
        raise TimeoutError("the stage is still there")

    async def back(self, *stages: IsolatedStage) -> None:
        """Until the stages can be used again."""
        for _ in range(12_000):
            if not any(stage.away for stage in stages):
                return
            await asyncio.sleep(0.005)
        raise TimeoutError(self.host.message)


class MakeLab(Protocol):
    def __call__(self, name: str, **options: Any) -> AbstractAsyncContextManager[Lab]: ...


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeLab:
    """`async with lab("Class", **settings) as it:` a model process that is ready."""
    notes = tmp_path / "notes"
    notes.touch()
    monkeypatch.setenv("TEST_NOTES", str(notes))
    logging.getLogger("livepeer.runner").setLevel(logging.INFO)

    @asynccontextmanager
    async def make(name: str, **options: Any) -> AsyncGenerator[Lab, None]:
        path = Path(__file__).with_name("models.py")
        given = {"restart_backoff_s": 0.05, **options}
        host = IsolatedHost(PipelineSpec("lab", f"{path}:{name}"), Settings(**given))
        try:
            await host.setup()
            yield Lab(host, notes)
        finally:
            await host.close()

    return make


@pytest.fixture
def picture() -> Callable[..., VideoFrame]:
    """A picture of noise, another for each time."""

    def make(pts: int, width: int = 320, height: int = 180, format: str = "yuv420p") -> VideoFrame:
        noise = np.random.default_rng(pts)
        raw = av.VideoFrame(width, height, format)
        for plane in raw.planes:
            plane.update(noise.integers(0, 256, plane.buffer_size, np.uint8))
        raw.pts, raw.time_base = pts, Fraction(1, 90_000)
        raw.color_range, raw.colorspace, raw.color_primaries, raw.color_trc = 1, 1, 1, 1
        return VideoFrame(raw, sample_aspect_ratio=Fraction(4, 3))

    return make


@pytest.fixture
def sound() -> Callable[[int], AudioFrame]:
    """A stretch of noise, another for each time."""

    def make(pts: int) -> AudioFrame:
        samples = np.random.default_rng(pts).random((2, 1024), np.float32)
        raw = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        raw.sample_rate, raw.pts, raw.time_base = 44_100, pts, Fraction(1, 90_000)
        return AudioFrame(raw)

    return make
