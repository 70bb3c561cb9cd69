"""Which cases there are, and that each has its test."""

from __future__ import annotations

import ast
from pathlib import Path

SERVER = (
    *("s01", "s02", "s03", "s04", "s05", "s06", "s07", "s08", "s09", "s10", "s11", "s12", "s13"),
    *("s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s25", "s26", "s27", "s28"),
    *("s29", "s30", "s31", "s32", "s33", "s34", "s35", "s36", "s41", "s42", "s43", "s44", "s45"),
    *("s46", "s47", "s48", "s49", "s50", "s51", "s52", "s53", "s54", "s55", "s56", "s57", "s58"),
    *("s59", "s60", "s61", "s62", "s63", "s64"),
)
PUBLISHER = ("p01", "p03", "p04", "p05", "p07", "p09", "p10", "p11", "p12", "p13")
SUBSCRIBER = ("u01", "u02", "u03", "u05", "u06", "u08", "u09", "u11", "u13", "u14")
CHANNELS = ("j01", "j02", "j03", "j05", "j06", "j07")

WITHOUT_CASES = ("test_cases.py", "test_go_client.py")


def named(function: str) -> set[str]:
    """The cases in the name of a test: `test_s03_s26_a_close` has two."""
    cases: set[str] = set()
    for word in function.removeprefix("test_").split("_"):
        if not (word[:1] in "spuj" and word[1:].isdigit()):
            break
        cases.add(word)
    return cases


def covered() -> dict[str, set[str]]:
    """Each test of this folder that stands for a case, with what it stands for."""
    found: dict[str, set[str]] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name in WITHOUT_CASES:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[node.name] = named(node.name)
    return found


def test_every_case_has_a_test() -> None:
    cases = {*SERVER, *PUBLISHER, *SUBSCRIBER, *CHANNELS}
    assert set[str]().union(*covered().values()) == cases


def test_every_test_names_its_case() -> None:
    assert [name for name, cases in covered().items() if not cases] == []
