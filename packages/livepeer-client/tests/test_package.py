"""The package as it is imported."""

from __future__ import annotations

import subprocess
import sys

import livepeer.client

HEAVY = ("aiohttp", "av", "eth_account", "numpy", "pydantic", "typer")


def test_names_are_sorted_and_there() -> None:
    names = livepeer.client.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(livepeer.client, name).__doc__


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import livepeer.client, sys; print([m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_a_name_that_is_not_there() -> None:
    assert not hasattr(livepeer.client, "Nothing")
