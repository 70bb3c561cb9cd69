"""Mistakes that are seen at start: the parameter, its file and line, and the mend."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import (  # noqa: TC003 - read at run time
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from pathlib import Path  # noqa: TC003 - read at run time
from typing import Annotated, Any, TypeVar, cast

import pytest
from fastapi import APIRouter, UploadFile
from pydantic import BaseModel, SecretStr

from livepeer.runner import LivePipeline, Pipeline, Settings, make_app
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner._server.author_routes import author_router
from livepeer.runner._target import resolve
from livepeer.runner.endpoints import endpoint
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.files import ContentType
from livepeer.runner.spec import import_file

S = TypeVar("S", bound=Pipeline)


class Model(BaseModel):
    a: int = 0


def refusal(**members: Any) -> str:
    base: dict[str, Any] = {"predict": lambda self: None}
    with pytest.raises(PipelineDefinitionError) as caught:
        contracts_of(type("Sample", (Pipeline,), base | members)())
    return str(caught.value)


def test_the_line_is_that_of_the_parameter():
    def predict(
        self: object,
        fine: int,
        wrong: int = "three",  # type: ignore[assignment]
    ) -> None: ...

    first = predict.__code__.co_firstlineno
    text = refusal(predict=predict)
    assert text.startswith(f"Sample.predict() ({__file__}:{first + 3}): ")
    assert "`wrong`" in text


def test_the_line_is_that_of_the_return_annotation():
    def predict(
        self: object,
    ) -> type: ...  # type: ignore[empty-body]

    text = refusal(predict=predict)
    assert f"{__file__}:{predict.__code__.co_firstlineno + 2}): the return annotation" in text


def test_without_a_source_the_line_of_the_method_is_named():
    scope: dict[str, Any] = {}
    exec(compile("\ndef predict(self, *names): ...", "made.py", "exec"), scope)
    assert refusal(predict=scope["predict"]).startswith("Sample.predict() (made.py:2): ")


def _typed() -> dict[str, Callable[..., Any]]:
    def function_in(self: object, x: Callable[[], int]) -> None: ...
    def upload(self: object, x: UploadFile) -> None: ...
    def model_default(self: object, x: Model = 5) -> None: ...  # type: ignore[assignment]
    def content_type_of_text(self: object) -> Annotated[str, ContentType("image/png")]: ...  # type: ignore[empty-body]
    def awaitable(self: object) -> Awaitable[int]: ...  # type: ignore[empty-body]

    return {k: v for k, v in locals().items() if callable(v)}


def _streaming() -> dict[str, Callable[..., Any]]:
    def generator_of_none(self: object) -> None:  # type: ignore[misc]
        yield 1

    def generator_of_list(self: object) -> list[int]:  # type: ignore[misc]
        yield 1

    def sync_as_async(self: object) -> AsyncIterator[int]:  # type: ignore[misc]
        yield 1

    async def async_as_sync(self: object) -> Iterator[int]:  # type: ignore[misc]
        yield 1

    async def awaited_sync(self: object) -> Iterator[int]:
        return iter([1])

    return {k: v for k, v in locals().items() if callable(v)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("function_in", ["`x`", "Callable", "JSON cannot carry"]),
        ("upload", ["`x`", "UploadFile", "livepeer.runner.files.File"]),
        ("model_default", ["`x`", "5", "change one"]),
        ("content_type_of_text", ["return annotation", "ContentType"]),
        ("generator_of_none", ["generator", "Iterator[...]"]),
        ("generator_of_list", ["generator", "Iterator[...]"]),
        ("sync_as_async", ["generator", "as Iterator[...]"]),
        ("async_as_sync", ["generator", "as AsyncIterator[...]"]),
        ("awaited_sync", ["async", "AsyncIterator"]),
        ("awaitable", ["async def"]),
    ],
)
def test_mistakes_are_refused_with_the_mend(name: str, words: list[str]):
    text = refusal(predict=(_typed() | _streaming())[name])
    assert text.startswith(f"Sample.predict() ({__file__}:")
    assert [word for word in words if word not in text] == []


def _without_self() -> dict[str, Callable[..., Any]]:
    def of_a_field(n: int) -> str: ...  # type: ignore[empty-body]
    def of_a_union(n: int | None = None) -> str: ...  # type: ignore[empty-body]
    def of_a_model(a: Model, b: int) -> str: ...  # type: ignore[empty-body]
    def of_nothing() -> str: ...  # type: ignore[empty-body]
    def of_names(*, n: int) -> str: ...  # type: ignore[empty-body]

    return {k: v for k, v in locals().items() if callable(v)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("of_a_field", ["`n`", "write `self` before it"]),
        ("of_a_union", ["`n`", "write `self` before it"]),
        ("of_a_model", ["`a`", "write `self` before it"]),
        ("of_nothing", ["no `self`"]),
        ("of_names", ["no `self`"]),
    ],
)
def test_a_method_has_a_self(name: str, words: list[str]):
    function, marked = _without_self()[name], endpoint(_without_self()[name])
    for members in ({"predict": function}, {"more": marked}):
        text = refusal(**members)
        assert f"{__file__}:{function.__code__.co_firstlineno}): " in text
        assert [word for word in words if word not in text] == []


def test_what_gets_its_instance_otherwise_is_served():
    def brings(function: Callable[[int], int]) -> Callable[..., int]:
        @functools.wraps(function)
        def wrapper(_me: object, n: int) -> int:
            return function(n)

        def seen(self: object, n: int) -> int: ...  # type: ignore[empty-body]

        wrapper.__signature__ = inspect.signature(seen)  # type: ignore[attr-defined]
        return wrapper

    class Sample(Pipeline):
        @staticmethod
        def predict(n: int) -> int:  # type: ignore[override]
            return n

        @classmethod
        @endpoint
        def of_the_class(kind: type, n: int) -> int:  # type: ignore[misc]  # noqa: N804 - any name will do
            return n

        @endpoint
        def of_a_base(this: Pipeline, n: int) -> int:  # noqa: N805 - any name will do
            return n

        @endpoint
        def of_its_own(this: S, n: int) -> int:  # type: ignore[misc]  # noqa: N805 - any name will do
            return n

        @endpoint
        @brings
        def of_a_decorator(n: int) -> int:  # type: ignore[misc]  # noqa: N805 - it has none
            return n

    for contract in contracts_of(Sample()):
        assert contract.parse(b'{"n":1}') == {"n": 1}, contract.method


def test_a_secret_default_is_not_shown():
    def predict(self: object, key: SecretStr = "hunter2") -> None: ...  # type: ignore[assignment]

    text = refusal(predict=predict)
    assert "`key`" in text
    assert "hunter2" not in text


def test_hooks_that_want_arguments_are_refused():
    def healthcheck(self: object, deep: bool) -> bool:
        return deep

    class Sample(Pipeline):
        def predict(self) -> None: ...

    Sample.healthcheck = healthcheck  # type: ignore[assignment,method-assign]
    with pytest.raises(
        PipelineDefinitionError, match=r"Sample\.healthcheck\(\) is called with \(\)"
    ):
        make_app(Sample(), Settings())


def test_names_that_are_almost_hooks_are_told(caplog: pytest.LogCaptureFixture):
    class Sample(Pipeline):
        def predict(self) -> None: ...

        def health_check(self) -> None: ...

        @endpoint
        def tear_down(self) -> None: ...

    with caplog.at_level(logging.WARNING, "livepeer.runner"):
        make_app(Sample(), Settings())
    assert [record.getMessage() for record in caplog.records] == [
        "Sample.health_check() is never called: did you mean healthcheck()?"
    ]


def test_endpoints_have_the_rules_of_predict():
    @endpoint
    def more(self: object, *names: str) -> None: ...

    text = refusal(more=more)
    assert text.startswith(f"Sample.more() ({__file__}:")
    assert "`*names`" in text


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("health", None, ["/health", "path="]),
        ("stream", None, ["/stream", "path="]),
        ("more", "/stream/x", ["/stream/x"]),
        ("more", "more", ["'more' is no path: ", "/translate"]),
        ("more", "/a b", ["'/a b'"]),
        ("teardown", None, ["hook"]),
    ],
)
def test_paths_that_cannot_be(method: str, path: str | None, words: list[str]):
    @endpoint(path=path)
    def marked(self: object) -> None: ...

    text = refusal(**{method: marked})
    assert text.startswith(f"Sample.{method}() ({__file__}:")
    assert [word for word in words if word not in text] == []


def test_two_methods_of_one_path():
    @endpoint
    def to_text(self: object) -> None: ...

    @endpoint(path="/to-text")
    def other(self: object) -> None: ...

    text = refusal(to_text=to_text, other=other)
    assert text.startswith("Sample.other()")
    assert "to_text()" in text


def test_a_live_pipeline_has_no_endpoints():
    class Live(LivePipeline):
        @endpoint
        def more(self) -> None: ...

    with pytest.raises(PipelineDefinitionError, match=r"Live\.more\(\) is marked"):
        make_app(Live(), Settings())


def test_endpoint_stands_at_methods_only():
    with pytest.raises(PipelineDefinitionError, match="no method"):
        endpoint(5)  # type: ignore[call-overload]
    with pytest.raises(PipelineDefinitionError, match="no method"):
        endpoint(Model)  # type: ignore[type-var]
    with pytest.raises(PipelineDefinitionError, match=r"write @endpoint\(path='/x'\)"):
        endpoint("/x")  # type: ignore[call-overload]


def test_a_router_may_not_hold_the_runners_paths():
    def routed(path: str) -> str:
        class Sample(Pipeline):
            router = APIRouter()

            def predict(self) -> None: ...

        def answer() -> None: ...

        Sample.router.add_api_route(path, answer)
        with pytest.raises(PipelineDefinitionError) as caught:
            author_router(Sample(), {"/predict", "/more"})
        return str(caught.value)

    assert routed("/health").startswith(f"Sample.router has /health ({__file__}:")
    assert "/stream/{id}" in routed("/stream/{id}")
    assert "/more" in routed("/more")

    class Wrong(Pipeline):
        router = 5  # type: ignore[assignment]

        def predict(self) -> None: ...

    with pytest.raises(PipelineDefinitionError, match=r"fastapi\.APIRouter"):
        author_router(Wrong(), ())


def test_nor_may_one_that_it_includes():
    class Sample(Pipeline):
        router = APIRouter()

        def predict(self) -> str:
            return ""

    inner = APIRouter()
    inner.add_api_route("/more", lambda: "")
    Sample.router.include_router(inner, prefix="/v1")
    rest = APIRouter()
    rest.add_api_route("/{anything:path}", lambda: "")
    Sample.router.include_router(rest)
    assert author_router(Sample(), {"/predict", "/more"}) is Sample.router
    Sample.router.include_router(inner)
    with pytest.raises(PipelineDefinitionError, match=r"Sample\.router has /more"):
        author_router(Sample(), {"/predict", "/more"})


def test_a_router_of_other_paths_is_taken():
    class Sample(Pipeline):
        def __init__(self) -> None:
            self.router = APIRouter(prefix="/v1")
            self.router.add_api_route("/models", self.predict)

        def predict(self) -> None: ...

    sample = Sample()
    assert author_router(sample, {"/predict"}) is sample.router

    class Without(Pipeline):
        def predict(self) -> None: ...

    assert author_router(Without(), ()) is None


class Almost(Pipeline):
    class Predicted(BaseModel):
        a: int

    def predit(self, text: str) -> str:
        return text


def test_a_predict_that_is_spelt_otherwise_is_told_with_its_place():
    with pytest.raises(PipelineDefinitionError) as caught:
        resolve(cast("Any", Almost), "thread")
    line = inspect.getsourcelines(Almost)[1]
    assert str(caught.value) == (
        "Almost has no predict(): rename predit(), if that is meant, or define it in the class"
        f" ({__file__}:{line})"
    )


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(PipelineDefinitionError, match=r"there is no file .*predic\.py"):
        import_file(tmp_path / "predic.py")
    text = tmp_path / "predict.txt"
    text.touch()
    with pytest.raises(PipelineDefinitionError, match=r"predict\.txt is not a Python file"):
        import_file(text)
