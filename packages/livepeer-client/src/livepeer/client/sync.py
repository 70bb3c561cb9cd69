"""The client for scripts and notebooks: the same names, without an event loop to look after."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ._answers.answer import MAX_SAVED_BYTES
from ._loop import Life
from .client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path
    from typing import Unpack

    from ._answers.answer import Answer
    from ._nodes.transport import ChannelURLs, GatewayMediaURLs
    from ._streams.byoc import BYOCJob
    from ._streams.ends import Reconnect, Reconnected, StreamEnd, StreamSettings
    from ._wire.encoding import JSONValue
    from ._wire.jobs import BYOCJobRequest
    from .capability import Capability
    from .options import CallOptions, ClientOptions

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class SyncClient:
    """`Client` for code that has no event loop, or has one that it must not use, as a notebook.

    ```python
    with SyncClient(gateway="http://127.0.0.1:9935") as client:
        print(client.call("hello", {"name": "Ada"}))
    ```

    It runs a loop in a thread of its own. Any number of threads may use it at the same time.
    Without `with`, it is open from the first use until `close`, or the end of the program.

    Args:
        options: Those of `Client`.

    Raises:
        ConfigError: As for `Client`.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._client = Client(**options)
        self._life = Life(self._client)
        # A client that nobody has any more ends as well.
        self._end = weakref.finalize(self, self._life.end)
        self._end.atexit = False

    @overload
    def call(
        self, capability: Capability[In, Out], payload: In, **options: Unpack[CallOptions]
    ) -> Out: ...
    @overload
    def call(
        self,
        capability: str,
        payload: object = None,
        *,
        returns: type[Out],
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Out: ...
    @overload
    def call(
        self,
        capability: str,
        payload: object = None,
        *,
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> JSONValue: ...
    def call(self, capability: Any, payload: object = None, **options: Any) -> Any:
        """Run a batch job and return its answer; see `Client.call`."""
        return self.run(self._client.call(capability, payload, **options))

    @overload
    def call_events(
        self, capability: Capability[In, Out], payload: In, **options: Unpack[CallOptions]
    ) -> Generator[Out]: ...
    @overload
    def call_events(
        self,
        capability: str,
        payload: object = None,
        *,
        returns: type[Out],
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Generator[Out]: ...
    @overload
    def call_events(
        self,
        capability: str,
        payload: object = None,
        *,
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Generator[JSONValue]: ...
    def call_events(self, capability: Any, payload: object = None, **options: Any) -> Any:
        """Run a batch job and give each item as it comes; see `Client.call_events`."""
        return self.iterate(self._client.call_events(capability, payload, **options))

    @contextmanager
    def open_call(
        self,
        capability: str | Capability[In, Out],
        payload: object = None,
        *,
        route: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Generator[SyncAnswer]:
        """Run a batch job and give its answer when its headers are here; see `Client.open_call`."""
        opened = self._client.open_call(capability, payload, route=route, **options)
        with self.entered(opened) as answer:
            yield SyncAnswer(self, answer)

    def schema(self, capability: str, *, timeout_s: int = 10) -> dict[str, JSONValue]:
        """What a capability takes and gives; see `Client.schema`."""
        return self.run(self._client.schema(capability, timeout_s=timeout_s))

    def start_stream(
        self,
        capability: str,
        *,
        params: Mapping[str, object] | None = None,
        video_in: bool = True,
        video_out: bool = True,
        data_out: bool = True,
        stream_id: str | None = None,
        timeout_s: int = 120,
        reconnect: bool | Reconnect = False,
        on_reconnect: Callable[[Reconnected], None] | None = None,
    ) -> SyncBYOCJob:
        """Start a live stream; see `Client.start_stream`."""
        starting = self._client.start_stream(
            capability,
            params=params,
            video_in=video_in,
            video_out=video_out,
            data_out=data_out,
            stream_id=stream_id,
            timeout_s=timeout_s,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
        )
        return SyncBYOCJob(self, self.run(starting))

    def start(
        self,
        request: BYOCJobRequest,
        *,
        params: Mapping[str, object] | None = None,
        reconnect: bool | Reconnect = False,
        on_reconnect: Callable[[Reconnected], None] | None = None,
        settings: StreamSettings | None = None,
    ) -> SyncBYOCJob:
        """Start a live stream from a request that says all of it; see `Client.start`."""
        starting = self._client.start(
            request,
            params=params,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
            settings=settings,
        )
        return SyncBYOCJob(self, self.run(starting))

    @property
    def spent(self) -> int:
        """What has left as payments so far, in wei; see `Client.spent`."""
        return self._client.spent

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's loop and return what it gives.

        For whatever has no synchronous face, such as the methods of a publisher.
        """
        try:
            loop = self._life.loop()
        except BaseException:
            # Or it would be complained of that it never ran.
            work.close()
            raise
        return loop.run(work)

    def run_unless_over(self, work: Coroutine[Any, Any, object]) -> None:
        """As `run`, for what closing the client does as well: nothing once it is closed."""
        self._life.run_unless_over(work)

    def iterate(self, items: AsyncGenerator[T]) -> Generator[T]:
        """The items of an asynchronous generator, run on the client's loop."""
        return self._life.loop().iterate(items)

    def entered(self, manager: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """An asynchronous context manager as a synchronous one, on the client's loop."""
        return self._life.loop().entered(manager)

    def close(self) -> None:
        """Stop the streams that still run, and close the connections. Once is enough."""
        self._end()

    def __enter__(self) -> Self:
        self._life.loop()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sync{repr(self._client)[1:]}"


class SyncAnswer:
    """`Answer`, read synchronously. Read it once, by one of its methods.

    Attributes:
        orchestrator_url: Who ran the job.
        balance: The remaining credit in wei, where the node tells it.
        paid: What left for this call, in wei; see `Answer`.
        metadata: What the runner put into `X-Metadata`.
        content_type: What the answer is; a gateway guesses it.
        is_events: Whether the runner answers with a stream of events.
    """

    def __init__(self, client: SyncClient, answer: Answer) -> None:
        self.orchestrator_url = answer.orchestrator_url
        self.balance = answer.balance
        self.paid = answer.paid
        self.metadata = answer.metadata
        self.content_type = answer.content_type
        self.is_events = answer.is_events
        self._client = client
        self._answer = answer

    def read(self) -> bytes:
        """The answer as it came; see `Answer.read`."""
        return self._client.run(self._answer.read())

    def chunks(self) -> Generator[bytes]:
        """The answer as it comes; see `Answer.chunks`."""
        return self._client.iterate(self._answer.chunks())

    def save(self, path: Path | str, *, max_bytes: int = MAX_SAVED_BYTES) -> int:
        """Write the answer to a file, and tell its size; see `Answer.save`."""
        return self._client.run(self._answer.save(path, max_bytes=max_bytes))

    @overload
    def json(self) -> JSONValue: ...
    @overload
    def json(self, returns: type[T]) -> T: ...
    def json(self, returns: type[Any] | None = None) -> Any:
        """The answer as one JSON document, or by its type; see `Answer.json`."""
        read = self._answer.json() if returns is None else self._answer.json(returns)
        return self._client.run(read)

    @overload
    def items(self) -> Generator[JSONValue]: ...
    @overload
    def items(self, returns: type[T]) -> Generator[T]: ...
    def items(self, returns: type[Any] | None = None) -> Any:
        """The items of a stream of events; see `Answer.items`."""
        items = self._answer.items() if returns is None else self._answer.items(returns)
        return self._client.iterate(items)


class SyncBYOCJob:
    """`BYOCJob`, used synchronously. A context manager that stops it.

    Attributes:
        job: The job itself, for what has no synchronous face: `client.run(...)` runs what it
            gives.
    """

    def __init__(self, client: SyncClient, job: BYOCJob) -> None:
        self.job = job
        self._client = client

    @property
    def stream_id(self) -> str:
        """The id under which the node of the current session knows the stream."""
        return self.job.stream_id

    @property
    def urls(self) -> ChannelURLs:
        """The trickle channels of the current session; all None behind a gateway."""
        return self.job.urls

    @property
    def media(self) -> GatewayMediaURLs:
        """Where a gateway takes and gives media; all empty without one."""
        return self.job.media

    @property
    def end(self) -> StreamEnd | None:
        """Why the job ended; None while it goes on."""
        return self.job.end

    @property
    def reconnects(self) -> tuple[Reconnected, ...]:
        """The times that the stream went on elsewhere."""
        return self.job.reconnects

    def update(self, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters and return what it answers; see `BYOCJob.update`."""
        return self._client.run(self.job.update(params))

    def status(self) -> dict[str, JSONValue] | None:
        """The runner's last status event as a gateway keeps it; see `BYOCJob.status`."""
        return self._client.run(self.job.status())

    def events(self) -> Generator[dict[str, JSONValue]]:
        """What the runner reports, until the job ends; see `BYOCJob.events`."""
        return self._client.iterate(self.job.events())

    def data(self) -> Generator[dict[str, JSONValue]]:
        """What the runner gives out as data, until the job ends; see `BYOCJob.data`."""
        return self._client.iterate(self.job.data())

    def ended(self) -> StreamEnd:
        """Wait until the job has ended."""
        return self._client.run(self.job.ended())

    def stop(self) -> None:
        """Stop the stream; done once, and closing the client does it too. See `BYOCJob.stop`."""
        self._client.run_unless_over(self.job.stop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._client.run_unless_over(self.job.__aexit__(kind))

    def __repr__(self) -> str:
        return f"<Sync{repr(self.job)[1:]}"
