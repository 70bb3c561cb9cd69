"""The clip through the served pipeline: what comes out is what went in, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner.testing import live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


async def test_every_segment_goes_out_as_it_came(
    load: Callable[[str], ModuleType], segments: list[bytes]
) -> None:
    async with live_session(load("passthrough").Passthrough) as session:
        await session.publish(*segments)
        output = await session.output()
        end = await session.event("end_of_stream")

    assert len(segments) >= 5
    assert end["segments"] == len(segments)
    assert output == b"".join(segments)
