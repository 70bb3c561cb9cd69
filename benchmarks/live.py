"""Live video: CPU, delay, rate and memory, against bare PyAV and other Python SDKs.

    uv run python benchmarks/live.py [--quick] [--json FILE] [--rows ROW ...] [--cache DIR]

A film goes through a trickle server to the subject and back, at 30 pictures a second. The subjects
are ours (a runner as an author serves it, in-process and with an isolated stage), `pytrickle` and
`livepeer-gateway` from PyPI, and as the floor one bare PyAV loop between bare aiohttp requests,
with the best known options. All encode with the same settings on the same PyAV, each in a process
of its own; server, sender and viewer are not measured. Linux only: it tells what a process and its
children have used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from _face import Options, Report, Section, parser
from _face.ending import exit_with
from _face.processes import Failed
from _live.bench import Bench
from _live.figures import rows
from _live.job import SIZES
from _live.memory import over_pictures, over_streams
from _live.scenes import FULL, QUICK, Plan, scenes
from _live.setup import ISOLATED, OURS, make

if TYPE_CHECKING:
    import argparse

    from _face import Row

MEMORY = "memory"
ROWS = (*dict.fromkeys(scene.row for scene in scenes(list(SIZES))), MEMORY)


def memory_section(bench: Bench, plan: Plan, absent: dict[str, str]) -> Section:
    """The growth of ours; of the isolated stage as well, where there is one."""
    made: list[Row] = []
    for subject in (OURS, ISOLATED):
        try:
            if subject not in absent:
                made += [over_pictures(bench, plan, subject), over_streams(bench, plan, subject)]
        except Failed as error:
            if subject == OURS:
                raise
            absent[subject] = f"failed in memory: {error}"
    return Section("Growth of the resident set", made)


def parse() -> argparse.Namespace:
    """The command line."""
    arguments = parser(__doc__, ROWS)
    arguments.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    arguments.add_argument("--server", metavar="URL", help="a trickle server to use, not our own")
    return arguments.parse_args()


def main() -> int:
    """Run all rows that were asked for; 1 when a bar falls short."""
    parsed = parse()
    options = Options.of(parsed)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=parsed.rounds or plan.rounds)
    report = Report(options)
    setup = make(options.cache)
    report.environments = setup.environments
    unable = dict(setup.absent)
    with Bench(setup, parsed.server) as bench:
        for scene in scenes(parsed.sizes):
            if scene.row not in parsed.rows:
                continue
            absent = dict(setup.absent)
            try:
                runs = scene.runs(bench, plan, absent)
            except Failed as error:
                report.leave_out(scene.row, error)
                continue
            report.sections.append(Section(scene.title, rows(scene, runs, absent)))
            unable |= {f"{name} ({scene.row})": why for name, why in absent.items()}
        if MEMORY in parsed.rows:
            report.sections.append(memory_section(bench, plan, unable))
    report.notes += [f"{name} is not measured: {why}" for name, why in unable.items()]
    return report.finish()


if __name__ == "__main__":
    exit_with(main)
