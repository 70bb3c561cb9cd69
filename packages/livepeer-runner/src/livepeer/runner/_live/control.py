"""The control channel of one session: updates, keep-alives, and the end of both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.errors import MessageError, SegmentError
from livepeer.trickle.messages import KEEP_ALIVE, decode_message

if TYPE_CHECKING:
    import aiohttp

    from livepeer.runner._live.reports import Reports
    from livepeer.runner._live.updates import Updates
    from livepeer.trickle import SegmentReader


class Control:
    """Reads a control channel.

    Only a gateway that sends keep-alives can fall silent; a caller who is its own need not.

    Args:
        url: The channel's URL.
        http: The session for trickle.
        silence_s: How long a channel with keep-alives may be silent.
        expected: Whether it has keep-alives from the first moment.
        updates: Where updates go.
        reports: Told of what is none.
    """

    def __init__(
        self,
        url: str,
        http: aiohttp.ClientSession,
        silence_s: float,
        *,
        expected: bool,
        updates: Updates,
        reports: Reports,
    ) -> None:
        self._subscriber = TrickleSubscriber(url, start=0, session=http)
        self._silence_s = silence_s
        self._limit_s = silence_s if expected else None
        self._updates = updates
        self._reports = reports

    async def run(self) -> str:
        """Until the channel ends or falls silent; why the session is over.

        Raises:
            TrickleError: It cannot be read.
        """
        async with self._subscriber:
            while True:
                try:
                    async with asyncio.timeout(self._limit_s):
                        segment = await anext(self._subscriber, None)
                        if segment is None:
                            return "the control channel ended"
                        body = await self._read(segment)
                except TimeoutError:
                    return f"the control channel was silent for {self._silence_s:g} s"
                self._take(body)

    async def _read(self, segment: SegmentReader) -> bytes:
        try:
            return await segment.read()
        except (SegmentError, MessageError) as error:
            self._reports.refused(error)
            return b""

    def _take(self, body: bytes) -> None:
        """One document: parameters, as an update by the route would bring them."""
        if not body:
            return
        try:
            message = decode_message(body)
        except MessageError as error:
            self._reports.refused(error)
            return
        if message == KEEP_ALIVE:
            self._limit_s = self._silence_s
        else:
            # Not awaited: a hook that takes long must not be mistaken for silence.
            self._updates.add(message, len(body))
