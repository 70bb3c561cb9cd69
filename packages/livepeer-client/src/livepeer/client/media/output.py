"""What a job gives out, as async iterators: frames, coded packets, bytes, or segments."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from livepeer.client.errors import StreamError
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.media import AccessUnit, AudioFrame, BytePipe, Kind, MediaReader, VideoFrame

from .download import SEGMENT_END, Download

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from livepeer.client._streams.live import StreamJob
    from livepeer.trickle.media import Hardware, Item

_log = logging.getLogger(__name__)

MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024

_BOTH: Final[frozenset[Kind]] = frozenset({"video", "audio"})


async def frames(
    job: StreamJob, *, start: int = 0, hardware: Hardware = "none"
) -> AsyncGenerator[VideoFrame | AudioFrame]:
    """Pictures and sound as they come out of a job, decoded, until the output ends.

    They are decoded on a thread, one at a time. Who takes them more slowly than they come, by
    more than 4 MiB of coded media and what the orchestrator holds, misses some. After a reconnect
    they go on with the next key frame.

    Args:
        job: The job.
        start: The segment to begin with: by default the first of the stream, or when that is no
            longer held, the next to be written; -2 for the current one.
        hardware: Where pictures are decoded; with a GPU they stay in its memory.

    Raises:
        StreamLost: The stream ended without our doing.
        PaymentRequiredError: It ended because it was not paid.
        StreamError: It gives no media out.
    """
    async with aclosing(_items(job, start, _BOTH, hardware)) as items:
        async for item in items:
            if isinstance(item, (VideoFrame, AudioFrame)):
                yield item


async def packets(job: StreamJob, *, start: int = 0) -> AsyncGenerator[AccessUnit]:
    """Coded pictures and sound as they come out of a job; otherwise as `frames`.

    Raises:
        ClientError: As for `frames`.
    """
    async with aclosing(_items(job, start, frozenset(), "none")) as items:
        async for item in items:
            if isinstance(item, AccessUnit):
                yield item


async def chunks(
    job: StreamJob, *, start: int = 0, on_gap: Callable[[], None] | None = None
) -> AsyncGenerator[bytes]:
    """The bytes that come out of a job, whatever they are: MPEG-TS, or what a runner relays.

    Args:
        job: The job.
        start: As for `frames`.
        on_gap: Called where bytes are missing, behind a chunk and before the next one: a segment
            was missed or cut, or the stream goes on at another orchestrator. Readers of MPEG-TS
            find their way again by themselves.

    Raises:
        ClientError: As for `frames`.
    """
    download = Download(job, start=start, on_fault=_note)
    told = False
    async with aclosing(download.chunks()) as pieces:
        async for piece in pieces:
            if piece is not None:
                told = False
                yield piece
            elif on_gap is not None and not told:
                # A segment that was cut, and the next session: one gap.
                told = True
                on_gap()


async def segments(
    job: StreamJob, *, start: int = 0, max_bytes: int = MAX_SEGMENT_BYTES
) -> AsyncGenerator[bytes]:
    """The same bytes, one segment at a time, as the runner cut them.

    What `FramePublisher.write_bytes` is on the way in. A segment that was cut on its way is left
    out.

    Args:
        job: The job.
        start: As for `frames`.
        max_bytes: The largest segment that is taken.

    Raises:
        StreamError: A gateway is between, which knows no segments; or one is too large.
        ClientError: As for `frames`.
    """
    if job.urls.control is None:
        raise StreamError("a gateway gives no segments out; stream directly to an orchestrator")
    download = Download(job, start=start, on_fault=_note)
    segment = bytearray()
    async with aclosing(download.pieces()) as pieces:
        async for piece in pieces:
            if piece == SEGMENT_END:
                yield bytes(segment)
                segment.clear()
            elif piece is None:
                segment.clear()
            else:
                segment += piece
                if len(segment) > max_bytes:
                    raise StreamError(f"a segment of the output is larger than {max_bytes} bytes")


async def _items(
    job: StreamJob, start: int, decode: frozenset[Kind], hardware: Hardware
) -> AsyncGenerator[Item]:
    loop = asyncio.get_running_loop()
    pipe = BytePipe()
    reading = asyncio.create_task(_fill(pipe, Download(job, start=start, on_fault=_note)))
    reader = iter(MediaReader(pipe, decode=decode, hardware=hardware))
    thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
    following: asyncio.Future[Item | None] | None = None
    try:
        while True:
            following = loop.run_in_executor(thread, _next, reader)
            if (item := await following) is None:
                break
            yield item
        await reading
    finally:
        pipe.abort()
        await cancel_and_wait(reading)
        # The thread ends with the pipe; what it raised was told above.
        if following is not None and not following.done():
            await asyncio.wait([following])
        thread.shutdown(wait=False)


async def _fill(pipe: BytePipe, download: Download) -> None:
    try:
        async with aclosing(download.chunks()) as pieces:
            async for piece in pieces:
                if piece is None:
                    pipe.cut()
                else:
                    await pipe.write(piece)
    finally:
        pipe.close()


def _next(reader: Iterator[Item]) -> Item | None:
    return next(reader, None)


def _note(text: str) -> None:
    _log.warning("%s", text)
