"""Batch calls: what is sent, and how their answers are read."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, overload

from ._body.payload import body_of
from ._body.typed import decoder_of
from ._wire.jobs import Job, check_capability, check_timeout, new_job_id
from .capability import Capability
from .errors import InvalidAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from ._answers.answer import Answer
    from ._body.payload import Files
    from ._body.progress import OnProgress
    from ._nodes.transport import JobTransport
    from ._wire.encoding import JSONValue
    from .options import CallOptions

In = TypeVar("In")
Out = TypeVar("Out")

ROUTE = "predict"
"""The runner's path where a call names none."""

SCHEMA_ROUTE = "schema"


class Caller(ABC):
    """Calls capabilities by a transport; `Client` is one."""

    @abstractmethod
    def _transport(self) -> JobTransport: ...

    @overload
    async def call(
        self,
        capability: Capability[In, Out],
        payload: In,
        **options: Unpack[CallOptions],
    ) -> Out: ...
    @overload
    async def call(
        self,
        capability: str,
        payload: object = None,
        *,
        returns: type[Out],
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Out: ...
    @overload
    async def call(
        self,
        capability: str,
        payload: object = None,
        *,
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> JSONValue: ...
    async def call(
        self,
        capability: str | Capability[In, Out],
        payload: object = None,
        *,
        returns: type[Out] | None = None,
        route: str | None = None,
        timeout_s: int = 60,
        files: Files | None = None,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
        at_most_once: bool = False,
    ) -> Out | JSONValue:
        """Run a batch job and return its answer.

        Straight at orchestrators a job is run at least once: where a connection was cut, or no
        answer came in time, the next orchestrator gets it, though the one before may still be at
        it; and each of them may be paid. `at_most_once` forbids that.

        Args:
            capability: The registered name; or a `Capability`, which says the route and the types
                as well.
            payload: What the runner gets: a JSON value, a Pydantic model, or bytes, which are sent
                as they are. None is an empty object. With `files`, the other fields of the form.
            returns: What the answer is: `bytes` for as it came, a Pydantic model, or any type
                that Pydantic reads from JSON (extra `typed`); by default a JSON value.
            route: The runner's path; `predict` by default.
            timeout_s: Whole seconds that the runner has. An orchestrator that is silent costs them
                and 5 s more, then the next has as many; none is tried any more when twice that
                has passed.
            files: Sends a form with these files, by the names of their fields: a `pathlib.Path`,
                bytes, `(name, bytes)`, or a list of those.
            content_type: Of a payload that is bytes; `application/octet-stream` by default.
            on_progress: Is told of the upload, the wait and the answer.
            at_most_once: Never send the job a second time once it may have begun: the error is
                raised instead. Of refusals with 503 only an orchestrator's own, for want of the
                capability, and a runner's that says when to come again let the next one have it.
                Not through a gateway, which does as it likes.

        Raises:
            InvalidJob: The payload or an argument cannot be sent; the text names it.
            RunnerError: The runner refused the payload or failed.
            CapabilityUnavailable: Nobody offers the capability at the moment.
            NoOrchestrator: Several orchestrators failed, for different reasons, or there is none;
                where a single one failed, its own error is raised.
            PaymentRequiredError: It has a price.
            JobTimeout: No answer in time.
            InvalidAnswer: The answer is not JSON, not of the type, or too large.
            StreamError: The capability answers with a stream of events; see `call_events`.
            MissingExtra: A type needs Pydantic, which is not installed.
            ClientError: Whatever else can go wrong on the way.
        """
        if isinstance(capability, Capability):
            returns = capability.output
        if returns is not None:
            # Before anything is sent and paid.
            decoder_of(returns)
        async with await self._sending(
            capability, payload, route, timeout_s, files, content_type, on_progress, at_most_once
        ) as answer:
            answer.tell(on_progress)
            return await (answer.json() if returns is None else answer.json(returns))

    @overload
    def call_events(
        self,
        capability: Capability[In, Out],
        payload: In,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Out]: ...
    @overload
    def call_events(
        self,
        capability: str,
        payload: object = None,
        *,
        returns: type[Out],
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Out]: ...
    @overload
    def call_events(
        self,
        capability: str,
        payload: object = None,
        *,
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[JSONValue]: ...
    async def call_events(
        self,
        capability: str | Capability[In, Out],
        payload: object = None,
        *,
        returns: type[Out] | None = None,
        route: str | None = None,
        timeout_s: int = 60,
        files: Files | None = None,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
        at_most_once: bool = False,
    ) -> AsyncGenerator[Out | JSONValue]:
        """Run a batch job that answers with a stream of events, and give each item as it comes.

        A plain answer is a stream of one item. The connection is closed at the stream's end, and
        also when the iteration is given up: use `contextlib.aclosing` to have that happen at once.
        The arguments are those of `call`; `returns` is the type of each item.

        Raises:
            RunnerError: The runner failed, at its start or in the middle.
            StreamCut: The stream ended before its end was announced.
            ClientError: As for `call`.
        """
        if isinstance(capability, Capability):
            returns = capability.output
        if returns is not None:
            decoder_of(returns)
        async with self.open_call(
            capability,
            payload,
            route=route,
            timeout_s=timeout_s,
            files=files,
            content_type=content_type,
            on_progress=on_progress,
            at_most_once=at_most_once,
        ) as answer:
            items = answer.items() if returns is None else answer.items(returns)
            async with aclosing(items):
                async for item in items:
                    yield item

    @asynccontextmanager
    async def open_call(
        self,
        capability: str | Capability[In, Out],
        payload: object = None,
        *,
        route: str | None = None,
        timeout_s: int = 60,
        files: Files | None = None,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
        at_most_once: bool = False,
    ) -> AsyncGenerator[Answer]:
        """Run a batch job and give its answer when its headers are here, whatever its kind.

        For an answer that is to be saved or read in pieces, or whose balance or content type
        matters. The arguments are those of `call`.

        Raises:
            ClientError: As for `call`.
        """
        async with await self._sending(
            capability, payload, route, timeout_s, files, content_type, on_progress, at_most_once
        ) as answer:
            answer.tell(on_progress)
            yield answer

    async def _sending(
        self,
        capability: str | Capability[In, Out],
        payload: object,
        route: str | None,
        timeout_s: int,
        files: Files | None,
        content_type: str | None,
        on_progress: OnProgress | None,
        at_most_once: bool,
    ) -> AbstractAsyncContextManager[Answer]:
        type_: type[In] | None = None
        if isinstance(capability, Capability):
            type_, route = capability.input, capability.route
            capability = capability.name
        check_capability(capability)
        check_timeout(timeout_s)
        route = ROUTE if route is None else route
        job = Job(capability=capability, timeout_s=timeout_s, id=new_job_id())
        if files:
            # In a thread: a disk may take its time to say how long a file is.
            sent = await asyncio.to_thread(
                body_of, payload, type_, files, content_type, on_progress
            )
        else:
            sent = body_of(payload, type_, None, content_type, on_progress)
        return self._transport().call(job, sent, route=route, at_most_once=at_most_once)

    async def schema(self, capability: str, *, timeout_s: int = 10) -> dict[str, JSONValue]:
        """What a capability takes and gives, as its runner describes it.

        Runners of livepeer-runner do; others may not know the question.

        Args:
            capability: The registered name.
            timeout_s: Whole seconds that the runner has.

        Returns:
            `endpoints`, by path, each with its `request` and `response` as JSON Schema, and the
            `$defs` that these refer to; what a live runner says has `params` instead.

        Raises:
            RunnerError: The runner does not describe itself.
            InvalidAnswer: It answers something else.
            ClientError: As for `call`.
        """
        answer = await self.call(capability, route=SCHEMA_ROUTE, timeout_s=timeout_s)
        if not isinstance(answer, dict) or not answer.keys() & {"endpoints", "params"}:
            raise InvalidAnswer(
                f"capability {capability!r} answers, but not with a description of itself"
            )
        return answer
