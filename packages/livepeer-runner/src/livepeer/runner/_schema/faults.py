"""What is told of a request that does not fit: where and why, never what was sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from livepeer.runner.errors import InvalidParams
from livepeer.runner.files import NO_BASE64

if TYPE_CHECKING:
    from pydantic import ValidationError

MAX_FAULTS = 100
"""Faults that one answer names."""
_MAX_TEXT = 500
_HEAD = 64

Fault = dict[str, object]


class MalformedBody(InvalidParams):
    """The request is not JSON, or names what an unannotated `predict()` cannot take."""


def faults_of(exc: ValidationError) -> list[Fault]:
    """The faults of a body as Pydantic writes them, at most 100, each place below `body`.

    Without the values: a body may be megabytes of picture, or hold a secret. Names of fields that
    the caller made up are cut.
    """
    found: list[Fault] = json.loads(exc.json(include_url=False, include_input=False))
    for fault in found[:MAX_FAULTS]:
        fault["loc"] = ["body", *map(_cut, cast("list[object]", fault["loc"]))]
        fault["msg"] = _cut(fault["msg"])
        if "ctx" in fault:
            context = cast("dict[str, object]", fault["ctx"])
            fault["ctx"] = {name: _cut(value) for name, value in context.items()}
    return found[:MAX_FAULTS]


def is_no_json(faults: list[Fault]) -> bool:
    """Whether the body as a whole could not be read; a field of it may take JSON in a text."""
    return [(fault["type"], fault["loc"]) for fault in faults] == [("json_invalid", ["body"])]


def explained(fault: Fault, content_type: str, body: bytes) -> Fault:
    """A fault of a body that is no JSON, with what its content type has to do with it.

    Nothing, where the body begins as JSON does: `curl -d` says of everything that it is a form.
    """
    kind, _, options = content_type.lower().partition(";")
    kind = kind.strip()
    hint = ""
    said = bool(kind) and kind != "application/json" and not kind.endswith("+json")
    if said and not body[:_HEAD].lstrip().startswith((b"{", b"[", b'"')):
        hint = f"; it is said to be {kind[:100]!r}, and read is JSON, or multipart/form-data"
    elif "charset" in options and "utf-8" not in options:
        hint = "; JSON is read as UTF-8, whatever charset is said"
    return {**fault, "msg": f"{fault['msg']}{hint}"}


def upload_told(fault: Fault) -> Fault:
    """A fault of a field of a form, with how a file is uploaded where a text came in its place."""
    message = str(fault["msg"])
    name = cast("list[object]", fault["loc"])[1:2]
    if name and (fault["type"] == "base64_decode" or message.endswith(NO_BASE64)):
        return {**fault, "msg": _cut(f"{message}; an upload is {name[0]}=@FILE, as curl -F has it")}
    return fault


def in_words(exc: ValidationError) -> str:
    """The same as one text, for what an author's code gave back."""
    told = [
        ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))
        for fault in exc.errors(include_url=False, include_input=False, include_context=False)[:5]
    ]
    return "; ".join(told)[:_MAX_TEXT]


def _cut(value: object) -> object:
    return value[:_MAX_TEXT] if isinstance(value, str) else value
