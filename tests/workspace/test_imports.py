"""Importing a package costs nothing heavy, measured by what it loads and not by a clock."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = ("livepeer.trickle", "livepeer.runner", "livepeer.client")

HEAVY = frozenset({
    "aiohttp", "av", "click", "eth_account", "fastapi", "numpy", "pydantic", "pydantic_settings",
    "rich", "starlette", "tenacity", "torch", "typer", "uvicorn",
})  # fmt: skip

# The command needs Typer; what Typer loads for itself is measured and taken off.
TYPER = """
import typer
root = typer.Typer()
@root.command()
def one(): ...
@root.command()
def two(): ...
try:
    root(["--help"])
except SystemExit:
    pass
"""
COMMAND = """
import sys
from livepeer.cli import main
sys.argv = ["livepeer", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.fixture
def loaded(run: Callable[..., str], python: Path) -> Callable[[str], set[str]]:
    """Tells the top-level names of what a fresh interpreter has loaded after running a text."""

    def loaded(code: str) -> set[str]:
        tail = "\nimport json, sys; print(); print(json.dumps(sorted(sys.modules)))"
        output = run(python, "-I", "-c", code + tail)
        return {name.split(".")[0] for name in json.loads(output.splitlines()[-1])}

    return loaded


@pytest.mark.parametrize(
    "statement",
    [
        *(f"import {package}" for package in PACKAGES),
        "import livepeer.cli",
        "from livepeer.runner import LivePipeline, Pipeline, PipelineState, serve",
    ],
)
def test_import_loads_nothing_heavy(loaded: Callable[[str], set[str]], statement: str) -> None:
    assert loaded(statement) & HEAVY == set()


def test_help_loads_typer_and_nothing_else_heavy(loaded: Callable[[str], set[str]]) -> None:
    assert loaded(COMMAND) & HEAVY <= loaded(TYPER) & HEAVY


def test_frames_are_what_loads_av(loaded: Callable[[str], set[str]]) -> None:
    assert "av" in loaded("from livepeer.runner.frames import AudioFrame, VideoFrame")


def type_checking_names(package: str) -> Iterator[str]:
    """The names of ours that the `if TYPE_CHECKING:` block of a package's `__init__` imports."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom), ast.unparse(statement)
                if statement.level or (statement.module or "").startswith("livepeer."):
                    yield from (alias.asname or alias.name for alias in statement.names)


def isort_order(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then functions, as the linter sorts an `__all__`."""
    return not name.isupper(), not name[0].isupper(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_resolvable_and_what_type_checkers_see(package: str) -> None:
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__, key=isort_order)
    assert set(module.__all__) == set(type_checking_names(package)) != set()
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module)), "dir() hides what is exported lazily"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def undocumented(owner: str, thing: object) -> Iterator[str]:
    """Names of `thing` and of its own public methods that nobody wrote a word about."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return
    if not inspect.getdoc(thing):
        yield owner
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            public = inspect.isroutine(member) or isinstance(member, property)
            if public and not name.startswith("_") and not inspect.getdoc(getattr(thing, name)):
                yield f"{owner}.{name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    missing = [
        name
        for public in module.__all__
        for name in undocumented(f"{package}.{public}", getattr(module, public))
    ]
    assert missing == []
    assert module.__doc__
