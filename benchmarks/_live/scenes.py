"""What is run: scenes, each of one kind of job that all its subjects do in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from _face import all_that_work

from .job import IDENTITY, NUMPY, RATE, RELAY, SIZES, SLOW, TENSOR, Job
from .setup import FLOOR, ISOLATED, OURS, PEERS, Setup

if TYPE_CHECKING:
    from .bench import Bench, Run

RELAYED = "relay"
"""Ours with a pipeline that overrides nothing, beside the others of its scene."""

ALL = (OURS, ISOLATED, FLOOR, *PEERS)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: How often each subject does each job.
        seconds: How long the pictures of one run last at their own pace.
        fast: How many pictures are sent as fast as they are taken.
        growth: How many of them for the growth of memory.
        cycles: How often a stream is started and stopped.
    """

    rounds: int
    seconds: int
    fast: int
    growth: int
    cycles: int


FULL = Plan(rounds=3, seconds=12, fast=900, growth=20_000, cycles=200)
QUICK = Plan(rounds=1, seconds=3, fast=180, growth=1_200, cycles=10)
WARM = 2 * RATE


@dataclass(frozen=True)
class Scene:
    """One kind of job and who does it.

    Attributes:
        row: Its name for the option `--rows`.
        title: What it is, in words.
        job: What is sent and done.
        subjects: Who does it, the peers among them where they can.
    """

    row: str
    title: str
    job: Job
    subjects: tuple[str, ...] = ALL

    def runs(self, bench: Bench, plan: Plan, absent: dict[str, str]) -> dict[str, list[Run]]:
        """All runs of all subjects; who failed is named in `absent`.

        Raises:
            Failed: Ours or the floor failed.
        """
        pictures = plan.fast if self.job.fast else plan.seconds * RATE
        job = replace(self.job, pictures=WARM + pictures, warm=WARM)
        jobs = {
            name: partial(
                bench.run,
                OURS if name == RELAYED else name,
                replace(job, hook=RELAY) if name == RELAYED else job,
            )
            for name in self._able(bench.setup, absent)
        }
        return all_that_work(plan.rounds, jobs, self.title, absent, (OURS, FLOOR))

    def _able(self, setup: Setup, absent: dict[str, str]) -> list[str]:
        if self.job.hook == TENSOR:
            why = "there is no torch for its version of Python"
            unable = [name for name in self.subjects if not setup.has_torch(name)]
            absent.update({name: why for name in unable if name not in absent})
        return [name for name in self.subjects if name not in absent]


def scenes(sizes: list[str]) -> list[Scene]:
    """All of them: identity at each size, the rest at 720p."""
    made = [
        Scene(
            "identity",
            f"Identity hook, {size} at {RATE} pictures a second, our own sender",
            Job(size=size, hook=IDENTITY),
            (*ALL, RELAYED),
        )
        for size in SIZES
        if size in sizes
    ]
    own_pace = f"720p at {RATE} pictures a second"
    return [
        *made,
        Scene("foreign", f"Identity hook, {own_pace}, another's sender", Job(foreign=True)),
        Scene("b-frames", f"Identity hook, {own_pace}, B-frames", Job(reordered=True)),
        Scene("numpy", f"The negative as an array of RGB, {own_pace}", Job(hook=NUMPY)),
        Scene("tensor", f"The negative as a tensor in [-1, 1], {own_pace}", Job(hook=TENSOR)),
        Scene("slow", f"A hook of 100 ms, {own_pace}", Job(hook=SLOW)),
        Scene("fast", "Identity hook, 720p, as fast as it goes", Job(fast=True)),
    ]
