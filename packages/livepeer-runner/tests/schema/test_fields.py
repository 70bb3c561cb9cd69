"""Parameters with `Field(...)`, and what is written there that no request could ever fit."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator  # noqa: TC003 - read at run time
from dataclasses import InitVar
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    NotRequired,
    Required,
    Self,
    TypeVar,
    Unpack,
)

import pytest
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, SecretStr, WithJsonSchema
from pydantic.warnings import PydanticDeprecatedSince20
from typing_extensions import TypedDict

from livepeer.runner import Pipeline
from livepeer.runner._schema.contract import Contract, MalformedBody
from livepeer.runner._schema.documents import complete
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner.errors import InvalidParams, PipelineDefinitionError
from livepeer.runner.files import ContentType, File

T = TypeVar("T")

# What nothing but a test would write.
a_list: Any = list
a_factory: Any = lambda: "x"  # noqa: E731


class Model(BaseModel):
    a: int = 0


def loose(**words: Any) -> Any:
    """`Field(...)` with keywords that it does not know, of which Pydantic only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticDeprecatedSince20)
        return Field(**words)


class Loose(BaseModel):
    a: int = loose(lte=1)


class Options(TypedDict):
    steps: int


class NeedsPackage:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:
        raise ImportError("odd-validator is not installed")


class Textless:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Broken:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:
        raise KeyError("hook")


def divide(value: int) -> float:
    return 1 / value


def contract(predict: Callable[..., Any]) -> Contract:
    return contracts_of(type("Sample", (Pipeline,), {"predict": predict})())[0]


WRONG: list[tuple[Any, Any, list[str]]] = [
    # Defaults, wherever they stand.
    (int, Field(0, ge=1), ["default 0", "greater than or equal to 1", "change one"]),
    (a_list[int], Field(default_factory=a_factory), ["default 'x'", "valid list"]),
    (Annotated[int, Field(default="q")], None, ["default 'q'", "valid integer"]),
    (Annotated[a_list[int], Field(default_factory=a_factory)], None, ["default 'x'"]),
    (Annotated[int, Field(ge=1)], Field(0, le=9), ["default 0"]),
    (int, Field(default_factory=lambda: 1 // 0), ["default_factory", "ZeroDivisionError"]),
    (int, Textless(), ["default (a Textless)", "valid integer"]),
    (int, "x" * 10**6, ["default 'xxx", "change one"]),
    (Annotated[int, AfterValidator(divide)], 0, ["default 0", "ZeroDivisionError"]),
    # What is no type, or cannot be made one.
    (str, Field("x", pattern="("), ["unclosed group", "mend that"]),
    (str, Field("x", gt=3), ["`gt=3`", "type str", "take it away"]),
    (int, Field(min_length=3), ["`min_length=3`", "type int"]),
    (int | str, Field(ge=3), ["`ge=3`", "type str", "Annotated[int, Field(ge=1)] | str"]),
    (int, Field(gt="a"), ["'gt' must be"]),
    (int, Field(json_schema_extra={"x": object()}), ["Unable to serialize"]),
    (int, Field(examples=[object()]), ["Unable to serialize"]),
    (int, Field(examples=[float("nan")]), ["not JSON compliant"]),
    (Annotated[int, WithJsonSchema({"x": object()})], None, ["not JSON serializable"]),
    (NeedsPackage, None, ["odd-validator is not installed"]),
    (Broken, None, ["KeyError", "'hook'"]),
    ("1 // 0", None, ["cannot be resolved", "by zero"]),
    # What says something elsewhere.
    (Final[int], 1, ["`Final`", "write the type alone"]),
    ("Final[int]", 1, ["`Final`", "write the type alone"]),
    (Final, 1, ["`Final`", "write the type alone"]),
    (ClassVar[int], None, ["`ClassVar`", "write the type alone"]),
    ("ClassVar[int]", None, ["`ClassVar`", "write the type alone"]),
    (InitVar[int], None, ["`InitVar`", "write the type alone"]),
    (Required[int], None, ["`Required`", "write the type alone"]),
    (NotRequired[int], 1, ["`NotRequired`", "write the type alone"]),
    (Self, None, ["`Self`", "name a model"]),
    (a_list[T], None, ["`T`", "write the one"]),
    (Annotated[Model, AfterValidator(divide)], None, ["whole body", "model_validator"]),
    # What would be passed over.
    (int, loose(default=1, gte=1), ["`gte`", "`ge=`"]),
    (Annotated[str, loose(max_lenght=3)], None, ["`max_lenght`", "`max_length=`"]),
    (a_list[Loose], None, ["`lte`", "`le=`"]),
    (ContentType("image/png"), None, ['write `Annotated[bytes, ContentType("image/png")]`']),
    (Annotated[bytes, "image/png"], None, ["'image/png'", 'ContentType("image/png")]`']),
    (Annotated[File, "audio/wav"], None, ['write `Annotated[File, ContentType("audio/wav")]`']),
    (a_list[Annotated[bytes | None, "a", "text/csv"]], None, ["'text/csv' says nothing"]),
]


@pytest.mark.parametrize(("annotation", "default", "words"), WRONG)
def test_fields_that_cannot_be_are_refused_with_the_mend(
    annotation: Any, default: Any, words: list[str]
):
    if default is None:

        def predict(self: object, fine: int, wrong: Any) -> None: ...

        if annotation == Annotated[Model, AfterValidator(divide)]:

            def predict(self: object, wrong: Any) -> None: ...  # type: ignore[misc]

    else:

        def predict(self: object, fine: int, wrong: Any = default) -> None: ...  # type: ignore[misc]

    predict.__annotations__["wrong"] = annotation
    with pytest.raises(PipelineDefinitionError) as caught:
        contract(predict)
    text = str(caught.value)
    line = predict.__code__.co_firstlineno
    assert text.startswith(f"Sample.predict() ({__file__}:{line}): ")
    assert "`wrong`" in text
    assert [word for word in words if word not in text] == []
    assert "\n" not in text
    assert len(text) < 1000


def test_so_are_keyword_arguments_of_a_typed_dict():
    def predict(self: object, **more: Unpack[Options]) -> None: ...

    with pytest.raises(PipelineDefinitionError, match=r"`more`.*fields as parameters of their own"):
        contract(predict)


def test_a_secret_is_not_shown_wherever_it_stands():
    made: Any = Field(default_factory=lambda: "hunter2")
    broken: Any = Field("hunter2", json_schema_extra={"x": object()})

    def factory(self: object, key: SecretStr = made) -> None: ...
    def inside(self: object, key: Annotated[SecretStr, Field(default="hunter2")]) -> None: ...
    def unreadable(self: object, key: SecretStr = broken) -> None: ...

    for predict in (factory, inside, unreadable):
        with pytest.raises(PipelineDefinitionError, match="`key`") as caught:
            contract(predict)
        assert "hunter2" not in str(caught.value)


def test_what_fits_is_taken():
    made = iter(range(9))

    def predict(
        self: object,
        a: int = Field(3, ge=1),
        b: list[int] = Field(default_factory=lambda: [next(made)]),  # noqa: B008
        c: Annotated[int, Field(default=5)] = Field(),  # type: ignore[assignment]
        d: int = Field(default_factory=lambda known: known["a"] + 1),
        e: float = float("inf"),
        f: Annotated[int | None, Field(ge=1)] = None,
    ) -> None: ...

    read = contract(predict)
    first, second = read.parse(b"{}"), read.parse(b'{"a": 7}')
    assert first == {"a": 3, "b": [1], "c": 5, "d": 4, "e": float("inf"), "f": None}
    assert (second["b"], second["d"]) == ([2], 8)
    # Which JSON has no form for: it is no part of the documents.
    document: Any = complete({"openapi": "3.1.0", "paths": {}}, [read])
    fields = document["components"]["schemas"]["SampleRequest"]["properties"]
    assert fields["a"]["default"] == 3
    assert "default" not in fields["e"]


@pytest.mark.parametrize("default", [property(len), PrivateAttr(3)])
def test_a_default_means_nothing_in_the_model_that_is_made(default: Any):
    def predict(self: object, a: Any = default, b: int = 0) -> None: ...

    assert type(contract(predict).parse(b"{}")["a"]) is type(default)


@pytest.mark.parametrize(
    "default", [Field(default_factory=lambda: Model(a=2)), Field(default=Model(a=2))]
)
def test_the_default_of_a_whole_body(default: Any):
    def predict(self: object, body: Model = default) -> None: ...

    def inside(self: object, body: Any) -> None: ...

    inside.__annotations__["body"] = Annotated[Model, default]
    for one in (predict, inside):
        assert contract(one).parse(b"") == {"body": Model(a=2)}
        assert contract(one).parse(b'{"a": 3}') == {"body": Model(a=3)}


def test_a_generic_base_is_told_apart_from_its_types():
    class Base(Pipeline, Generic[T]):
        def predict(self, text: T) -> T:
            return text

    class Below(Base[int]): ...

    with pytest.raises(PipelineDefinitionError, match="`T` stands for any type; write the one"):
        contracts_of(Below())


def test_further_fields_cannot_have_the_names_that_a_call_uses():
    def retried(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(me: object, *args: Any, attempts: int = 3, **more: Any) -> Any:
            return function(me, *args, **more)

        return wrapper

    @retried
    def predict(self: object, text: str = Field("", alias="t"), **more: int) -> Any:
        return more

    pipeline = type("Sample", (Pipeline,), {"predict": predict})()
    read = contracts_of(pipeline)[0]
    assert pipeline.predict(**read.parse(b'{"t": "a", "other": 1}')) == {"other": 1}
    for name in ("self", "me", "attempts", "text"):
        with pytest.raises(InvalidParams) as caught:
            read.parse(f'{{"{name}": 1}}'.encode())
        assert [one["loc"] for one in caught.value.errors] == [["body", name]]

    def bare(self, **more): ...  # type: ignore[no-untyped-def]

    with pytest.raises(MalformedBody):
        contract(bare).parse(b'{"self": 1}')

    def positional(self: object, /, **more: int) -> None: ...

    assert contract(positional).parse(b'{"self": 1}') == {"self": 1}


def test_a_partial_method_has_no_words_of_functools():
    class Sample(Pipeline):
        def _say(self, word: str, text: str) -> Iterator[str]:
            """Say it."""
            yield word + text

        predict = functools.partialmethod(_say, "a")

    (read,) = contracts_of(Sample())
    assert read.summary == ""
    assert read.streams
    assert read.parse(b'{"text": "b"}') == {"text": "b"}


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[bytes, "of the camera"],
        Annotated[bytes, "in/out"],
        Annotated[bytes, ContentType("image/png"), "image/png"],
        Annotated[str, "text/html"],
        Annotated[int, Field(json_schema_extra={"widget": "slider", "minimum": 3})],
        Annotated[str, Field(json_schema_extra={"pattern": "a", "maxLength": 3, "example": "b"})],
    ],
)
def test_other_words_are_left_to_the_author(annotation: Any):
    def predict(self: object, a: Any) -> Any: ...

    predict.__annotations__ |= {"a": annotation, "return": annotation}
    assert contract(predict).fields == {"a": "a"}


def test_a_method_without_parameters_takes_no_field():
    def predict(self): ...  # type: ignore[no-untyped-def]

    read = contract(predict)
    assert read.parse(b"") == read.parse(b"{}") == {}
    with pytest.raises(InvalidParams) as caught:
        read.parse(b'{"a":1}')
    assert not isinstance(caught.value, MalformedBody)
    assert caught.value.errors[0]["loc"] == ["body", "a"]
