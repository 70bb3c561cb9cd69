"""`livepeer trickle`: channels from the shell."""

from __future__ import annotations

import typer

from .ls import ls
from .pub import pub
from .serve import serve
from .sub import sub

app = typer.Typer(
    name="trickle",
    help="Serve trickle channels, and pipe bytes through them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (serve, pub, sub, ls):
    app.command()(_command)

__all__ = ["app"]
