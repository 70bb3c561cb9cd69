"""What a media file holds: pictures with their times, sound with its extent, where both are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

_FLASH_LUMA = 150
_TONE_LEVEL = 0.1


@dataclass
class Video:
    """A video track, decoded.

    Attributes:
        times: Presentation time of each picture in seconds, on the file's own clock.
        luma: The luma plane of each picture, turned upright.
        chroma_error: By how much any chroma sample differs from neutral, at most.
    """

    times: list[float] = field(default_factory=list[float])
    luma: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])
    chroma_error: int = 0
    aspect: float = 1.0
    format: str = ""

    @property
    def offsets(self) -> NDArray[np.float64]:
        """The times from the first picture on."""
        return np.array(self.times) - self.times[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        ((height, width),) = {plane.shape for plane in self.luma}
        return width, height

    @property
    def mark(self) -> float:
        """When the flash begins."""
        bright = (
            time
            for time, plane in zip(self.times, self.luma, strict=True)
            if plane.mean() > _FLASH_LUMA
        )
        return next(bright)


@dataclass
class Audio:
    """An audio track, decoded and as packets.

    Attributes:
        begin: Presentation time of the first sample, in seconds on the file's clock.
        end: Of the end of the last.
        seconds: How much sound there is, holes not counted.
        mark: When the tone begins; None in a track that has none.
        payload: The coded packets.
    """

    begin: float = 0.0
    end: float = 0.0
    seconds: float = 0.0
    mark: float | None = None
    payload: list[bytes] = field(default_factory=list[bytes])


def video(path: Path) -> Video | None:
    """Decode all pictures; None without a video track."""
    found = Video()
    with av.open(str(path)) as container:
        if not container.streams.video:
            return None
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            # A bare stream has a rate, and no times.
            pts = frame.dts if frame.pts is None else frame.pts
            bare = len(found.times) / float(stream.guessed_rate)
            found.times.append(bare if pts is None else float(pts * frame.time_base))
            found.format = frame.format.name
            planar = frame.format.name in ("yuv420p", "yuvj420p")
            planes = (frame if planar else frame.reformat(format="yuv420p")).planes
            y, *chroma = (_plane(plane) for plane in planes)
            found.luma.append(np.rot90(y, round(frame.rotation / 90)).copy())
            error = max(int(abs(plane.astype(int) - 128).max()) for plane in chroma)
            found.chroma_error = max(found.chroma_error, error)
        found.aspect = float(stream.codec_context.sample_aspect_ratio or 1)
    # AVI knows no presentation times: its packets have times that rise in the order of decoding.
    if path.suffix == ".avi":
        found.times.sort()
    return found


def audio(path: Path) -> Audio | None:
    """Decode all sound; None without an audio track, or with one that is empty."""
    found = Audio()
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        for frame in container.decode(container.streams.audio[0]):
            begin = float(frame.pts * frame.time_base)
            found.begin = found.begin if found.seconds else begin
            found.end = begin + frame.samples / frame.sample_rate
            found.seconds += frame.samples / frame.sample_rate
            loud = np.flatnonzero(abs(_samples(frame)) > _TONE_LEVEL)
            if loud.size and found.mark is None:
                found.mark = begin + int(loud[0]) / frame.sample_rate
    with av.open(str(path)) as container:
        found.payload = [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]
    return found if found.seconds else None


def _plane(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """The first channel, from -1 to 1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    return (samples[0] / scale).astype(np.float32)
