"""Pictures that refer to a key frame which another session had, coded anew."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import VideoEncoder
from livepeer.trickle.media.decoder import VideoDecoder

from .source import MIDWAY

if TYPE_CHECKING:
    from livepeer.trickle.media import AccessUnit, VideoFrame

MAX_KEPT_BYTES: Final = 64 * 1024 * 1024

_log = logging.getLogger(__name__)


class Bridge:
    """Keeps the pictures since the last key frame, so that a session can begin between two.

    A file may have one key frame, at its beginning. What was kept is decoded, and what has not
    been sent of it is coded anew, up to the source's next key frame. `begin`, `add` and `end`
    block: they are for a thread, one at a time.

    Args:
        max_bytes: How much is kept; behind a longer way from a key frame nothing can go on before
            the next one.
    """

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: list[AccessUnit] = []
        self._size = 0
        self._sent_to: int | None = None
        self._reorder = 0
        self._decoder: VideoDecoder | None = None
        self._encoder = VideoEncoder(MIDWAY)
        self._closed = False

    def keep(self, unit: AccessUnit) -> None:
        """Remember a picture of the source, the next in the order of decoding."""
        if unit.key:
            self._kept, self._size = [], 0
            # By as much decoding is ahead, and it has to be so in what is coded anew: else its
            # decoding times would be behind those of the source's next key frame.
            self._reorder = max(unit.pts - unit.dts, 0)
        elif not self._kept:
            return
        self._kept.append(unit)
        self._size += len(unit.data)
        if self._size > self._max_bytes:
            self._kept = []

    def passed(self, unit: AccessUnit) -> None:
        """A picture was sent, or is left out for good: none up to it is sent any more."""
        self._sent_to = unit.pts if self._sent_to is None else max(self._sent_to, unit.pts)

    def begin(self) -> list[AccessUnit]:
        """What of that which is kept was not sent, and begins with a key frame."""
        self._decoder, self._encoder = None, VideoEncoder(MIDWAY)
        if not self._kept:
            _log.warning("the stream goes on with the next key frame: the last one is too far back")
            return []
        self._decoder = VideoDecoder("h264")
        units: list[AccessUnit] = []
        for unit in self._kept:
            if self._closed:
                return []
            units += self.add(unit)
        return units

    def add(self, unit: AccessUnit) -> list[AccessUnit]:
        """What is ready with the next picture of the source."""
        if self._decoder is None:
            return []
        try:
            return self._coded(self._decoder.decode(unit))
        except MediaError as error:
            _log.debug("a damaged picture is left out: %s", error)
            return []

    def end(self) -> list[AccessUnit]:
        """What is left."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return []
        units = self._coded(decoder.drain())
        return units + self._moved(self._encoder.flush())

    def close(self) -> None:
        """Have a `begin` that runs end soon."""
        self._closed = True

    def _coded(self, pictures: list[VideoFrame]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for picture in pictures:
            if self._sent_to is None or picture.pts > self._sent_to:
                units += self._moved(self._encoder.encode(picture))
        return units

    def _moved(self, units: list[AccessUnit]) -> list[AccessUnit]:
        return [replace(unit, dts=unit.pts - self._reorder) for unit in units]
