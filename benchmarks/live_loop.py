"""CPU and delay of a live loop, as ratios to a bare PyAV loop of the same round.

    uv run python benchmarks/live_loop.py [--quick] [--json FILE]

The clip goes through a trickle server and publisher in a process of their own, at its own pace;
the process that is measured runs a session's media as a runner does: subscribe, decode, an
identity hook, encode, publish. The floor decodes and encodes the same bytes with PyAV alone, with
the same encoder options and without any network. No bar is set: the rows are information.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from _face import Options, Report, Row, Section, Series, interleaved, parser
from _face.processes import Child, Failed, number, numbers

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parent
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Run:
    """What one run used.

    Attributes:
        cpu: CPU milliseconds per picture.
        pictures: How many pictures came out.
        delays: Milliseconds from the publisher to the demuxer on the other side; the floor's none.
    """

    cpu: float
    pictures: int
    delays: list[float]


def floor(loops: int) -> Run:
    """Decode and encode alone."""
    with _role("floor", str(loops)) as child:
        return _run(child, [])


def ours(loops: int) -> Run:
    """A session's media, with the other side in a process of its own."""
    with _role("peer", str(loops)) as peer, _role("ours", str(peer.hear()["url"])) as child:
        child.hear()
        peer.tell()
        return _run(child, numbers(peer.hear(TIMEOUT_S), "delays"))


def _role(name: str, *arguments: str) -> Child:
    command = [sys.executable, "-m", f"_live.{name}", *arguments]
    return Child(command, {"PYTHONPATH": str(BENCHMARKS)})


def _run(child: Child, delays: list[float]) -> Run:
    said = child.hear(TIMEOUT_S)
    pictures = int(number(said, "pictures"))
    return Run(number(said, "cpu") / pictures * 1000, pictures, delays)


def rows(runs: dict[str, list[Run]]) -> list[Row]:
    """The figures of all runs; every run has all pictures, or it would not count.

    Raises:
        Failed: Pictures were lost.
    """
    counts = {run.pictures for made in runs.values() for run in made}
    counts |= {len(run.delays) for run in runs["ours"]}
    if len(counts) != 1:
        raise Failed(f"not every run has every picture: {sorted(counts)}")
    return [
        Row(
            "decode, hook, encode, per picture",
            "CPU ms",
            {name: Series.of(run.cpu for run in made) for name, made in runs.items()},
        ),
        _delay("there and back, median", runs, statistics.median),
        _delay("there and back, 99th percentile", runs, _late),
    ]


def _delay(measure: str, runs: dict[str, list[Run]], figure: Callable[[list[float]], float]) -> Row:
    return Row(measure, "ms", {"ours": Series.of(figure(run.delays) for run in runs["ours"])})


def _late(delays: list[float]) -> float:
    return sorted(delays)[int(len(delays) * 0.99)]


def main() -> int:
    """Run both in turn."""
    arguments = parser(__doc__)
    arguments.add_argument("--loops", type=int, metavar="N", help="how often the clip is played")
    arguments.add_argument("--runs", type=int, metavar="N", help="how often each loop is run")
    parsed = arguments.parse_args()
    options = Options.of(parsed)
    loops = parsed.loops or (1 if options.quick else 3)
    count = parsed.runs or (1 if options.quick else 3)
    report = Report(options)
    jobs = {"ours": partial(ours, loops), "floor": partial(floor, loops)}
    title = f"A live loop, 1280x720, {loops} times the clip at its own pace"
    report.sections.append(Section(title, rows(interleaved(count, jobs, "live loop"))))
    return report.finish()


if __name__ == "__main__":
    try:
        status = main()
    except Failed as error:
        sys.exit(f"nothing can be said: {error}")
    sys.exit(status)
