"""The end of a benchmark: the table, the JSON and the exit status."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .machine import describe, is_busy

if TYPE_CHECKING:
    from .options import Options
    from .processes import Failed
    from .table import Section

_LEGEND = """\
Each figure is the median of its runs (least..most); a ratio is the median of the ratios within one
round; a row without a bar is information.
"""


@dataclass
class Report:
    """What a benchmark found; made before it begins, for the machine is described as it was then.

    Attributes:
        options: What was asked for.
        sections: The figures.
        notes: What else there is to say.
        environments: The versions in each environment that was measured.
    """

    options: Options
    sections: list[Section] = field(default_factory=list["Section"])
    notes: list[str] = field(default_factory=list[str])
    environments: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._whole = True
        self._machine = describe()
        script = f"benchmarks/{Path(sys.argv[0]).name}"
        self._command = shlex.join(["uv", "run", "python", script, *sys.argv[1:]])
        if is_busy():
            self.notes.append("the machine was busy before this began; on a quiet one run it again")

    def leave_out(self, part: str, error: Failed) -> None:
        """Go on without a part that failed; the rows before it took long, and are told."""
        self.notes.append(f"nothing can be said of {part}: {error}")
        self._whole = False

    def finish(self) -> int:
        """Print and write everything; 1 when a bar falls short, or a part was left out, else 0."""
        took = time.monotonic() - self._begun
        rows = [row for section in self.sections for row in section.rows]
        short = [row for row in rows if row.shortfalls]
        held = [row for row in rows if row.bars and not row.shortfalls]
        self._print()
        print(f"{len(held)} rows hold their bars, {len(short)} fall short; {took:.0f} s.")
        if self.options.json is not None:
            plain = {**self._plain(), "seconds": took, "holds": not short}
            self.options.json.write_text(json.dumps(plain, indent=2) + "\n")
        return 0 if self._whole and not short else 1

    def _print(self) -> None:
        print(f"# {self._command}\n")
        print(_listed(self._machine))
        for name, versions in self.environments.items():
            print(f"{name}: {_listed(versions)}")
        print(f"\n{_LEGEND}")
        for section in self.sections:
            print("\n".join(section.lines()))
        for note in self.notes:
            print(f"Note: {note}.")

    def _plain(self) -> dict[str, object]:
        return {
            "command": self._command,
            "quick": self.options.quick,
            "machine": self._machine,
            "environments": self.environments,
            "notes": self.notes,
            "sections": [
                {"title": section.title, "rows": [row.plain() for row in section.rows]}
                for section in self.sections
            ],
        }


def _listed(named: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())
