"""What goes out of a transform: frames and copied units, as pieces of MPEG-TS."""

from __future__ import annotations

from livepeer.trickle.media import (
    AccessUnit,
    AudioEncoder,
    AudioFrame,
    EncoderOptions,
    Hardware,
    Item,
    Kind,
    Piece,
    Segmenter,
    StreamInfo,
    VideoEncoder,
    VideoFrame,
)


class Encoding:
    """One encoder for each kind and one muxer, for as long as the streams stay what they are."""

    def __init__(self, segment_s: float, hardware: Hardware) -> None:
        self._segment_s = segment_s
        self._video = VideoEncoder(EncoderOptions(key_every_s=segment_s, hardware=hardware))
        self._audio = AudioEncoder()
        self._codecs: dict[Kind, str] = {}
        self._segmenter: Segmenter | None = None

    def add(self, item: Item) -> list[Piece]:
        """The pieces that are ready with this frame or unit."""
        if isinstance(item, StreamInfo):
            return self._begin(item)
        if isinstance(item, VideoFrame):
            return self._mux(self._video.encode(item))
        if isinstance(item, AudioFrame):
            return self._mux(self._audio.encode(item))
        return self._mux([item])

    def flush(self) -> list[Piece]:
        """What is left."""
        return self._mux(self._video.flush() + self._audio.flush())

    def _begin(self, info: StreamInfo) -> list[Piece]:
        encoded: dict[Kind, str] = {"video": "h264", "audio": "aac"}
        codecs: dict[Kind, str] = {
            kind: encoded[kind] if kind in info.decoded else codec
            for kind, codec in info.codecs.items()
        }
        if codecs == self._codecs or not codecs:
            return []
        # What is left of sound that goes must go before it.
        pieces = [] if "audio" in codecs else self._mux(self._audio.flush())
        self._codecs = codecs
        if self._segmenter is None:
            self._segmenter = Segmenter(codecs, segment_s=self._segment_s)
        else:
            self._segmenter.change(codecs)
        return pieces

    def _mux(self, units: list[AccessUnit]) -> list[Piece]:
        if self._segmenter is None:
            return []
        return [self._segmenter.add(unit) for unit in units]
