"""Coded pictures to MPEG-TS, as our own sender writes it and as others do."""

from __future__ import annotations

from typing import Protocol

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from livepeer.trickle.media import TIME_BASE, AccessUnit, Piece, Segmenter

from .job import RATE

SEGMENT_S = 1.0


class Muxer(Protocol):
    """Makes of each picture the bytes that go out at once."""

    def add(self, unit: AccessUnit) -> Piece:
        """The bytes of one picture, and whether a segment begins with it."""
        ...


class Own:
    """Our own segments: each PES packet says how long it is."""

    def __init__(self) -> None:
        self._segmenter = Segmenter({"video": "h264"}, segment_s=SEGMENT_S)

    def add(self, unit: AccessUnit) -> Piece:
        """The bytes of one picture."""
        return self._segmenter.add(unit)


class Plain:
    """libavformat's muxer with its defaults: a video PES packet ends where the next begins."""

    def __init__(self, width: int, height: int) -> None:
        self._written = bytearray()
        container = av.open(self, "w", format="mpegts", options={"flush_packets": "1"})  # pyright: ignore[reportArgumentType]
        assert isinstance(container, OutputContainer)
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        self._container, self._stream = container, stream

    def write(self, data: bytes) -> int:
        """For PyAV: what its muxer wrote."""
        self._written += data
        return len(data)

    def add(self, unit: AccessUnit) -> Piece:
        """The bytes of one picture."""
        packet = Packet(unit.data)
        packet.stream, packet.time_base = self._stream, TIME_BASE
        packet.pts, packet.dts, packet.is_keyframe = unit.pts, unit.dts, unit.key
        self._container.mux_one(packet)
        data, self._written = bytes(self._written), bytearray()
        return Piece(unit.key, data)
