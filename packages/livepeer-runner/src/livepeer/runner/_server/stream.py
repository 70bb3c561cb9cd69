"""BYOC's session source: `/stream/start`, `/stream/params` and `/stream/stop`.

Source: go-livepeer `byoc/stream_orchestrator.go`. The orchestrator names a stream by the header
`X-Stream-Id`, sends `params: null` where the caller gave none, and stops a stream late, twice and
with any body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from starlette.responses import JSONResponse

from livepeer.runner._network.sessions import Channels
from livepeer.runner._schema.faults import MalformedBody
from livepeer.runner._server.raw import add_raw_route
from livepeer.runner._server.urls import ChannelURL
from livepeer.runner.errors import InvalidParams

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from livepeer.runner._network.sessions import Sessions

STREAM_ID = "X-Stream-Id"

_NO_REASON = ("", "{}", "null")

_T = TypeVar("_T")

# A caller who wants no such channel may say so with an empty text.
_Optional = Annotated[ChannelURL | None, BeforeValidator(lambda url: None if url == "" else url)]


class StartRequest(BaseModel):
    """What the orchestrator sends to begin a stream; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    gateway_request_id: str = Field(min_length=1, description="The stream's id")
    control_url: ChannelURL = Field(
        description="Trickle channel of updates and keep-alives, to read"
    )
    events_url: ChannelURL = Field(description="Trickle channel of events, to publish")
    subscribe_url: _Optional = Field(None, description="Trickle channel of the media coming in")
    publish_url: _Optional = Field(None, description="Trickle channel of the media going out")
    data_url: _Optional = Field(None, description="Trickle channel of JSON lines, to publish")
    params: dict[str, JsonValue] | None = Field(None, description="The caller's parameters")


class Accepted(BaseModel):
    """The answer to what was done."""

    status: str


_params: TypeAdapter[dict[str, JsonValue] | None] = TypeAdapter(dict[str, JsonValue] | None)


class BYOCSessionSource:
    """The orchestrator's stream routes over the sessions of a pipeline."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def router(self) -> APIRouter:
        """The three routes, documented."""
        router = APIRouter(tags=["stream"])
        add_raw_route(
            router,
            "/stream/start",
            self._start,
            body=StartRequest,
            summary="Begin a stream",
            response_model=Accepted,
            responses={
                409: {"description": "A stream of this id is running"},
                500: {"description": "`on_stream_start()` failed"},
                503: {"description": "No more streams can run here, or the model is being loaded"},
            },
        )
        add_raw_route(
            router,
            "/stream/params",
            self._update,
            body=dict[str, JsonValue] | None,
            summary="Give a stream new parameters",
            response_model=Accepted,
            responses={
                404: {"description": "There is no such stream"},
                500: {"description": "`on_params_update()` failed"},
                503: {"description": "The model is being loaded"},
            },
        )
        add_raw_route(
            router,
            "/stream/stop",
            self._stop,
            body=JsonValue,
            summary="End a stream; any body, as often as you like",
            response_model=Accepted,
        )
        return router

    async def _start(self, request: Request) -> Response:
        start = _parse(TypeAdapter(StartRequest), await request.body())
        channels = Channels(
            events=start.events_url,
            control=start.control_url,
            subscribe=start.subscribe_url,
            publish=start.publish_url,
            data=start.data_url,
        )
        stream_id = request.headers.get(STREAM_ID) or start.gateway_request_id
        try:
            await self._sessions.start(stream_id, channels, start.params)
        except InvalidParams as error:
            raise error.under("body", "params") from None
        return _accepted("started")

    async def _update(self, request: Request) -> Response:
        params = _parse(_params, await request.body())
        try:
            await self._sessions.update(request.headers.get(STREAM_ID) or None, params or {})
        except InvalidParams as error:
            raise error.under("body") from None
        return _accepted("updated")

    async def _stop(self, request: Request) -> Response:
        # Read away, whatever it is: the reason for the log, and nothing else.
        text = (await request.body())[:200].decode(errors="replace").strip()
        reason = "stopped" if text in _NO_REASON else text
        await self._sessions.stop(request.headers.get(STREAM_ID) or None, reason)
        return _accepted("stopped")


def _accepted(status: str) -> Response:
    return JSONResponse({"status": status})


def _parse(adapter: TypeAdapter[_T], body: bytes) -> _T:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        if any(fault["type"] == "json_invalid" for fault in faults):
            raise MalformedBody(f"the body is not JSON: {faults[0]['msg']}") from None
        located = [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
        raise InvalidParams("the body does not fit", located) from None
