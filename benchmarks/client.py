"""Calls: CPU of one, many at once, memory and import, against bare aiohttp and another Python SDK.

    uv run python benchmarks/client.py [--quick] [--json FILE] [--rows ROW ...] [--cache DIR]

The subjects are ours (`Client` and `SyncClient`) and `livepeer-gateway` from PyPI; the floor is a
bare aiohttp POST of the same body with the same headers. All call the same small node in another
process, on the same version of Python and of aiohttp, each in a process of its own, in environments
that this script makes and keeps. What is measured is the process that calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from _client.bench import Bench
from _client.plans import FULL, QUICK
from _client.rows import call_rows, crowd_rows, growth_rows, import_rows
from _client.setup import make
from _face import Options, Report, Section, parser
from _face.ending import exit_with
from _face.processes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _client.plans import Plan
    from _face import Row

ROWS: dict[str, tuple[str, Callable[[Bench, Plan], Iterator[Row]]]] = {
    "calls": ("A call", call_rows),
    "crowd": ("Many calls at once", crowd_rows),
    "memory": ("Growth", growth_rows),
    "import": ("Import", import_rows),
}


def main() -> int:
    """Run all rows that were asked for; 1 when a bar falls short."""
    parsed = parser(__doc__, ROWS).parse_args()
    options = Options.of(parsed)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=parsed.rounds or plan.rounds)
    report = Report(options)
    setup = make(options.cache)
    report.environments = setup.versions
    absent = set(setup.absent.items())
    with Bench(setup) as bench:
        for name in parsed.rows:
            title, rows = ROWS[name]
            made: list[Row] = []
            try:
                # One by one: those before a failure took long, and are told all the same.
                made.extend(rows(bench, plan))
            except Failed as error:
                report.leave_out(f"a part of {name}", error)
            report.sections.append(Section(title, made))
            absent.update(pair for row in made for pair in row.absent.items())
    report.notes += [f"{name} is absent: {why}" for name, why in sorted(absent)]
    return report.finish()


if __name__ == "__main__":
    exit_with(main)
