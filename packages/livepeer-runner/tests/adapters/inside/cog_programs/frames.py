# ruff: noqa: UP035 - as authors of Cog write it
"""Pictures one after the other, and nothing but a function."""

import tempfile
from typing import AsyncIterator

from cog import Input, Path
from PIL import Image


async def predict(
    count: int = Input(default=2, ge=1, le=4),
    color: str = Input(default="blue", min_length=3),
) -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp())
    for n in range(1, count + 1):
        path = folder / f"{n}.png"
        Image.new("RGB", (n, n), color).save(path)
        yield Path(path)
