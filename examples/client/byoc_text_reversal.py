"""Send texts into a stream that runs, and print each as it comes back, backwards.

    uv run livepeer dev examples/runner/live_text_reversal
    uv run python examples/client/byoc_text_reversal.py --orchestrator http://127.0.0.1:8935 \\
        stressed "no lemon"

A text goes in as an update of the parameters and comes out as a line of data; there is no media.
However this ends, by the last text, an error or Ctrl-C, the stream is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from livepeer.client import Client, ClientError, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from livepeer.client import BYOCJob

ANSWER_S = 10


async def reverse(
    job: BYOCJob, answers: AsyncIterator[Mapping[str, object]], number: int, text: str
) -> str:
    """One text there and back; `number` tells its answer from that of another."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await job.update({"number": number, "text": text})
            async for answer in answers:
                if answer.get("number") == number:
                    return str(answer["text"])
    except TimeoutError:
        raise StreamError(f"no answer to {text!r} within {ANSWER_S} s") from None
    raise StreamError(f"{job.capability} gives out no more data: start it again")


async def main(options: argparse.Namespace) -> None:
    """One stream for all texts."""
    async with (
        Client(orchestrators=[options.orchestrator]) as client,
        await client.start_stream(options.capability, video_in=False, video_out=False) as job,
        aclosing(job.data()) as answers,
    ):
        for number, text in enumerate(options.text, start=1):
            print(await reverse(job, answers, number, text))


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Texts, backwards, by a stream.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("--capability", metavar="NAME", default="live-text-reversal")
    parser.add_argument("text", nargs="+", help="What to turn around.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except ClientError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
