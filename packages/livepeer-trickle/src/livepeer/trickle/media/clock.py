"""Every time base and every rescale, in one place. Pure.

MPEG-TS counts in 90 kHz ticks, 33 bits of them; everything between a demuxer and a muxer of ours
counts so too.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

TICKS_PER_S: Final = 90_000
TIME_BASE: Final = Fraction(1, TICKS_PER_S)


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
