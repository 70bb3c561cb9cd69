"""What is told of contracts: the JSON of `/schema`, and their part of `/openapi.json`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from livepeer.runner._schema.annotations import bare, members_of
from livepeer.runner._schema.contract import EVENTS, JSON
from livepeer.runner._schema.json_schema import (
    Generator,
    as_list,
    as_schema,
    definition,
    forbid_unknown,
    nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from livepeer.runner._schema.contract import Contract
    from livepeer.runner._schema.json_schema import Mode, Schema

FORM = "multipart/form-data"

_PROBLEM_NAME = "livepeer.Problem"
"""With a point, which is in no name that Pydantic gives to an author's model."""

_PROBLEM: Schema = {
    "title": "Problem",
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "description": "What is wrong: a text, or one object for each fault of the request",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "loc", "msg"],
                        "properties": {
                            "type": {"type": "string"},
                            "loc": {
                                "type": "array",
                                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                            },
                            "msg": {"type": "string"},
                        },
                    },
                },
                {},
            ],
        },
        "type": {"type": "string", "description": "The kind of the error"},
        "request_id": {"type": "string", "description": "What names the request in the log"},
        "retry_after": {"type": "number", "description": "When to try again, in seconds"},
    },
}

_PROBLEMS = {
    "400": "The body is neither JSON nor a form, or names an unknown argument",
    "401": "The bearer token is missing or wrong",
    "413": "The body is too large",
    "422": "A field is missing, unknown or not valid",
    "500": "The pipeline failed",
    "503": "Loading, or busy: try again after `Retry-After` seconds",
    "504": "It took too long",
    "default": "What the pipeline itself answers to a request that it cannot serve",
}


def describe(contracts: Sequence[Contract]) -> Schema:
    """What callers may call, as the JSON of `/schema`.

    `endpoints` has for each path the method's `name` and `description`, `stream`, the `request`
    (content types and JSON Schema) and the `response` (content type and JSON Schema, of an item
    where it is a stream). Schemas refer to `$defs` beside it.

    Args:
        contracts: Those of one pipeline.
    """
    schemas, definitions = _schemas(contracts, "#/$defs/{model}")
    endpoints: Schema = {}
    for contract in contracts:
        taken, given = schemas[contract.path, "validation"], schemas[contract.path, "serialization"]
        response: Schema = {"content_type": contract.media_type}
        if contract.raw is None:
            response["item" if contract.streams else "schema"] = given
        endpoints[contract.path] = {
            "name": contract.method,
            "description": contract.summary,
            "stream": contract.streams,
            "request": {"content_types": _request_types(contract), "schema": taken},
            "response": response,
        }
    return {"endpoints": endpoints, "$defs": definitions}


def openapi(contracts: Sequence[Contract], version: str = "3.1.0") -> Schema:
    """The `paths` and `components` of contracts.

    What a stream is made of stands in `x-livepeer-stream`: `item`, the schema of its items, and
    `itemSchema`, that of its events. OpenAPI 3.2 has the latter itself, and 3.1 allows no more
    than extensions there.

    Args:
        contracts: Those of one pipeline.
        version: Of the OpenAPI document that this is for.
    """
    known = not version.startswith(("3.0", "3.1"))
    schemas, definitions = _schemas(contracts, "#/components/schemas/{model}")
    paths: Schema = {}
    for contract in contracts:
        taken, given = schemas[contract.path, "validation"], schemas[contract.path, "serialization"]
        operation: Schema = {
            "summary": f"Call {contract.where}",
            "operationId": contract.method,
            "requestBody": {
                "content": _request(contract, taken, definitions),
                "required": contract.default is None and _requires(taken, definitions),
            },
            "responses": {"200": _answer(contract, given, known), **_problems()},
        }
        if contract.summary:
            operation["description"] = contract.summary
        paths[contract.path] = {"post": operation}
    definitions[_PROBLEM_NAME] = copy.deepcopy(_PROBLEM)
    return {"paths": paths, "components": {"schemas": definitions}}


def complete(document: Schema, contracts: Sequence[Contract]) -> Schema:
    """Put contracts in the place of what FastAPI says of their routes.

    Args:
        document: The OpenAPI document of the application; it is left as it is.
        contracts: Those of the pipeline that it serves.
    """
    made = openapi(contracts, str(document.get("openapi", "")))
    components = as_schema(document.get("components"))
    ours = as_schema(as_schema(made["components"])["schemas"])
    every = {**as_schema(components.get("schemas")), **ours}
    return {
        **document,
        "paths": {**as_schema(made["paths"]), **_others(document, contracts)},
        "components": {**components, "schemas": every},
    }


def _others(document: Schema, contracts: Iterable[Contract]) -> Schema:
    own = {contract.path for contract in contracts}
    paths = as_schema(document.get("paths"))
    return {path: item for path, item in paths.items() if path not in own}


def _schemas(
    contracts: Iterable[Contract], template: str
) -> tuple[dict[tuple[str, Mode], Schema], Schema]:
    """What each contract takes and gives, and the definitions that these refer to."""
    inputs: list[tuple[str, Mode, TypeAdapter[object]]] = []
    closed: set[str] = set()
    for contract in contracts:
        inputs.append((contract.path, "validation", TypeAdapter(contract.body)))
        inputs.append((contract.path, "serialization", contract.result_adapter))
        if contract.extra == "forbid":
            closed.add(contract.path)
    made, whole = TypeAdapter.json_schemas(
        inputs, ref_template=template, schema_generator=Generator
    )
    definitions = as_schema(whole.get("$defs"))
    schemas = {key: as_schema(schema) for key, schema in made.items()}
    for path in closed:
        for schema in _reachable(schemas[path, "validation"], definitions):
            forbid_unknown(schema)
    return schemas, definitions


def _reachable(schema: Schema, definitions: Schema) -> list[Schema]:
    """A schema and all that it refers to."""
    found = [schema]
    names: set[str] = set()
    for one in found:
        for node in nodes(one):
            reference = node.get("$ref")
            name = reference.rpartition("/")[2] if isinstance(reference, str) else ""
            if name and name not in names:
                names.add(name)
                found.append(as_schema(definitions[name]))
    return found


def _request_types(contract: Contract) -> list[str]:
    return [JSON, FORM] if any(field.binary for field in contract.form.values()) else [JSON]


def _request(contract: Contract, schema: Schema, definitions: Schema) -> Schema:
    content: Schema = {JSON: {"schema": schema}}
    if FORM not in _request_types(contract):
        return content
    # First, for that is what `/docs` opens with, and only there is a button for a file.
    return {FORM: {"schema": _form(contract, definition(schema, definitions))}, **content}


def _form(contract: Contract, schema: Schema) -> Schema:
    """The same body as a form: files are bytes there, and no text."""
    form = copy.deepcopy(schema)
    for name, one in as_schema(form.get("properties")).items():
        if contract.form[name].binary:
            for node in nodes(one):
                _as_bytes(node)
    return form


def _as_bytes(node: Schema) -> None:
    if node.get("contentEncoding") == "base64":
        del node["contentEncoding"]
        node["format"] = "binary"
    elif node.get("format") in ("base64", "base64url", "binary"):
        node["format"] = "binary"
        node["contentMediaType"] = "application/octet-stream"


def _requires(schema: Schema, definitions: Schema) -> bool:
    """Whether no body at all is refused."""
    return bool(as_list(definition(schema, definitions).get("required")))


def _answer(contract: Contract, schema: Schema, item_schema_is_known: bool) -> Schema:
    if contract.streams:
        event = _event(schema)
        content: Schema = {"x-livepeer-stream": {"item": schema, "itemSchema": event}}
        if item_schema_is_known:
            content["itemSchema"] = event
        told = f"One event per item, whose `data` is JSON: {_in_words(schema)}; then `[DONE]`"
        return {"description": told, "content": {EVENTS: content}}
    if contract.raw is None:
        return {"description": "The result", "content": {JSON: {"schema": schema}}}
    raw: Schema = {"type": "string", "format": "binary"}
    # A file may say itself what it is.
    known = all(bare(one) is bytes for one in members_of(contract.result))
    every = (contract.raw,) if known else (contract.raw, "*/*")
    told = "The bytes; none where there is nothing" if contract.nothing else "The bytes"
    return {"description": told, "content": {one: {"schema": raw} for one in every}}


def _in_words(schema: Schema) -> str:
    """What a schema is called; models by their names, of which a page shows no more elsewhere."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return f"`{reference.rpartition('/')[2]}`"
    branches = [_in_words(as_schema(one)) for one in as_list(schema.get("anyOf"))]
    if branches:
        return " or ".join(branches)
    kind = schema.get("type")
    if kind == "array" and "items" in schema:
        return f"a list of {_in_words(as_schema(schema['items']))}"
    return f"`{kind}`" if isinstance(kind, str) else "anything"


def _event(item: Schema) -> Schema:
    """What one event of a stream is: an item, the stream's failure, or its end."""
    problem: Schema = {"$ref": f"#/components/schemas/{_PROBLEM_NAME}"}
    done: Schema = {"type": "string", "const": "[DONE]"}
    return {
        "type": "object",
        "required": ["data"],
        "anyOf": [
            {"title": "Item", "properties": {"event": _named("message"), "data": _json(item)}},
            {"title": "Error", "properties": {"event": _named("error"), "data": _json(problem)}},
            {"title": "End", "properties": {"event": _named("message"), "data": done}},
        ],
    }


def _named(kind: str) -> Schema:
    return {"type": "string", "const": kind}


def _json(schema: Schema) -> Schema:
    return {"type": "string", "contentMediaType": JSON, "contentSchema": schema}


def _problems() -> Schema:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{_PROBLEM_NAME}"}}}
    return {status: {"description": text, "content": content} for status, text in _PROBLEMS.items()}
