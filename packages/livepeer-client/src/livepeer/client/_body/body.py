"""The body of a call: JSON, bytes, or a form with files; sent in pieces, and once more if need be.

A file is read while it is sent, so a large one is never in memory as a whole.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from livepeer.client.errors import InvalidJob

from .progress import CallProgress, HookFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from .progress import OnProgress

JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"

PIECE_BYTES: Final = 256 * 1024
"""So much is read and written at a time; what is smaller is written at one go."""


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A whole file, as it was when the body was made.

    Attributes:
        path: Where it lies.
        size: Its length in bytes.
        stamp: Tells it from another that took its name, and from itself once it was written to.
    """

    path: Path
    size: int
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, found: os.stat_result) -> FilePiece:
        """The file of a path, as `stat` found it."""
        return cls(path, found.st_size, _stamp(found))


Piece: TypeAlias = bytes | FilePiece


class Body(NamedTuple):
    """What is sent with a job; it can be sent several times. A tuple, as a `Job` is.

    Attributes:
        content_type: Of all of it.
        pieces: What it is made of, in order.
        size: Its length in bytes.
        on_progress: Is told while it goes out.
    """

    content_type: str
    pieces: tuple[Piece, ...]
    size: int
    on_progress: OnProgress | None = None

    @classmethod
    def of(cls, data: bytes, content_type: str = JSON_TYPE) -> Body:
        """A body that is in memory."""
        return cls(content_type, (data,), len(data))

    def told(self, on_progress: OnProgress | None) -> Body:
        """The same body, of which somebody is told."""
        return self if on_progress is None else self._replace(on_progress=on_progress)

    def headers(self) -> Mapping[str, str]:
        """What a request with this body says of it."""
        return {"Content-Type": self.content_type, "Content-Length": str(self.size)}

    def data(self) -> bytes | AsyncGenerator[bytes]:
        """What is written: bytes when that is cheapest, else pieces as they are taken."""
        match self.pieces:
            case (bytes() as only,) if self.on_progress is None and self.size <= PIECE_BYTES:
                return only
            case _:
                return self._sending()

    async def _sending(self) -> AsyncGenerator[bytes]:
        sent = 0
        tell = _told(self.on_progress)
        tell(CallProgress("uploading", 0, self.size))
        for piece in self.pieces:
            for offset in range(0, _size(piece), PIECE_BYTES):
                chunk = await _chunk(piece, offset)
                yield chunk
                sent += len(chunk)
                tell(CallProgress("uploading", sent, self.size))
        tell(CallProgress("waiting"))


def _told(on_progress: OnProgress | None) -> OnProgress:
    def tell(progress: CallProgress) -> None:
        if on_progress is not None:
            try:
                on_progress(progress)
            except Exception as error:
                # An OSError of the caller's own would be taken for a failed connection.
                raise HookFailed(error) from error

    return tell


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _size(piece: Piece) -> int:
    return piece.size if isinstance(piece, FilePiece) else len(piece)


async def _chunk(piece: Piece, offset: int) -> bytes:
    if isinstance(piece, FilePiece):
        return await asyncio.to_thread(_read, piece, offset)
    return piece[offset : offset + PIECE_BYTES]


def _read(piece: FilePiece, offset: int) -> bytes:
    # Opened for each read: then nothing is open when a request is given up.
    size = min(PIECE_BYTES, piece.size - offset)
    try:
        with piece.path.open("rb") as file:
            same = _stamp(os.fstat(file.fileno())) == piece.stamp
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise InvalidJob(f"the file {piece.path} cannot be read: {error}") from error
    if not same or len(data) < size:
        raise InvalidJob(f"the file {piece.path} was changed while it was sent")
    return data
