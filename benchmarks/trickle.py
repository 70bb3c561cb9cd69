"""The transport: CPU, delay, fan-out and memory, against bare aiohttp and other Python clients.

    uv run python benchmarks/trickle.py [--quick] [--json FILE] [--go-server PATH]

The clients are ours, `livepeer-gateway` 1.0.0, `pytrickle`, and as the floor a bare aiohttp pair
of one POST and one GET per segment; the servers are ours and, where PATH is given, go-livepeer's
(a program that serves its `trickle` package with autocreation: `PATH -addr HOST:PORT -auto`). All
clients run on the same version of Python and of aiohttp, each role in a process of its own, in
environments that this script makes and keeps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from _face import Options, Report, parser
from _face.ending import exit_with
from _trickle.plans import FULL, QUICK
from _trickle.rows import client_section, fan_out_section, memory_section, uvloop_section
from _trickle.setup import make

PARTS = ("clients", "fan-out", "memory", "uvloop")


def main() -> int:
    """Run all parts that were asked for; 1 when a bar falls short."""
    arguments = parser(__doc__)
    arguments.add_argument("--go-server", type=Path, metavar="PATH", help="go-livepeer's server")
    arguments.add_argument("--python", metavar="X.Y", help="the Python of all clients")
    arguments.add_argument("--laps", type=int, metavar="N", help="how often each client runs")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parsed = arguments.parse_args()
    options = Options.of(parsed)
    plans = QUICK if options.quick else FULL
    plans = replace(plans, laps=parsed.laps or plans.laps)
    report = Report(options)
    setup = make(options.cache, parsed.python, parsed.go_server)
    report.environments = setup.versions
    if setup.uvloop is not None:
        report.environments["uvloop"] = setup.uvloop.versions
    report.notes += [f"{name} is not measured: {why}" for name, why in setup.absent.items()]
    if "clients" in parsed.parts:
        report.sections += [client_section(setup, plans, name) for name in setup.servers]
    if "fan-out" in parsed.parts:
        report.sections.append(fan_out_section(setup, plans))
    if "memory" in parsed.parts:
        report.sections.append(memory_section(setup, plans))
    if "uvloop" in parsed.parts and setup.uvloop is not None:
        report.sections.append(uvloop_section(setup, plans))
    return report.finish()


if __name__ == "__main__":
    exit_with(main)
