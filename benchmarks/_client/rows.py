"""What the laps come to: sections of rows, each with its bars."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from _face import Ahead, AtMost, Row, Series, all_that_work, columns_of, interleaved
from _face.processes import number
from _face.runs import note

from .bars import All
from .bench import able, unable
from .load import ASYNC, DIRECT, GATEWAY as THROUGH, SYNC
from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _face import Bar
    from _face.processes import Child

    from .bench import Bench, Lap
    from .load import Load
    from .plans import Plan

MICROS, MIB = "CPU us", "MiB"
CALL_RATIO = 1.3
GROWTH_PERCENT = 2.0
MANY = 16


@dataclass(frozen=True)
class Scene:
    """Calls of one way and one face.

    Attributes:
        title: What to call it.
        way: Through a gateway or directly.
        face: On a loop or by threads.
        ratio: The bar to the floor; None for none.
    """

    title: str
    way: str
    face: str
    ratio: float | None = None

    @property
    def bars(self) -> tuple[Bar, ...]:
        """What its rows are held to."""
        limit = () if self.ratio is None else (AtMost(self.ratio),)
        return (*limit, Ahead()) if self.face == SYNC and self.way == THROUGH else limit


CALLS = [
    Scene("through a gateway", THROUGH, ASYNC, CALL_RATIO),
    Scene("directly", DIRECT, ASYNC),
    Scene("through a gateway, sync", THROUGH, SYNC),
    Scene("directly, sync", DIRECT, SYNC),
]


def call_rows(bench: Bench, plan: Plan) -> Iterator[Row]:
    """The CPU of one call."""
    for scene in CALLS:
        for callers in (1, MANY):
            load = bench.load(scene.way, scene.face, callers, plan.warm, plan.calls)
            title = f"{scene.title}, {callers} caller{'s' if callers > 1 else ''}"
            yield _row(bench, plan, scene, title, load)


def _row(bench: Bench, plan: Plan, scene: Scene, title: str, load: Load) -> Row:
    runs, absent = _runs(bench, scene, plan.rounds, title, partial(_last, bench, load))
    columns = columns_of(runs, lambda lap: lap.cpu / lap.right * 1e6)
    return Row(title, MICROS, columns, scene.bars, absent=absent)


def _last(bench: Bench, load: Load, child: Child) -> Lap:
    return bench.clean(child, load)[-1]


def crowd_rows(bench: Bench, plan: Plan) -> Iterator[Row]:
    """So many calls at the same moment: who is answered, and with what is theirs."""
    for scene in CALLS:
        load = bench.load(scene.way, scene.face, plan.crowd, plan.crowd, crowd=plan.crowd)
        title = f"{plan.crowd} at once, {scene.title}"

        def lap(child: Child, load: Load = load) -> Lap:
            return bench.lap(child, load)[-1]

        runs, absent = _runs(bench, scene, plan.rounds, title, lap)

        right = columns_of(runs, lambda lap: lap.right)
        cost = columns_of(runs, lambda lap: lap.cpu / max(lap.right, 1) * 1e6)
        bar = All(plan.crowd)
        yield Row(f"{title}, right", "answers", right, (bar,), None, absent=absent)
        yield Row(f"{title}, a call", MICROS, cost, absent=absent)


def growth_rows(bench: Bench, plan: Plan) -> Iterator[Row]:
    """Of ours and the floor, over many calls, from the first tenth on."""
    early = plan.growth // 10
    for scene in CALLS[:3]:
        title = f"{plan.growth} calls {scene.title}"
        load = bench.load(scene.way, scene.face, MANY, early, plan.growth - early)
        found: dict[str, list[Lap]] = {}
        for name in (OURS, FLOOR):
            note(f"{title}, {name}")
            with bench.subject(name) as child:
                found[name] = bench.clean(child, load)
        grown = {
            name: Series.of([(last.resident - first.resident) / first.resident * 100])
            for name, (first, last) in found.items()
        }
        blocks = {
            name: Series.of([last.blocks - first.blocks]) for name, (first, last) in found.items()
        }
        bar = AtMost(GROWTH_PERCENT, "%")
        yield Row(f"{title}, resident", "%", grown, (bar,), None)
        yield Row(f"{title}, Python's blocks", "more", blocks, compared=None)


def import_rows(bench: Bench, plan: Plan) -> Iterator[Row]:
    """What an import brings, alone and with the first call."""
    setup = bench.setup
    names = able(SYNC, setup.absent)

    def once(name: str) -> dict[str, object]:
        with setup.importing(name, bench.url) as child:
            return child.hear()

    jobs = {name: partial(once, name) for name in names}
    # The first time compiles what is imported.
    interleaved(1, jobs, "imports are compiled")
    runs = interleaved(plan.imports, jobs, "imports")

    def row(title: str, unit: str, figure: str, scale: float, *bars: Bar) -> Row:
        columns = columns_of(runs, lambda said: number(said, figure) * scale)
        return Row(title, unit, columns, bars, absent=dict(setup.absent))

    yield from [
        row("import", "CPU ms", "cpu", 1e3, Ahead()),
        row("import, resident", f"more {MIB}", "resident", 1, Ahead()),
        row("import, modules", "more", "modules", 1, Ahead()),
        row("import and a first call", "CPU ms", "call_cpu", 1e3, Ahead()),
        row("import and a first call, resident", f"more {MIB}", "call_resident", 1, Ahead()),
        row("import and a first call, modules", "more", "call_modules", 1, Ahead()),
    ]


def _runs(
    bench: Bench, scene: Scene, rounds: int, title: str, lap: Callable[[Child], Lap]
) -> tuple[dict[str, list[Lap]], dict[str, str]]:
    absent = unable(bench.setup, scene.way, scene.face)
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(bench.subject(name)) for name in able(scene.face, absent)
        }
        jobs = {name: partial(lap, child) for name, child in children.items()}
        runs = all_that_work(rounds, jobs, title, absent, (OURS, FLOOR))
    return runs, absent
