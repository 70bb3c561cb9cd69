"""What the runs come to: rows of figures, each with its bars."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from _face import Ahead, AtLeast, AtMost, Fastest, Row, columns_of

from .bars import Lightest, Within
from .job import RATE
from .scenes import RELAYED
from .setup import FLOOR, ISOLATED, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from _face import Bar

    from .bench import Run
    from .scenes import Scene

CPU, CPU_ISOLATED, CPU_RELAY = 1.10, 1.20, 0.03
MEDIAN_MS, FIRST_MS, SLOW_MS = 5.0, 100.0, 400.0
INTERVAL_MS = round(1000 / RATE, 1)
RATE_RATIO = 0.9
PER_PICTURE = "CPU ms"

Runs = dict[str, "list[Run]"]
Figure = "Callable[[Run], float]"


def rows(scene: Scene, runs: Runs, absent: dict[str, str]) -> list[Row]:
    """The rows of a scene, for ours in-process first and then for ours isolated."""
    own = {name: made for name, made in runs.items() if name not in (ISOLATED, RELAYED)}
    made = _rows(scene, own, absent, "")
    if ISOLATED in runs:
        isolated = {OURS: runs[ISOLATED], **{n: r for n, r in own.items() if n != OURS}}
        made += _rows(scene, isolated, absent, ", isolated")
    if RELAYED in runs and FLOOR in own:
        relayed = {OURS: runs[RELAYED], FLOOR: own[FLOOR]}
        relay = _row("relay against decode and encode", PER_PICTURE, relayed, _cpu)
        made.append(_with(relay, AtMost(CPU_RELAY)))
    return made


def _rows(scene: Scene, runs: Runs, absent: dict[str, str], suffix: str) -> list[Row]:
    if scene.row == "slow":
        return _slow(runs, absent, suffix)
    if scene.row == "fast":
        rate = _row(f"pictures{suffix}", "per s", runs, _rate, absent)
        return [_with(rate, AtLeast(RATE_RATIO), Fastest())]
    limit = CPU_ISOLATED if suffix else CPU
    barred = scene.job.size == "720p"
    cpu = (AtMost(limit), Ahead()) if barred else (Ahead(),)
    return [
        _with(_row(f"a picture{suffix}", PER_PICTURE, runs, _cpu, absent), *cpu),
        *_delays(runs, absent, suffix, barred=barred and scene.row != "b-frames"),
        _with(_alone(f"pictures lost{suffix}", "", runs, _lost, absent), AtMost(0, "pictures")),
        *_starts(scene, runs, absent, suffix),
    ]


def _delays(runs: Runs, absent: dict[str, str], suffix: str, *, barred: bool) -> list[Row]:
    median = _row(f"delay, median{suffix}", "ms", runs, _median, absent)
    late = _row(f"delay, 99th percentile{suffix}", "ms", runs, _late, absent)
    if not barred:
        return [_with(median, Ahead()), late]
    return [_with(median, Within(MEDIAN_MS), Ahead()), _with(late, Within(INTERVAL_MS), Ahead())]


def _starts(scene: Scene, runs: Runs, absent: dict[str, str], suffix: str) -> list[Row]:
    """The first picture and memory, which the hook does not change."""
    if scene.row not in ("identity", "foreign"):
        return []
    first = _row(f"first picture{suffix}", "ms", runs, _first, absent)
    resident = _row(f"resident{suffix}", "MiB", runs, _resident, absent)
    lightest = () if suffix or scene.row != "identity" else (Lightest(),)
    return [_with(first, Within(FIRST_MS), Ahead()), _with(resident, *lightest)]


def _slow(runs: Runs, absent: dict[str, str], suffix: str) -> list[Row]:
    most = _alone(f"delay, longest{suffix}", "ms", runs, lambda run: max(run.delays), absent)
    return [
        _with(most, AtMost(SLOW_MS, "ms")),
        _alone(f"delay, median{suffix}", "ms", runs, _median, absent),
        _alone(f"pictures{suffix}", "per s", runs, _rate, absent),
    ]


def _row(
    measure: str,
    unit: str,
    runs: Runs,
    figure: Callable[[Run], float],
    absent: dict[str, str] | None = None,
) -> Row:
    columns = columns_of(runs, figure)
    first = [name for name in (OURS, FLOOR) if name in columns]
    ordered = {n: columns[n] for n in [*first, *(n for n in columns if n not in first)]}
    missing = {name: why for name, why in (absent or {}).items() if name != ISOLATED}
    return Row(measure, unit, ordered, absent=missing)


def _alone(
    measure: str,
    unit: str,
    runs: Runs,
    figure: Callable[[Run], float],
    absent: dict[str, str],
) -> Row:
    """A row whose bar is about the figure itself, and not about the floor's."""
    row = _row(measure, unit, runs, figure, absent)
    return Row(row.measure, row.unit, row.columns, compared=None, absent=row.absent)


def _with(row: Row, *bars: Bar) -> Row:
    return Row(row.measure, row.unit, row.columns, bars, row.compared, row.absent)


def _cpu(run: Run) -> float:
    return run.cpu


def _rate(run: Run) -> float:
    return run.rate


def _lost(run: Run) -> float:
    return run.lost


def _first(run: Run) -> float:
    return run.first


def _resident(run: Run) -> float:
    return run.resident


def _median(run: Run) -> float:
    return statistics.median(run.delays)


def _late(run: Run) -> float:
    return sorted(run.delays)[int(len(run.delays) * 0.99)]
