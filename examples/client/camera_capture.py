"""Your camera through a live capability, into a video file or a single picture.

    uv run livepeer dev examples/runner/live_grayscale --live
    uv run python examples/client/camera_capture.py --orchestrator http://127.0.0.1:8935 \\
        grayscale --output out.mp4

With `--output out.png` (or .jpg) the last picture that came out is kept. Where there is no camera,
and with `--camera test`, a test picture that moves goes in. No microphone is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from livepeer.client import Client, ClientError
from livepeer.client.media import MediaError, Recorder, TestPattern, Transfer, Webcam

if TYPE_CHECKING:
    from livepeer.client.media import Source, Summary

PICTURES = {".png": ("png", "rgb24"), ".jpg": ("mjpeg", "yuvj420p"), ".jpeg": ("mjpeg", "yuvj420p")}


def open_camera(name: str) -> Source:
    """The camera of that number or name, or else the test picture."""
    if name != "test":
        try:
            return Webcam(int(name) if name.isdecimal() else name)
        except MediaError as error:
            print(f"a test picture goes in, for {error}", file=sys.stderr)
    return TestPattern()


async def record(options: argparse.Namespace, target: Path) -> Summary:
    """The camera in and a file out, for as many seconds as were asked for."""
    with Recorder(target) as recorder, closing(open_camera(options.camera)) as camera:
        async with (
            Client(orchestrators=[options.orchestrator]) as client,
            await client.start_stream(options.capability, data_out=False) as job,
        ):
            summary = await Transfer(job, camera, limit_s=options.seconds).run(recorder)
        if not recorder.finish():
            raise MediaError(f"nothing came out: {'; '.join(summary.errors) or 'no reason'}")
    return summary


def keep_last_picture(video: Path, target: Path) -> None:
    """Write the last picture of a video as a file of its own."""
    with av.open(str(video)) as container:
        *_, last = container.decode(video=0)
    codec, format = PICTURES[target.suffix.lower()]
    encoder = av.VideoCodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = last.width, last.height, format
    encoder.time_base = Fraction(1)
    packets = [*encoder.encode(last.reformat(format=format)), *encoder.encode(None)]
    target.write_bytes(b"".join(map(bytes, packets)))


async def main(options: argparse.Namespace) -> None:
    """A picture is the end of a recording that is thrown away."""
    if options.output.suffix.lower() not in PICTURES:
        summary = await record(options, options.output)
    else:
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video.mp4"
            summary = await record(options, video)
            keep_last_picture(video, options.output)
    print(f"{summary.frames_in} pictures went in, {summary.frames_out} came out: {options.output}")


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Your camera through a live capability.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("capability", help="A capability that takes and gives video.")
    parser.add_argument("--camera", default="0", help="Its number or name, or `test`.")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path("out.mp4"), metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ClientError, MediaError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
