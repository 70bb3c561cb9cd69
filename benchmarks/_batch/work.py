"""What is asked of every subject, the same for all; the standard library alone, and Pillow late."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SYNC, ASYNC = "sync", "async"
IMAGE, BASE64, BINARY = "image", "base64", "binary"
ITEMS, AITEMS = "items", "aitems"
PACED, APACED = "paced", "apaced"
NAP = "nap"
STREAMS = (ITEMS, AITEMS, PACED, APACED)

PAUSE_S = 0.02
"""Between two items of a paced stream; the first comes at once."""

QUALITY = 85
TOKEN = "tok_"


def repeated(text: str, times: int) -> str:
    """A trivial predict: what is around it is all that it costs."""
    return text * times


def negative(picture: bytes) -> bytes:
    """Read a JPEG picture, invert it, and write it."""
    from PIL import Image, ImageOps

    inverted = ImageOps.invert(Image.open(io.BytesIO(picture)).convert("RGB"))
    written = io.BytesIO()
    inverted.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def token(number: int) -> str:
    """One item of a stream."""
    return f"{TOKEN}{number}"


def tokens(count: int, pause_s: float = 0.0) -> Iterator[str]:
    """The items of a stream, as fast as they are taken or with a pause before all but the first."""
    for number in range(count):
        if pause_s and number:
            time.sleep(pause_s)
        yield token(number)


async def atokens(count: int, pause_s: float = 0.0) -> AsyncIterator[str]:
    """The same from a coroutine."""
    import asyncio

    for number in range(count):
        if pause_s and number:
            await asyncio.sleep(pause_s)
        yield token(number)
