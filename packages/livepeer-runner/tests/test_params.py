"""Parameters: what fits, and what is refused by its name."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from livepeer.runner import BaseParams


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Inner(BaseModel):
    taps: Literal[3, 5, 7] = 3


class Filter(BaseParams):
    steps: int = 4
    strength: float = Field(0.5, ge=0, le=10)
    taps: Literal[3, 5, 7] = 3
    size: Size = Size.SMALL
    kernel: list[int] = Field(default_factory=list)
    inner: Inner = Inner()
    exact: int = Field(0, strict=True)
    either: int | float = 0
    anything: Any = None


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("steps", 5.0, 5),
        ("steps", 1e6, 1_000_000),
        ("strength", 5.0, 5.0),
        ("strength", 5, 5.0),
        ("taps", 5.0, 5),
        ("size", 2.0, Size.LARGE),
        ("kernel", [1.0, 2.0], [1, 2]),
        ("inner", {"taps": 7.0}, Inner(taps=7)),
        ("exact", 3.0, 3),
        ("either", 2.0, 2.0),
        ("anything", 2.0, 2.0),
    ],
)
def test_whole_numbers_that_became_floats_fit(name: str, sent: object, expected: object):
    value = getattr(Filter.model_validate({name: sent}), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "sent"),
    [("steps", 5.5), ("taps", 4.0), ("size", 3.0), ("exact", 3.5), ("steps", float("inf"))],
)
def test_other_numbers_do_not(name: str, sent: float):
    with pytest.raises(ValidationError) as caught:
        Filter.model_validate({name: sent})
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_an_unknown_key_is_refused_by_its_name():
    with pytest.raises(ValidationError) as caught:
        Filter.model_validate({"steps": 1, "stps": 2.0})
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("stps",), "extra_forbidden")
    ]


def test_without_values_there_are_the_defaults():
    assert Filter().model_dump() == Filter.model_validate({}).model_dump()
    assert Filter().steps == 4


def test_the_schema_is_the_one_of_the_fields():
    schema = Filter.model_json_schema()
    assert schema["properties"]["steps"] == {"default": 4, "title": "Steps", "type": "integer"}
    assert schema["additionalProperties"] is False
