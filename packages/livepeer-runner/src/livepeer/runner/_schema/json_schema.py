"""JSON Schema of what comes in and goes out, and small questions about one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import TypeAdapter
    from pydantic.json_schema import JsonSchemaWarningKind

    Schema = dict[str, object]
    Mode = Literal["validation", "serialization"]

_VALUES = frozenset({"const", "default", "enum", "example", "examples"})
"""Keys whose values are no schemas."""


class Generator(GenerateJsonSchema):
    """Pydantic's, silent about defaults that JSON has no form for: they are left out."""

    def encode_default(self, dft: Any) -> Any:
        """Refuse `nan` and `inf` as well, which would make the whole document no JSON."""
        encoded = super().encode_default(dft)
        try:
            json.dumps(encoded, allow_nan=False)
        except ValueError as exc:
            raise PydanticSerializationError(str(exc)) from None
        return encoded

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing."""


def schema_of(adapter: TypeAdapter[object], mode: Mode) -> Schema:
    """The schema of one adapter, complete in itself.

    Raises:
        PydanticUserError: There is none, as of a function.
        ValueError: What the author added to it is no JSON.
        TypeError: The same.
    """
    schema = adapter.json_schema(mode=mode, schema_generator=Generator)
    json.dumps(schema, allow_nan=False)
    return schema


def forbid_unknown(schema: object) -> None:
    """Say of every object with known fields that it takes no others; in place."""
    for node in nodes(schema):
        if node.get("type") == "object" and isinstance(node.get("properties"), dict):
            node.setdefault("additionalProperties", False)


def nodes(schema: object) -> Iterator[Schema]:
    """Every schema inside one, itself first; references are not followed."""
    if isinstance(schema, dict):
        node = as_schema(cast("Schema", schema))
        yield node
        for key, value in node.items():
            if key not in _VALUES:
                yield from nodes(value)
    else:
        for value in as_list(schema):
            yield from nodes(value)


def definition(schema: Schema, definitions: Schema) -> Schema:
    """The schema that a reference stands for; anything else as it is."""
    while isinstance(reference := schema.get("$ref"), str):
        schema = as_schema(definitions[reference.rpartition("/")[2]])
    return schema


def as_schema(value: object) -> Schema:
    """An object of a JSON Schema; an empty one for anything else."""
    return cast("Schema", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """An array of a JSON Schema; an empty one for anything else."""
    return list(cast("list[object]", value)) if isinstance(value, (list, tuple)) else []
