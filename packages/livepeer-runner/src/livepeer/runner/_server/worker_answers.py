"""Errors of the AI worker's route, as go-livepeer can read them.

Source: go-livepeer `ai/worker/worker.go`, `Worker.LiveVideoToVideo`, and
`core/ai_orchestrator.go`, `orchestrator.LiveVideoToVideo`. The orchestrator knows the statuses 200,
400, 401, 422 and 500. It takes any other for a success without a body, whose pointer it then
follows: its handler ends in a panic and leaves the four channels open. 400, 401 and 500 must carry
`{"detail": {"msg": ...}}`, and 422 a list in `detail`.

What the gateway makes of the text (`server/ai_process.go`, `processAIRequest`): "insufficient
capacity" sends it to the next orchestrator; a 400 ends the caller's request with its message;
anything else sends it to the next one as well, and takes this one out of its pool.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_TEXT = 1000
_READ_AS_THEY_ARE = frozenset({400, 401, 500})
_json: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


class APIError(BaseModel):
    """The inner part of an error."""

    msg: str = Field(description="What went wrong")


class HTTPError(BaseModel):
    """An error (go-livepeer `ai/worker/runner.gen.go`, `HTTPError`)."""

    detail: APIError


class WorkerAnswers:
    """ASGI middleware, outside of all others: turns the errors of one path into readable ones.

    Args:
        app: What answers.
        path: The path of the route; everything else passes untouched.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and translate the answer where it is an error."""
        if scope["type"] == "http" and scope["path"] == self._path:
            send = _Translated(send)
        await self._app(scope, receive, send)


def faults_in_words(faults: Iterable[Mapping[str, object]]) -> str:
    """One line about a list of Pydantic's errors: where each is, and what is wrong."""
    return "; ".join(f"{_where(fault.get('loc'))}: {fault.get('msg')}" for fault in faults)


class _Translated:
    """Sends an answer on, but an error only when it is whole, and in go-livepeer's words."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        status, body = _translate(start["status"], self._body)
        kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        headers = [*kept, (b"content-length", str(len(body)).encode())]
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _translate(status: int, body: bytes) -> tuple[int, bytes]:
    detail = _detail(body)
    if status == 422 and isinstance(detail, list):
        return status, body
    text = _text(detail)
    if status == 503:
        text = f"insufficient capacity: {text}"
    if status == 413:
        status = 400
    elif status not in _READ_AS_THEY_ARE:
        status = 500
    return status, HTTPError(detail=APIError(msg=text[:_MAX_TEXT])).model_dump_json().encode()


def _detail(body: bytes) -> JsonValue:
    try:
        whole = _json.validate_json(body)
    except ValidationError:
        return body.decode(errors="replace")
    return whole.get("detail", whole) if isinstance(whole, dict) else whole


def _text(detail: JsonValue) -> str:
    if isinstance(detail, list) and all(isinstance(fault, dict) for fault in detail):
        return faults_in_words(cast("list[dict[str, object]]", detail))
    return detail if isinstance(detail, str) else json.dumps(detail)


def _where(location: object) -> str:
    if isinstance(location, list | tuple):
        return ".".join(str(step) for step in cast("Sequence[object]", location))
    return str(location)
