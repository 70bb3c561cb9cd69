"""What authors take from FastAPI: the responses that they give, and what it hands to a method."""

from __future__ import annotations

import base64
import codecs
import inspect
import json
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

from livepeer.runner._schema.annotations import bare
from livepeer.runner.adapters._annotations import is_a
from livepeer.runner.adapters._build import Shape
from livepeer.runner.adapters._files import data_url
from livepeer.runner.adapters._hooks import ask_any
from livepeer.runner.adapters._refusals import with_status
from livepeer.runner.adapters._require import require
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.files import OCTETS, File

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator

    from livepeer.runner.adapters._build import Adapted, Method

    Call = Callable[[Adapted, dict[str, object]], object]

_MAX_EVENT = 16 * 1024 * 1024
_SINGLE = (Shape.VALUE, Shape.COROUTINE)


class Web:
    """FastAPI's types, and what they are to a pipeline."""

    def __init__(self) -> None:
        fastapi = require("fastapi")
        responses = require("fastapi.responses")
        params = require("fastapi.params")
        self._response: type[object] = fastapi.Response
        self._streaming: type[object] = responses.StreamingResponse
        self._names = {name for name in vars(responses) if name.endswith("Response")}
        self._request: type[object] = fastapi.Request
        self._tasks: type[object] = fastapi.BackgroundTasks
        self._of_request: tuple[type[object], ...] = (params.Header, params.Cookie)
        self._depends: type[object] = params.Depends

    def answered(self, method: Method, maker: Callable[..., object] | None = None) -> Method:
        """A method whose author may give a `Response`, as one that gives what our server answers.

        A `StreamingResponse` is a stream of the data of its events; another response is its bytes.
        Who annotates no result is taken to give the responses that the code names; one that comes
        out of nowhere is JSON, text or a `data:` URL. The status of an error is kept.

        Args:
            method: As it is without responses.
            maker: The author's function that gives the result, where it is not the method's.
        """
        if method.shape not in _SINGLE:
            return method
        returns = bare(method.returns)
        named = self._named(maker or method.function) if returns is Any else set[str]()
        if is_a(returns, self._streaming) or "StreamingResponse" in named:
            events = partial(self._events, method.call)
            return replace(method, shape=Shape.ASYNC_ITEMS, returns=Any, call=events)
        if is_a(returns, self._response) or named:
            return replace(method, returns=File, answer=self._as_file)
        if returns is Any:
            return replace(method, call=_then(method, self._plain))
        return method

    def given(
        self, parameter: inspect.Parameter, annotation: object, where: str
    ) -> Callable[[], object] | None:
        """What makes a value that FastAPI would give; None where a caller gives it.

        Raises:
            PipelineDefinitionError: There is nothing here to make it of.
        """
        kind = bare(annotation)
        depends = isinstance(parameter.default, self._depends)
        if depends or is_a(kind, self._tasks):
            raise PipelineDefinitionError(
                f"{where}: parameter `{parameter.name}` is a"
                f" {'Depends()' if depends else 'BackgroundTasks'}, which is not carried over: call"
                " in the method what it would"
            )
        if isinstance(parameter.default, self._of_request):
            of_request: Any = parameter.default
            return partial(of_request.get_default)
        if is_a(kind, self._request):
            return partial(cast("Any", self._request), {"type": "http", "headers": []})
        return cast("type[object]", kind) if is_a(kind, self._response) else None

    def _named(self, function: Callable[..., object]) -> set[str]:
        """The names of the responses that a function's code makes."""
        inner: Any = inspect.unwrap(getattr(function, "__func__", function))
        if not inspect.isfunction(inner):
            return set()
        known = inner.__globals__
        return {
            name
            for name in self._names & set(inner.__code__.co_names)
            # The function may import it itself.
            if is_a(known.get(name, self._response), self._response)
        }

    def _as_file(self, value: object) -> File:
        if isinstance(value, self._response):
            content, kind = _content(value)
            return File(content, content_type=kind)
        if isinstance(value, bytes):
            return File(value)
        return File(to_json(value), content_type="application/json")

    def _plain(self, value: object) -> object:
        """A response as JSON; what is none, as it is."""
        if not isinstance(value, self._response):
            return value
        if isinstance(value, self._streaming):
            raise TypeError("a StreamingResponse: annotate the method with `-> StreamingResponse`")
        content, kind = _content(value)
        if kind == "application/json":
            return cast("object", json.loads(content))
        return content.decode() if kind.startswith("text/") else data_url(content, kind)

    async def _events(
        self, call: Call, pipeline: Adapted, given: dict[str, object]
    ) -> AsyncGenerator[object, None]:
        """The items of a `StreamingResponse`: what its events hold, or its pieces as they are."""
        response: Any = await ask_any(partial(call, pipeline, given))
        if not isinstance(response, self._streaming):
            yield self._plain(response)
            return
        kind = _kind(response)
        async with aclosing(cast("Any", response).body_iterator) as pieces:
            if kind.startswith("text/") or "json" in kind:
                texts = _decoded(pieces)
                async for item in _data(texts) if kind == "text/event-stream" else texts:
                    yield item
            else:
                async for piece in pieces:
                    yield piece if isinstance(piece, str) else base64.b64encode(piece).decode()


def _then(method: Method, make: Callable[[object], object]) -> Call:
    """A call, with something made of what it gives."""
    call = method.call

    def value(pipeline: Adapted, given: dict[str, object]) -> object:
        return make(call(pipeline, given))

    async def later(pipeline: Adapted, given: dict[str, object]) -> object:
        return make(await cast("Awaitable[object]", call(pipeline, given)))

    return later if method.shape is Shape.COROUTINE else value


def _content(response: Any) -> tuple[bytes, str]:
    """The bytes of a response and their type.

    Raises:
        Exception: Its status is one of an error; this one is answered with it.
    """
    path: str | None = getattr(response, "path", None)
    content = bytes(response.body) if path is None else Path(path).read_bytes()
    if response.status_code >= 400:
        raise with_status(response.status_code, content.decode(errors="replace"))
    return content, _kind(response)


def _kind(response: Any) -> str:
    said: str = response.headers.get("content-type") or response.media_type or OCTETS
    return said.partition(";")[0].strip().lower()


async def _decoded(pieces: AsyncIterable[bytes | str]) -> AsyncGenerator[str, None]:
    """Text that comes in pieces of any length, as text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    async for piece in pieces:
        text = piece if isinstance(piece, str) else decoder.decode(piece)
        if text:
            yield text


async def _data(texts: AsyncIterable[str]) -> AsyncGenerator[object, None]:
    """The data of events that come in pieces of any length."""
    pending = ""
    async for text in texts:
        *whole, pending = (pending + text).replace("\r\n", "\n").split("\n\n")
        if len(pending) > _MAX_EVENT:
            raise ValueError(f"an event of more than {_MAX_EVENT} characters")
        for event in whole:
            for item in _data_of(event):
                yield item
    for item in _data_of(pending):
        yield item


def _data_of(event: str) -> Iterator[object]:
    lines = [line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")]
    text = "\n".join(lines)
    if not lines or text == "[DONE]":
        return
    try:
        yield json.loads(text)
    except ValueError:
        yield text
