"""The answer to a batch job while its connection is open: one document, bytes, or a stream."""

from __future__ import annotations

from contextlib import aclosing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, overload

from livepeer.client._body.progress import CallProgress
from livepeer.client._body.typed import decoder_of, not_of_type
from livepeer.client._wire.encoding import BALANCE, METADATA, load_json, redact
from livepeer.client.errors import InvalidAnswer, StreamError

from .items import ItemReader, item_value
from .new_file import NewFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from livepeer.client._body.progress import OnProgress
    from livepeer.client._body.typed import Decoder
    from livepeer.client._net.http import HTTP
    from livepeer.client._wire.encoding import JSONValue

T = TypeVar("T")

EVENTS_GRACE_S: Final = 10.0
"""How much longer than the job's timeout a stream of events may last: the orchestrator cuts it at
the timeout, counted from the runner's headers."""

MAX_SAVED_BYTES: Final = 16 * 1024**3


class Answer:
    """The answer to a batch job. Its connection is open for as long as the call's context.

    Read it once, by one of its methods; a second time is a RuntimeError.

    Attributes:
        orchestrator_url: Who ran the job.
        paid: What left for this call, in wei, at those that failed before as well. Nothing behind
            a gateway, which pays by itself.
        content_type: What the answer is, without parameters, in lower case. A gateway guesses it
            from the first bytes, so that JSON is `text/plain` there; an orchestrator passes on
            what the runner said.
    """

    def __init__(
        self,
        http: HTTP,
        response: aiohttp.ClientResponse,
        *,
        orchestrator_url: str,
        timeout_s: float,
        through_gateway: bool,
        paid: int = 0,
    ) -> None:
        self.orchestrator_url = orchestrator_url
        self.paid = paid
        self.content_type = _media_type(response.headers.get("Content-Type", ""))
        self._http = http
        self._response = response
        self._timeout_s = timeout_s
        self._through_gateway = through_gateway
        self._on_progress: OnProgress | None = None
        self._read = False

    def tell(self, on_progress: OnProgress | None) -> None:
        """Have `on_progress` told while the answer is read."""
        self._on_progress = on_progress

    @property
    def balance(self) -> str | None:
        """The remaining credit in wei, where the node tells it."""
        return self._response.headers.get(BALANCE)

    @property
    def metadata(self) -> str:
        """What the runner put into `X-Metadata`."""
        return self._response.headers.get(METADATA, "")

    @property
    def is_events(self) -> bool:
        """Whether the runner answers with a stream of events."""
        return "text/event-stream" in self.content_type

    async def read(self) -> bytes:
        """The answer as it came.

        Raises:
            StreamError: The answer is a stream of events.
            InvalidAnswer: It is larger than the client's `max_answer_bytes`.
            JobTimeout: It did not arrive in the job's timeout, counted from its headers.
        """
        if self._on_progress is None:
            self._take_whole()
            return await self._http.read(self._response, timeout_s=self._timeout_s)
        body = bytearray()
        limit = self._http.max_answer_bytes
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit, self._url)
        return bytes(body)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The answer as it comes, in pieces of any size; the caller minds how much it is.

        Raises:
            StreamError: The answer is a stream of events.
            JobTimeout: Not all of it arrived in the job's timeout, counted from its headers.
        """
        self._take_whole()
        tell = self._on_progress
        got, total = 0, self._response.content_length
        async with aclosing(self._http.chunks(self._response, timeout_s=self._timeout_s)) as chunks:
            async for chunk in chunks:
                got += len(chunk)
                if tell is not None:
                    tell(CallProgress("receiving", got, total))
                yield chunk

    async def save(self, path: Path | str, *, max_bytes: int = MAX_SAVED_BYTES) -> int:
        """Write the answer to a file, which is there only when all of it came.

        Args:
            path: The file; one that is there already is replaced.
            max_bytes: The largest answer that is taken.

        Returns:
            How many bytes it is.

        Raises:
            InvalidAnswer: It is larger.
            StreamError: The answer is a stream of events.
            JobTimeout: Not all of it arrived in time.
            OSError: The file cannot be written.
        """
        size = 0
        async with NewFile(Path(path)) as file, aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes, self._url)
                await file.write(chunk)
        return size

    @overload
    async def json(self) -> JSONValue: ...
    @overload
    async def json(self, returns: type[T]) -> T: ...
    async def json(self, returns: type[T] | None = None) -> T | JSONValue:
        """The answer as one JSON document, whatever content type the relay made of it.

        Args:
            returns: The type that it is, as Pydantic reads it; by default what JSON says.

        Raises:
            StreamError: The answer is a stream of events.
            InvalidAnswer: It is no JSON, not of the type, or too large.
            JobTimeout: It did not arrive in the job's timeout, counted from its headers.
        """
        body = await self.read()
        if returns is not None:
            return self._decoded(decoder_of(returns), returns, body)
        if not body:
            return None
        try:
            return load_json(body)
        except ValueError as error:
            kind = f"{self.content_type or 'no type'}, {len(body)} bytes"
            raise InvalidAnswer(
                f"the answer is not JSON ({kind}); `returns=bytes` gives it as it is",
                url=self._url,
            ) from error

    @overload
    def items(self) -> AsyncGenerator[JSONValue]: ...
    @overload
    def items(self, returns: type[T]) -> AsyncGenerator[T]: ...
    async def items(self, returns: type[T] | None = None) -> AsyncGenerator[T | JSONValue]:
        """The items of a stream of events, each as it comes; a plain answer is one item.

        Args:
            returns: The type that each is, as Pydantic reads it; by default what JSON says.

        Raises:
            RunnerError: The runner failed in the middle.
            PaymentRequiredError: The credit was used up.
            StreamCut: The stream ended before its end was announced.
            JobTimeout: It lasted longer than the job's timeout and a grace.
            InvalidAnswer: Something is not of the type, or too large, or a plain answer is no
                JSON.
        """
        if not self.is_events:
            yield await (self.json() if returns is None else self.json(returns))
            return
        decode = None if returns is None else decoder_of(returns)
        async with aclosing(self._event_texts()) as texts:
            async for text in texts:
                yield item_value(text) if decode is None else self._decoded(decode, returns, text)

    async def _event_texts(self) -> AsyncGenerator[str]:
        self._take()
        reader = ItemReader(
            url=self._url,
            through_gateway=self._through_gateway,
            max_event_bytes=self._http.max_answer_bytes,
        )
        tell, got = self._on_progress, 0
        chunks = self._http.chunks(self._response, timeout_s=self._timeout_s + EVENTS_GRACE_S)
        async with aclosing(chunks):
            async for chunk in chunks:
                got += len(chunk)
                if tell is not None:
                    tell(CallProgress("receiving", got))
                for text in reader.feed(chunk):
                    yield text
                if reader.done:
                    # At once: the orchestrator goes on with newlines, the gateway with the same
                    # job on its next orchestrator.
                    self._response.close()
                    return
        reader.end()

    def _decoded(self, decode: Decoder[T], type_: object, text: str | bytes) -> T:
        try:
            return decode(text)
        except ValueError as error:
            raise not_of_type(type_, error, self._url) from error

    def _take_whole(self) -> None:
        if self.is_events:
            raise StreamError(
                "the capability answers with a stream of events; read it with `call_events`",
                url=self._url,
            )
        self._take()

    def _take(self) -> None:
        if self._read:
            raise RuntimeError("the answer was read already; keep what the first reading gave")
        self._read = True

    @property
    def _url(self) -> str:
        return redact(str(self._response.url))


@lru_cache
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _too_large(limit: int, url: str) -> InvalidAnswer:
    return InvalidAnswer(f"the answer is larger than {limit} bytes", url=url)
