"""How much of each kind is run: enough to be told from noise, or just enough to be seen to work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The sizes of everything.

    Attributes:
        rounds: How often each subject runs, in turns.
        warm: Calls before those that are counted.
        calls: Calls that are counted.
        crowd: How many call at the same moment.
        growth: Calls of the long run.
        imports: How often each is imported.
    """

    rounds: int
    warm: int
    calls: int
    crowd: int
    growth: int
    imports: int


FULL = Plan(rounds=15, warm=100, calls=1000, crowd=500, growth=50_000, imports=7)
QUICK = Plan(rounds=3, warm=100, calls=1000, crowd=500, growth=5000, imports=3)
