"""One endpoint over HTTP: a body in, one body or a stream of events out."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livepeer.runner._context import Call
from livepeer.runner._server.answer import Answer
from livepeer.runner._server.ending import Ending
from livepeer.runner._server.event_stream import relay
from livepeer.runner._server.headers import request_id
from livepeer.runner._server.problems import Problem, author_failure, problem_of
from livepeer.runner.errors import (
    DeadlinePassed,
    PipelineNotReady,
    RunnerError,
    UnsupportedEncoding,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from livepeer.runner._server.answered import Answered
    from livepeer.runner._server.caller import Caller
    from livepeer.runner._server.gate import Gate, Slot
    from livepeer.runner._server.intake import Intake

_log = logging.getLogger(__name__)

_LAST_WORD_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things take at most, in seconds; as the settings of the same names.

    Attributes:
        predict_timeout_s: One call, its wait in the queue included; 0 for no limit.
        first_item_wait_s: The headers of a stream.
        sse_keep_alive_s: Silence in a stream.
    """

    predict_timeout_s: float
    first_item_wait_s: float
    sse_keep_alive_s: float


class Endpoint:
    """ASGI application of one endpoint, without a framework's work for each request.

    Args:
        caller: Runs the author's code.
        number: Which of its endpoints.
        where: The method, for the log.
        streams: Whether the answer is a stream of events.
        gate: Admits calls.
        intake: Reads their bodies.
        limits: How long things take at most.
    """

    def __init__(
        self,
        caller: Caller,
        number: int,
        where: str,
        streams: bool,
        gate: Gate,
        intake: Intake,
        limits: Limits,
    ) -> None:
        self._caller = caller
        self._number = number
        self._where = where
        self._streams = streams
        self._gate = gate
        self._intake = intake
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = Answer(scope, receive, send)
        try:
            # Before the body is read: a refusal should cost next to nothing.
            self._gate.check()
            content_type = _content_type(scope)
            body = await self._intake.read(receive)
        except RunnerError as exc:
            await answer.fail(problem_of(exc))
            return
        if body is None:
            return
        call = Call(request_id(scope))
        try:
            await self._answer(answer, body, content_type, call, receive)
        except asyncio.CancelledError:
            call.cancel()
            await _last_word(answer)
            raise

    async def _answer(
        self, answer: Answer, body: bytes, content_type: str, call: Call, receive: Receive
    ) -> None:
        slot: Slot | None = None

        async def late(error: DeadlinePassed) -> None:
            held = (
                "it waited for a slot" if slot is None else "its slot is taken until it has ended"
            )
            _log.warning("%s: %s; %s", self._where, error, held)
            await answer.fail(problem_of(error))

        result: Answered | None = None
        problem: Problem | None = None
        async with Ending(call, receive, self._limits.predict_timeout_s, late):
            try:
                slot = await self._gate.enter()
                # The slot is free before the last word, after which its caller may come again.
                try:
                    result = await self._run(answer, body, content_type, call)
                finally:
                    slot.leave()
            except Exception as exc:  # noqa: BLE001 - the author's code
                problem = author_failure(self._where, exc)
        if problem is not None:
            await answer.fail(problem)
        elif self._streams:
            await answer.finish()
        elif result is not None:
            await answer.give(result.body, result.media_type)

    async def _run(
        self, answer: Answer, body: bytes, content_type: str, call: Call
    ) -> Answered | None:
        if not self._streams:
            return await self._caller.call(self._number, body, content_type, call)
        source = self._caller.stream(self._number, body, content_type, call)
        limits = self._limits
        await relay(answer, source, limits.first_item_wait_s, limits.sse_keep_alive_s)
        return None


def _content_type(scope: Scope) -> str:
    """What a body is.

    Raises:
        UnsupportedEncoding: It is compressed.
    """
    found = ""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for key, value in headers:
        if key == b"content-type":
            found = found or value.decode("latin-1")
        elif key == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedEncoding(
                f"the body has the Content-Encoding {value.decode('latin-1')[:100]!r}, and none is"
                " read here; send it as it is"
            )
    return found


async def _last_word(answer: Answer) -> None:
    """Tell a caller that the server ends before his call; a slow reader is not waited for."""
    stopping = PipelineNotReady("the runner is stopping")
    try:
        async with asyncio.timeout(_LAST_WORD_S):
            await answer.fail(problem_of(stopping))
    except TimeoutError:
        pass
