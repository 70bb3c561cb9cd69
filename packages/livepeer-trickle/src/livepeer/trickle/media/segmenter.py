"""Cut a stream of access units into self-contained MPEG-TS segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._mpegts import TSMuxer
from .clock import restarts, ticks

if TYPE_CHECKING:
    from .units import AccessUnit, Kind

SEGMENT_S = 1.0
MAX_SEGMENT_BYTES = 16 * 1024 * 1024
_QUIET_SEGMENTS = 4
_JUMP_S = 10.0


class Piece(NamedTuple):
    """Bytes to publish, and whether a new segment begins with them."""

    starts: bool
    data: bytes


class Segmenter:
    """One muxer across segments; each begins with the tables, and at a key frame.

    Without a video stream any audio unit may begin a segment, and so it may while the video pauses,
    or has not begun: for as long as no picture came for the time of four segments.

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
        self._lead = _lead(codecs)
        self._length = ticks(segment_s)
        self._max_bytes = max_segment_bytes
        self._begun_at: int | None = None
        self._lead_at: int | None = None
        # When the pictures were there last; where none came yet, when everything began.
        self._quiet_since: int | None = None
        self._changed = False
        self._bytes = 0

    def change(self, codecs: dict[Kind, str]) -> None:
        """Go on with other streams, from the next unit on: some came, went, or changed codec.

        A key frame begins a new segment then. In front of any other unit the new tables are
        written into the segment that is under way.

        Raises:
            ValueError: A codec that a transport stream of ours cannot carry.
        """
        self._muxer.change(codecs)
        self._lead, self._lead_at, self._quiet_since = _lead(codecs), None, None
        self._changed = True

    def add(self, unit: AccessUnit) -> Piece:
        """The bytes of one unit."""
        since = self._quiet_since
        if unit.kind == self._lead or since is None or restarts(since, unit.dts):
            self._quiet_since = unit.dts
        starts = self._is_cut(unit)
        jumps = False
        if unit.kind == self._lead:
            last, self._lead_at = self._lead_at, unit.dts
            # As much as players bear of a clock that they follow.
            jumps = last is not None and not 0 <= unit.dts - last < ticks(_JUMP_S)
        data = self._muxer.mux(unit, jumps=jumps)
        if starts or self._changed:
            data = self._muxer.tables() + data
            self._changed = False
        if starts:
            self._begun_at, self._bytes = unit.dts, 0
        self._bytes += len(data)
        return Piece(starts, data)

    def _is_cut(self, unit: AccessUnit) -> bool:
        if self._begun_at is None or self._bytes >= self._max_bytes:
            return True
        # A clock that went back would otherwise never reach the next cut.
        due = not 0 <= unit.dts - self._begun_at < self._length
        if unit.kind == self._lead:
            return unit.key and (due or self._changed)
        assert self._quiet_since is not None
        return due and unit.dts - self._quiet_since > _QUIET_SEGMENTS * self._length


def _lead(codecs: dict[Kind, str]) -> Kind:
    return "video" if "video" in codecs else "audio"
