"""`POST /predict`: body to arguments, arguments to the author's code, result to the caller."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from livepeer.runner._schema.signature import read_contract
from livepeer.runner._server import problems, sse
from livepeer.runner._server.event_stream import EventStream
from livepeer.runner._server.gate import Gate
from livepeer.runner._server.pump import Pump
from livepeer.runner._server.raw import add_raw_route
from livepeer.runner._server.workers import Workers
from livepeer.runner.errors import InvalidResult
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from livepeer.runner.batch import Pipeline
    from livepeer.runner.settings import Settings


class BatchEngine:
    """Runs a `Pipeline` behind `POST /predict`.

    Raises:
        PipelineDefinitionError: `predict()` cannot be served as it is written.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._contract = read_contract(pipeline)
        self._where = f"{self._contract.owner}.predict()"
        self._gate = Gate(settings.concurrency, settings.queue)
        self._workers = Workers(settings.concurrency, name=self._contract.owner)
        self._set_up = False

    metrics = None

    async def setup(self) -> None:
        """Run the author's `setup()`."""
        await self._hook(self._pipeline.setup)
        self._set_up = True

    async def close(self) -> None:
        """Run the author's `teardown()` if `setup()` succeeded, and end the threads."""
        try:
            if self._set_up:
                await self._hook(self._pipeline.teardown)
        finally:
            await self._workers.close(self._settings.stop_timeout_s)

    @property
    def state(self) -> PipelineState:
        """A batch pipeline that is ready is OK, with or without work."""
        return PipelineState.OK if self._set_up else PipelineState.LOADING

    @property
    def message(self) -> None:
        """Nothing beside the state."""
        return None

    def router(self) -> APIRouter:
        """The route, documented by the models and served without FastAPI's parsing."""
        router = APIRouter()
        add_raw_route(
            router,
            "/predict",
            self._serve,
            body=self._contract.body,
            name="predict",
            summary=f"Call {self._where}",
            description=self._contract.summary,
            response_model=None if self._contract.result is Any else self._contract.result,
            response_class=_Events if self._contract.streams else JSONResponse,
            response_description="One event per item" if self._contract.streams else "The result",
            responses={
                400: {"description": "The body is not JSON"},
                413: {"description": "The body is too large"},
                500: {"description": "The pipeline failed"},
                503: {"description": "Loading, or busy: try again after `Retry-After` seconds"},
            },
        )
        return router

    async def _serve(self, request: Request) -> Response:
        # Whatever the content type says: the orchestrator passes on an empty one.
        arguments = self._contract.parse(await request.body())
        if self._contract.streams:
            return EventStream(
                self._where,
                self._gate,
                lambda: self._stream(arguments),
                self._settings.first_item_wait_s,
            )
        async with self._gate.slot():
            body = await self._answer(arguments)
        return Response(body, media_type="application/json")

    async def _answer(self, arguments: dict[str, object]) -> bytes:
        predict, dump = self._pipeline.predict, self._contract.dump
        try:
            if self._contract.blocking:
                return await self._workers.run(lambda: dump(predict(**arguments)))
            return dump(await predict(**arguments))
        except Exception as exc:
            raise problems.author_failure(self._where, exc) from exc

    async def _stream(self, arguments: dict[str, object]) -> AsyncGenerator[bytes, None]:
        predict = self._pipeline.predict
        if self._contract.blocking:
            pump = Pump(self._workers, lambda: _iterable(predict(**arguments)), self._frame)
            chunks = pump.chunks()
        else:
            chunks = self._frames(predict(**arguments))
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _frames(
        self, items: AsyncIterator[object] | Awaitable[AsyncIterator[object]]
    ) -> AsyncGenerator[bytes, None]:
        source = await items if isinstance(items, Awaitable) else items
        try:
            async for item in source:
                yield self._frame(item)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    def _frame(self, item: object) -> bytes:
        return sse.event(self._contract.dump(item))

    async def _hook(self, hook: Callable[[], Awaitable[None] | None]) -> None:
        if inspect.iscoroutinefunction(hook):
            await hook()
        else:
            await self._workers.run(hook)


class _Events(JSONResponse):
    """Documents only: events whose data are the JSON of the declared item."""

    media_type = "text/event-stream"


def _iterable(result: object) -> Iterable[object]:
    if not isinstance(result, Iterable):
        raise InvalidResult(f"predict() gave a {type(result).__name__} where it declares items")
    return cast("Iterable[object]", result)
