"""Who waits for what, and what wakes whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .target import Server

MIB = 1024 * 1024


async def test_s18_the_current_segment_of_an_empty_channel_is_the_first(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    reader = await channel.waiting_reader(-2)
    await channel.fill(0)
    answer = await reader.answer()
    assert (answer.status, answer.trickle, answer.body) == (200, {"Seq": "0"}, b"0")


async def test_s18_the_second_segment_of_an_empty_channel_may_be_waited_for(
    server: Server,
) -> None:
    channel = server.channel()
    await channel.create()
    beyond = await channel.get(2)
    assert (beyond.status, beyond.trickle) == (470, {"Latest": "0", "Seq": "2"})
    reader = await channel.waiting_reader(1)
    await channel.fill(0, 1)
    answer = await reader.answer()
    assert (answer.status, answer.body) == (200, b"1")
    assert answer.trickle == {"Seq": "1", "Latest": "0"}


async def test_s20_the_next_segment_is_waited_for(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    reader = await channel.waiting_reader(-1)
    await channel.fill(1)
    answer = await reader.answer()
    assert (answer.status, answer.trickle, answer.body) == (200, {"Seq": "1"}, b"1")


async def test_s21_a_segment_is_read_while_it_is_written(server: Server) -> None:
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"early")
    await server.settle()
    current = await channel.reader(-2)
    head = await current.head()
    assert (head.status, head.trickle) == (200, {"Seq": "0", "Latest": "1"})
    assert await current.exactly(5) == b"early"
    following = await channel.waiting_reader(-1)
    await writer.send_chunk(b"late")
    assert await current.exactly(4) == b"late"
    await current.quiet(server.settle_s)
    await writer.send_last()
    assert await current.chunk() == b""
    await following.quiet(server.settle_s)
    await channel.fill(1)
    assert (await following.answer()).trickle == {"Seq": "1"}


async def test_s22_no_header_is_sent_before_the_first_byte(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    reader = await channel.waiting_reader(0)
    writer = await channel.post(0)
    await reader.quiet(server.settle_s)
    await writer.send_chunk(b"now")
    head = await reader.head()
    assert (head.status, head.trickle) == (200, {"Seq": "0"})
    assert await reader.exactly(3) == b"now"
    await reader.quiet(server.settle_s)


async def test_s31_an_empty_segment_releases_its_reader(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    reader = await channel.waiting_reader(0)
    await channel.publish(0, b"")
    answer = await reader.answer()
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trickle == {"Seq": "0", "Latest": "1"}


async def test_s32_a_publisher_may_connect_long_before_it_begins(server: Server) -> None:
    channel = server.channel()
    writer = await channel.waiting_post(3)
    assert await channel.next() == 0
    await writer.send_chunk(b"3")
    await server.settle()
    assert await channel.next() == 4
    await writer.send_last()
    answer = await writer.answer()
    assert (answer.status, answer.trickle) == (200, {"Seq": "3"})


async def test_s33_a_waiting_publisher_learns_that_the_channel_is_closed(server: Server) -> None:
    channel = server.channel()
    writer = await channel.waiting_post(0)
    assert (await channel.delete()).status == 200
    answer = await writer.answer(limit_s=2)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trickle == {"Seq": "0", "Closed": "terminated"}
    assert answer.head.closes
    await writer.dismissed()


async def test_s34_a_waiting_reader_learns_that_the_channel_is_closed(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    reader = await channel.waiting_reader(1)
    await channel.delete()
    answer = await reader.answer(limit_s=2)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trickle == {"Seq": "1", "Latest": "1", "Closed": "terminated"}


async def test_s35_a_publisher_that_has_begun_is_not_interrupted(server: Server) -> None:
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"begun")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(5) == b"begun"
    await channel.delete()
    assert await reader.chunk() == b""
    await writer.quiet(server.settle_s)
    await writer.send_chunk(b"nobody reads this")
    await writer.send_last()
    answer = await writer.answer()
    assert (answer.status, answer.trickle) == (200, {"Seq": "0"})
    assert answer.head["Connection"] is None


async def test_s36_a_segment_that_is_ended_early_releases_its_reader(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    reader = await channel.waiting_reader(1)
    assert (await channel.delete(1)).status == 200
    answer = await reader.answer(limit_s=2)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trickle == {"Seq": "1", "Latest": "1"}


async def test_s36_a_segment_that_is_ended_early_releases_its_publisher(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    writer = await channel.waiting_post(0)
    assert (await channel.delete(0)).status == 200
    answer = await writer.answer(limit_s=2)
    assert (answer.status, answer.trickle) == (200, {"Seq": "0"})
    assert answer.head.closes
    await writer.dismissed()
    assert await channel.next() == 1


async def test_s36_a_segment_that_is_ended_early_ends_for_its_reader(server: Server) -> None:
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(0)
    assert (await reader.head()).status == 200
    assert await reader.exactly(4) == b"part"
    assert (await channel.delete(0)).status == 200
    assert await reader.chunk() == b""


async def test_s36_a_publisher_that_begins_anew_ends_what_went_before(server: Server) -> None:
    channel = server.channel()
    hanging = await channel.post(0)
    await hanging.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(0)
    assert (await reader.head()).status == 200
    assert await reader.exactly(4) == b"part"
    await channel.post(1, headers={"Lp-Trickle-Reset": "1"})
    assert await reader.chunk() == b""


async def test_s41_a_publisher_that_leaves_before_it_begins_changes_nothing(
    server: Server,
) -> None:
    channel = server.channel()
    await channel.create()
    leaving = await channel.waiting_post(0)
    reader = await channel.waiting_reader(0)
    leaving.abort()
    await reader.quiet(server.settle_s)
    assert await channel.next() == 0
    await channel.fill(0)
    assert (await reader.answer()).body == b"0"


async def test_s42_two_publishers_of_one_segment_are_read_in_the_order_of_arrival(
    server: Server,
) -> None:
    channel = server.channel()
    first, second = await channel.post(0), await channel.post(0)
    await first.send_chunk(b"a1")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(2) == b"a1"
    await second.send_chunk(b"b1")
    assert await reader.exactly(2) == b"b1"
    await first.send_chunk(b"a2")
    assert await reader.exactly(2) == b"a2"
    await first.send_last()
    assert await reader.chunk() == b""
    await second.send_chunk(b"b2")
    await second.send_last()
    for writer in (first, second):
        answer = await writer.answer()
        assert (answer.status, answer.trickle) == (200, {"Seq": "0"})


async def test_s43_an_abandoned_segment_ends_for_its_readers_when_it_is_evicted(
    server: Server,
) -> None:
    channel = server.channel()
    leaving = await channel.post(0)
    await leaving.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(4) == b"part"
    leaving.abort()
    await reader.quiet(server.settle_s)
    await channel.fill(5)
    # Whether as if it were whole or not, a peer may not rely on: go-livepeer says that it is.
    await reader.over()
    assert (await channel.get(0)).status == 470


async def test_s43_an_abandoned_segment_may_be_continued(server: Server) -> None:
    channel = server.channel()
    leaving = await channel.post(0)
    await leaving.send_chunk(b"first ")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    leaving.abort()
    await server.settle()
    assert (await channel.publish(0, b"second")).trickle == {"Seq": "0"}
    assert await reader.rest() == b"first second"
    assert (await channel.get(0)).body == b"first second"


async def test_s45_all_readers_get_the_same_bytes(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    readers = [await channel.reader(0) for _ in range(8)]
    await server.settle()
    body = b"".join(b"%08d" % n for n in range(16 * MIB // 8))
    writer = await channel.post(0)

    async def publish() -> None:
        for at in range(0, len(body), 64 * 1024):
            await writer.send_chunk(body[at : at + 64 * 1024])
        await writer.send_last()

    publishing = asyncio.create_task(publish())
    answers = await asyncio.gather(*(reader.answer() for reader in readers))
    await publishing
    assert [answer.body == body for answer in answers] == [True] * 8
    assert (await writer.answer()).status == 200


async def test_s52_a_reader_that_leaves_takes_nothing_from_the_others(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    staying, leaving = await channel.reader(0), await channel.waiting_reader(0)
    leaving.abort()
    await staying.quiet(server.settle_s)
    await channel.fill(0)
    assert (await staying.answer()).body == b"0"


@pytest.mark.parametrize("how", ["FIN", "RST", "no chunk"])
async def test_s56_a_body_that_is_cut_does_not_end_the_segment(server: Server, how: str) -> None:
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"part")
    await server.settle()
    reader = await channel.reader(0)
    await reader.head()
    assert await reader.exactly(4) == b"part"
    match how:
        case "FIN":
            writer.finish()
        case "RST":
            writer.abort()
        case _:
            await writer.send(b"this is no chunk\r\n")
    await reader.quiet(server.settle_s)
    late = await channel.reader(0)
    await late.head()
    assert await late.exactly(4) == b"part"
    await late.quiet(server.settle_s)
