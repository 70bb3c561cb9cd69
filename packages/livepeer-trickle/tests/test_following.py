"""A subscriber that was led to an edge which has moved back by the time it asks there."""

from __future__ import annotations

import asyncio

from aiohttp import web

from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.testing import serve

FAR = 1000


def channel(*held: int) -> web.Application:
    """Tells of an edge at `FAR` at first, and from then on of one that moves on from 5."""
    edges = iter([FAR, *range(5, 100)])
    told = set[int]()

    async def get(request: web.Request) -> web.Response:
        seq = int(request.match_info["seq"])
        if seq in held or (seq in told and seq != FAR):
            return web.Response(text="held", headers={"Lp-Trickle-Seq": str(seq)})
        edge = next(edges)
        told.add(edge)
        headers = {"Lp-Trickle-Latest": str(edge), "Lp-Trickle-Seq": str(seq)}
        return web.Response(status=470, reason="Entry not found", headers=headers)

    app = web.Application()
    app.router.add_get("/c/{seq}", get)
    return app


async def test_it_goes_on_at_the_edge_although_it_has_read_nothing_yet() -> None:
    async with (
        serve(channel()) as base,
        TrickleSubscriber(f"{base}/c", start=0) as subscriber,
        asyncio.timeout(5),
    ):
        assert (await anext(subscriber)).seq < 10


async def test_what_it_was_to_miss_before_the_edge_moved_back_is_no_gap() -> None:
    async with (
        serve(channel(0)) as base,
        TrickleSubscriber(f"{base}/c", start=0) as subscriber,
        asyncio.timeout(5),
    ):
        assert (await anext(subscriber)).seq == 0
        segment = await anext(subscriber)
        assert segment.seq < 10
        assert segment.gap <= segment.seq
