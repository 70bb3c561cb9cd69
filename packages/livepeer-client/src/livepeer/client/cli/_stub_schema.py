"""From what a runner says of itself to what models are generated from. Pure."""

from __future__ import annotations

import copy
import keyword
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema: TypeAlias = dict[str, object]

_REF: Final = "#/components/schemas/"
_SIMPLE: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
}
_FORM: Final = "multipart/form-data"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One constant of the stub.

    Attributes:
        constant: Its name.
        capability: The registered name.
        route: The runner's path.
        input: The type of the payload, as Python writes it.
        output: The type of the answer, or of each item.
        streams: The answer is a stream of events.
        description: What the runner says of it.
    """

    constant: str
    capability: str
    route: str
    input: str
    output: str
    streams: bool
    description: str


@dataclass(frozen=True, kw_only=True)
class StubPlan:
    """What a stub holds.

    Attributes:
        capability: The registered name.
        schemas: The models to generate, by the names of their classes.
        endpoints: The constants; none for a live capability.
    """

    capability: str
    schemas: dict[str, Schema] = field(default_factory=dict[str, Schema])
    endpoints: tuple[Endpoint, ...] = ()


def plan_stub(described: Schema, capability: str | None = None) -> StubPlan:
    """Read what `GET /schema` answers.

    Args:
        described: The answer.
        capability: The registered name, where it is another than the runner's own.

    Raises:
        ValueError: It is no description of a runner.
    """
    name = capability or described.get("name")
    endpoints, params = _object(described.get("endpoints")), _object(described.get("params"))
    if not isinstance(name, str) or not name:
        raise ValueError("the schema names no capability; give its name")
    if not endpoints and not params and described.get("kind") != "live":
        raise ValueError("the schema has neither `endpoints` nor `params`; is it a runner's?")
    planner = _Planner(described, name)
    for path, one in endpoints.items():
        planner.add(path.strip("/"), _object(one))
    if params:
        planner.add_params(params)
    return planner.plan()


class _Planner:
    def __init__(self, described: Schema, capability: str) -> None:
        self._capability = capability
        self._schemas: dict[str, Schema] = {}
        self._names: dict[str, str] = {}
        self._endpoints: list[Endpoint] = []
        self._answers: set[str] = set()
        for name, schema in _object(described.get("$defs")).items():
            self._names[name] = self._fresh(name)
            self._schemas[self._names[name]] = _object(copy.deepcopy(schema))
        for schema in self._schemas.values():
            self._tidy(schema)

    def add(self, route: str, told: Schema) -> None:
        request, response = _object(told.get("request")), _object(told.get("response"))
        base = _class_name(f"{self._capability} {route if route != 'predict' else ''}")
        wanted = self._type(_object(request.get("schema")), f"{base}Input")
        if _FORM in _strings(request.get("content_types")):
            self._files_may_be_apart(wanted)
        streams = told.get("stream") is True
        given = response.get("item" if streams else "schema")
        answer = "bytes" if given is None else self._type(_object(given), f"{base}Output")
        self._answers.add(answer)
        self._endpoints.append(
            Endpoint(
                constant=_constant(self._capability, route),
                capability=self._capability,
                route=route,
                input=wanted,
                output=answer,
                streams=streams,
                description=str(told.get("description") or ""),
            )
        )

    def add_params(self, params: Schema) -> None:
        params = copy.deepcopy(params)
        for name, schema in _object(params.pop("$defs", None)).items():
            self._names[name] = self._fresh(name)
            self._schemas[self._names[name]] = _object(schema)
        name = self._fresh(f"{self._capability} params")
        self._schemas[name] = params
        for schema in self._schemas.values():
            self._tidy(schema)

    def plan(self) -> StubPlan:
        # What is answered may have more fields one day, which must not break its callers.
        for schema in self._reachable(self._answers):
            schema.pop("additionalProperties", None) if _is_closed(schema) else None
        return StubPlan(
            capability=self._capability,
            schemas=self._schemas,
            endpoints=tuple(self._endpoints),
        )

    def _type(self, schema: Schema, name: str) -> str:
        """A schema as Python writes it; what Python has no word for gets a model of that name."""
        schema = copy.deepcopy(schema)
        self._tidy(schema)
        simple = self._simple(schema)
        if simple is not None:
            return simple
        fresh = self._fresh(name)
        self._schemas[fresh] = schema
        return fresh

    def _simple(self, schema: Schema) -> str | None:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return reference.removeprefix(_REF)
        if not schema.keys() - {"title", "description"}:
            return "object"
        kind = schema.get("type")
        if kind == "array":
            item = self._simple(_object(schema.get("items")))
            return None if item is None else f"list[{item}]"
        if kind == "object" and not schema.get("properties"):
            value = self._simple(_object(schema.get("additionalProperties")))
            return None if value is None else f"dict[str, {value}]"
        plain = not schema.keys() & {"enum", "const", "format"}
        return _SIMPLE.get(kind) if isinstance(kind, str) and plain else None

    def _tidy(self, schema: Schema) -> None:
        """References by our names; titles and defaults that are not for code left out."""
        for node in _nodes(schema):
            reference = node.get("$ref")
            if isinstance(reference, str) and not reference.startswith(_REF):
                old = reference.rpartition("/")[2]
                node["$ref"] = _REF + self._names.get(old, old)
            if isinstance(node.get("title"), str):
                del node["title"]
            if isinstance(node.get("default"), dict | list):
                del node["default"]
            if node.get("contentEncoding") == "base64" or node.get("format") in _BINARY:
                told = node.get("description")
                node.clear()
                node |= {"type": "string", "description": _with_hint(told)}

    def _files_may_be_apart(self, name: str) -> None:
        schema = self._schemas.get(name, {})
        files = {
            key
            for key, one in _object(schema.get("properties")).items()
            if str(_object(one).get("description")).endswith(_HINT)
        }
        required = [key for key in _strings(schema.get("required")) if key not in files]
        schema["required"] = required

    def _fresh(self, name: str) -> str:
        base = _class_name(name)
        found, number = base, 1
        while found in self._schemas or found in self._names.values():
            number += 1
            found = f"{base}{number}"
        return found

    def _reachable(self, types: set[str]) -> Iterator[Schema]:
        left = [one for text in types for one in re.findall(r"\w+", text)]
        seen: set[str] = set()
        while left:
            name = left.pop()
            schema = self._schemas.get(name)
            if schema is None or name in seen:
                continue
            seen.add(name)
            for node in _nodes(schema):
                yield node
                reference = node.get("$ref")
                if isinstance(reference, str):
                    left.append(reference.removeprefix(_REF))


_BINARY: Final = frozenset({"base64", "base64url", "binary", "byte"})
_HINT: Final = "Bytes: base64 text here, or apart by `files=`."


def _with_hint(told: object) -> str:
    return f"{told} {_HINT}" if isinstance(told, str) and told else _HINT


def _is_closed(schema: Schema) -> bool:
    return schema.get("additionalProperties") is False


def _nodes(schema: object) -> Iterator[Schema]:
    """Every object in a schema, the schema itself first."""
    if isinstance(schema, dict):
        node = cast("Schema", schema)
        yield node
        for value in list(node.values()):
            yield from _nodes(value)
    elif isinstance(schema, list):
        for value in cast("list[object]", schema):
            yield from _nodes(value)


def _object(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [one for one in found if isinstance(one, str)]


def _class_name(text: str) -> str:
    words = [word for word in re.split(r"[^0-9A-Za-z]+", text) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name.isidentifier() else f"Model{name}"


def _constant(capability: str, route: str) -> str:
    text = capability if route == "predict" else f"{capability}_{route}"
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").upper()
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"CAPABILITY_{name}"
