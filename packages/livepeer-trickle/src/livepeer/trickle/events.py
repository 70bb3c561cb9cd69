"""What a publisher or subscriber tells about its way through a bad network.

Pass `on_event=` and match on the type. The callback runs on the loop and must not block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Gap:
    """Segments were lost to this reader, because the server no longer held them.

    Attributes:
        url: The channel, without user and password.
        seq: The segment with which the reader goes on.
        missed: How many were lost before it.
    """

    url: str
    seq: int
    missed: int


@dataclass(frozen=True, slots=True)
class Retry:
    """A request failed and will be made again.

    Attributes:
        url: The channel, without user and password.
        seq: The segment that is asked for or delivered.
        attempt: Which attempt failed, from 1.
        wait_s: How long until the next one, seconds.
        reason: What went wrong, in words.
    """

    url: str
    seq: int
    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The channel is over.

    Attributes:
        url: The channel, without user and password.
        reason: "closed" while we were connected, or "not found" when we came back.
    """

    url: str
    reason: str


TrickleEvent: TypeAlias = Gap | Retry | Ended
