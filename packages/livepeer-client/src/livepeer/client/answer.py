"""The answer to a batch job while its connection is open: one document, or a stream of items."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from ._items import ItemReader
from ._wire import BALANCE, METADATA, load_json, redact
from .errors import InvalidAnswer, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from ._http import HTTP
    from ._wire import JSONValue

EVENTS_GRACE_S = 10.0
"""How much longer than the job's timeout a stream of events may last: the orchestrator cuts it at
the timeout, counted from the runner's headers."""


class Answer:
    """The answer to a batch job. Its connection is open for as long as the call's context.

    Attributes:
        orchestrator_url: Who ran the job.
        balance: The remaining credit in wei, where the node tells it.
        metadata: What the runner put into `X-Metadata`.
    """

    def __init__(
        self,
        http: HTTP,
        response: aiohttp.ClientResponse,
        *,
        orchestrator_url: str,
        timeout_s: float,
        through_gateway: bool,
    ) -> None:
        self.orchestrator_url = orchestrator_url
        self.balance = response.headers.get(BALANCE)
        self.metadata = response.headers.get(METADATA, "")
        self._http = http
        self._response = response
        self._url = redact(str(response.url))
        self._timeout_s = timeout_s
        self._through_gateway = through_gateway

    @property
    def is_events(self) -> bool:
        """Whether the runner answers with a stream of events."""
        return "text/event-stream" in self._response.headers.get("Content-Type", "")

    async def json(self) -> JSONValue:
        """The answer as one JSON document, whatever content type the relay made of it.

        Raises:
            StreamError: The answer is a stream of events.
            InvalidAnswer: It is no JSON, or too large.
            JobTimeout: It did not arrive in the job's timeout, counted from its headers.
        """
        if self.is_events:
            raise StreamError(
                "the capability answers with a stream of events; read it with `call_events`",
                url=self._url,
            )
        body = await self._http.read(self._response, timeout_s=self._timeout_s)
        if not body:
            return None
        try:
            return load_json(body)
        except ValueError as error:
            raise InvalidAnswer("the answer is not JSON", url=self._url) from error

    async def items(self) -> AsyncGenerator[JSONValue]:
        """The items of a stream of events, each as it comes; a plain answer is one item.

        Raises:
            RunnerError: The runner failed in the middle.
            PaymentRequired: The credit was used up.
            StreamCut: The stream ended before its end was announced.
            JobTimeout: It lasted longer than the job's timeout and a grace.
            InvalidAnswer: A plain answer is no JSON, or something is too large.
        """
        if not self.is_events:
            yield await self.json()
            return
        reader = ItemReader(
            url=self._url,
            through_gateway=self._through_gateway,
            max_event_bytes=self._http.max_answer_bytes,
        )
        chunks = self._http.chunks(self._response, timeout_s=self._timeout_s + EVENTS_GRACE_S)
        async with aclosing(chunks):
            async for chunk in chunks:
                for item in reader.feed(chunk):
                    yield item
                if reader.done:
                    # At once: the orchestrator goes on with newlines, the gateway with the same
                    # job on its next orchestrator.
                    self._response.close()
                    return
        reader.end()
