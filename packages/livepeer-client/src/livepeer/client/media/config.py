"""How pictures are coded on their way into a stream."""

from __future__ import annotations

from dataclasses import dataclass

from livepeer.trickle.media import EncoderOptions

_HIGHEST_FPS = 240.0
_LONGEST = 16_384
_LOWEST_BITRATE_BPS = 10_000
_LONGEST_KEY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class VideoOutputConfig:
    """The pictures that a program of ours puts into a stream.

    Attributes:
        fps: Pictures in a second, 1 to 240: how far apart pictures are that have no time of their
            own. Those that have one keep it.
        width: To which width in pixels pictures are scaled; None for as they are, or with a
            height, for what keeps their shape.
        height: To which height; likewise. Odd sizes become the next even one.
        bitrate_bps: Not many more than so many bits in any second, from 10,000, once the first
            two have passed; None for constant quality and as many as that takes.
        key_every_s: Seconds between key frames, up to 60. A segment begins at one, and so does a
            reader that comes late.

    Raises:
        ValueError: One of them is out of its range.
    """

    fps: float = 30.0
    width: int | None = None
    height: int | None = None
    bitrate_bps: int | None = None
    key_every_s: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= _HIGHEST_FPS:
            raise ValueError(f"fps is {self.fps!r}: it is from 1 to {_HIGHEST_FPS:g}")
        for name, size in (("width", self.width), ("height", self.height)):
            if size is not None and not 2 <= size <= _LONGEST:
                raise ValueError(f"{name} is {size!r}: it is from 2 to {_LONGEST} pixels")
        if self.bitrate_bps is not None and self.bitrate_bps < _LOWEST_BITRATE_BPS:
            raise ValueError(
                f"bitrate_bps is {self.bitrate_bps!r}: it is {_LOWEST_BITRATE_BPS} bits a second"
                " or more"
            )
        if not 0 < self.key_every_s <= _LONGEST_KEY_S:
            raise ValueError(
                f"key_every_s is {self.key_every_s!r}: it is more than 0 and up to"
                f" {_LONGEST_KEY_S:g} seconds"
            )

    def encoder(self) -> EncoderOptions:
        """The same for an encoder."""
        return EncoderOptions(key_every_s=self.key_every_s, bitrate_bps=self.bitrate_bps)

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """The size that a picture of this size is brought to."""
        if self.width is None and self.height is None:
            return width, height
        to_width = self.width or round(width * (self.height or 0) / height)
        to_height = self.height or round(height * to_width / width)
        return max(to_width + to_width % 2, 2), max(to_height + to_height % 2, 2)
