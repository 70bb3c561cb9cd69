"""The media that a job gives out, as bytes, across its sessions."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

from livepeer.client._streams.ends import EndReason
from livepeer.client._streams.live import StreamJob
from livepeer.client._streams.session import LINGER_S
from livepeer.client.errors import ClientError, StreamError
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import ChannelError, SegmentTruncated

from .rtmp import RTMPPull

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle import SegmentReader, TrickleSubscriber

SEGMENT_END: Final = b""


def check_job(job: StreamJob) -> StreamJob:
    """The job, as what goes through it is awaited.

    Raises:
        TypeError: It is the synchronous face of one.
    """
    if isinstance(getattr(job, "job", None), StreamJob):
        raise TypeError(f"media goes by the job itself: give `job.job`, not a {type(job).__name__}")
    return job


class Download:
    """Reads what comes out of a job, once.

    Args:
        job: The job.
        start: The segment to begin with in the first session, as for a `TrickleSubscriber`.
        on_fault: Told, in words, of what was missed.

    Attributes:
        announced: The runner of the session said that its output is over, or will be.
    """

    def __init__(
        self,
        job: StreamJob,
        *,
        start: int = 0,
        on_fault: Callable[[str], None] | None = None,
    ) -> None:
        self._job = check_job(job)
        self._start = start
        self._on_fault = on_fault
        self._segments: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._received_to = -1

    @property
    def announced(self) -> bool:  # noqa: D102 - said above
        return self._segments.done()

    @property
    def _complete(self) -> bool:
        return self.announced and self._received_to + 1 >= self._segments.result()

    async def chunks(self) -> AsyncGenerator[bytes | None]:
        """Bytes as they come, until the end of the output; None where some are missing between.

        Raises:
            StreamLost: The stream ended without our doing.
            PaymentRequiredError: It ended because it was not paid.
            StreamError: It gives no media out.
        """
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                if piece != SEGMENT_END:
                    yield piece

    async def pieces(self) -> AsyncGenerator[bytes | None]:
        """The same, with `SEGMENT_END` after each segment that came whole.

        Raises:
            ClientError: As for `chunks`.
        """
        watching = asyncio.create_task(self._watch(), name="end of the output")
        try:
            async with aclosing(self._job.sessions()) as sessions:
                async for session in sessions:
                    if session.number > 1:
                        yield None
                    async with aclosing(self._session(session)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    if self._complete or await session.ended_within() is None:
                        return
                    # The output of the next one has an end of its own.
                    self._segments = asyncio.get_running_loop().create_future()
        finally:
            await cancel_and_wait(watching)
        end = self._job.end
        if end is not None and end.error is not None:
            raise end.error.with_traceback(None)

    async def _session(self, session: StreamSession) -> AsyncGenerator[bytes | None]:
        if session.urls.control is None:
            pulling = RTMPPull(_rtmp_output(session))
            async with pulling, _until_end(session, pulling):
                async for data in pulling:
                    yield data
            return
        self._received_to = -1
        start, self._start = self._start, 0
        subscriber = session.subscriber(start=start)
        try:
            async with subscriber, _until_end(session, subscriber):
                while (segment := await self._next_segment(subscriber)) is not None:
                    async with aclosing(self._segment(segment, session)) as chunks:
                        async for chunk in chunks:
                            yield chunk
        except ChannelError as error:
            session.report(error)
            await session.ended()

    async def _segment(
        self, segment: SegmentReader, session: StreamSession
    ) -> AsyncGenerator[bytes | None]:
        if segment.gap:
            self._fault(f"{segment.gap} segments of the output were missed")
            yield None
        try:
            async for chunk in segment:
                yield chunk
            yield SEGMENT_END
        except SegmentTruncated as error:
            # The end of a session is told by the job.
            if session.end is None:
                self._fault(str(error))
            yield None
        self._received_to = segment.seq

    async def _next_segment(self, subscriber: TrickleSubscriber) -> SegmentReader | None:
        """The next segment; None when the channel ends, or the runner said that it was the last."""
        following = asyncio.ensure_future(anext(subscriber, None))
        try:
            await asyncio.wait((following, self._segments), return_when=asyncio.FIRST_COMPLETED)
            if not following.done() and self._complete:
                return None
            return await following
        finally:
            await cancel_and_wait(following)

    async def _watch(self) -> None:
        """Take note when a runner says how many segments its output has."""
        if self._job.session.urls.control is None:
            return
        try:
            async with aclosing(self._job.events()) as events:
                async for event in events:
                    if event.get("type") == "end_of_stream" and not self.announced:
                        segments = event.get("segments")
                        self._segments.set_result(segments if isinstance(segments, int) else 0)
        except ClientError:
            # The end of the job, which the sessions tell of.
            return

    def _fault(self, text: str) -> None:
        if self._on_fault is not None:
            self._on_fault(text)


@asynccontextmanager
async def _until_end(
    session: StreamSession, reading: TrickleSubscriber | RTMPPull
) -> AsyncGenerator[None]:
    """Have a reader end with the session: it would be patient with an orchestrator that is gone."""

    async def close() -> None:
        end = await session.ended()
        if end.reason in (EndReason.RUNNER, EndReason.PAYMENT):
            await asyncio.sleep(LINGER_S)
        await reading.aclose()

    closing = asyncio.create_task(close(), name="close a reader")
    try:
        yield
    finally:
        await cancel_and_wait(closing)


def _rtmp_output(session: StreamSession) -> str:
    outputs = session.media.rtmp_outputs
    if outputs:
        # A gateway's own; before it may stand one that somebody else has it push to.
        return next((url for url in outputs if url.endswith("-out")), outputs[0])
    if session.media.whep:
        raise StreamError(
            f"this gateway gives media out by WebRTC only: open {session.media.whep} with a WebRTC"
            " player, have the gateway push RTMP (it is not with"
            " LIVE_AI_DISABLE_RTMP_OUTPUT), or stream directly to an orchestrator",
            url=session.node_url,
        )
    raise StreamError("the stream was started without video_out", url=session.node_url)
