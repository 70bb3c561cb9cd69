"""The options that every benchmark has."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Options:
    """What the command line said.

    Attributes:
        quick: Everything once and small: shows that it works, proves little.
        json: Where to write the report as JSON as well.
        cache: Where the peers' environments are kept from one call to the next.
    """

    quick: bool
    json: Path | None
    cache: Path

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Options:
        """The common options of what a parser found."""
        return cls(quick=parsed.quick, json=parsed.json, cache=parsed.cache)


def parser(description: str | None, rows: Collection[str] = ()) -> argparse.ArgumentParser:
    """A parser that knows the common options; a benchmark adds its own.

    Args:
        description: What the benchmark says of itself.
        rows: What can be chosen, of which each is run in rounds; nothing for neither option.
    """
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="in about a minute; proves little")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything there as JSON")
    made.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=cache_folder(),
        help="where the peers' environments are made and kept (default: %(default)s)",
    )
    if rows:
        made.add_argument("--rows", nargs="+", choices=rows, default=list(rows), metavar="ROW")
        made.add_argument("--rounds", type=int, metavar="N", help="how often each subject runs")
        made.epilog = f"rows: {', '.join(rows)}"
    return made


def cache_folder() -> Path:
    """The user's folder for what can be made anew, outside of every repository."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "livepeer-benchmarks"
