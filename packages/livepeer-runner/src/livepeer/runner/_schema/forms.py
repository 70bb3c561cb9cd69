"""From the parts of a form to the values of a body's fields."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from livepeer.runner._schema.faults import MalformedBody
from livepeer.runner._schema.json_schema import as_list, as_schema, definition
from livepeer.runner.files import File

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livepeer.runner._schema.json_schema import Schema
    from livepeer.runner._schema.multipart import Part

FILES = frozenset({"file", "base64", "base64url", "binary"})
"""Kinds of fields that take bytes."""


@dataclass(frozen=True)
class FormField:
    """How the parts of one field are read.

    Attributes:
        kinds: What the field takes: `file`, a format of bytes, or types of JSON Schema.
        many: Whether it takes a list, and so any number of parts.
        alone: Whether it takes a value that is no list.
    """

    kinds: frozenset[str] = frozenset()
    many: bool = False
    alone: bool = False

    @property
    def binary(self) -> bool:
        """Whether a file fits."""
        return bool(self.kinds & FILES)


_ANY = FormField()
_UNIONS = ("anyOf", "oneOf", "allOf")


def form_fields(schema: Schema) -> dict[str, FormField]:
    """How a form fills the fields of a body.

    Args:
        schema: The JSON Schema of the body, complete in itself.
    """
    definitions = as_schema(schema.get("$defs"))
    properties = as_schema(definition(schema, definitions).get("properties"))
    return {name: _field(as_schema(one), definitions) for name, one in properties.items()}


def values_of(parts: Iterable[Part], fields: Mapping[str, FormField]) -> dict[str, object]:
    """The values that parts stand for; a name that comes again makes a list.

    A text is itself where its field takes text, and otherwise JSON if it can be.

    Raises:
        MalformedBody: A part that says it is JSON is none.
    """
    gathered: dict[str, list[object]] = {}
    for part in parts:
        gathered.setdefault(part.name, []).append(_value(part, fields.get(part.name, _ANY)))
    return {name: _joined(found, fields.get(name, _ANY)) for name, found in gathered.items()}


def _field(schema: Schema, definitions: Schema) -> FormField:
    kinds: set[str] = set()
    many = alone = False
    seen: set[int] = set()
    open_ends: list[tuple[Schema, bool]] = [(schema, True)]
    while open_ends:
        found, outside = open_ends.pop()
        one = definition(found, definitions)
        # A type may be made of itself, as any JSON is.
        if id(one) in seen:
            continue
        seen.add(id(one))
        branches = [branch for key in _UNIONS for branch in _schemas(one.get(key))]
        open_ends += [(branch, outside) for branch in branches]
        if outside and one.get("type") == "array":
            many = True
            open_ends += [(item, False) for item in _schemas([one.get("items")])]
            continue
        own = _own(one)
        kinds |= own
        alone = alone or (outside and bool(own - {"null"}))
    return FormField(frozenset(kinds), many, alone)


def _schemas(value: object) -> list[Schema]:
    return [as_schema(one) for one in as_list(value)]


def _own(schema: Schema) -> set[str]:
    if schema.get("contentEncoding") == "base64":
        return {"file"}
    kind, given = schema.get("type"), schema.get("format")
    if kind == "string" and isinstance(given, str) and given in FILES:
        return {given}
    values = [*as_list(schema.get("enum")), *([schema["const"]] if "const" in schema else [])]
    if any(isinstance(value, str) for value in values):
        return {"string"}
    return {kind} if isinstance(kind, str) else set()


def _value(part: Part, field: FormField) -> object:
    if isinstance(part.value, File):
        return _of_file(part.value, field)
    if part.is_json:
        try:
            return from_json(part.value)
        except ValueError as exc:
            fault = {"type": "json_invalid", "loc": ["body", part.name[:500]], "msg": str(exc)}
            raise MalformedBody(f"part {part.name[:500]!r} is no JSON", [fault]) from None
    return _of_text(part.value, field)


def _of_file(file: File, field: FormField) -> object:
    if not field.kinds or "file" in field.kinds:
        return file
    data = file.read()
    if "base64" in field.kinds:
        return base64.b64encode(data)
    if "base64url" in field.kinds:
        return base64.urlsafe_b64encode(data)
    return data if "binary" in field.kinds else _of_text(data, field)


def _of_text(data: bytes, field: FormField) -> object:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data  # refused by every field that takes no bytes
    if not field.kinds or field.kinds & {"string", *FILES}:
        return text
    try:
        value: object = from_json(text)
    except ValueError:
        return text
    return value


def _joined(values: list[object], field: FormField) -> object:
    if len(values) > 1:
        return values
    value = values[0]
    # One part may be the whole list, as JSON.
    return [value] if field.many and not field.alone and not _is_list(value) else value


def _is_list(value: object) -> bool:
    return isinstance(value, list)
