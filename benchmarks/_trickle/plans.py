"""How much of each kind is run: enough to be told from noise, or just enough to be seen to work."""

from __future__ import annotations

from dataclasses import dataclass

from .load import Plan

PIECE = 64 * 1024
SMALL = 1024
FRAME = 8 * 1024


@dataclass(frozen=True)
class Plans:
    """The sizes of everything.

    Attributes:
        laps: How often each client runs each plan.
        bulk: 64 KiB writes, 8 MiB segments, as fast as they go.
        small: Segments of one write of 1 KiB, as fast as they go.
        frames: 8 KiB writes into an open segment, 200 a second.
        rounds: How often the fan-out is run.
        readers: To how many subscribers.
        fan_bulk: What these get of bulk.
        fan_small: What these get of small segments.
        bare_bulk: What the one reader of a bare server gets of bulk.
        bare_small: What it gets of small segments.
        long: The long run of small segments.
        early: After how many of those memory is looked at first.
        peers_too: Whether the peers make the long run as well.
    """

    laps: int
    bulk: Plan
    small: Plan
    frames: Plan
    rounds: int
    readers: int
    fan_bulk: Plan
    fan_small: Plan
    bare_bulk: Plan
    bare_small: Plan
    long: Plan
    early: int
    peers_too: bool


FULL = Plans(
    laps=15,
    bulk=Plan(40, 128, PIECE),
    small=Plan(600, 1, SMALL),
    frames=Plan(2, 60, FRAME, 0.005),
    rounds=9,
    readers=50,
    fan_bulk=Plan(6, 64, PIECE),
    fan_small=Plan(100, 1, SMALL),
    bare_bulk=Plan(100, 64, PIECE),
    bare_small=Plan(2000, 1, SMALL),
    long=Plan(10_000, 1, SMALL),
    early=1000,
    peers_too=True,
)

QUICK = Plans(
    laps=3,
    bulk=Plan(10, 128, PIECE),
    small=Plan(150, 1, SMALL),
    frames=Plan(2, 30, FRAME, 0.005),
    rounds=2,
    readers=50,
    fan_bulk=Plan(4, 16, PIECE),
    fan_small=Plan(40, 1, SMALL),
    bare_bulk=Plan(40, 16, PIECE),
    bare_small=Plan(600, 1, SMALL),
    long=Plan(1500, 1, SMALL),
    early=500,
    peers_too=False,
)
