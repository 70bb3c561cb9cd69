"""Cut a stream of access units into self-contained MPEG-TS segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._mpegts import TSMuxer
from .clock import ticks

if TYPE_CHECKING:
    from .units import AccessUnit, Kind

SEGMENT_S = 1.0
MAX_SEGMENT_BYTES = 16 * 1024 * 1024


class Piece(NamedTuple):
    """Bytes to publish, and whether a new segment begins with them."""

    starts: bool
    data: bytes


class Segmenter:
    """One muxer across segments; each begins with the tables, and at a key frame.

    Without a video stream any audio unit may begin a segment.

    Args:
        codecs: The codec of each stream, by libavcodec's name: `{"video": "h264", "audio": "aac"}`.
        segment_s: A segment is cut at the first key frame after so many seconds.
        max_segment_bytes: A segment that grows to this size is cut where it stands, so that a
            stream without key frames stays within what servers take.
    """

    def __init__(
        self,
        codecs: dict[Kind, str],
        *,
        segment_s: float = SEGMENT_S,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
    ) -> None:
        self._muxer = TSMuxer(codecs)
        self._lead: Kind = "video" if "video" in codecs else "audio"
        self._length = ticks(segment_s)
        self._max_bytes = max_segment_bytes
        self._begun_at: int | None = None
        self._bytes = 0

    def add(self, unit: AccessUnit) -> Piece:
        """The bytes of one unit."""
        starts = self._is_cut(unit)
        data = self._muxer.mux(unit)
        if starts:
            data = self._muxer.tables() + data
            self._begun_at = unit.dts
            self._bytes = 0
        self._bytes += len(data)
        return Piece(starts, data)

    def _is_cut(self, unit: AccessUnit) -> bool:
        if self._begun_at is None or self._bytes >= self._max_bytes:
            return True
        if unit.kind != self._lead or not unit.key:
            return False
        # A clock that went back would otherwise never reach the next cut.
        return not 0 <= unit.dts - self._begun_at < self._length
