"""Write lines of text into a stream's input, and print what comes out of it.

    uv run livepeer dev examples/runner/passthrough
    uv run python examples/client/byoc_write_text.py --orchestrator http://127.0.0.1:8935 one two

The input of a stream carries whatever bytes caller and runner agree on. Here it is text, one line
to a segment, for a runner that passes on what it gets.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from livepeer.client import Client, ClientError
from livepeer.client.media import FramePublisher, segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.client import BYOCJob


async def write(job: BYOCJob, lines: Sequence[str]) -> None:
    """Write each line, no faster than the runner reads: an orchestrator keeps only the last few."""
    async with FramePublisher(job, patient=True) as publisher:
        for line in lines:
            await publisher.write_bytes(line.encode())


async def read(job: BYOCJob) -> None:
    """Print what comes out, until the output ends."""
    async for segment in segments(job):
        print(segment.decode(errors="replace"), flush=True)


async def main(options: argparse.Namespace) -> None:
    """Write and read at the same time."""
    async with (
        Client(orchestrators=[options.orchestrator]) as client,
        await client.start_stream(options.capability, data_out=False) as job,
    ):
        await asyncio.gather(write(job, options.text), read(job))


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Lines of text through a stream.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("--capability", metavar="NAME", default="passthrough")
    parser.add_argument("text", nargs="+", help="A line to write.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except ClientError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
