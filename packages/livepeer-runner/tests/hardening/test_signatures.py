"""Annotations put together at random: what can be served is, and all else is refused at start."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, Request, UploadFile
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import Base64Bytes, BaseModel, Field, HttpUrl, SecretStr, TypeAdapter
from typing_extensions import TypedDict

from livepeer.runner import Pipeline
from livepeer.runner._schema.contract import Contract, MalformedBody
from livepeer.runner._schema.documents import complete, describe
from livepeer.runner._schema.signature import read_contract
from livepeer.runner.errors import InvalidParams, PipelineDefinitionError
from livepeer.runner.files import ContentType, File

bounded = settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class Size(Enum):
    SMALL = "small"
    LARGE = 3


class Point(BaseModel):
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    steps: int
    name: str


# For annotations that are made at run time.
a_list: Any = list
a_dict: Any = dict
a_tuple: Any = tuple

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

# An annotation, and JSON that fits it.
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**70), 2**70)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, TEXT),
    (Decimal, st.sampled_from(["1.50", "0", "-3e5"])),
    (datetime, st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00"])),
    (timedelta, st.sampled_from(["PT5S", "P1DT2H"])),
    (SecretStr, TEXT),
    (HttpUrl, st.just("https://example.org/a?b=c")),
    (Base64Bytes, st.sampled_from(["", "YWJj"])),
    (File, st.sampled_from(["", "YWJj", "data:image/png;base64,YWJj"])),
    (Annotated[bytes, ContentType("audio/wav")], st.sampled_from(["", "YWJj"])),
    (Literal["a", 2, None], st.sampled_from(["a", 2, None])),
    (Size, st.sampled_from(["small", 3])),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
    (Annotated[str, Field(pattern="^a+$", max_length=9)], st.just("aa")),
    (Point, st.sampled_from([{"x": 1.5}, {"x": 1.5, "y": 2.0}])),
    (Options, st.sampled_from([{}, {"steps": 3}, {"steps": 3, "name": "a"}])),
]

# What no annotation here takes: deeper than any of them.
NOTHING_FITS: Any = {"": {"": {"": {"": {"": [[[[[[{"": None}]]]]]]}}}}}


class Odd:
    """Of which nobody knows what it is in JSON."""


UNSUPPORTED: list[Any] = [
    Odd,
    Callable[[int], str],
    threading.Thread,
    type,
    Request,
    UploadFile,
    Annotated[str, Depends(str)],
]


def around(inner: tuple[Any, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Annotations with another one inside."""
    annotation, values = inner
    return st.sampled_from(
        [
            (a_list[annotation], st.lists(values, max_size=3)),
            (a_dict[str, annotation], st.dictionaries(TEXT, values, max_size=2)),
            (annotation | None, values | st.none()),
            (a_tuple[int, annotation], st.tuples(st.integers(0, 9), values)),
            (
                Annotated[a_list[annotation], Field(min_length=1, description="some")],
                st.lists(values, min_size=1, max_size=2),
            ),
        ]
    )


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    once = leaves | leaves.flatmap(around)
    return once | once.flatmap(around)


SUPPORTED = nested(st.sampled_from(LEAVES))
REFUSED = nested(st.sampled_from([(one, st.none()) for one in UNSUPPORTED]))
NAMES = st.sampled_from(["value", "text", "json", "copy", "model_config", "schema", "_x", "größe"])


def contract_of(parameters: dict[str, Any], result: Any = None) -> Contract:
    """The contract of a method with these parameters."""

    def predict(self: object, **arguments: Any) -> Any: ...

    named = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, annotation in parameters.items()
    ]
    owner = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([owner, *named], return_annotation=result)
    predict.__signature__ = signature  # type: ignore[attr-defined]  # a function takes any attribute
    return read_contract(type("Made", (Pipeline,), {"predict": predict})())


def plain(annotation: Any, value: object) -> object:
    """A value as JSON has it, with what is secret or a file shown."""
    shown: object = TypeAdapter(annotation).dump_python(value, mode="json")
    return shown


@bounded
@given(st.dictionaries(NAMES, SUPPORTED, min_size=2, max_size=4), st.data())
def test_what_fits_arrives_and_comes_back(parameters: dict[str, Any], data: st.DataObject):
    annotations = {name: annotation for name, (annotation, _) in parameters.items()}
    sent = {name: data.draw(values) for name, (_, values) in parameters.items()}
    contract = contract_of(annotations)
    taken = contract.parse(json.dumps(sent).encode())
    for name, annotation in annotations.items():
        expected = TypeAdapter(annotation).validate_json(json.dumps(sent[name]))
        assert plain(annotation, taken[name]) == plain(annotation, expected)
        giving = contract_of({"other": int}, a_list[annotation])
        given_back = json.loads(giving.dump([taken[name]]))
        assert given_back == [plain(annotation, expected)]


@bounded
@given(st.dictionaries(NAMES, SUPPORTED, min_size=2, max_size=4), st.data())
def test_what_does_not_fit_is_named(parameters: dict[str, Any], data: st.DataObject):
    contract = contract_of({name: annotation for name, (annotation, _) in parameters.items()})
    wrong = data.draw(st.sampled_from(sorted(parameters)))
    sent = {name: data.draw(values) for name, (_, values) in parameters.items()}
    for nothing in (NOTHING_FITS, [NOTHING_FITS]):
        with pytest.raises(InvalidParams) as caught:
            contract.parse(json.dumps({**sent, wrong: nothing}).encode())
        assert not isinstance(caught.value, MalformedBody)
        assert {tuple(fault["loc"][:2]) for fault in caught.value.errors} == {("body", wrong)}
        assert all(fault["msg"] for fault in caught.value.errors)


@bounded
@given(st.dictionaries(NAMES, SUPPORTED, min_size=2, max_size=4))
def test_each_is_documented(parameters: dict[str, Any]):
    contract = contract_of({name: annotation for name, (annotation, _) in parameters.items()})
    told: Any = describe([contract])
    reference: str = told["endpoints"]["/predict"]["request"]["schema"]["$ref"]
    assert set(told["$defs"][reference.rpartition("/")[2]]["properties"]) == set(parameters)
    whole: Any = complete({"openapi": "3.1.0", "paths": {}}, [contract])
    assert set(whole["paths"]["/predict"]["post"]["requestBody"]["content"]) >= {"application/json"}
    json.dumps(whole, allow_nan=False)


@bounded
@given(st.dictionaries(NAMES, SUPPORTED, max_size=2), REFUSED, st.sampled_from(["odd", "dict"]))
def test_what_json_cannot_carry_is_refused_by_name(
    parameters: dict[str, Any], refused: Any, name: str
):
    annotations = {name: annotation for name, (annotation, _) in parameters.items()}
    with pytest.raises(PipelineDefinitionError) as caught:
        contract_of({**annotations, name: refused[0]})
    assert f"`{name}`" in str(caught.value)
    assert "Made.predict()" in str(caught.value)
    assert "; use " in str(caught.value)


@bounded
@given(REFUSED)
def test_what_json_cannot_carry_is_not_promised_either(refused: Any):
    with pytest.raises(PipelineDefinitionError, match="the return annotation"):
        contract_of({"a": int, "b": int}, refused[0])
