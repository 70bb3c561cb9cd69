"""JSON that is typed, and JSON that is printed."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path


def read_json(argument: str, what: str) -> object:
    """Read JSON text, `@FILE`, or standard input for `-`.

    Raises:
        ValueError: It is no JSON; the text names `what`.
        OSError: The file cannot be read.
    """
    if argument == "-":
        text = sys.stdin.read()
    elif argument.startswith("@"):
        try:
            text = Path(argument[1:]).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{what}: {argument[1:]} is no text in UTF-8: {error}") from error
    else:
        text = argument
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = _hint(argument)
        raise ValueError(f"{what} is no JSON: {error}{hint}") from error
    return value


def _hint(typed: str) -> str:
    """What was probably meant."""
    if os.path.isfile(typed) or re.fullmatch(r"[\w./\\~-]+\.\w+", typed):
        return f"; what a file holds is given as @{typed}"
    if "'" in typed and not typed.startswith("@"):
        return '; its quotes are double ones, as in \'{"name": "Ada"}\''
    return ""


def one_line(value: object) -> str:
    """A value as one line of JSON that standard output can show."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        # There is none when it was closed.
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        # The terminal cannot show it, or half of a surrogate pair is in it.
        return json.dumps(value, default=str)
    return text
