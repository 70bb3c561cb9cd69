"""The changefeed: a channel that tells of channels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .target import Server

pytestmark = pytest.mark.changefeed


@pytest.mark.fresh
async def test_s64_the_changefeed_tells_of_itself_first(changefeed: Server) -> None:
    answer = await changefeed.ask("GET", "_changes/0")
    assert answer.status == 200
    assert answer.head["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {"added": ["_changes"]}


async def test_s61_each_change_is_a_segment(changefeed: Server) -> None:
    channel = changefeed.channel()
    edge = int((await changefeed.ask("GET", "_changes/next")).body)
    await channel.create()
    await channel.create()
    added = await changefeed.ask("GET", f"_changes/{edge}")
    await channel.delete()
    removed = await changefeed.ask("GET", f"_changes/{edge + 1}")
    await channel.fill(0)
    again = await changefeed.ask("GET", f"_changes/{edge + 2}")
    assert [json.loads(answer.body) for answer in (added, removed, again)] == [
        {"added": [channel.name]},
        {"removed": [channel.name]},
        {"added": [channel.name]},
    ]
