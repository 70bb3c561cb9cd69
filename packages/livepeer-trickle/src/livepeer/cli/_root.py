"""The root of the command."""

from __future__ import annotations

from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated

import typer

GROUP = "livepeer.commands"
DISTRIBUTIONS = ("livepeer-trickle", "livepeer-runner", "livepeer-client")


_BROUGHT_BY = {
    "dev": "livepeer-runner",
    **dict.fromkeys(("call", "discover", "stream", "stub", "token"), "livepeer-client[cli]"),
}
"""What to install for each of our commands."""


def build() -> typer.Typer:
    """The application with every installed command; a broken one is left out and named."""
    app = typer.Typer(
        name="livepeer",
        help="Serve, call and stream to capabilities on the Livepeer network.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Rich's help keeps the line breaks of our docstrings, and takes as long to import as Typer.
        rich_markup_mode=None,
    )
    app.callback()(_root)
    found = entry_points(group=GROUP)
    for command in sorted(found, key=lambda command: command.name):
        _add(app, command)
    for name in _BROUGHT_BY.keys() - found.names:
        _add_missing(app, name)
    return app


def _add(app: typer.Typer, command: EntryPoint) -> None:
    try:
        loaded = command.load()
    except ImportError as error:
        typer.echo(f"warning: the command {command.name!r} cannot be loaded: {error}", err=True)
        return
    if isinstance(loaded, typer.Typer):
        # Its commands' help is as plain as ours: Typer hands `rich_markup_mode` down.
        app.add_typer(loaded, name=command.name)
    else:
        app.command(command.name)(loaded)


def _add_missing(app: typer.Typer, name: str) -> None:
    def missing() -> None:
        text = f"Error: No such command {name!r}: pip install '{_BROUGHT_BY[name]}'"
        typer.echo(text, err=True)
        raise typer.Exit(2)

    # Whatever else was typed: that was for the command.
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, hidden=True, add_help_option=False, context_settings=anything)(missing)


def _show_versions(wanted: bool) -> None:
    if not wanted:
        return
    for name in DISTRIBUTIONS:
        try:
            typer.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"{name} (not installed)")
    raise typer.Exit


def _root(
    versions: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_versions,
            is_eager=True,
            help="Show what is installed, and exit.",
        ),
    ] = False,
) -> None:
    """Holds the options that stand before a command."""
