"""A LitServe API as a pipeline."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, RootModel

from livepeer.runner.adapters._annotations import hints, is_a
from livepeer.runner.adapters._build import Adapted, Method, Shape, make_class
from livepeer.runner.adapters._files import mapped
from livepeer.runner.adapters._require import require
from livepeer.runner.adapters._web import Web
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.files import File

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from livepeer.runner.batch import Pipeline

_log = logging.getLogger(__name__)


class AnyBody(RootModel[Any]):
    """Any JSON, or a form; `decode_request()` says what it makes of it."""


def adapt(api: object, *, device: str | None = None) -> type[Pipeline]:
    """Make a pipeline of a LitServe API.

    Args:
        api: A `LitAPI`: the class where its constructor needs nothing, or an instance.
        device: What `setup()` is given; by default what LitServe would choose first: `cuda:0` where
            there is an NVIDIA GPU and torch is imported, else `cpu`.

    Returns:
        A class for `serve()`. The body of a request is what `decode_request()` declares, or any
        JSON; with `stream=True` the items of `encode_response()` are answered one by one.

    Raises:
        FrameworkMissing: `litserve` is not installed.
        PipelineDefinitionError: It is no `LitAPI`, needs arguments, or has a `spec`.
    """
    litserve = require("litserve")
    unit: Any = _made(api) if isinstance(api, type) else api
    if not isinstance(unit, litserve.LitAPI):
        raise PipelineDefinitionError(
            f"{api!r} is no LitAPI: hand over the class or an instance, not its server"
        )
    cls = cast("type[object]", type(unit))
    name = cls.__name__
    if unit.spec is not None:
        raise PipelineDefinitionError(
            f"{name} has spec={type(unit.spec).__name__}, whose routes are LitServe's own: run it"
            " there, or hand over the API without a spec"
        )
    if hasattr(unit, "authorize"):
        _log.warning("%s.authorize() is not called: a runner has one token for its callers", name)
    unit.pre_setup()
    base = _Async if unit.enable_async else _Sync
    checked = getattr(cls, "health", None) is not litserve.LitAPI.health
    method = _method(unit, name)
    return make_class(base, name, cls, [method], checked=checked, given=unit, device=device)


class _Sync(Adapted):
    given: Any = None
    device: str | None = None

    def setup(self) -> None:
        chosen = self.device if self.device is not None else _first_device()
        self.unit = self.given
        self.unit.setup(chosen)
        self.unit.device = chosen

    def healthcheck(self) -> bool:
        return bool(self.unit.health())


class _Async(_Sync):
    async def healthcheck(self) -> bool:  # type: ignore[override]  # a hook may be either
        healthy = self.unit.health()
        return bool(await healthy if inspect.isawaitable(healthy) else healthy)


def _made(cls: type[object]) -> object:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise PipelineDefinitionError(
            f"{cls.__name__}() is called without arguments, and it is {error}: hand over an"
            " instance"
        ) from None
    return cls()


def _first_device() -> str:
    connector = require("litserve.connector")._Connector()
    kind: str = connector.accelerator
    return f"{kind}:0" if kind != "cpu" else kind


def _method(unit: Any, owner: str) -> Method:
    body, opened = _body_of(unit.decode_request, owner)
    shape, run = _RUNS[bool(unit.enable_async), bool(unit.stream)]

    def call(pipeline: Adapted, given: dict[str, object]) -> object:
        return run(pipeline.unit, opened(given["request"]))

    return Web().answered(
        Method(
            name="predict",
            function=unit.predict,
            shape=shape,
            parameters=[
                inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=body)
            ],
            returns=hints(unit.encode_response, owner).get("return", Any),
            call=call,
        ),
        maker=unit.encode_response,
    )


def _body_of(decode: Callable[..., object], owner: str) -> tuple[object, Callable[[Any], object]]:
    """The annotation of the body, and what makes of it what the author gets."""
    parameters = inspect.signature(decode).parameters
    annotation = hints(decode, owner).get("request", Any) if "request" in parameters else Any
    if is_a(annotation, BaseModel):
        return annotation, _itself
    if is_a(annotation, require("starlette.datastructures").UploadFile):
        return File, _upload
    if annotation is Any or is_a(annotation, require("litserve").Request):
        return AnyBody, lambda body: mapped(body.root, File, _upload)
    model: Any = RootModel
    return model[annotation], lambda body: body.root


def _itself(body: object) -> object:
    return body


def _upload(file: File) -> object:
    """A file of a request as FastAPI hands it out."""
    starlette = require("starlette.datastructures")
    headers = starlette.Headers({"content-type": file.content_type})
    return starlette.UploadFile(file.open(), size=file.size, filename=file.name, headers=headers)


def _ask(function: Callable[..., Any], argument: object, context: object) -> Any:
    """Call a method of the author's, with the context where it takes one."""
    if "context" in inspect.signature(function).parameters:
        return function(argument, context=context)
    return function(argument)


def _value(unit: Any, request: object) -> object:
    context: dict[str, object] = {}
    decoded = _ask(unit.decode_request, request, context)
    if unit.max_batch_size == 1:
        output = _ask(unit.predict, decoded, context)
    else:
        together = _ask(unit.predict, _ask(unit.batch, [decoded], [context]), [context])
        output = next(iter(_ask(unit.unbatch, together, [context])))
    return _ask(unit.encode_response, output, context)


def _items(unit: Any, request: object) -> Generator[object, None, None]:
    context: dict[str, object] = {}
    decoded = _ask(unit.decode_request, request, context)
    batched = unit.max_batch_size > 1
    given: object = [context] if batched else context
    output = _ask(unit.predict, _ask(unit.batch, [decoded], given) if batched else decoded, given)
    try:
        parts = _ask(unit.unbatch, output, given) if batched else output
        for item in _ask(unit.encode_response, parts, given):
            yield item[0] if batched else item
    finally:
        close = getattr(output, "close", None)
        if close is not None:
            close()


async def _coroutine(unit: Any, request: object) -> object:
    context: dict[str, object] = {}
    decoded = await _ask_later(unit.decode_request, request, context)
    output = await _ask_later(unit.predict, decoded, context)
    return await _ask_later(unit.encode_response, output, context)


async def _async_items(unit: Any, request: object) -> AsyncGenerator[object, None]:
    context: dict[str, object] = {}
    decoded = await _ask_later(unit.decode_request, request, context)
    async with aclosing(await _ask_later(unit.predict, decoded, context)) as output:
        async for item in await _ask_later(unit.encode_response, output, context):
            yield item


async def _ask_later(function: Callable[..., Any], argument: object, context: object) -> Any:
    """As `_ask`, with what is not async on a thread, as LitServe has it."""
    if inspect.iscoroutinefunction(function):
        return await _ask(function, argument, context)
    if inspect.isasyncgenfunction(function):
        return _ask(function, argument, context)
    return await asyncio.to_thread(_ask, function, argument, context)


_RUNS: dict[tuple[bool, bool], tuple[Shape, Callable[[Any, object], object]]] = {
    (False, False): (Shape.VALUE, _value),
    (False, True): (Shape.ITEMS, _items),
    (True, False): (Shape.COROUTINE, _coroutine),
    (True, True): (Shape.ASYNC_ITEMS, _async_items),
}
"""By `enable_async` and `stream`."""
