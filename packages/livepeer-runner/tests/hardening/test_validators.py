"""Code of the author's that runs while a request is read: its faults are the author's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from typing import Annotated, Any

import pytest
from fastapi import HTTPException
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Json,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from livepeer.runner import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.errors import InputError

FORM = "multipart/form-data; boundary=b"


class Hopeless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1)


def check(how: str) -> str:
    """Fail as the caller says."""
    if how == "recursion":
        recurse()
    if how == "custom":
        raise PydanticCustomError("odd", "odd: {thing}", {"thing": object()})
    failures: dict[str, BaseException] = {
        "key": KeyError("how"),
        "zero": ZeroDivisionError("n"),
        "memory": MemoryError("all of it"),
        "hopeless": Hopeless(),
        "exit": SystemExit(3),
        "stop": StopIteration("s"),
        "async stop": StopAsyncIteration("s"),
        "close": GeneratorExit("g"),
        "cancel": asyncio.CancelledError("c"),
        "teapot": HTTPException(418, "no coffee"),
        "value": ValueError("it is " + "x" * 5000),
        "assertion": AssertionError("not so"),
        "input": InputError("not this one"),
    }
    if how in failures:
        raise failures[how]
    return how


Checked = Annotated[str, AfterValidator(check)]


class Model(BaseModel):
    how: str

    @field_validator("how", mode="before")
    @classmethod
    def look(cls, value: str) -> str:
        return check(value)


class Whole(BaseModel):
    how: str

    @model_validator(mode="after")
    def look(self) -> Whole:
        check(self.how)
        return self


class Checking(Pipeline):
    async def predict(self, how: Checked) -> str:
        return how

    @endpoint
    def blocking(self, how: Checked) -> str:
        return how

    @endpoint
    def before(self, how: Annotated[str, BeforeValidator(check)]) -> str:
        return how

    @endpoint
    def model(self, model: Model) -> str:
        return model.how

    @endpoint
    async def whole(self, model: Whole) -> str:
        return model.how

    @endpoint
    def items(self, how: Checked) -> Iterator[str]:
        yield how

    @endpoint
    async def async_items(self, how: Checked) -> AsyncIterator[str]:
        yield how

    @endpoint
    def json(self, value: Json[int]) -> int:
        return value


PATHS = ["/predict", "/blocking", "/before", "/model", "/whole", "/items", "/async-items"]


@pytest.fixture(scope="module")
def served(serve_thread: Any) -> Iterator[Any]:
    with serve_thread(Checking()) as served:
        yield served


def ask(served: Any, path: str, how: str, form: bool) -> Any:
    if not form:
        return served.post(path, f'{{"how":"{how}"}}'.encode())
    head = 'Content-Disposition: form-data; name="how"'
    return served.post(path, f"--b\r\n{head}\r\n\r\n{how}\r\n--b--\r\n".encode(), FORM)


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_value_error_is_a_500_of_the_authors(
    served: Any, path: str, form: bool, caplog: pytest.LogCaptureFixture
):
    for how, kind in [
        ("key", "KeyError"),
        ("zero", "ZeroDivisionError"),
        ("memory", "MemoryError"),
        ("hopeless", "Hopeless"),
        ("recursion", "RecursionError"),
        ("exit", "RuntimeError"),
        ("stop", "RuntimeError"),
        ("async stop", "RuntimeError"),
        ("close", "RuntimeError"),
        ("cancel", "RuntimeError"),
    ]:
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            reply = ask(served, path, how, form)
        assert (how, reply.status, reply.json["type"]) == (how, 500, kind)
        assert reply.json["request_id"] == reply.headers["x-request-id"]
        (record,) = caplog.records
        assert record.getMessage().startswith("Checking.")
        assert kind in record.getMessage()
        assert record.exc_info is not None
        good = ask(served, path, "well", form)
        assert good.status == 200
        assert b"well" in good.body


@pytest.mark.parametrize("path", PATHS)
def test_what_says_that_the_value_is_wrong_is_the_callers(
    served: Any, path: str, caplog: pytest.LogCaptureFixture
):
    for how, word in [
        ("value", "it is xxx"),
        ("assertion", "not so"),
        ("input", "not this one"),
        ("custom", "odd: <object"),
    ]:
        reply = ask(served, path, how, form=False)
        assert (reply.status, reply.json["type"]) == (422, "InvalidParams")
        (fault,) = reply.json["detail"]
        assert word in fault["msg"]
        assert fault["loc"] == (["body"] if path == "/whole" else ["body", "how"])
        assert len(reply.body) < 2000
    reply = ask(served, path, "teapot", form=False)
    assert (reply.status, reply.json["detail"]) == (418, "no coffee")
    assert not caplog.records


def test_json_within_json_is_a_field_like_others(served: Any):
    reply = served.post("/json", b'{"value":"{"}')
    assert (reply.status, reply.json["detail"][0]["loc"]) == (422, ["body", "value"])
    assert served.post("/json", b'{"value":"5"}').body == b"5"
