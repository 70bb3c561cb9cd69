"""Starting, resting and lasting: the start, the resident set, and its growth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from _face import AtMost, Row, Series, all_that_work, columns_of
from _face.runs import note

from . import work as works
from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from .bench import Bench
    from .plans import Plan

START_RATIO = 1.2
RESIDENT_RATIO = 1.2
GROWTH_PERCENT = 2.0
CALLERS = 16
REST_S = 1.0
LONG_S = 3600.0


@dataclass(frozen=True)
class Stand:
    """One start: seconds to healthy, and MiB before and after some requests."""

    start: float
    idle: float
    after: float


def stand(bench: Bench, plan: Plan, subject: str) -> Stand:
    """Start a server, let it rest, and ask it a little."""
    with bench.serving(subject, works.ASYNC, CALLERS) as server:
        time.sleep(REST_S)
        idle = server.resident()
        bench.clean(server, callers=CALLERS, seconds=LONG_S, limit=plan.after)
        return Stand(server.start, idle, server.resident())


def start_rows(bench: Bench, plan: Plan, absent: dict[str, str]) -> list[Row]:
    """Of all subjects, in turns."""
    jobs = {name: partial(stand, bench, plan, name) for name in bench.setup.environments}
    # The first start compiles what it imports.
    for name in jobs:
        note(f"{name} is started")
        all_that_work(1, {name: jobs[name]}, "first start", absent, (OURS, FLOOR))
    runs = all_that_work(plan.starts, jobs, "starts", absent, (OURS, FLOOR))

    def made(measure: str, unit: str, figure: str, *bars: AtMost) -> Row:
        columns = columns_of(runs, attrgetter(figure))
        return Row(measure, unit, columns, bars if FLOOR in columns else (), absent=dict(absent))

    return [
        made("start to healthy", "s", "start", AtMost(START_RATIO)),
        made("resident, idle", "MiB", "idle", AtMost(RESIDENT_RATIO)),
        made(f"resident after {plan.after} requests", "MiB", "after"),
    ]


def growth_rows(bench: Bench, plan: Plan, absent: dict[str, str]) -> list[Row]:
    """Of ours, over many requests, from the first tenth on."""
    del absent
    return [_growth(bench, plan, work) for work in (works.SYNC, works.ASYNC)]


def _growth(bench: Bench, plan: Plan, work: str) -> Row:
    note(f"{plan.growth} requests of {work} predict")
    with bench.serving(OURS, work, CALLERS) as server:
        sizes: list[float] = []
        for count in (plan.growth // 10, plan.growth - plan.growth // 10):
            bench.clean(server, callers=CALLERS, seconds=LONG_S, limit=count)
            sizes.append(server.resident())
    grown = Series.of([(sizes[1] - sizes[0]) / sizes[0] * 100])
    return Row(
        f"{plan.growth} requests, {work} predict",
        "%",
        {OURS: grown},
        (AtMost(GROWTH_PERCENT, "%"),),
        compared=None,
    )
