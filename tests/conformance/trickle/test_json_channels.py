"""JSON over trickle: one object a segment, or many lines in one."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import JSONLPublisher, JSONLSubscriber, JSONPublisher, JSONSubscriber

if TYPE_CHECKING:
    from .conftest import Script
    from .scripted import Exchange
    from .target import Channel, Server

Subscriber = type[JSONSubscriber] | type[JSONLSubscriber]
BOTH = pytest.mark.parametrize("kind", [JSONSubscriber, JSONLSubscriber])


async def collect(kind: Subscriber, channel: Channel, count: int) -> list[dict[str, object]]:
    """So many messages, from the first segment on."""
    messages: list[dict[str, object]] = []
    async with asyncio.timeout(10), kind(channel.url, start=0) as subscriber:
        async for message in subscriber:
            messages.append(message)
            if len(messages) == count:
                break
    return messages


async def publish(channel: Channel, *bodies: bytes) -> None:
    for seq, body in enumerate(bodies):
        assert (await channel.publish(seq, body)).status == 200


async def test_j01_each_object_is_a_segment(server: Server) -> None:
    channel = server.channel()
    async with JSONPublisher(channel.url) as publisher:
        await publisher.publish({"n": 1, "text": "äöü\n雪"})
        await publisher.publish({"n": 2})
        first, second = await channel.get(0), await channel.get(1)
        assert await channel.next() == 2
    assert first.head["Content-Type"] == "application/json"
    assert [json.loads(answer.body) for answer in (first, second)] == [
        {"n": 1, "text": "äöü\n雪"},
        {"n": 2},
    ]
    assert first.body.isascii()
    assert b"\n" not in first.body


async def test_j01_objects_published_at_once_keep_their_order(server: Server) -> None:
    channel = server.channel()
    async with JSONPublisher(channel.url) as publisher:
        await asyncio.gather(*(publisher.publish({"n": n}) for n in range(4)))
        assert [json.loads((await channel.get(n)).body)["n"] for n in range(4)] == [0, 1, 2, 3]


async def test_j02_lines_share_a_segment_and_are_read_at_once(server: Server) -> None:
    channel = server.channel()
    async with JSONLPublisher(channel.url) as publisher:
        await publisher.publish({"n": 0, "text": "one\ntwo"})
        await server.settle()
        subscriber = JSONLSubscriber(channel.url, start=0)
        messages = aiter(subscriber)
        assert (await anext(messages))["n"] == 0
        for n in (1, 2):
            await publisher.publish({"n": n})
            assert await anext(messages) == {"n": n}
        await subscriber.aclose()
    answer = await channel.get(0)
    assert answer.head["Content-Type"] == "application/jsonl"
    assert answer.body.endswith(b"\n")
    assert [json.loads(line)["n"] for line in answer.body.splitlines()] == [0, 1, 2]
    assert await channel.next() == 1


async def test_j03_a_segment_of_lines_ends_after_a_while(server: Server) -> None:
    channel = server.channel()
    async with JSONLPublisher(channel.url, rotate_s=0.3) as publisher:
        await publisher.publish({"n": 0})
        await publisher.publish({"n": 1})
        await server.settle()
        reader = await channel.reader(0)
        assert len((await reader.answer()).body.splitlines()) == 2
        await asyncio.sleep(0.6)
        await publisher.publish({"n": 2})
        await server.settle()
        assert await channel.next() == 2
    assert json.loads((await channel.get(1)).body) == {"n": 2}
    assert await channel.next() == 2


@BOTH
async def test_j05_keep_alives_are_not_shown(server: Server, kind: Subscriber) -> None:
    channel = server.channel()
    await publish(
        channel, b'{"keep":"alive"}', b'{"n":1}', b'{"keep": "alive"}', b'{"keep":"alive","n":2}'
    )
    assert await collect(kind, channel, 2) == [{"n": 1}, {"keep": "alive", "n": 2}]


@BOTH
async def test_j06_what_is_no_object_is_logged_and_passed_over(
    server: Server, kind: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    channel = server.channel()
    await publish(channel, b"", b"no json", b"[1]", b'{"n":1}')
    with caplog.at_level(logging.WARNING, "livepeer.trickle"):
        assert await collect(kind, channel, 1) == [{"n": 1}]
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == 2
    assert ["segment 1" in logged[0], "segment 2" in logged[1]] == [True, True]


async def test_j06_a_bad_line_costs_no_other(server: Server) -> None:
    channel = server.channel()
    await publish(channel, b'{"n":0}\r\n\n \nno json\n{"n":1}\n{"n":2}')
    assert await collect(JSONLSubscriber, channel, 3) == [{"n": 0}, {"n": 1}, {"n": 2}]


@BOTH
async def test_j07_what_is_too_large_is_not_read_to_its_end(
    scripted: Script, kind: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    sent = 0

    async def play(exchange: Exchange) -> None:
        nonlocal sent
        seq = int(exchange.path.rpartition("/")[2])
        if seq == 1:
            await exchange.segment(1, b'{"n":1}\n')
            return
        if seq > 1:
            await exchange.answer(404)
            return
        await exchange.segment(0, b'{"text":"', end=False)
        for _ in range(1000):
            await exchange.more(b"x" * 65536)
            sent += 65536

    server = await scripted(play)
    async with asyncio.timeout(10), kind(server.url, start=0, max_bytes=100_000) as subscriber:
        with caplog.at_level(logging.WARNING, "livepeer.trickle"):
            assert [message async for message in subscriber] == [{"n": 1}]
    assert "100000" in caplog.text
    # What the sockets between us hold at the most; 64 MiB were on offer.
    assert sent < 16 * 1024 * 1024
