"""A subscriber on its way to an edge that does not wait for it. The servers here are scripted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web

from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable

FAR = 1000


def channel(answer: Callable[[int], web.Response]) -> web.Application:
    async def get(request: web.Request) -> web.Response:
        return answer(int(request.match_info["seq"]))

    app = web.Application()
    app.router.add_get("/c/{seq}", get)
    return app


def held(seq: int) -> web.Response:
    return web.Response(text="held", headers={"Lp-Trickle-Seq": str(seq)})


def not_held(seq: int, edge: int) -> web.Response:
    headers = {"Lp-Trickle-Latest": str(edge), "Lp-Trickle-Seq": str(seq)}
    return web.Response(status=470, reason="Entry not found", headers=headers)


def moving_back(*whole: int) -> web.Application:
    """Tells of an edge at `FAR` at first, and from then on of one that moves on from 5."""
    edges = iter([FAR, *range(5, 100)])
    told = [-1]

    def answer(seq: int) -> web.Response:
        if seq in whole:
            return held(seq)
        if seq == -1 or (seq in told and seq != FAR):
            return held(told[-1])
        told.append(next(edges))
        return not_held(seq, told[-1])

    return channel(answer)


def running_away(period_s: float) -> web.Application:
    """A burst moves the edge between the first two requests; then a segment comes each period."""
    began = time.monotonic()
    asked = []

    def answer(seq: int) -> web.Response:
        asked.append(seq)
        if len(asked) <= 2:
            return not_held(seq, 10 * len(asked))
        edge = 20 + int((time.monotonic() - began) / period_s)
        if seq == -1:
            return held(edge)
        return held(seq) if edge - 5 <= seq <= edge else not_held(seq, edge)

    return channel(answer)


async def test_it_goes_on_at_an_edge_that_moved_back_although_it_has_read_nothing_yet() -> None:
    async with (
        serve(moving_back()) as base,
        TrickleSubscriber(f"{base}/c", start=0) as subscriber,
        asyncio.timeout(5),
    ):
        assert (await anext(subscriber)).seq < 10


async def test_what_it_was_to_miss_before_the_edge_moved_back_is_no_gap() -> None:
    async with (
        serve(moving_back(0)) as base,
        TrickleSubscriber(f"{base}/c", start=0) as subscriber,
        asyncio.timeout(5),
    ):
        assert (await anext(subscriber)).seq == 0
        segment = await anext(subscriber)
        assert segment.seq < 10
        assert segment.gap <= segment.seq


async def test_it_catches_up_with_a_publisher_that_is_faster_than_its_pauses() -> None:
    async with (
        serve(running_away(0.01)) as base,
        TrickleSubscriber(f"{base}/c", start=0) as subscriber,
        asyncio.timeout(5),
    ):
        segment = await anext(subscriber)
        assert segment.seq == segment.gap >= 20
