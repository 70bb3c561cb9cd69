"""The bearer token in an OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._schema.json_schema import as_schema

if TYPE_CHECKING:
    from collections.abc import Collection

    from livepeer.runner._schema.json_schema import Schema

_NAME = "bearer"
_SCHEME: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed where the runner has a token: its own, or that of its registration",
}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


def secured(document: Schema, is_open: Collection[str]) -> Schema:
    """A document whose operations may be sent a bearer token, as `/docs` then does.

    Each may also go without, for a runner may have none. What an operation says itself stays.

    Args:
        document: Of the whole application; it is left as it is.
        is_open: Paths that never need the token.
    """
    components = as_schema(document.get("components"))
    schemes = {_NAME: dict(_SCHEME), **as_schema(components.get("securitySchemes"))}
    paths = as_schema(document.get("paths"))
    return {
        **document,
        "paths": {
            path: item if path in is_open else _secured(as_schema(item))
            for path, item in paths.items()
        },
        "components": {**components, "securitySchemes": schemes},
    }


def _secured(item: Schema) -> Schema:
    return {
        key: {"security": [{}, {_NAME: []}], **as_schema(operation)}
        if key in _METHODS
        else operation
        for key, operation in item.items()
    }
