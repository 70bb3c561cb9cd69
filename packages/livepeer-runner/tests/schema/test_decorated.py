"""Methods behind decorators: what a decorator makes of them is what callers get."""

from __future__ import annotations

import functools
import inspect
from collections.abc import (  # noqa: TC003 - read at run time
    AsyncIterator,
    Callable,
    Iterator,
)
from typing import Any

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner.endpoints import endpoint
from livepeer.runner.errors import InputError, PipelineDefinitionError
from livepeer.runner.files import File
from livepeer.runner.testing import serve


def passing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hands on whatever it gets."""

    @functools.wraps(function)
    def wrapper(*args: Any, **more: Any) -> Any:
        return function(*args, **more)

    return wrapper


def listed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a list of a generator, and says so."""

    @functools.wraps(function)
    def wrapper(*args: Any, **more: Any) -> Any:
        return list(function(*args, **more))

    signature = inspect.signature(function).replace(return_annotation=list[int])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper


def streamed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an async generator of a sync one."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **more: Any) -> Any:
        for item in function(*args, **more):
            yield item

    return wrapper


class Decorated(Pipeline):
    well = False

    @passing
    async def setup(self) -> None:
        self.well = True

    @passing
    async def healthcheck(self) -> bool:
        return self.well

    @passing
    async def predict(self, a: int) -> int:
        if a < 0:
            raise InputError("below 0")
        return a

    @endpoint
    @passing
    async def untyped(self, a):  # type: ignore[no-untyped-def]
        return a

    @endpoint
    @passing
    def items(self, a: int) -> Iterator[int]:
        yield from range(a)

    @endpoint
    @passing
    def untyped_items(self, a):  # type: ignore[no-untyped-def]
        yield from range(a)

    @endpoint
    @passing
    async def async_items(self, a: int) -> AsyncIterator[int]:
        for one in range(a):
            yield one

    @endpoint
    @passing
    async def untyped_async_items(self, a):  # type: ignore[no-untyped-def]
        for one in range(a):
            yield one

    @endpoint
    @streamed
    def other_items(self, a: int) -> Iterator[int]:
        yield from range(a)

    @endpoint
    @listed
    def gathered(self, a: int) -> Iterator[int]:
        yield from range(a)

    @endpoint
    def perhaps(self, a: int) -> bytes | None:
        return None if a else b"\xff\x00"

    @endpoint
    def perhaps_a_file(self, a: int) -> File | None:
        return None if a else File(b"\xff", content_type="image/png")


EVENTS = "data: 0\n\ndata: 1\n\ndata: [DONE]\n\n"


async def test_what_comes_back_decides(recwarn: pytest.WarningsRecorder):
    async with serve(Decorated()) as server, aiohttp.ClientSession(server.url) as session:

        async def ask(path: str, a: int) -> tuple[int, str, bytes]:
            async with session.post(path, json={"a": a}) as answer:
                return answer.status, answer.content_type, await answer.read()

        assert await ask("/predict", 3) == (200, "application/json", b"3")
        assert (await ask("/predict", -1))[0] == 400
        assert (await ask("/untyped", 3))[2] == b"3"
        for path in ("/items", "/untyped-items", "/async-items", "/untyped-async-items"):
            assert await ask(path, 2) == (200, "text/event-stream", EVENTS.encode())
        assert (await ask("/other-items", 2))[2] == EVENTS.encode()
        assert await ask("/gathered", 2) == (200, "application/json", b"[0,1]")
        assert await ask("/perhaps", 0) == (200, "application/octet-stream", b"\xff\x00")
        assert await ask("/perhaps", 1) == (200, "application/octet-stream", b"")
        assert await ask("/perhaps-a-file", 0) == (200, "image/png", b"\xff")
        assert (await ask("/perhaps-a-file", 1))[2] == b""
        async with session.get("/health") as health:
            assert (await health.json())["status"] == "OK"
    assert not recwarn.list


def test_a_decorator_that_makes_a_generator_says_what_of():
    def repeated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            yield function(*args)

        return wrapper

    class Sample(Pipeline):
        @repeated
        def predict(self) -> int:
            return 1

    with pytest.raises(
        PipelineDefinitionError, match=r"generator by its decorator.*Iterator\["
    ) as e:
        contracts_of(Sample())
    assert f"{__file__}:" in str(e.value)
