"""Pipelines that model processes load by the path of this file."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from pydantic import BaseModel, field_validator

from livepeer.runner import LivePipeline
from livepeer.runner._isolation.channel import Channel
from livepeer.runner._isolation.messages import Failed
from livepeer.runner._live.isolated.messages import Event, Interrupt, Result
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.trickle.media.memory import AudioDescription, describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NOTES = "TEST_NOTES"


def note(text: str) -> None:
    """Tell the test what happened here, in whatever process this is."""
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{os.getpid()} {text}\n")


class Changes(LivePipeline):
    """What becomes of a frame is a parameter of its stream."""

    def setup(self) -> None:
        note("setup")

    def teardown(self) -> None:
        note("teardown")

    def on_stream_start(self, params: dict[str, Any]) -> None:
        note(f"start {self.stream.id} {params}")
        self.stream.state["kept"] = []

    def on_stream_stop(self) -> None:
        note(f"stop {self.stream.id}")
        self.emit_event({"said": "stopped"})

    def on_params_update(self, params: dict[str, Any]) -> Any:
        if params.get("reload"):
            return asyncio.sleep(float(params["reload"]))
        return None

    def process_video(self, frame: VideoFrame) -> Any:
        return getattr(self, self.stream.params["do"])(frame)

    def process_audio(self, frame: AudioFrame) -> Any:
        if self.stream.params["do"] != "half":
            return frame
        samples = frame.to_ndarray() * np.float32(0.5)
        return AudioFrame.from_ndarray(samples, like=frame)

    def same(self, frame: VideoFrame) -> VideoFrame:
        return frame

    def half(self, frame: VideoFrame) -> VideoFrame:
        return frame

    def in_place(self, frame: VideoFrame) -> VideoFrame:
        for plane in frame.planes:
            plane[...] = 255 - plane
        return frame

    def array(self, frame: VideoFrame) -> Any:
        return 255 - frame.to_ndarray("rgb24")

    def older(self, frame: VideoFrame) -> VideoFrame:
        """Keeps 70 frames, and answers with the one that it keeps longest."""
        kept: list[VideoFrame] = self.stream.state["kept"]
        kept.append(frame)
        if len(kept) > 70:
            kept.pop(0)
        return kept[0]

    def nothing(self, frame: VideoFrame) -> None:
        return None

    def twice(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        yield frame
        time.sleep(0.3)
        copy = VideoFrame.from_ndarray(255 - frame.to_ndarray("rgb24"), like=frame)
        copy.raw.pts = frame.pts + 1
        yield copy

    def many(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """More than there is room for on the way, and fewer than hold up a generator."""
        gray = np.empty((36, 64), np.uint8)
        for n in range(260):
            gray[:] = n % 256
            yield VideoFrame.from_ndarray(gray, like=frame, pts=frame.pts + n)

    def again(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """The same frame twice, and another picture in it the second time."""
        frame.planes[0][:] = 10
        yield frame
        frame.planes[0][:] = 200
        yield frame

    def another(self, frame: VideoFrame) -> VideoFrame:
        """A picture of another size where the first one was."""
        frame.raw = frame.raw.reformat(width=64, height=36)
        for plane in frame.raw.planes:
            plane.update(bytes([77]) * plane.buffer_size)
        return frame

    def overtakes(self, frame: VideoFrame) -> Any:
        """Many results of a frame for which those of an earlier one are not there yet."""
        return self.slowly(frame) if frame.pts == 0 else self.many_later(frame)

    async def many_later(self, frame: VideoFrame) -> AsyncIterator[VideoFrame]:
        for picture in self.many(frame):
            yield picture

    async def slowly(self, frame: VideoFrame) -> VideoFrame:
        await asyncio.sleep(0.5)
        return frame

    def odd_time(self, frame: VideoFrame) -> VideoFrame:
        frame.pts = np.int64(frame.pts + 5)
        return frame

    def no_time(self, frame: VideoFrame) -> VideoFrame:
        frame.pts = 2**70 if frame.pts % 2 else 1.5  # type: ignore[assignment]  # the mistake
        return frame

    def upside_down(self, frame: VideoFrame) -> VideoFrame:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            template=None,
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        flip, sink = graph.add("vflip"), graph.add("buffersink")
        source.link_to(flip)
        flip.link_to(sink)
        graph.configure()
        graph.push(frame.raw)
        frame.raw = graph.pull()
        return frame

    def circle(self, frame: VideoFrame) -> None:
        error = ValueError("round and round")
        raise error from error

    def later(self, frame: VideoFrame) -> None:
        self.stream.state["kept"].append(frame)
        stream = self.stream

        def emit() -> None:
            for kept in stream.state["kept"]:
                stream.emit_frame(kept)
            stream.emit_event({"said": "emitted"})
            stream.emit_data({"n": len(stream.state["kept"])})

        if len(self.stream.state["kept"]) == 3:
            threading.Thread(target=emit).start()

    def fails(self, frame: VideoFrame) -> None:
        raise ValueError(f"no luck with {frame.pts}")

    def exits(self, frame: VideoFrame) -> None:
        os._exit(3)

    def dies(self, frame: VideoFrame) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def faults(self, frame: VideoFrame) -> None:
        ctypes.string_at(0)

    def hogs(self, frame: VideoFrame) -> None:
        raise MemoryError("no more")

    def hogs_device(self, frame: VideoFrame) -> None:
        raise OutOfMemoryError("CUDA out of memory")

    def hangs(self, frame: VideoFrame) -> None:
        time.sleep(60)

    def breeds(self, frame: VideoFrame) -> VideoFrame:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        note(f"child {child.pid}")
        return frame


class Odd(LivePipeline):
    """Does what no hook should; `do` says what."""

    class Params(BaseModel):
        do: str = "same"
        n: int = 0

        @field_validator("do")
        @classmethod
        def _check(cls, do: str) -> str:
            return {"unknown": {}}.get(do, {do: do})[do]

    def on_stream_start(self, params: Params) -> None:
        note(f"start {self.stream.id}")

    def on_params_update(self, params: Params) -> None:
        if params.do == "exit":
            sys.exit(0)

    async def process_video(self, frame: VideoFrame) -> VideoFrame:
        do = self.stream.params.do
        if do == "wait":
            await asyncio.Event().wait()
        elif do == "leave":
            sys.exit(3)
        elif do in GARBAGE:
            (channel,) = (found for found in gc.get_objects() if type(found) is Channel)
            channel.send(GARBAGE[do])
        return frame


GARBAGE: dict[str, Any] = {
    "result": Result(0, 7, True, None),  # type: ignore[arg-type]
    "event": Event(0, 5),  # type: ignore[arg-type]
    "slot": Result(0, [(9999, describe(VideoFrame(av.VideoFrame(16, 16))))], True, None),
    "time": Result(0, [(0, AudioDescription(1, "mono", "fltp", 1, 1, 4, 0, (1, 0)))], True, None),
    "other": Interrupt(0),
    "failed": Failed("so it says, and stays"),
}


class Blocks(LivePipeline):
    """Holds the interpreter, and has a child."""

    def on_stream_start(self, params: dict[str, Any]) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        note(f"child {child.pid}")
        if params.get("block"):
            ctypes.PyDLL(None).sleep(60)


class OutOfMemoryError(RuntimeError):
    """As torch's, where there is no device to use up."""


OutOfMemoryError.__module__ = "torch"


class Overtakes(Changes):
    """Two frames at a time."""

    frames_in_flight = 2


class Reorders(LivePipeline):
    """The first of each two frames takes longer."""

    frames_in_flight = 2

    async def process_video(self, frame: VideoFrame) -> VideoFrame:
        await asyncio.sleep(0.2 if frame.pts % 2 == 0 else 0.0)
        return frame


class Yields(LivePipeline):
    async def process_video(self, frame: VideoFrame) -> AsyncIterator[VideoFrame]:
        yield frame
        await asyncio.sleep(0.3)
        raw = av.VideoFrame.from_ndarray(frame.planes[0], format="gray")
        raw.pts, raw.time_base = frame.pts, frame.time_base
        yield VideoFrame(raw)


class Typed(LivePipeline):
    class Params(BaseModel):
        level: int = 1

    def on_stream_start(self, params: Params) -> None:
        if params.level == 13:
            raise ValueError("unlucky")

    async def on_params_update(self, params: Params) -> None:
        await asyncio.sleep(0.2)

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.planes[0][...] = self.stream.params.level
        return frame


class FailsTwice(LivePipeline):
    def setup(self) -> None:
        note("setup")
        if Path(os.environ[NOTES]).read_text().count("setup") < 3:
            raise RuntimeError("not yet")

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return frame


class HangsOnce(LivePipeline):
    def setup(self) -> None:
        note("setup")
        if Path(os.environ[NOTES]).read_text().count("setup") == 1:
            time.sleep(60)


class Sees(LivePipeline):
    """What a model process can see of its runner."""

    def setup(self) -> None:
        for name in ("ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_ORCH_TOKEN", "KEPT"):
            note(f"{name}={os.environ.get(name)}")
        note(f"modules {'aiohttp' in sys.modules}")
        note(f"terminal {os.getsid(0) == os.getpid()}")


class BlocksStart(LivePipeline):
    def on_stream_start(self, params: dict[str, Any]) -> None:
        if params.get("block"):
            note("blocks")
            time.sleep(60)
