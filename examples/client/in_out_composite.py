"""A clip through a live capability, and what came out beside what went in, as one video.

    uv run livepeer dev examples/runner/live_grayscale
    uv run python examples/client/in_out_composite.py --orchestrator http://127.0.0.1:8935 \\
        grayscale --input examples/assets/bigbuckbunny.mp4 --output both.mp4

Pictures are put together by their times, which a stream keeps. The sound is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from livepeer.client import Client, ClientError
from livepeer.client.media import MediaError, MediaSource, Recorder, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator


async def record(options: argparse.Namespace, target: Path) -> None:
    """The clip in and a file out; nothing is lost on the way, however slow the capability is."""
    with MediaSource(options.input) as source, Recorder(target) as recorder:
        async with (
            Client(orchestrators=[options.orchestrator]) as client,
            await client.start_stream(options.capability, data_out=False) as job,
        ):
            transfer = Transfer(job, source, fast=options.fast, limit_s=options.seconds)
            summary = await transfer.run(recorder)
        if not recorder.finish():
            raise MediaError(f"nothing came out: {'; '.join(summary.errors) or 'no reason'}")


def pairs(given: Path, got: Path) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
    """Each picture that came out, with the one that was shown at that time before."""
    with av.open(str(given)) as before, av.open(str(got)) as after:
        originals = before.decode(video=0)
        original = next(originals)
        following = next(originals, None)
        for result in after.decode(video=0):
            # A hair early: times are rounded to ticks on their way.
            while following is not None and following.time <= result.time + 0.005:
                original, following = following, next(originals, None)
            yield original, result


def put_beside(given: Path, got: Path, target: Path) -> int:
    """Write the pairs, left and right, as one video; how many there are."""
    count, video = 0, None
    with av.open(str(target), "w") as output:
        for left, right in pairs(given, got):
            width, height = left.width & ~1, left.height & ~1
            if video is None:
                video = output.add_stream("libx264", rate=30)
                video.width, video.height = 2 * width, height
                video.codec_context.time_base = right.time_base
            halves = [
                side.to_ndarray(format="rgb24", width=width, height=height)
                for side in (left, right)
            ]
            both = av.VideoFrame.from_ndarray(np.hstack(halves), format="rgb24")
            both.pts, both.time_base = right.pts, right.time_base
            output.mux(video.encode(both))
            count += 1
        if video is not None:
            output.mux(video.encode(None))
    return count


async def main(options: argparse.Namespace) -> None:
    """First through the network, then put together."""
    with tempfile.TemporaryDirectory() as folder:
        got = Path(folder) / "out.mp4"
        await record(options, got)
        count = put_beside(options.input, got, options.output)
    print(f"{count} pictures, before and after: {options.output}")


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Before and after, side by side.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("capability", help="A capability that takes and gives video.")
    parser.add_argument("--input", type=Path, required=True, metavar="FILE")
    parser.add_argument("--output", type=Path, default=Path("both.mp4"), metavar="FILE")
    parser.add_argument("--seconds", type=float, help="Only the beginning.")
    parser.add_argument("--fast", action="store_true", help="Do not keep to the clip's own pace.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ClientError, MediaError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
