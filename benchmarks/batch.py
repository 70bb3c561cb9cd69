"""Batch over HTTP: rate, CPU, delay and memory, against bare FastAPI and other serving frameworks.

    uv run python benchmarks/batch.py [--quick] [--json FILE] [--rows ROW ...] [--cache DIR]

The subjects are ours (a runner as an author serves it) and LitServe, BentoML and cog's HTTP server
from PyPI; the floor is bare FastAPI with the same models on uvicorn with its extras. Each has one
worker, runs in an environment of its own, which this script makes and keeps, and may run as many
calls at the same time as there are callers. The callers are one process that is not measured. Linux
only: it tells what a process and its children have used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from _batch import rows as scenes
from _batch.bench import Bench
from _batch.callers import caller_rows
from _batch.overload import overload_rows
from _batch.plans import FULL, QUICK
from _batch.setup import PEERS, make
from _batch.standing import growth_rows, start_rows
from _face import Options, Report, Section, parser
from _face.ending import exit_with
from _face.processes import Failed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from _batch.plans import Plan
    from _face import Row

    Rows = Callable[[Bench, Plan, dict[str, str]], list[Row]]
    SceneRows = Callable[[Bench, Plan, scenes.Scene, dict[str, str]], list[Row]]

TITLES = {
    "predict": "Trivial predict",
    "bytes": "Images and bytes",
    "tokens": "Tokens over server-sent events",
    "start": "Start and resident set",
    "overload": "Ten times overload",
    "memory": "Growth of the resident set",
    "callers": "The callers",
}


def parts(row: str) -> list[Rows]:
    """What makes the rows of one section."""

    made: dict[str, list[Rows]] = {
        "predict": [_of(scenes.rate_rows, scene) for scene in scenes.PREDICT],
        "bytes": [_of(scenes.rate_rows, scene) for scene in scenes.BYTES],
        "tokens": [
            *(_of(scenes.token_rows, scene) for scene in scenes.TOKENS),
            *(_of(scenes.first_rows, scene) for scene in scenes.FIRSTS),
        ],
        "start": [start_rows],
        "overload": [overload_rows],
        "memory": [growth_rows],
        "callers": [caller_rows],
    }
    return made[row]


def _of(made: SceneRows, scene: scenes.Scene) -> Rows:
    def rows(bench: Bench, plan: Plan, absent: dict[str, str]) -> list[Row]:
        return made(bench, plan, scene, absent)

    return rows


def parse() -> argparse.Namespace:
    """The command line."""
    arguments = parser(__doc__, TITLES)
    arguments.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, metavar="PEER")
    arguments.epilog = f"{arguments.epilog}; peers: {', '.join(PEERS)}"
    return arguments.parse_args()


def main() -> int:
    """Run all rows that were asked for; 1 when a bar falls short."""
    parsed = parse()
    options = Options.of(parsed)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=parsed.rounds or plan.rounds, starts=parsed.rounds or plan.starts)
    report = Report(options)
    setup = make(options.cache, parsed.peers)
    report.environments = setup.versions
    unable = dict(setup.absent)
    with Bench(setup) as bench:
        for name in parsed.rows:
            made: list[Row] = []
            for part in parts(name):
                absent = dict(setup.absent)
                try:
                    made += part(bench, plan, absent)
                except Failed as error:
                    report.leave_out(f"a part of {name}", error)
                    continue
                unable |= _named(absent, made[-1].measure)
            report.sections.append(Section(TITLES[name], made))
    report.notes += [f"{name} is not measured: {why}" for name, why in unable.items()]
    return report.finish()


def _named(absent: dict[str, str], measure: str) -> dict[str, str]:
    return {
        f"{name} ({measure.rpartition(',')[0] or measure})": why for name, why in absent.items()
    }


if __name__ == "__main__":
    exit_with(main)
