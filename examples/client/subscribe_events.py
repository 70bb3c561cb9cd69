"""Start a stream, and print what its runner reports, one JSON object to a line.

    uv run livepeer dev examples/runner/live_grayscale
    uv run python examples/client/subscribe_events.py --orchestrator http://127.0.0.1:8935 grayscale

It goes on until Ctrl-C, or with --count N until the Nth event; then the stream is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import aclosing

from livepeer.client import Client, ClientError


async def main(options: argparse.Namespace) -> None:
    """Events come from the start of the stream on, also those before we began to read."""
    seen = 0
    async with (
        Client(orchestrators=[options.orchestrator]) as client,
        await client.start_stream(options.capability, params=options.params) as job,
        aclosing(job.events()) as events,
    ):
        async for event in events:
            print(json.dumps(event), flush=True)
            seen += 1
            if seen == options.count:
                return


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="What the runner of a stream reports.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument("capability", help="A live capability.")
    parser.add_argument("--params", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--count", type=int, metavar="N", help="End after so many events.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except ClientError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
