"""A server in a process of its own: `python -m _trickle.server ours|bare [--uvloop]`.

It prints its base URL, and for each line on standard input the CPU seconds that it has used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from aiohttp import web

from _face.roles import cpu_seconds, say

from .load import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def ours(_: Plan) -> None:
    """This project's server."""
    from livepeer.trickle import TrickleServer

    async with TrickleServer(autocreate=True).listening() as url:
        await _answer(url)


async def bare(plan: Plan) -> None:
    """A handler on aiohttp that sends the bytes of a segment, in the same pieces, and no more."""
    # As many pieces of memory as a segment has: one alone would always be in the cache.
    pieces = [bytes([ord("a") + n % 26]) * plan.piece_bytes for n in range(plan.pieces)]

    async def segment(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/MP2T"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    async def channel(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/{name}/{seq}", segment)
    app.router.add_route("*", "/{name}", channel)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    await _answer(f"http://{host}:{port}")


async def _answer(url: str) -> None:
    asked = asyncio.Event()

    def read() -> None:
        if not sys.stdin.readline():
            asyncio.get_running_loop().remove_reader(sys.stdin)
        asked.set()

    asyncio.get_running_loop().add_reader(sys.stdin, read)
    say({"url": url})
    while True:
        await asked.wait()
        asked.clear()
        say({"cpu": cpu_seconds()})


def main() -> None:
    """Serve until the process is ended."""
    servers: dict[str, Callable[[Plan], Coroutine[None, None, None]]] = {"ours": ours, "bare": bare}
    parser = argparse.ArgumentParser()
    parser.add_argument("server", choices=servers)
    parser.add_argument("plan", type=Plan.parse)
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    run = import_module("uvloop").run if options.uvloop else asyncio.run
    run(servers[options.server](options.plan))


if __name__ == "__main__":
    main()
