"""A server that creates no channel for a publisher, like go-livepeer's orchestrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .target import Server

pytestmark = pytest.mark.noauto


async def test_s02_an_unknown_channel_is_not_created(noauto: Server) -> None:
    channel = noauto.channel()
    answer = await channel.create("test/kind")
    assert (answer.status, answer.text) == (404, "Stream not found")
    assert (await channel.get("next")).status == 404


@pytest.mark.parametrize("body", [b"", b"x" * 1000])
async def test_s03_a_publisher_is_told_and_its_connection_ends(noauto: Server, body: bytes) -> None:
    connection = await noauto.connect()
    path = f"{noauto.channel().path}/0"
    await connection.request("POST", path, body=body)
    answer = await connection.answer()
    assert (answer.status, answer.text, answer.trickle) == (404, "Stream not found", {})
    assert answer.head.closes
    await connection.ended()


async def test_s04_the_channel_is_looked_for_before_the_number_is_read(noauto: Server) -> None:
    answer = await noauto.ask("POST", f"{noauto.channel().name}/abc", body=b"x")
    assert (answer.status, answer.text) == (404, "Stream not found")
    assert answer.head.closes


async def test_s05_a_preconnect_is_told_at_once(noauto: Server) -> None:
    connection = await noauto.channel().post(0)
    answer = await connection.answer(limit_s=2)
    assert (answer.status, answer.text) == (404, "Stream not found")
    assert answer.head.closes
    await connection.dismissed()


@pytest.mark.parametrize("seq", [0, -1, -2])
async def test_s62_a_reader_of_an_unknown_channel_does_not_wait(noauto: Server, seq: int) -> None:
    connection = await noauto.channel().reader(seq)
    answer = await connection.answer(limit_s=2)
    assert (answer.status, answer.trickle) == (404, {})
