"""How pieces of media get into one session of a job: by trickle, or by a gateway's RTMP."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from livepeer.trickle.errors import SegmentError

from .rtmp import RTMPPush

if TYPE_CHECKING:
    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle import SegmentWriter, TricklePublisher
    from livepeer.trickle.media import Piece


class Way(Protocol):
    """One session's input."""

    async def put(self, piece: Piece) -> bool:
        """Write a piece; False where it was left out, because its segment failed before.

        Raises:
            ChannelError: The channel as a whole failed.
            ServerSilent: The gateway's media server takes nothing.
            StreamLost: It is not there, or refused.
        """
        ...

    async def end_segment(self) -> None:
        """Have everything that was put arrive."""
        ...

    async def close(self, *, whole: bool) -> None:
        """Close it; `whole` says that this is the end of the input, and not of the session."""
        ...


def open_way(session: StreamSession) -> Way:
    """The input of a session.

    Raises:
        StreamError: It has none; the text says where there is one.
    """
    if session.urls.control is None and session.media.rtmp:
        return RTMPPush(session.media.rtmp, take_s=session.media_silent_s)
    return _TrickleWay(session.publisher())


class _TrickleWay:
    def __init__(self, publisher: TricklePublisher) -> None:
        self._publisher = publisher
        self._segment: SegmentWriter | None = None

    async def put(self, piece: Piece) -> bool:
        if piece.starts:
            # Of one that failed nobody hears any more; the next one stands for itself.
            with suppress(SegmentError):
                await self.end_segment()
            self._segment = await self._publisher.open_segment()
        if self._segment is None:
            return False
        try:
            await self._segment.write(piece.data)
        except SegmentError:
            self._segment = None
            return False
        return True

    async def end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            await segment.close()

    async def close(self, *, whole: bool) -> None:
        await self._publisher.close(delete=whole)
