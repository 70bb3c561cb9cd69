"""How much of each kind is run: enough to be told from noise, or just enough to be seen to work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The sizes of everything.

    Attributes:
        rounds: How often each subject is asked, in turns.
        seconds: How long each time.
        warm_s: How long before that, without being counted.
        starts: How often each subject is started.
        after: How many requests it has had when its memory is looked at again.
        overload_s: How long the overload lasts.
        growth: Requests of the long run.
    """

    rounds: int
    seconds: float
    warm_s: float
    starts: int
    after: int
    overload_s: float
    growth: int


FULL = Plan(rounds=5, seconds=0.8, warm_s=0.3, starts=5, after=3000, overload_s=2.5, growth=100_000)
QUICK = Plan(rounds=2, seconds=0.6, warm_s=0.3, starts=2, after=500, overload_s=1.5, growth=8000)
