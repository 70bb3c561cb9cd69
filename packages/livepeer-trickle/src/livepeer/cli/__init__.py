"""The `livepeer` command: a root that finds its commands among what is installed.

Every distribution adds commands through the entry-point group `livepeer.commands`; each is a
function that Typer turns into a command, or a Typer application with commands of its own. Needs the
`cli` extra.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; what the `livepeer` script calls."""
    try:
        from ._root import build  # lazy: typer is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "click", "rich"):
            raise
        sys.exit("error: the command needs typer: pip install 'livepeer-trickle[cli]'")
    build()(prog_name="livepeer")


__all__ = ["main"]
