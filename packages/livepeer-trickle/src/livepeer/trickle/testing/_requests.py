"""HTTP/1.1 requests as a proxy passes them on: heads that it understands, and bodies raw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request, as it came and as far as a proxy has to understand it."""

    method: str
    path: str
    raw: bytes
    length: int
    """The length of the body; 0 where it is chunked, or where there is none."""
    chunked: bool
    opaque: bool
    """Whether what follows is another protocol."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a request."""


async def read_pieces(reader: asyncio.StreamReader) -> AsyncIterator[Head | bytes | End]:
    """Read the requests of one connection, each byte exactly once: `Head`, body, `End`.

    What is not HTTP/1.1 is given as bytes, to the end of the connection, without an `End`.
    """
    while True:
        raw = await _until(reader, b"\r\n\r\n")
        head = _parse(raw)
        if head is None or head.opaque:
            yield raw if head is None else head
            async for piece in read_raw(reader):
                yield piece
            return
        yield head
        async for piece in _chunks(reader) if head.chunked else _exactly(reader, head.length):
            yield piece
        yield End()


async def read_raw(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Read to the end of the connection, whatever it carries."""
    while piece := await reader.read(PIECE_BYTES):
        yield piece


def _parse(raw: bytes) -> Head | None:
    first, _, rest = raw.partition(b"\r\n")
    words = first.decode("latin-1").split(" ")
    if not raw.endswith(b"\r\n\r\n") or len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    fields: dict[str, str] = {}
    for line in rest.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip().lower()
    length = fields.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return None
    return Head(
        method=words[0],
        path=words[1].partition("?")[0],
        raw=raw,
        length=int(length),
        chunked="chunked" in fields.get("transfer-encoding", ""),
        opaque="upgrade" in fields or words[0] == "CONNECT",
    )


async def _until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    """Bytes up to and with `end`; fewer at the end of the connection or where it is too far."""
    try:
        return await reader.readuntil(end)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.read(error.consumed)


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length and (piece := await reader.read(min(length, PIECE_BYTES))):
        length -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await _until(reader, b"\r\n"):
        yield line
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            size = 0
        if size:
            async for piece in _exactly(reader, size + 2):
                yield piece
            continue
        # Trailers, up to an empty line.
        while line and line != b"\r\n":
            line = await _until(reader, b"\r\n")
            yield line
        return
