"""What is held, what is not, and where the leading edge goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .wire import Cut

if TYPE_CHECKING:
    from .target import Channel, Server

MIB = 1024 * 1024


async def statuses(channel: Channel, *seqs: int) -> list[int]:
    return [(await channel.get(seq)).status for seq in seqs]


async def test_s15_what_is_neither_held_nor_next_is_470(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    answer = await channel.get(5)
    assert (answer.status, answer.body) == (470, b"Entry not found")
    assert answer.trickle == {"Latest": "1", "Seq": "5"}


async def test_s16_five_segments_are_held(server: Server) -> None:
    channel = server.channel()
    await channel.fill(*range(6))
    evicted = await channel.get(0)
    assert (evicted.status, evicted.trickle["Latest"]) == (470, "6")
    assert [(await channel.get(seq)).body for seq in range(1, 6)] == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("who", ["reader", "publisher"])
async def test_s17_four_are_held_while_somebody_waits_at_the_edge(server: Server, who: str) -> None:
    channel = server.channel()
    await channel.fill(*range(5))
    await (channel.waiting_reader(-1) if who == "reader" else channel.waiting_post(5))
    assert await statuses(channel, 0, 1, 2, 3, 4) == [470, 200, 200, 200, 200]


async def test_s19_the_current_segment_is_the_one_written_last(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0, 1)
    answer = await channel.get(-2)
    assert (answer.status, answer.body) == (200, b"1")
    assert answer.trickle == {"Seq": "1", "Latest": "2"}


async def test_s25_a_publisher_may_leave_the_number_to_the_server(server: Server) -> None:
    channel = server.channel()
    answers = [await channel.publish(seq, b"x") for seq in (-1, -1, 7, -1)]
    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.trickle for answer in answers] == [{"Seq": n} for n in ("0", "1", "7", "8")]


async def test_s26_a_finished_segment_keeps_its_bytes(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    connection = await channel.post(0)
    answer = await connection.answer()
    assert (answer.status, answer.trickle, answer.body) == (200, {"Seq": "0"}, b"")
    assert answer.head.closes
    await connection.dismissed()
    assert (await channel.get(0)).body == b"0"


async def test_s27_an_old_segment_written_anew_moves_the_edge_back(server: Server) -> None:
    channel = server.channel()
    await channel.fill(*range(8), 2)
    assert await channel.next() == 3
    assert await statuses(channel, 2, 7, 6) == [200, 470, 200]


async def test_s28_a_finished_segment_posted_again_moves_the_edge_back(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0, 1, 2)
    await (await channel.post(0)).answer()
    assert await channel.next() == 1


async def test_s29_a_far_number_moves_the_edge_and_drops_nothing(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    assert (await channel.publish(1001, b"far")).status == 200
    assert await channel.next() == 1002
    missing = await channel.get(500)
    assert (missing.status, missing.trickle["Latest"]) == (470, "1002")
    assert (await channel.get(0)).status == 200


@pytest.mark.parametrize("chunked", [True, False])
async def test_s30_an_empty_body_is_a_segment(server: Server, chunked: bool) -> None:
    channel = server.channel()
    await channel.create("test/kind")
    connection = await server.connect()
    body = None if chunked else b""
    await connection.request("POST", f"{channel.path}/0", body=body, chunked=chunked)
    if chunked:
        await connection.send_last()
    published = await connection.answer()
    assert (published.status, published.trickle, published.body) == (200, {"Seq": "0"}, b"")
    assert published.head.closes
    await connection.ended()
    read = await channel.get(0)
    assert (read.status, read.body) == (200, b"")
    assert read.trickle == {"Seq": "0", "Latest": "1"}


async def test_s44_a_slow_reader_gets_what_is_held_no_longer(server: Server) -> None:
    channel = server.channel()
    body = b"".join(b"%08d" % n for n in range(6 * MIB // 8))
    await channel.publish(0, body)
    slow = await channel.reader(0)
    head = await slow.head()
    first = await slow.chunk()
    await channel.fill(*range(1, 7))
    assert (await channel.get(0)).status == 470
    assert (await channel.delete()).status == 200
    assert head.status == 200
    assert first + await slow.rest() == body


async def test_s46_head_tells_what_get_would(server: Server) -> None:
    channel = server.channel()
    await channel.create("test/kind")
    await channel.fill(0)
    connection = await server.connect()
    await connection.request("HEAD", f"{channel.path}/0")
    answer = await connection.answer()
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trickle == {"Seq": "0", "Latest": "1"}
    await connection.request("GET", f"{channel.path}/0")
    assert (await connection.answer()).body == b"0"


@pytest.mark.parametrize(("method", "seq"), [("GET", -3), ("POST", -2), ("POST", -3)])
async def test_s47_a_number_below_zero_that_means_nothing_hurts_no_channel(
    server: Server, method: str, seq: int
) -> None:
    channel = server.channel()
    await channel.fill(0)
    connection = await server.connect()
    body = b"x" if method == "POST" else None
    await connection.request(method, f"{channel.path}/{seq}", body=body)
    try:
        assert (await connection.answer()).status >= 400
    except Cut:
        # go-livepeer's answer.
        await connection.ended()
    await channel.fill(1)
    assert (await channel.get(1)).body == b"1"


@pytest.mark.parametrize("seq", ["0", "-0", "+0", "000", "0" * 30])
async def test_s48_a_number_may_have_a_sign_and_zeros(server: Server, seq: str) -> None:
    channel = server.channel()
    await channel.fill(0)
    answer = await channel.get(seq)
    assert (answer.status, answer.trickle["Seq"], answer.body) == (200, "0", b"0")


@pytest.mark.parametrize(
    "seq", ["0_0", "%200", "0%20", "++0", "0x0", "0.0", "%D9%A0", "+", "-", str(2**63), "9" * 5000]
)
async def test_s48_other_spellings_of_a_number_are_refused(server: Server, seq: str) -> None:
    channel = server.channel()
    await channel.fill(0)
    for method in ("GET", "POST", "DELETE"):
        body = b"x" if method == "POST" else None
        answer = await server.ask(method, f"{channel.name}/{seq}", body=body)
        assert (method, answer.status, answer.text) == (method, 400, "Invalid idx")
    assert await channel.next() == 1


async def test_s48_the_largest_number_is_64_bits(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    answer = await channel.get(2**63 - 1)
    assert (answer.status, answer.trickle["Seq"]) == (470, str(2**63 - 1))
