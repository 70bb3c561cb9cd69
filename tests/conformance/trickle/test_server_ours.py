"""Where our server differs from go-livepeer's on purpose: what no peer may rely on elsewhere."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle.errors import Refused

from .wire import Cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Serve
    from .wire import Connection


@pytest.mark.parametrize("seq", [-3, -5, -1001])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_s47_a_number_below_the_wishes_is_refused(ours: Serve, method: str, seq: int) -> None:
    channel = (await ours(autocreate=True)).channel()
    await channel.fill(0)
    body = b"x" if method == "POST" else None
    answer = await channel.server.ask(method, f"{channel.name}/{seq}", body=body)
    assert (answer.status, answer.text) == (400, "Invalid idx")
    await channel.fill(1)
    assert (await channel.get(1)).body == b"1"


@pytest.mark.parametrize(("method", "seq"), [("POST", -2), ("DELETE", -1), ("DELETE", -2)])
async def test_s47_a_wish_is_for_readers_and_the_next_for_publishers(
    ours: Serve, method: str, seq: int
) -> None:
    channel = (await ours(autocreate=True)).channel()
    await channel.fill(0)
    body = b"x" if method == "POST" else None
    answer = await channel.server.ask(method, f"{channel.name}/{seq}", body=body)
    assert (answer.status, answer.text) == (400, "Invalid idx")
    await channel.fill(1)
    assert (await channel.delete()).status == 200


async def begun(ours: Serve, **settings: object) -> tuple[Connection, Connection]:
    """A publisher that has sent a byte of segment 0, and a reader that has it."""
    channel = (await ours(autocreate=True, **settings)).channel("c")
    writer = await channel.post(0)
    await writer.send_chunk(b"part")
    await channel.server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(4) == b"part"
    return writer, reader


@pytest.mark.parametrize("by", ["publisher", "reader"])
async def test_s43_a_segment_that_is_evicted_unfinished_is_cut_off(ours: Serve, by: str) -> None:
    server = await ours(autocreate=True)
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(4) == b"part"
    writer.abort()
    await channel.fill(*range(1, 5))
    await reader.quiet(server.settle_s)
    await (channel.fill(5) if by == "publisher" else channel.reader(5))
    with pytest.raises(Cut):
        await reader.chunk()
    assert (await channel.get(0)).status == 470


@pytest.mark.parametrize("by", ["publisher", "reader"])
async def test_s43_who_waits_for_a_segment_that_is_evicted_is_released(
    ours: Serve, by: str
) -> None:
    server = await ours(autocreate=True)
    channel = server.channel()
    await channel.create()
    reader, writer = await channel.waiting_reader(0), await channel.waiting_post(0)
    await channel.fill(*range(1, 5))
    await reader.quiet(server.settle_s)
    await (channel.fill(5) if by == "publisher" else channel.reader(5))
    read, written = await reader.answer(limit_s=2), await writer.answer(limit_s=2)
    assert (read.status, read.body, read.trickle["Seq"]) == (200, b"", "0")
    assert (written.status, written.trickle) == (200, {"Seq": "0"})
    assert "Closed" not in read.trickle


async def test_s42_what_comes_after_the_end_of_a_segment_goes_nowhere(ours: Serve) -> None:
    channel = (await ours(autocreate=True)).channel()
    late = await channel.post(0)
    await late.send_chunk(b"first")
    await channel.server.settle()
    await channel.publish(0, b" second")
    await late.send_chunk(b" third")
    await late.send_last()
    assert (await late.answer()).trickle == {"Seq": "0"}
    assert (await channel.get(0)).body == b"first second"


async def test_s59_bytes_that_flow_keep_a_channel_alive(ours: Serve) -> None:
    channel = (await ours(autocreate=True, idle_timeout_s=0.3, sweep_interval_s=0.05)).channel()
    writer = await channel.post(0)
    until = time.monotonic() + 0.9
    while time.monotonic() < until:
        await writer.send_chunk(b"x")
        await asyncio.sleep(0.05)
    assert await channel.next() == 1
    await writer.send_last()
    assert (await writer.answer()).trickle == {"Seq": "0"}


@pytest.mark.parametrize("case", ["unknown", "finished", "deleted"])
async def test_s03_s26_s33_a_close_that_is_announced_happens_at_once(
    ours: Serve, case: str
) -> None:
    server = await ours(autocreate=case != "unknown")
    channel = server.channel()
    if case == "finished":
        await channel.fill(0)
    writer = await channel.post(0)
    if case == "deleted":
        await server.settle()
        await channel.delete()
    answer = await writer.answer(limit_s=2)
    assert answer.head.closes
    await writer.ended(within_s=1)


async def test_s61_nobody_but_the_server_writes_its_changefeed(ours: Serve) -> None:
    feed = (await ours(autocreate=True, changefeed=True)).channel("_changes")
    for answer in (await feed.publish(1, b"x"), await feed.delete(), await feed.delete(0)):
        assert answer.status == 403
    assert await feed.next() == 1


async def test_s45_a_segment_over_the_limit_is_413_and_its_readers_see_a_cut(
    ours: Serve,
) -> None:
    writer, reader = await begun(ours, max_segment_bytes=1000)
    await writer.send_chunk(b"x" * 1000)
    answer = await writer.answer()
    assert answer.status == 413
    assert answer.head.closes
    with pytest.raises(Cut):
        await reader.chunk()


async def test_s01_channels_over_the_limit_are_503(ours: Serve) -> None:
    server = await ours(autocreate=True, max_channels=2)
    await server.channel("a").fill(0)
    await server.channel("b").fill(0)
    full = server.channel("c")
    assert (await full.create()).status == 503
    assert (await full.publish(0, b"x")).status == 503
    assert (await server.channel("a").create()).status == 200
    await server.channel("b").delete()
    assert (await full.create()).status == 200


async def test_s22_readers_over_the_limit_are_503(ours: Serve) -> None:
    channel = (await ours(autocreate=True, max_subscribers=1)).channel()
    await channel.create()
    waiting = await channel.waiting_reader(0)
    assert (await channel.get(0)).status == 503
    waiting.abort()
    await channel.fill(0)
    assert (await channel.get(0)).status == 200


async def test_s32_publishers_over_the_limit_are_503(ours: Serve) -> None:
    channel = (await ours(autocreate=True, max_publishers=1)).channel()
    waiting = await channel.waiting_post(0)
    refused = await channel.post(1)
    answer = await refused.answer(limit_s=2)
    assert answer.status == 503
    assert answer.head.closes
    await waiting.send_last()
    await waiting.answer()
    await channel.fill(1)


class Hook:
    """An `authorize` whose verdict a header names."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, operation: str, channel: str, headers: Mapping[str, str]) -> bool:
        self.asked.append((operation, channel))
        verdict = headers.get("x-verdict", "yes")
        if verdict.isdigit():
            raise Refused("not for you", status=int(verdict))
        if verdict == "fault":
            raise RuntimeError("the hook is broken")
        return verdict == "yes"


OPERATIONS = [
    ("create", "POST", "c"),
    ("publish", "POST", "c/0"),
    ("subscribe", "GET", "c/0"),
    ("subscribe", "GET", "c/next"),
    ("delete_segment", "DELETE", "c/0"),
    ("delete", "DELETE", "c"),
    ("list", "GET", ""),
]


@pytest.mark.parametrize(
    ("verdict", "status", "text"),
    [("no", 403, "Forbidden"), ("403", 403, "not for you"), ("451", 451, "not for you")],
)
@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS)
async def test_s63_a_hook_refuses_each_operation(
    ours: Serve, operation: str, method: str, path: str, verdict: str, status: int, text: str
) -> None:
    hook = Hook()
    server = await ours(autocreate=True, listing=True, authorize=hook)
    await server.channel("c").fill(0)
    hook.asked.clear()
    body = b"x" if method == "POST" else None
    answer = await server.ask(method, path, headers={"X-Verdict": verdict}, body=body)
    assert (answer.status, answer.text) == (status, text)
    assert hook.asked == [(operation, "c" if path else "")]
    assert (await server.channel("c").get(0)).body == b"0"
    assert await server.channel("c").next() == 1


async def test_s63_a_hook_that_is_broken_is_500_and_lets_nobody_in(ours: Serve) -> None:
    server = await ours(autocreate=True, authorize=Hook())
    channel = server.channel()
    answer = await server.ask("POST", channel.name, headers={"X-Verdict": "fault"}, body=b"")
    assert answer.status == 500
    assert (await channel.get("next")).status == 404


async def test_s63_a_hook_may_wait(ours: Serve) -> None:
    async def authorize(operation: str, channel: str, headers: Mapping[str, str]) -> bool:
        await asyncio.sleep(0.01)
        return channel == "yes"

    server = await ours(autocreate=True, authorize=authorize)
    assert (await server.channel("yes").publish(0, b"x")).status == 200
    refused = await server.channel("no").post(0)
    answer = await refused.answer(limit_s=2)
    assert answer.status == 403
    assert answer.head.closes


@pytest.mark.parametrize("status", [399, 500])
async def test_s63_a_refusal_is_4xx(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        Refused("not for you", status=status)


async def test_s02_the_channels_are_listed_where_that_is_wanted(ours: Serve) -> None:
    server = await ours(listing=True, autocreate=True)
    assert json.loads((await server.ask("GET", "")).body) == {"channels": []}
    await server.channel("a").create("test/kind")
    await server.channel("a").fill(0)
    assert json.loads((await server.ask("GET", "")).body) == {
        "channels": [{"name": "a", "next": 1, "content_type": "test/kind"}]
    }
    silent = await ours(autocreate=True)
    assert (await silent.ask("GET", "")).status == 404
