"""The signature of predict() as a contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator  # noqa: TC003 - read at run time
from typing import Annotated, Any

import pytest
from pydantic import Base64Bytes, BaseModel, Field

from livepeer.runner import Pipeline
from livepeer.runner._schema.contract import Contract, MalformedBody
from livepeer.runner._schema.signature import read_contract
from livepeer.runner.errors import InvalidParams, InvalidResult, PipelineDefinitionError


class Point(BaseModel):
    x: int
    y: int = 0


class Opaque:
    pass


def contract(predict: Callable[..., Any]) -> Contract:
    return read_contract(type("Sample", (Pipeline,), {"predict": predict})())


def refusal(predict: Callable[..., Any]) -> str:
    with pytest.raises(PipelineDefinitionError) as caught:
        contract(predict)
    return str(caught.value)


def fault(sample: Contract, body: bytes) -> tuple[type[InvalidParams], list[dict[str, Any]]]:
    with pytest.raises(InvalidParams) as caught:
        sample.parse(body)
    return type(caught.value), caught.value.errors


def test_bare_parameters_become_fields():
    def predict(
        self: object,
        text: str,
        times: Annotated[int, Field(ge=1)] = 2,
        image: Base64Bytes = b"\xff",
        pair: tuple[int, ...] = (),
    ) -> str:
        return ""

    sample = contract(predict)
    assert sample.parse(b'{"text":"a","image":"aGk="}') == {
        "text": "a",
        "times": 2,
        "image": b"hi",
        "pair": (),
    }
    schema = sample.body.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["times"]["minimum"] == 1
    assert schema["required"] == ["text"]


def test_parameters_may_have_the_names_of_model_attributes():
    def predict(self: object, json: int, copy: str, model_name: str, _hidden: int = 1) -> None: ...

    body = b'{"json":1,"copy":"c","model_name":"m","_hidden":2}'
    assert contract(predict).parse(body) == json.loads(body)


def test_one_model_parameter_receives_the_body_as_it_is():
    def predict(self: object, point: Point) -> Point:
        return point

    sample = contract(predict)
    assert sample.body is Point
    assert sample.parse(b'{"x":3}') == {"point": Point(x=3)}


def test_several_models_are_fields():
    def predict(self: object, start: Point, end: Point) -> None: ...

    parsed = contract(predict).parse(b'{"start":{"x":1},"end":{"x":2}}')
    assert parsed == {"start": Point(x=1), "end": Point(x=2)}


def test_no_annotation_takes_any_json():
    def predict(self, name): ...

    sample = contract(predict)
    assert sample.parse(b'{"name":[1,null]}') == {"name": [1, None]}
    kind, errors = fault(sample, b'{"name":1,"nam":2}')
    assert kind is MalformedBody  # arguments that an unannotated predict() does not take: 400
    assert errors[0]["loc"] == ["body", "nam"]
    assert fault(sample, b"{}")[0] is InvalidParams


def test_keyword_rest_takes_and_validates_further_fields():
    def predict(self: object, a: int, **rest: int) -> None: ...

    sample = contract(predict)
    assert sample.parse(b'{"a":1,"b":2}') == {"a": 1, "b": 2}
    assert fault(sample, b'{"a":1,"b":"x"}')[1][0]["loc"] == ["body", "b"]


def test_defaults_inside_field_and_annotated():
    def predict(
        self: object, a: Annotated[int, Field(default=3)], b: str = Field("q", description="B")
    ) -> None: ...

    sample = contract(predict)
    assert sample.parse(b"") == {"a": 3, "b": "q"}
    assert sample.body.model_json_schema()["properties"]["b"]["description"] == "B"


@pytest.mark.parametrize(
    ("body", "kind", "error", "loc"),
    [
        (b"{", MalformedBody, "json_invalid", ["body"]),
        (b"\xff", MalformedBody, "json_invalid", ["body"]),
        (b"", InvalidParams, "missing", ["body", "text"]),
        (b"[]", InvalidParams, "model_type", ["body"]),
        (b"null", InvalidParams, "model_type", ["body"]),
        (b'{"text":5}', InvalidParams, "string_type", ["body", "text"]),
        (b'{"text":"a","txt":1}', InvalidParams, "extra_forbidden", ["body", "txt"]),
    ],
)
def test_refused_bodies(body: bytes, kind: type, error: str, loc: list[str]):
    def predict(self: object, text: str) -> str:
        return text

    found, errors = fault(contract(predict), body)
    assert (found, errors[0]["type"], errors[0]["loc"]) == (kind, error, loc)
    assert "input" not in errors[0]


def test_streams_are_seen():
    def generator(self: object) -> Iterator[int]:
        yield 1

    async def agenerator(self: object) -> AsyncIterator[Point]:
        yield Point(x=1)

    def returns_one(self: object) -> Iterator[str]:
        return iter("ab")

    def plain(self: object) -> list[int]:
        return []

    async def coroutine(self: object) -> int:
        return 1

    seen = [
        (c.streams, c.blocking, c.result)
        for c in map(contract, (generator, agenerator, returns_one, plain, coroutine))
    ]
    assert seen == [
        (True, True, int),
        (True, False, Point),
        (True, True, str),
        (False, True, list[int]),
        (False, False, int),
    ]


def test_results_are_serialized_by_the_return_annotation():
    def predict(self: object) -> Point: ...  # type: ignore[empty-body]

    sample = contract(predict)
    assert sample.dump(Point(x=1)) == b'{"x":1,"y":0}'
    assert sample.dump({"x": 1}) == b'{"x":1,"y":0}'
    with pytest.raises(InvalidResult, match="dict"):
        sample.dump({"x": "no"})

    def anything(self): ...

    assert contract(anything).dump({"nan": float("nan")}) == b'{"nan":null}'
    with pytest.raises(InvalidResult, match="Opaque"):
        contract(anything).dump(Opaque())


def _predicts() -> dict[str, Callable[..., Any]]:
    def star(self, *args): ...
    def positional(self, x, /): ...
    def none_default(self, x: str = None): ...  # type: ignore[assignment]  # noqa: RUF013
    def wrong_default(self, x: int = "3"): ...  # type: ignore[assignment]
    def out_of_range(self, x: Annotated[int, Field(ge=1)] = 0): ...
    def unresolved(self, x: Nowhere): ...  # type: ignore[name-defined]  # noqa: F821
    def no_json(self, x: Opaque): ...
    def no_json_result(self) -> Opaque: ...  # type: ignore[empty-body]
    def no_self(): ...

    return {k: v for k, v in locals().items() if callable(v)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("star", ["`*args`", "name"]),
        ("positional", ["`x`", "`/`"]),
        ("none_default", ["`x`", "None"]),
        ("wrong_default", ["`x`", "'3'"]),
        ("out_of_range", ["`x`", "greater than or equal to 1"]),
        ("unresolved", ["`x`", "Nowhere", "TYPE_CHECKING"]),
        ("no_json", ["`x`", "Opaque", "Base64Bytes"]),
        ("no_json_result", ["return annotation", "Opaque"]),
        ("no_self", ["self"]),
    ],
)
def test_mistakes_are_refused_with_the_mend(name: str, words: list[str]):
    text = refusal(_predicts()[name])
    assert text.startswith("Sample.predict()")
    assert [word for word in words if word not in text] == []
