"""Ten times as much as a server may take: what becomes of it, and what a refusal costs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from _face import AtMost, Row, all_that_work, columns_of
from _face.processes import Failed

from . import work as works
from .rows import MICROS, standing
from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _face import Bar

    from .bench import Bench, Lap
    from .plans import Plan
    from .serving import Server

SLOTS = 4
NAP_S = 0.05
TIMES = 10
CALLERS = 80
PERIOD_S = CALLERS / (SLOTS / NAP_S * TIMES)
"""Of each caller, so that all of them together ask ten times too much."""

REFUSALS = ("503", "429", "409")
HOLD_S = 120.0


@dataclass(frozen=True)
class Overload:
    """What one subject did.

    Attributes:
        lap: Ten times too many requests.
        trivial: CPU microseconds of a predict that does nothing, with as many callers as slots.
        refusal: The same of a refusal, with as many; 0 where nothing is refused.
    """

    lap: Lap
    trivial: float
    refusal: float

    @property
    def refused(self) -> int:
        """How many were refused."""
        return sum(self.lap.statuses.get(status, 0) for status in REFUSALS)

    @property
    def failed(self) -> int:
        """How many were not refused, and did not succeed either."""
        lap = self.lap
        return lap.answers - lap.accepted - self.refused + lap.broken + lap.late


def overload_rows(bench: Bench, plan: Plan, absent: dict[str, str]) -> list[Row]:
    """All subjects, in turns."""
    with ExitStack() as stack:
        servers = standing(bench, stack, works.NAP, SLOTS, absent)
        jobs = {name: partial(_overload, bench, plan, server) for name, server in servers.items()}
        runs = all_that_work(plan.rounds, jobs, "overload", absent, (OURS, FLOOR))
    made = partial(_row, runs, absent)
    refusing = {name: kept for name, kept in runs.items() if all(run.refusal for run in kept)}
    refusals = partial(_row, refusing, absent | _never(runs, refusing))
    return [
        made("accepted", "per s", lambda run: run.lap.accepted / run.lap.wall),
        made("refused", "per s", lambda run: run.refused / run.lap.wall),
        made("accepted that failed", "", lambda run: run.failed, AtMost(0, "requests")),
        made("an accepted one, 99th percentile", "ms", lambda run: run.lap.longest * 1e3),
        refusals("a refusal", MICROS, lambda run: run.refusal),
        refusals("a trivial predict of the same", MICROS, lambda run: run.trivial),
        refusals(
            "a refusal against a trivial predict",
            "",
            lambda run: run.refusal / run.trivial,
            AtMost(1.0, "trivial predict"),
        ),
    ]


def _overload(bench: Bench, plan: Plan, server: Server) -> Overload:
    job: dict[str, object] = {"seconds": plan.seconds, "warm_s": plan.warm_s}
    trivial = bench.clean(server, callers=SLOTS, **job)
    lap = bench.lap(
        server,
        callers=CALLERS,
        seconds=plan.overload_s,
        period_s=PERIOD_S,
        values={"seconds": NAP_S},
    )
    held = bench.lap(server, callers=SLOTS, held=SLOTS, held_values={"seconds": HOLD_S}, **job)
    refused = sum(held.statuses.get(status, 0) for status in REFUSALS)
    if refused and refused != held.answers:
        raise Failed(f"with all slots taken, answers by status {held.statuses}")
    return Overload(
        lap,
        trivial.cpu / trivial.accepted * 1e6,
        held.cpu / refused * 1e6 if refused else 0.0,
    )


def _never(runs: Mapping[str, list[Overload]], refusing: Mapping[str, object]) -> dict[str, str]:
    return {name: "refuses nothing" for name in runs if name not in refusing and name != FLOOR}


def _row(
    runs: Mapping[str, list[Overload]],
    absent: dict[str, str],
    measure: str,
    unit: str,
    figure: Callable[[Overload], float],
    *bars: Bar,
) -> Row:
    columns = columns_of(runs, figure)
    kept = bars if OURS in columns else ()
    return Row(measure, unit, columns, kept, compared=None, absent=dict(absent))
