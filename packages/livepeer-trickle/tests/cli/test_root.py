"""The root of the command, where only some of the distributions are installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from livepeer.cli import _root

if TYPE_CHECKING:
    import pytest


def test_a_command_that_is_not_installed_names_what_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trickle = EntryPoint("trickle", "livepeer.trickle.cli:app", _root.GROUP)
    monkeypatch.setattr(_root, "entry_points", lambda *, group: EntryPoints([trickle]))
    app = _root.build()
    for arguments, brings in (
        (["dev", "pipeline.py", "--price", "1"], "livepeer-runner"),
        (["call", "--help"], "livepeer-client[cli]"),
    ):
        ended = CliRunner().invoke(app, arguments)
        said = f"Error: No such command {arguments[0]!r}: pip install '{brings}'\n"
        assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", said)
    assert "dev" not in CliRunner().invoke(app, ["--help"]).stdout
    assert "pip" not in CliRunner().invoke(app, ["unknown"]).stderr
