"""The trickle server between all: `python -m _live.server`; it says where it is."""

from __future__ import annotations

import asyncio
import sys

from _face.roles import say
from livepeer.trickle import TrickleServer


async def serve() -> None:
    """Serve until standard input ends."""
    async with TrickleServer(autocreate=True).listening() as url:
        say({"url": url})
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
