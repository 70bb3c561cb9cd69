"""Streams of events: items as they come, their ends and their limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read from the annotations
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from pydantic import JsonValue  # noqa: TC002 - read from the annotations

from livepeer.client import (
    CapabilityUnavailable,
    ClientError,
    NoOrchestrator,
    RunnerError,
    StreamCut,
)
from livepeer.runner import Pipeline

if TYPE_CHECKING:
    from conftest import Network, Until
    from livepeer.client import Client


class Echo(Pipeline):
    def predict(self, items: list[JsonValue], failure: str = "") -> Iterator[JsonValue]:
        yield from items
        if failure:
            raise RuntimeError(failure)


class Stepwise(Pipeline):
    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def predict(self) -> AsyncIterator[str]:
        yield "first"
        await self.go_on.wait()
        yield "second"


async def items_of(client: Client, name: str, payload: dict[str, object]) -> list[object]:
    return [item async for item in client.call_events(name, payload)]


@pytest.mark.signed
async def test_items(network: Network, client: Client) -> None:
    items: list[object] = [0, -1.5, None, True, "", "a\nb\r\n: c", {"data": ["雪"]}, [], {}]
    async with network.serve(Echo()) as runner:
        assert await items_of(client, runner.name, {"items": items}) == items
        assert await items_of(client, runner.name, {"items": []}) == []


async def test_each_item_comes_when_it_is_made(network: Network, client: Client) -> None:
    pipeline = Stepwise()
    async with network.serve(pipeline) as runner:
        items = client.call_events(runner.name, {})
        assert await anext(items) == "first"
        pipeline.go_on.set()
        assert [item async for item in items] == ["second"]


async def test_the_mark_of_the_end_inside_of_text(network: Network, client: Client) -> None:
    items: list[object] = [
        "before",
        "[DONE]",
        {"[DONE]": ["data: [DONE]\n\n", "\\[DONE]"]},
        "after",
    ]
    async with network.serve(Echo()) as runner:
        assert await items_of(client, runner.name, {"items": items}) == items


async def test_an_item_of_200_kilobytes(network: Network, client: Client) -> None:
    # Relays end a stream at a line of 64 KiB.
    items: list[object] = ["before", [f"{n:05d}" * 1000 for n in range(40)], "after"]
    async with network.serve(Echo()) as runner:
        assert await items_of(client, runner.name, {"items": items}) == items


async def test_an_item_that_no_line_can_hold_is_an_error(network: Network, client: Client) -> None:
    async with network.serve(Echo()) as runner:
        items = client.call_events(runner.name, {"items": ["before", "x" * 200_000, "after"]})
        assert await anext(items) == "before"
        with pytest.raises(RunnerError, match="200002 bytes"):
            await anext(items)


async def test_an_error_in_the_middle(network: Network, client: Client) -> None:
    async with network.serve(Echo()) as runner:
        items = client.call_events(runner.name, {"items": [1, 2], "failure": "no luck"})
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(RunnerError) as caught:
            await anext(items)
        assert caught.value.detail == "RuntimeError: no luck"
        assert await items_of(client, runner.name, {"items": [3]}) == [3]


async def test_an_error_before_the_first_item(network: Network, way: str, client: Client) -> None:
    async with network.serve(Echo()) as runner:
        with pytest.raises(ClientError) as caught:
            await items_of(client, runner.name, {"items": [], "failure": "no luck"})
        if way == "direct":
            assert isinstance(caught.value, RunnerError)
            assert (caught.value.status, caught.value.detail) == (500, "RuntimeError: no luck")
        else:
            assert isinstance(caught.value, NoOrchestrator)
        with pytest.raises(RunnerError) as refused:
            await items_of(client, runner.name, {"items": "none"})
        assert refused.value.status == 422


async def test_a_stream_longer_than_its_time_is_cut(network: Network, direct: Client) -> None:
    # Not through a gateway: it sends blank lines for ten seconds more.
    pipeline = Stepwise()
    async with network.serve(pipeline) as runner:
        items = direct.call_events(runner.name, {}, timeout_s=1)
        assert await anext(items) == "first"
        with pytest.raises(StreamCut):
            await anext(items)
        pipeline.go_on.set()
        assert await items_of(direct, runner.name, {}) == ["first", "second"]


async def test_a_caller_who_leaves_frees_the_slot(
    network: Network, client: Client, until: Until
) -> None:
    pipeline = Stepwise()
    async with network.serve(pipeline, concurrency=1, queue=0) as runner:
        items = client.call_events(runner.name, {})
        assert await anext(items) == "first"
        await items.aclose()
        pipeline.go_on.set()

        async def runs_again() -> bool:
            # Until the runner has noticed, its only slot is taken.
            with suppress(CapabilityUnavailable, NoOrchestrator, RunnerError):
                return await items_of(client, runner.name, {}) == ["first", "second"]
            return False

        await until(runs_again)
