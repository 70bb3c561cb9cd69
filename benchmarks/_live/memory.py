"""Whether memory stays what it is, over many pictures and over many streams."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from _face import AtMost, Row, Series
from _face.processes import Failed
from _face.runs import note
from _face.usage import resident_of_family

from .job import Job
from .setup import ISOLATED, OURS

if TYPE_CHECKING:
    from .bench import Bench, Runner
    from .scenes import Plan

LIMIT = 2.0
SIZE = "360p"
CYCLE = Job(size=SIZE, fast=True, pictures=45, warm=15)


def over_pictures(bench: Bench, plan: Plan, subject: str) -> Row:
    """The growth after the first tenth of many pictures, as fast as they go."""
    note(f"{plan.growth} pictures, {subject}")
    job = Job(size=SIZE, fast=True, pictures=plan.growth, warm=plan.growth // 10)
    run = bench.run(subject, job)
    before = run.resident - run.grown
    return _row(f"{plan.growth} pictures", subject, before, run.resident)


def over_streams(bench: Bench, plan: Plan, subject: str) -> Row:
    """The growth from the second tenth to the last, each its median, of streams in a row.

    One stream's threads leave the allocator elsewhere than the next one's: the resident set goes
    up and down from stream to stream by more than the bar.
    """
    note(f"{plan.cycles} streams, {subject}")
    resident: list[float] = []
    with bench.runner(subject, CYCLE) as (child, runner):
        for n in range(plan.cycles):
            _cycle(bench, runner, f"cycle-{n}")
            resident.append(resident_of_family(child.pid))
    tenth = max(1, plan.cycles // 10)
    before = statistics.median(resident[tenth : 2 * tenth])
    return _row(f"{plan.cycles} streams", subject, before, statistics.median(resident[-tenth:]))


def _cycle(bench: Bench, runner: Runner, name: str) -> None:
    with bench.channels() as channels:
        runner.start(name, channels)
        incoming, outgoing = channels["subscribe_url"], channels["publish_url"]
        found = bench.send(replace(CYCLE, incoming=incoming, outgoing=outgoing))
        runner.stop(name)
    if not found["delays"]:
        raise Failed(f"nothing came back of {name}")


def _row(measure: str, subject: str, before: float, after: float) -> Row:
    suffix = ", isolated" if subject == ISOLATED else ""
    grown = Series.of([(after - before) / before * 100])
    return Row(f"{measure}{suffix}", "%", {OURS: grown}, (AtMost(LIMIT, "%"),), compared=None)
