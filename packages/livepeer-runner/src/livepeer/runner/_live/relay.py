"""Segments from one channel to another, byte for byte: a stream that nobody changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from livepeer.trickle.errors import SegmentTruncated
from livepeer.trickle.media import Piece

if TYPE_CHECKING:
    from livepeer.runner._live.output import Output
    from livepeer.runner._live.stage import Frame
    from livepeer.runner._live.stats import SessionStats
    from livepeer.trickle import TrickleSubscriber

_log = logging.getLogger(__name__)


class Relay:
    """Passes each chunk on when it arrives, and cuts where the source cuts."""

    def __init__(
        self, source: TrickleSubscriber, output: Output | None, stats: SessionStats
    ) -> None:
        self._source = source
        self._output = output
        self._stats = stats

    async def run(self) -> None:
        """Until the source ends and everything went out."""
        async for segment in self._source:
            self._stats.gaps += segment.gap
            starts = True
            try:
                async for chunk in segment:
                    if self._output is not None:
                        await self._output.put(Piece(starts, chunk))
                    starts = False
            except SegmentTruncated as error:
                _log.warning("%s", error)
            self._stats.segments_in += 1
            self._stats.last_segment_in = segment.seq
        if self._output is not None:
            await self._output.finish()

    def emit(self, frame: Frame) -> None:
        """Count it: a stream that is relayed has no encoder."""
        del frame
        self._stats.drop("emit_queue")

    def interrupt(self) -> None:
        """Nothing runs beside the loop, whose task is cancelled."""
