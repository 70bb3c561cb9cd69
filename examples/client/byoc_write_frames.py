"""Write pictures that are made here, as arrays, into a stream, and keep what comes out.

    uv run livepeer dev examples/runner/live_grayscale --live
    uv run python examples/client/byoc_write_frames.py --orchestrator http://127.0.0.1:8935 \\
        grayscale --output out.ts

Arrays of uint8, (height, width, 3) for RGB, go in; they are coded to H.264 on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from livepeer.client import Client, ClientError
from livepeer.client.media import FramePublisher, VideoOutputConfig, chunks

if TYPE_CHECKING:
    from livepeer.client import BYOCJob

WIDTH, HEIGHT = 320, 180


def picture(number: int) -> np.ndarray:
    """Two colours that shade into each other, and a white bar that moves on 4 pixels a picture."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, WIDTH)
    image[..., 2] = np.linspace(255, 0, HEIGHT)[:, None]
    left = number * 4 % (WIDTH - 16)
    image[:, left : left + 16] = 255
    return image


async def write(job: BYOCJob, config: VideoOutputConfig, count: int) -> None:
    """Put the pictures in, each when it is due, and end the input."""
    async with FramePublisher(job, config, realtime=True) as publisher:
        for number in range(count):
            await publisher.write(picture(number))


async def read(job: BYOCJob, output: Path) -> None:
    """Keep what comes out (MPEG-TS), until the output ends."""
    with output.open("wb") as file:
        async for chunk in chunks(job):
            file.write(chunk)


async def main(options: argparse.Namespace) -> None:
    """Write and read at the same time."""
    config = VideoOutputConfig(fps=options.fps)
    count = round(options.seconds * options.fps)
    async with (
        Client(orchestrators=[options.orchestrator]) as client,
        await client.start_stream(options.capability, data_out=False) as job,
    ):
        await asyncio.gather(write(job, config, count), read(job, options.output))
    print(f"{count} pictures went in; {options.output} is what came out")


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Arrays as the pictures of a stream.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("capability", help="A capability that takes and gives video.")
    parser.add_argument("--fps", type=float, default=25, help="Pictures in a second, from 1.")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path("out.ts"), metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ClientError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
