"""Every time base and every rescale, in one place. Pure.

MPEG-TS counts in 90 kHz ticks, 33 bits of them; everything between a demuxer and a muxer of ours
counts so too, and goes on counting where 33 bits begin anew.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

TICKS_PER_S: Final = 90_000
TIME_BASE: Final = Fraction(1, TICKS_PER_S)
WRAP: Final = 1 << 33

_RESTART: Final = TICKS_PER_S // 4
_NEAR_WRAP: Final = 60 * TICKS_PER_S


def to_ticks(pts: int, time_base: Fraction) -> int:
    """Rescale a timestamp to 90 kHz, rounding to the nearest tick."""
    if time_base == TIME_BASE:
        return pts
    scaled = Fraction(pts) * Fraction(time_base) * TICKS_PER_S
    return round(scaled)


def ticks(seconds: float) -> int:
    """A duration in 90 kHz ticks."""
    return round(seconds * TICKS_PER_S)


def seconds(ticks_: int) -> float:
    """A duration in seconds."""
    return ticks_ / TICKS_PER_S


def restarts(last: int, now: int) -> bool:
    """Whether a clock that stood at `last` began anew, rather than being uneven: a step back of
    more than a quarter of a second, both in 90 kHz ticks."""
    return now < last - _RESTART


def nearest(stamp: int, to: int) -> int:
    """What a 33-bit timestamp stands for: of all that it may be, the nearest to another."""
    half = WRAP // 2
    return to + (stamp - to + half) % WRAP - half


class Unwrapper:
    """Makes 33-bit timestamps of one program rise beyond 33 bits.

    Each is taken for the nearest to the last one, so that a clock may also jump, either way. One
    that begins in the last minute before the wrap begins below zero, as sound does that an encoder
    put before the first picture.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, stamp: int) -> int:
        """The timestamp in the count of the one before it."""
        if self._last is None:
            self._last = stamp - WRAP if stamp >= WRAP - _NEAR_WRAP else stamp
        else:
            self._last = nearest(stamp, self._last)
        return self._last
