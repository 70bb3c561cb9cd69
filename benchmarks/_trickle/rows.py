"""What the laps come to: sections of rows, each with its bars."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from _face import Ahead, AtMost, Row, Section, Series, all_that_work, columns_of, interleaved
from _face.runs import note

from .measure import Contestant, Growth, Run, growth
from .setup import BARE, FLOOR, MANY, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from _face import Bar

    from .load import Plan
    from .plans import Plans
    from .setup import Setup

CPU_BAR = 1.15
LATENCY_BAR = 1.2
GROWTH_BAR_MIB = 2.0
PER_GB, PER_SEGMENT = "CPU s/GB", "CPU us"
UVLOOP = "on uvloop"


def client_section(setup: Setup, plans: Plans, server: str) -> Section:
    """The clients against one server: CPU in bulk and for small segments, the delay of frames."""
    absent = {name: why for name, why in setup.absent.items() if name != "uvloop"}
    with ExitStack() as stack:
        serving = stack.enter_context(setup.serving(server, plans.bulk))
        made = {n: stack.enter_context(Contestant(setup, n, n)) for n in setup.clients}
        for contestant in made.values():
            contestant.up()

        def laps(title: str, plan: Plan) -> dict[str, list[Run]]:
            jobs = {name: partial(made[name].lap, serving, plan) for name in made}
            for name, why in absent.items():
                if name in jobs:
                    note(f"{name} is left out of {title}: {why}")
                    del jobs[name]
            return all_that_work(
                plans.laps, jobs, f"{title}, server {server}", absent, (OURS, FLOOR)
            )

        rows = [
            *_cpu_rows("bulk", PER_GB, plans.bulk.gigabytes, laps("bulk", plans.bulk)),
            *_small_rows(plans.small, laps("small segments", plans.small)),
            *_delay_rows(laps("frames", plans.frames)),
        ]
    owner = "this project" if server == OURS else server
    for row in rows:
        row.absent.update((n, why) for n, why in absent.items() if n not in row.columns)
    return Section(f"Clients, against the server of {owner}", rows)


def fan_out_section(setup: Setup, plans: Plans) -> Section:
    """What the servers use for one of many readers, against a bare server's one GET."""
    rows = [
        _fan_out_row(setup, plans, "bulk", PER_GB, plans.fan_bulk, plans.bare_bulk),
        _fan_out_row(setup, plans, "small segment", PER_SEGMENT, plans.fan_small, plans.bare_small),
    ]
    return Section(f"Servers, {plans.readers} subscribers (floor: a bare server's one GET)", rows)


def _fan_out_row(setup: Setup, plans: Plans, title: str, unit: str, many: Plan, one: Plan) -> Row:
    with ExitStack() as stack:
        jobs: dict[str, Callable[[], Run]] = {}
        for server in setup.servers:
            serving = stack.enter_context(setup.serving(server, many))
            readers = Contestant(setup, MANY, FLOOR, readers=plans.readers)
            jobs[server] = partial(stack.enter_context(readers).up().lap, serving, many)
        serving = stack.enter_context(setup.serving(BARE, one))
        reader = stack.enter_context(Contestant(setup, MANY, None))
        jobs[FLOOR] = partial(reader.up().lap, serving, one)
        # The first of a server is dearer: what it imports late, the memory that it takes.
        for job in jobs.values():
            job()
        runs = interleaved(plans.rounds, jobs, f"fan-out: {title}")
    scales = dict.fromkeys(runs, _size(many, unit) * plans.readers) | {FLOOR: _size(one, unit)}
    columns = {n: Series.of(run.server / scales[n] for run in made) for n, made in runs.items()}
    return Row(f"{title}, per subscriber", unit, _ordered(columns), (AtMost(1.0),))


def _size(plan: Plan, unit: str) -> float:
    return plan.gigabytes if unit == PER_GB else plan.segments / 1e6


def memory_section(setup: Setup, plans: Plans) -> Section:
    """By how much everybody grew in a long run; each client once, against our server."""
    plan, early = plans.long, plans.early
    clients = setup.clients if plans.peers_too else [OURS]
    jobs = {name: partial(growth, setup, OURS, name, plan, early) for name in clients}
    absent: dict[str, str] = {}
    runs: dict[str, list[Growth]] = all_that_work(1, jobs, "memory", absent, (OURS,))
    rows = [
        Row(
            f"{role}, segments {early} to {plan.segments}",
            "MiB",
            _ordered({n: Series.of(getattr(r, role) for r in made) for n, made in runs.items()}),
            (AtMost(GROWTH_BAR_MIB, "MiB"),),
            compared=None,
            absent=absent,
        )
        for role in ("publisher", "subscriber", "server")
    ]
    return Section("Growth of the resident set, each client with our server", rows)


def uvloop_section(setup: Setup, plans: Plans) -> Section:
    """Ours on asyncio's loop and on uvloop's, all three processes."""
    rows: list[Row] = []
    with ExitStack() as stack:
        laps: dict[str, Callable[[Plan], Run]] = {}
        for name, uvloop in ((OURS, False), (UVLOOP, True)):
            serving = stack.enter_context(setup.serving(OURS, plans.bulk, uvloop=uvloop))
            contestant = stack.enter_context(Contestant(setup, OURS, OURS, uvloop=uvloop))
            laps[name] = partial(contestant.up().lap, serving)
        for title, unit, plan, scale in (
            ("bulk", PER_GB, plans.bulk, plans.bulk.gigabytes),
            ("small segment", PER_SEGMENT, plans.small, plans.small.segments / 1e6),
        ):
            jobs = {name: partial(lap, plan) for name, lap in laps.items()}
            runs = interleaved(plans.laps, jobs, f"uvloop: {title}")
            roles = ("publisher", "subscriber", "server")
            rows += [_role_row(title, unit, scale, role, runs) for role in roles]
    return Section("uvloop: where it helps and where it hurts", rows)


def _role_row(title: str, unit: str, scale: float, role: str, runs: dict[str, list[Run]]) -> Row:
    columns = {n: Series.of(getattr(run, role) / scale for run in made) for n, made in runs.items()}
    return Row(f"{title}, {role}", unit, columns, compared=(UVLOOP, OURS))


def _cpu_rows(title: str, unit: str, scale: float, runs: dict[str, list[Run]]) -> list[Row]:
    return [
        _row(f"{title}, publisher", unit, runs, lambda run: run.publisher / scale, Ahead()),
        _row(f"{title}, subscriber", unit, runs, lambda run: run.subscriber / scale, Ahead()),
        _row(
            f"{title}, both", unit, runs, lambda run: run.clients / scale, AtMost(CPU_BAR), Ahead()
        ),
    ]


def _small_rows(plan: Plan, runs: dict[str, list[Run]]) -> list[Row]:
    return [
        *_cpu_rows("small segment", PER_SEGMENT, plan.segments / 1e6, runs),
        _row("small segments", "per s", runs, lambda run: plan.segments / run.wall),
    ]


def _delay_rows(runs: dict[str, list[Run]]) -> list[Row]:
    bars = (AtMost(LATENCY_BAR), Ahead())
    # Few frames of one lap make no percentile: the late ones are those of all laps together.
    late = {name: [_late(made)] for name, made in runs.items()}
    columns = _ordered({name: Series.of(values) for name, values in late.items()})
    return [
        _row("delay of a frame, median", "ms", runs, lambda r: statistics.median(r.delays), *bars),
        Row("delay of a frame, 99th percentile", "ms", columns),
    ]


def _row(
    measure: str,
    unit: str,
    runs: dict[str, list[Run]],
    figure: Callable[[Run], float],
    *bars: Bar,
) -> Row:
    columns = columns_of(runs, figure)
    return Row(measure, unit, _ordered(columns), bars)


def _late(runs: list[Run]) -> float:
    delays = sorted(delay for run in runs for delay in run.delays)
    return delays[int(len(delays) * 0.99)]


def _ordered(columns: dict[str, Series]) -> dict[str, Series]:
    """Ours first, then the floor, then the peers."""
    first = [name for name in (OURS, FLOOR) if name in columns]
    return {name: columns[name] for name in [*first, *(n for n in columns if n not in first)]}
