"""HTTP/1.1 itself: interim answers, pipelining, framing and spellings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .target import Server
    from .wire import Head

TICK_LIMIT_S = 15.0
"""go-livepeer's server speaks up every 10 s."""


def spellings(head: Head) -> set[str]:
    return {name for name, _ in head.headers}


@pytest.mark.parametrize("begins", [True, False])
async def test_s50_a_publisher_that_has_not_begun_is_told_that_the_server_waits(
    ticking: Server, begins: bool
) -> None:
    channel = ticking.channel()
    writer = await channel.post(0)
    for _ in range(2):
        interim = await writer.head(limit_s=TICK_LIMIT_S)
        assert (interim.status, interim.headers) == (100, ())
    if begins:
        await writer.send_chunk(b"late")
        await ticking.settle()
    await writer.send_last()
    answer = await writer.answer()
    assert (answer.status, answer.trickle) == (200, {"Seq": "0"})
    assert (await channel.get(0)).body == (b"late" if begins else b"")


async def test_s50_a_publisher_that_has_begun_hears_nothing_until_the_end(ticking: Server) -> None:
    writer = await ticking.channel().post(0)
    await writer.send_chunk(b"begun")
    await writer.quiet(0.3)
    await writer.send_last()
    assert (await writer.head()).status == 200


async def test_s51_a_client_that_asks_before_it_sends_is_told_to_go_on(server: Server) -> None:
    channel = server.channel()
    writer = await channel.post(0, headers={"Expect": "100-continue"})
    assert (await writer.head(limit_s=2)).status == 100
    await writer.send_chunk(b"x")
    await writer.send_last()
    answer = await writer.answer()
    assert (answer.status, answer.trickle) == (200, {"Seq": "0"})
    assert (await channel.get(0)).body == b"x"


async def test_s54_requests_may_follow_each_other_without_a_wait(server: Server) -> None:
    channel = server.channel()
    connection = await server.connect()
    await connection.send(
        connection.compose("POST", f"{channel.path}/0", body=b"x")
        + connection.compose("GET", f"{channel.path}/0")
        + connection.compose("GET", f"{channel.path}/next")
    )
    answers = [await connection.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.body for answer in answers] == [b"", b"x", b"1"]


async def test_s55_headers_are_spelled_as_go_livepeer_spells_them(server: Server) -> None:
    channel = server.channel()
    writer = await channel.post(0)
    await writer.send_chunk(b"0")
    await writer.send_last()
    assert "Lp-Trickle-Seq" in spellings((await writer.answer()).head)
    reader = await channel.reader(0)
    head = await reader.head()
    assert {"Lp-Trickle-Seq", "Lp-Trickle-Latest"} <= spellings(head)
    assert head["Transfer-Encoding"] == "chunked"
    assert head["Content-Length"] is None
    assert await reader.rest() == b"0"
    for absent in ("next", "7"):
        assert "Lp-Trickle-Latest" in spellings((await channel.get(absent)).head)
    waiting = await channel.waiting_reader(1)
    await channel.delete()
    assert "Lp-Trickle-Closed" in spellings((await waiting.answer()).head)
