"""Signatures that hypothesis makes up: what is declared is what is taken, and nothing else."""

from __future__ import annotations

import inspect
import json
import keyword
from contextlib import suppress
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from hypothesis import assume, given, strategies as st
from pydantic import BaseModel, Field, JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

from livepeer.runner import Pipeline
from livepeer.runner._schema.contract import Contract, MalformedBody
from livepeer.runner._schema.documents import complete, describe
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner.errors import InvalidParams


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Inner(BaseModel):
    a: int
    b: list[str] = []


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


_TREES: st.SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, name=st.text(max_size=3), children=st.just([])),
    lambda below: st.builds(Tree, name=st.text(max_size=3), children=st.lists(below, max_size=2)),
    max_leaves=4,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(10**12), 10**12)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, _TEXT),
    (Optional[int], st.none() | st.integers(0, 9)),  # noqa: UP045 - that form as well
    (int | str, st.integers(0, 9) | _TEXT),
    (list[int], st.lists(st.integers(0, 9), max_size=3)),
    (dict[str, list[float]], st.dictionaries(_TEXT, st.lists(st.just(0.5)), max_size=2)),
    (tuple[int, str], st.tuples(st.integers(0, 9), _TEXT)),
    (set[int], st.sets(st.integers(0, 9))),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (Colour, st.sampled_from(list(Colour))),
    (date, st.dates()),
    (UUID, st.uuids()),
    (Annotated[int, Field(ge=3, description="at least three")], st.integers(3, 9)),
    (Inner, st.builds(Inner, a=st.integers(0, 9), b=st.lists(_TEXT, max_size=2))),
    (list[Inner] | None, st.none() | st.lists(st.builds(Inner, a=st.just(1), b=st.just(["x"])))),
    (Tree, _TREES),
]

_NAMES = st.sampled_from(
    ["json", "copy", "dict", "schema", "field_json", "field_a", "_a", "__a", "model_config"]
) | st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True)


def written_defaults(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """No default, a plain one, and the two forms that `Field` has for one."""
    return (
        st.just(inspect.Parameter.empty)
        | strategy
        | strategy.map(lambda value: Field(value))
        | strategy.map(lambda value: Field(default_factory=lambda: value))
    )


def default_of(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if isinstance(default, FieldInfo):
        return default.get_default(call_default_factory=True)  # type: ignore[call-overload]
    return default


@st.composite
def signatures(draw: st.DrawFn) -> tuple[inspect.Signature, dict[str, Any]]:
    """A signature after `self`, and a value for each parameter."""
    names = draw(st.lists(_NAMES, unique=True, min_size=1, max_size=5))
    assume(not any(keyword.iskeyword(name) or name == "self" for name in names))
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    values: dict[str, Any] = {}
    for name in names:
        annotation, strategy = draw(st.sampled_from(TYPES))
        default = draw(written_defaults(strategy))
        values[name] = draw(strategy)
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
            )
        )
    # One parameter that is a model is the whole body; that is another rule.
    annotations = [one.annotation for one in parameters[1:]]
    assume(len(annotations) > 1 or annotations[0] not in (Inner, Tree))
    return inspect.Signature(parameters), values


def pipeline(signature: inspect.Signature) -> Pipeline:
    def predict(self: object, **arguments: Any) -> Any:
        bound = signature.bind(self, **arguments)
        bound.apply_defaults()
        return bound.arguments

    predict.__signature__ = signature  # type: ignore[attr-defined]
    made: Pipeline = type("Made", (Pipeline,), {"predict": predict})()
    return made


def read(signature: inspect.Signature) -> Contract:
    return contracts_of(pipeline(signature))[0]


def as_json(signature: inspect.Signature, values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: TypeAdapter(signature.parameters[name].annotation).dump_python(value, mode="json")
        for name, value in values.items()
    }


@given(signatures())
def test_what_is_declared_is_taken(made: tuple[inspect.Signature, dict[str, Any]]):
    signature, values = made
    contract = read(signature)
    body = as_json(signature, values)
    assert contract.parse(json.dumps(body).encode()) == values
    optional = {
        name: default_of(one)
        for name, one in signature.parameters.items()
        if one.default is not one.empty
    }
    required = {name: body[name] for name in body if name not in optional}
    assert contract.parse(json.dumps(required).encode()) == values | optional


@given(signatures(), st.data())
def test_what_is_missing_or_unknown_is_named(
    made: tuple[inspect.Signature, dict[str, Any]], data: st.DataObject
):
    signature, values = made
    contract = read(signature)
    body = as_json(signature, values)
    unknown = data.draw(_TEXT.filter(lambda name: name not in body))
    with pytest.raises(InvalidParams) as caught:
        contract.parse(json.dumps(body | {unknown: 1}).encode())
    assert [(one["type"], one["loc"]) for one in caught.value.errors] == [
        ("extra_forbidden", ["body", unknown])
    ]
    required = [
        name
        for name, one in signature.parameters.items()
        if one.default is one.empty and name in body
    ]
    for name in required:
        with pytest.raises(InvalidParams) as caught:
            contract.parse(json.dumps({k: v for k, v in body.items() if k != name}).encode())
        assert not isinstance(caught.value, MalformedBody)
        assert [(one["type"], one["loc"]) for one in caught.value.errors] == [
            ("missing", ["body", name])
        ]


@given(signatures())
def test_the_documents_say_the_same(made: tuple[inspect.Signature, dict[str, Any]]):
    signature, values = made
    contract = read(signature)
    told: Any = describe([contract])
    schema = told["endpoints"]["/predict"]["request"]["schema"]
    model = told["$defs"][schema["$ref"].rpartition("/")[2]]
    assert list(model["properties"]) == list(values)
    required = [
        name for name in values if signature.parameters[name].default is inspect.Parameter.empty
    ]
    assert model.get("required", []) == required
    assert model["additionalProperties"] is False
    whole: Any = complete({"openapi": "3.1.0", "paths": {}}, [contract])
    text = json.dumps(whole)
    known = whole["components"]["schemas"]
    assert all(f"#/components/schemas/{name}" in text for name in known)
    assert text.count("$defs") == 0


_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@given(signatures(), _JSON | st.dictionaries(_NAMES, _JSON, max_size=5))
def test_any_json_is_taken_or_refused_in_words(
    made: tuple[inspect.Signature, dict[str, Any]], body: JsonValue
):
    signature, _ = made
    contract = read(signature)
    faults: list[dict[str, Any]] = []
    try:
        taken = contract.parse(json.dumps(body).encode("utf-8", "surrogatepass"))
    except InvalidParams as error:
        faults = error.errors
    else:
        assert set(taken) == set(signature.parameters) - {"self"}
        return
    assert faults
    assert {one["loc"][0] for one in faults} == {"body"}
    json.dumps(faults, allow_nan=False).encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(noise: bytes):
    def predict(self: object, text: str = "", anything: Any = None) -> None: ...

    contract = contracts_of(type("Made", (Pipeline,), {"predict": predict})())[0]
    with suppress(InvalidParams):
        assert set(contract.parse(noise)) == {"text", "anything"}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"t":' + b"[" * 100_000])
def test_deep_bodies_are_refused(body: bytes):
    def predict(self: object, t: JsonValue) -> None: ...

    contract = contracts_of(type("Made", (Pipeline,), {"predict": predict})())[0]
    with pytest.raises(MalformedBody):
        contract.parse(body)
    deep = b'{"t":' + b"[" * 190 + b"]" * 190 + b"}"
    assert contract.parse(deep)


def test_many_faults_make_a_short_answer():
    def predict(self: object, t: list[int]) -> None: ...

    contract = contracts_of(type("Made", (Pipeline,), {"predict": predict})())[0]
    with pytest.raises(InvalidParams) as caught:
        contract.parse(json.dumps({"t": ["x"] * 10_000}).encode())
    assert len(caught.value.errors) == 100
    with pytest.raises(InvalidParams) as caught:
        contract.parse(json.dumps({"t": [], "k" * 10**6: 1}).encode())
    assert len(json.dumps(caught.value.errors)) < 2000
