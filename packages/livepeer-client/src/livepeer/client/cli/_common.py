"""What the commands share: arguments that are JSON, and errors of one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer


def read_json(argument: str, what: str) -> object:
    """Read JSON text, `@FILE`, or standard input for `-`.

    Raises:
        ValueError: It is no JSON; the text names `what`.
        OSError: The file cannot be read.
    """
    if argument == "-":
        text = sys.stdin.read()
    elif argument.startswith("@"):
        text = Path(argument[1:]).read_text(encoding="utf-8")
    else:
        text = argument
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON: {error}") from error
    return value


def failed(error: Exception, status: int) -> typer.Exit:
    """Print an error as one line on standard error; raise what is returned."""
    message = " ".join(str(error).split()) or type(error).__name__
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(status)
