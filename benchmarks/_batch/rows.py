"""What the laps come to: sections of rows, each with its bars."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from _face import Ahead, AtLeast, AtMost, Fastest, Row, all_that_work, columns_of
from _face.processes import Failed

from . import work as works
from .bars import Level
from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _face import Bar

    from .bench import Bench, Lap
    from .plans import Plan
    from .serving import Server

PER_S, MICROS, MILLIS = "per s", "CPU us", "ms"
TRIVIAL_GAIN = 1.5
ITEMS_GAIN = 3.0


@dataclass(frozen=True)
class Scene:
    """One work at one number of callers; the concurrency is the same.

    Attributes:
        title: What to call it.
        work: What is asked for.
        callers: By how many.
        gain: How many times the floor's rate is the bar; 1 for level.
    """

    title: str
    work: str
    callers: int
    gain: float = 1.0

    @property
    def name(self) -> str:
        """With the number of its callers."""
        return f"{self.title}, {self.callers} caller{'s' if self.callers > 1 else ''}"


PREDICT = [
    Scene(f"{kind} predict", kind, callers, TRIVIAL_GAIN)
    for kind in (works.SYNC, works.ASYNC)
    for callers in (1, 16, 64)
]
BYTES = [
    Scene("image in and out", works.IMAGE, 8),
    Scene("1 MB as base64", works.BASE64, 8),
    Scene("1 MB as a file in, bytes out", works.BINARY, 8),
]
TOKENS = [
    Scene("sync generator", works.ITEMS, 1, ITEMS_GAIN),
    Scene("sync generator", works.ITEMS, 8, ITEMS_GAIN),
    Scene("async generator", works.AITEMS, 1),
    Scene("async generator", works.AITEMS, 8),
]
FIRSTS = [
    Scene("first of a slow sync generator", works.PACED, 1),
    Scene("first of a slow async generator", works.APACED, 1),
]


def rate_rows(bench: Bench, plan: Plan, scene: Scene, absent: dict[str, str]) -> list[Row]:
    """Requests a second, and the CPU of one."""
    runs = laps(bench, plan, scene, absent)
    faster = Level() if scene.gain == 1 else AtLeast(scene.gain)
    return [
        row(
            scene.name, PER_S, runs, lambda lap: lap.accepted / lap.wall, absent, faster, Fastest()
        ),
        row(
            f"{scene.name}, a request",
            MICROS,
            runs,
            lambda lap: lap.cpu / lap.accepted * 1e6,
            absent,
            Ahead(),
        ),
    ]


def token_rows(bench: Bench, plan: Plan, scene: Scene, absent: dict[str, str]) -> list[Row]:
    """Items a second, the CPU of one, and how long the first took."""
    runs = laps(bench, plan, scene, absent)
    faster = Level() if scene.gain == 1 else AtLeast(scene.gain)
    made = [
        row(f"{scene.name}, tokens", PER_S, runs, _tokens, absent, faster, Fastest()),
        row(
            f"{scene.name}, a token",
            MICROS,
            runs,
            lambda lap: lap.cpu / lap.items * 1e6,
            absent,
            Ahead(),
        ),
    ]
    if scene.callers == 1:
        made.append(_first(f"{scene.name}, first token", runs, absent))
    return made


def first_rows(bench: Bench, plan: Plan, scene: Scene, absent: dict[str, str]) -> list[Row]:
    """How long the first item takes where the others are slow."""
    return [_first(scene.name, laps(bench, plan, scene, absent), absent)]


def _first(title: str, runs: Mapping[str, list[Lap]], absent: dict[str, str]) -> Row:
    return row(title, MILLIS, runs, lambda lap: lap.first * 1e3, absent, Level(less=True), Ahead())


def _tokens(lap: Lap) -> float:
    return lap.items / lap.wall


def laps(bench: Bench, plan: Plan, scene: Scene, absent: dict[str, str]) -> dict[str, list[Lap]]:
    """All subjects' laps of one scene, in turns; who cannot is named in `absent`.

    Raises:
        Failed: We cannot, or the floor.
    """
    with ExitStack() as stack:
        servers = standing(bench, stack, scene.work, scene.callers, absent)
        jobs = {
            name: partial(
                bench.clean,
                server,
                callers=scene.callers,
                seconds=plan.seconds,
                warm_s=plan.warm_s,
            )
            for name, server in servers.items()
        }
        return all_that_work(plan.rounds, jobs, scene.name, absent, (OURS, FLOOR))


def standing(
    bench: Bench, stack: ExitStack, work: str, concurrency: int, absent: dict[str, str]
) -> dict[str, Server]:
    """A server of each subject that has one; who has none is named in `absent`.

    Raises:
        Failed: We have none, or the floor.
    """
    found: dict[str, Server] = {}
    for name in bench.setup.environments:
        try:
            found[name] = stack.enter_context(bench.serving(name, work, concurrency))
        except Failed as error:
            if name in (OURS, FLOOR):
                raise Failed(f"{name}: {error}") from None
            absent[name] = str(error)
    return found


def row(
    measure: str,
    unit: str,
    runs: Mapping[str, list[Lap]],
    figure: Callable[[Lap], float],
    absent: dict[str, str],
    *bars: Bar,
) -> Row:
    """A row of one figure of all laps; the bars are those against who is there."""
    columns = columns_of(runs, figure)
    kept = bars if FLOOR in columns else tuple(bar for bar in bars if isinstance(bar, AtMost))
    return Row(measure, unit, columns, kept, absent=dict(absent))
