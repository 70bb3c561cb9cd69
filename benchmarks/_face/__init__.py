"""What all benchmarks share: their options, their runs, their table and their verdict.

A benchmark is a script that makes `Section`s of `Row`s and hands them to `Report`; the process
then ends with 1 when a bar falls short. CPU seconds come first: they say the same on a busy
machine and on a quiet one, where wall-clock time does not.
"""

from __future__ import annotations

from .options import Options, parser
from .report import Report
from .runs import Series, all_that_work, columns_of, interleaved
from .table import Ahead, AtLeast, AtMost, Bar, Fastest, Row, Section

__all__ = [
    "Ahead",
    "AtLeast",
    "AtMost",
    "Bar",
    "Fastest",
    "Options",
    "Report",
    "Row",
    "Section",
    "Series",
    "all_that_work",
    "columns_of",
    "interleaved",
    "parser",
]
