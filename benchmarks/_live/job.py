"""What one run is; sent as JSON to the processes that take part in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
RATE = 30
TICKS = 90_000

IDENTITY, NUMPY, TENSOR, SLOW, RELAY = "identity", "numpy", "tensor", "slow", "relay"
HOOKS = (IDENTITY, NUMPY, TENSOR, SLOW, RELAY)
SLOW_S = 0.1
"""How long the slow hook takes for a picture."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one subject.

    Attributes:
        incoming: The URL of the channel that the subject reads.
        outgoing: The URL of the channel that it publishes.
        size: One of `SIZES`.
        hook: What is done to each picture, one of `HOOKS`.
        pictures: How many pictures are sent.
        warm: So many of them are sent before anything is measured.
        fast: As fast as the subject takes them, and not at their own pace.
        foreign: Sent as libavformat's muxer writes it, and not by our own.
        reordered: With B-frames.
        isolated: Of ours: the hook runs in a process of its own.
        port: Of ours: where the runner listens.
    """

    incoming: str = ""
    outgoing: str = ""
    size: str = "720p"
    hook: str = IDENTITY
    pictures: int = 360
    warm: int = 60
    fast: bool = False
    foreign: bool = False
    reordered: bool = False
    isolated: bool = False
    port: int = 0

    @property
    def width(self) -> int:
        """In pixels."""
        return SIZES[self.size][0]

    @property
    def height(self) -> int:
        """In pixels."""
        return SIZES[self.size][1]

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def parse(cls, line: str) -> Job:
        """From one line of JSON."""
        return cls(**json.loads(line))
