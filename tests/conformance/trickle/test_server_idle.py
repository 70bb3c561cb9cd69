"""Channels that nobody writes to are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .wire import LIMIT_S

if TYPE_CHECKING:
    from .target import Server

pytestmark = pytest.mark.idle


async def test_s58_all_who_wait_are_told_that_an_idle_channel_is_closed(idle: Server) -> None:
    channel = idle.channel()
    await channel.fill(0)
    reader, writer = await channel.reader(1), await channel.post(2)
    read, written = await reader.answer(limit_s=LIMIT_S), await writer.answer(limit_s=LIMIT_S)
    assert (read.status, read.body) == (200, b"")
    assert read.trickle["Closed"] == "terminated"
    assert written.status == 200
    assert written.trickle == {"Seq": "2", "Closed": "terminated"}
    assert written.head.closes
    assert (await channel.get(0)).status == 404


async def test_s60_names_that_begin_with_an_underscore_do_not_expire(idle: Server) -> None:
    ordinary = idle.channel()
    internal = idle.channel(f"_{ordinary.name}")
    await internal.fill(0)
    await ordinary.fill(0)
    reader = await ordinary.reader(1)
    assert "Closed" in (await reader.answer(limit_s=LIMIT_S)).trickle
    assert (await internal.get(0)).body == b"0"
