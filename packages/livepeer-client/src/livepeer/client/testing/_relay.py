"""An event stream as the orchestrator's relay passes it on, line by line.

Source: go-livepeer `byoc/job_orchestrator.go`; the bytes are those of a captured exchange.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ._ceilings import decimal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

MAX_LINE_BYTES: Final = 65_535
FLOOD: Final = b"\n" * 64


async def relayed(
    chunks: AsyncIterator[bytes], timeout_s: float, balance: Callable[[], Fraction] = Fraction
) -> AsyncGenerator[bytes]:
    """What a caller of the orchestrator gets: lines, a balance before the end, then the flood."""
    loop = asyncio.get_running_loop()
    cut = loop.time() + timeout_s
    async for line in _lines(chunks):
        if len(line) > MAX_LINE_BYTES:
            break
        if b"[DONE]" in line:
            yield b'data: {"balance": %s}\n\n\n' % decimal(balance()).encode()
        yield line + b"\n"
    while loop.time() < cut:
        yield FLOOD
        await asyncio.sleep(0.001)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest
