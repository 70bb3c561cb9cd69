"""What a call sends, from the words of a command."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ._json import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.client import FileInput, Files


@dataclass(frozen=True, kw_only=True)
class CallInput:
    """The arguments of `Client.open_call` that say what is sent."""

    payload: object = None
    files: Files | None = None
    content_type: str | None = None


def read_input(
    payload: str | None,
    form: Sequence[str] | None,
    body: Path | None,
    content_type: str | None,
) -> CallInput:
    """Make sense of the arguments.

    Raises:
        ValueError: They do not go together, or one is not what it should be.
        OSError: A file cannot be read.
    """
    if content_type is not None and body is None:
        raise ValueError("--content-type goes with --body")
    if body is not None:
        if payload is not None or form:
            raise ValueError("--body excludes the JSON argument and --form")
        kind = content_type or mimetypes.guess_type(body.name)[0]
        return CallInput(payload=body.read_bytes(), content_type=kind)
    value = None if payload is None else read_json(payload, "the JSON argument")
    if form:
        return _form(value, form)
    # JSON's null is a payload like another; None would be none at all.
    return (
        CallInput(payload=b"null", content_type="application/json")
        if (payload is not None and value is None)
        else CallInput(payload=value)
    )


def _form(value: object, form: Sequence[str]) -> CallInput:
    if value is not None and not isinstance(value, dict):
        raise ValueError("with --form, the JSON argument must be an object: its other fields")
    fields = dict(cast("dict[str, object]", value or {}))
    files: dict[str, list[FileInput]] = {}
    for one in form:
        name, equals, given = one.partition("=")
        if not equals or not name:
            raise ValueError(f"--form must be NAME=@FILE or NAME=TEXT, not {one!r}")
        if given.startswith("@"):
            files.setdefault(name, []).append(Path(given[1:]))
        else:
            fields[name] = given
    return CallInput(payload=fields, files=dict(files))
