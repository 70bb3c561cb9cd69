"""live_text_reversal as a session without media."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from livepeer.runner.testing import Refused, live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


async def test_each_update_is_answered_by_a_line_of_data(
    load: Callable[[str], ModuleType],
) -> None:
    pipeline = load("live_text_reversal").LiveTextReversal
    async with live_session(pipeline, media=False) as session:
        await session.update({"number": 1, "text": "stressed"})
        await session.update({"number": 2})
        with pytest.raises(Refused, match="number"):
            await session.update({"number": -1})
        async with asyncio.timeout(20):
            while len(session.data) < 2:  # noqa: ASYNC110 - it only collects
                await asyncio.sleep(0.01)

    assert session.data == [
        {"number": 1, "text": "desserts"},
        {"number": 2, "text": "desserts"},
    ]
