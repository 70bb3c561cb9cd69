"""Whether the callers are fast enough to be no part of what they measure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from _face import Row, Series, interleaved
from _face.ports import comes_up, free_port
from _face.processes import Failed

from . import work as works
from .serving import START_S, Server
from .setup import OURS

if TYPE_CHECKING:
    from .bench import Bench
    from .plans import Plan

CROWDS = (1, 16, 64)


def caller_rows(bench: Bench, plan: Plan, absent: dict[str, str]) -> list[Row]:
    """What they can ask of a server that does nothing, and their busiest lap so far."""
    del absent
    port = free_port()
    with bench.setup.helper("_batch.canned", str(port)) as child:
        if not comes_up(child, port, START_S):
            raise Failed("the server that does nothing does not start")
        server = Server(OURS, works.ASYNC, port, child.pid, 0.0)
        jobs = {
            str(callers): partial(
                bench.lap, server, callers=callers, seconds=plan.seconds, warm_s=plan.warm_s
            )
            for callers in CROWDS
        }
        runs = interleaved(plan.rounds, jobs, "the callers")
    made: list[Row] = []
    for callers, laps in runs.items():
        rates = Series.of(lap.answers / lap.wall for lap in laps)
        costs = Series.of(lap.own / lap.answers * 1e6 for lap in laps)
        title = f"a server that does nothing, {callers} callers"
        made.append(Row(title, "per s", {"callers": rates}, compared=None))
        made.append(Row(f"{title}, a request", "their CPU us", {"callers": costs}, compared=None))
    for work, share in bench.busiest.items():
        title = f"of a core at most, {work}"
        made.append(Row(title, "%", {"callers": Series.of([share * 100])}, compared=None))
    return made
