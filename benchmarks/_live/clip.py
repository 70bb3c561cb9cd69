"""The clip that every loop is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.client.media import MediaSource
from livepeer.trickle.media import AccessUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIP = Path(__file__).parents[2] / "examples" / "assets" / "bigbuckbunny.mp4"
TICKS = 90_000
WIDTH, HEIGHT, RATE = 1280, 720, 25


def units(loops: int) -> Iterator[AccessUnit]:
    """The pictures of the clip, several times in a row."""
    with MediaSource(CLIP) as source:
        once = [unit for unit in source if unit.kind == "video"]
    length = once[-1].pts - once[0].pts + TICKS // RATE
    for n in range(loops):
        for unit in once:
            yield AccessUnit(
                "video", unit.data, unit.pts + n * length, unit.dts + n * length, unit.key
            )
