"""Your camera through an example, and what comes out in a window.

    uv run python examples/runner/webcam.py live_grayscale

Needs `ffplay` for the window; the camera is opened by PyAV. The environment chooses the camera:

- `WEBCAM_DEVICE`: `/dev/video0` on Linux, `0` on macOS, by default; the camera's name on Windows;
  `test` for a picture that is made here.
- `WEBCAM_RES`: 1280x720 by default.
- `WEBCAM_FPS`: 30 by default.
- `SKIP_VIEWER=1`: no window; with `--output out.ts` what comes out is kept.

It runs `livepeer dev`, which serves the pipeline behind a local orchestrator, and streams to that
as any program on the network would. Pictures only: no microphone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av

from livepeer.client import Client, ClientError
from livepeer.trickle import TrickleError
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.media import Piece, Segmenter, VideoEncoder, VideoFrame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from av.container import InputContainer

    from livepeer.client import BYOCJob

    Sink = Callable[[bytes], Awaitable[None]]
    Source = Callable[[], Future[Piece | None]]

HERE = Path(__file__).parent
DRAIN_S = 10.0
LINGER_S = 0.5
END_S = 10.0
SYSTEMS = {
    "linux": ("v4l2", "/dev/video0"),
    "darwin": ("avfoundation", "0"),
    "win32": ("dshow", None),
}
VIEWER = (
    *("ffplay", "-loglevel", "error", "-window_title", "Livepeer", "-f", "mpegts"),
    *("-fflags", "nobuffer", "-flags", "low_delay", "-probesize", "65536", "-framedrop", "-i", "-"),
)


class Mistake(Exception):
    """Something is missing or wrong on this machine; the text says what, in a line."""


@dataclass(frozen=True)
class Camera:
    """Which camera, and what it is asked for."""

    device: str | None
    size: str
    rate: str

    @classmethod
    def from_environment(cls) -> Camera:
        """Read the `WEBCAM_` variables."""
        size, rate = os.environ.get("WEBCAM_RES", "1280x720"), os.environ.get("WEBCAM_FPS", "30")
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            raise Mistake(f"WEBCAM_RES is {size!r}: write it as 1280x720")
        if not re.fullmatch(r"[1-9]\d*", rate):
            raise Mistake(f"WEBCAM_FPS is {rate!r}: write it as 30")
        return cls(os.environ.get("WEBCAM_DEVICE") or None, size, rate)

    def open(self) -> InputContainer:
        """Begin to record."""
        if self.device == "test":
            picture = f"testsrc=size={self.size}:rate={self.rate},realtime"
            return av.open(picture, format="lavfi")
        system, usual = SYSTEMS.get(sys.platform, ("v4l2", None))
        device = self.device or usual
        if device is None:
            raise Mistake("name your camera in WEBCAM_DEVICE")
        name = f"video={device}" if system == "dshow" else device
        if not any(system in names.split(",") for names in av.formats_available):
            raise Mistake(f"this build of PyAV opens no camera: it has no {system}")
        try:
            options = {"video_size": self.size, "framerate": self.rate}
            return av.open(name, format=system, options=options)
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Mistake(
                f"camera {device} does not give {self.size} at {self.rate} frames a second:"
                f" {reason} (see WEBCAM_DEVICE, WEBCAM_RES, WEBCAM_FPS)"
            ) from None


def pieces(camera: InputContainer) -> Iterator[Piece]:
    """The camera's pictures as what a stream takes, on a clock that begins at a second."""
    encoder, segmenter = VideoEncoder(), Segmenter({"video": "h264"})
    first: int | None = None
    for raw in camera.decode(video=0):
        if raw.pts is None or raw.time_base is None:
            continue
        first = raw.pts if first is None else first
        raw.pts += round(1 / raw.time_base) - first
        for unit in encoder.encode(VideoFrame(raw)):
            yield segmenter.add(unit)


async def send(job: BYOCJob, source: Source, until_s: float | None) -> int:
    """Publish what the camera gives, which drops what the network delays; how many pictures."""
    loop, frames, segment = asyncio.get_running_loop(), 0, None
    begin = loop.time()
    async with job.publisher() as publisher:
        while (piece := await asyncio.wrap_future(source())) is not None:
            if piece.starts:
                if segment is not None:
                    await segment.close()
                if until_s is not None and loop.time() - begin >= until_s:
                    return frames
                segment = await publisher.open_segment()
            assert segment is not None
            await segment.write(piece.data)
            frames += 1
        if segment is not None:
            await segment.close()
    return frames


async def receive(job: BYOCJob, sink: Sink) -> None:
    """Hand on what comes out, until the stream ends or nobody takes it."""
    with suppress(BrokenPipeError, ConnectionResetError):  # the window was closed
        async with job.subscriber() as subscriber:
            async for segment in subscriber:
                async for chunk in segment:
                    await sink(chunk)


async def watch(job: BYOCJob) -> None:
    """Tell what goes wrong in the runner, until it says that it has sent all that it will."""
    async for event in job.events():
        if event.get("type") == "error":
            say(f"error: {event.get('message')}")
        if event.get("type") == "end_of_stream":
            return


async def play(job: BYOCJob, source: Source, sink: Sink, until_s: float | None) -> None:
    """Until the time is over, the camera ends, or the window is closed."""
    sending = asyncio.create_task(send(job, source, until_s))
    receiving = asyncio.create_task(receive(job, sink))
    watching = asyncio.create_task(watch(job))
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            say(f"{sending.result()} pictures went in")
            await asyncio.wait((watching,), timeout=DRAIN_S)
            await asyncio.wait((receiving,), timeout=LINGER_S)
        if receiving.done():
            receiving.result()
    finally:
        await cancel_and_wait(sending, receiving, watching)


@asynccontextmanager
async def viewer() -> AsyncGenerator[Sink]:
    """A window that shows what is written to it."""
    window = await asyncio.create_subprocess_exec(*VIEWER, stdin=asyncio.subprocess.PIPE)
    pipe = window.stdin
    assert pipe is not None

    async def write(data: bytes) -> None:
        pipe.write(data)
        await pipe.drain()

    try:
        yield write
    finally:
        pipe.close()
        await ended(window)


@asynccontextmanager
async def recording(path: Path | None) -> AsyncGenerator[Sink]:
    """A file of what is written to it; None forgets it."""
    with path.open("wb") if path is not None else nullcontext() as file:

        async def write(data: bytes) -> None:
            if file is not None:
                file.write(data)

        yield write


@asynccontextmanager
async def served(example: Path) -> AsyncGenerator[tuple[str, str]]:
    """`livepeer dev` with an example; its capability's name and the orchestrator's URL."""
    command = [sys.executable, "-m", "livepeer.cli", "dev", str(example), "--live"]
    for option in ("--port", "--orchestrator-port", "--gateway-port"):
        command += [option, "0"]
    # In a session of its own: Ctrl-C is for this program, which then ends that one.
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    said = process.stderr
    assert said is not None
    passing = None
    try:
        found = await announced(said)
        passing = asyncio.create_task(pass_on(said))
        yield found
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        if passing is not None:
            await cancel_and_wait(passing)
        await ended(process)


async def announced(said: asyncio.StreamReader) -> tuple[str, str]:
    """Read what `livepeer dev` says until it serves."""
    text = ""
    while line := (await said.readline()).decode(errors="replace"):
        text += line
        if line.startswith("Ctrl-C"):
            name = re.search(r"^(\S+) is on the local network", text, re.MULTILINE)
            url = re.search(r"^ +orchestrator +(\S+)", text, re.MULTILINE)
            assert name is not None
            assert url is not None
            return name[1], url[1]
    errors = re.findall(r"^error: (.*)", text, re.MULTILINE)
    raise Mistake(errors[-1] if errors else f"livepeer dev did not start: {text.strip()}")


async def pass_on(said: asyncio.StreamReader) -> None:
    """What the pipeline logs goes where ours goes."""
    while line := await said.readline():
        say(line.decode(errors="replace").rstrip())


async def ended(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was asked to end, and kill it when it does not."""
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def main(options: argparse.Namespace) -> None:
    """Camera to pipeline to window."""
    window = os.environ.get("SKIP_VIEWER", "0") in ("", "0")
    if window and shutil.which(VIEWER[0]) is None:
        raise Mistake("there is no ffplay: install FFmpeg, or set SKIP_VIEWER=1")
    camera = Camera.from_environment()
    with camera.open():  # whether it can be had; what it would record until the stream runs is old
        pass
    async with (
        served(options.example) as (name, orchestrator),
        Client(orchestrators=[orchestrator]) as client,
        await client.start_stream(name, params=options.params) as job,
        viewer() if window else recording(options.output) as sink,
    ):
        # The thread ends before the camera does: nobody may read from what is closed.
        with camera.open() as pictures, ThreadPoolExecutor(1) as reader:
            say(f"{name} runs; Ctrl-C ends it")
            source = pieces(pictures)
            await play(job, lambda: reader.submit(next, source, None), sink, options.seconds)


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Your camera through an example.")
    parser.add_argument("example", type=example, help="Name of an example, or path of a pipeline.")
    parser.add_argument("--params", type=json.loads, default={}, help="As JSON.")
    parser.add_argument("--seconds", type=float, help="End after so long.")
    parser.add_argument(
        "--output", type=Path, help="With SKIP_VIEWER=1: keep what comes out (.ts)."
    )
    return parser.parse_args()


def example(name: str) -> Path:
    """The folder of an example, or the path as it was given."""
    found = HERE / name if (HERE / name / "pipeline.py").is_file() else Path(name)
    if not found.exists():
        raise argparse.ArgumentTypeError(f"there is no example {name}")
    return found


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's own words


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (Mistake, ClientError, TrickleError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
