"""What stands behind the fake nodes: capabilities that are functions, and what the nodes saw."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from livepeer.client._wire.encoding import JSONValue


@dataclass(frozen=True, kw_only=True)
class RunnerRequest:
    """What a runner gets.

    Attributes:
        path: Such as `/predict`, `/stream/start`, `/stream/params` or `/stream/stop`.
        body: The caller's bytes, for a stream start the orchestrator's own.
        stream_id: The header that names the stream; empty for a batch job.
    """

    path: str
    body: bytes
    stream_id: str = ""

    def json(self) -> dict[str, JSONValue]:
        """The body, which must be a JSON object."""
        value: object = json.loads(self.body)
        assert isinstance(value, dict), f"not an object: {self.body!r}"
        return value  # pyright: ignore[reportUnknownVariableType]


@dataclass(frozen=True, kw_only=True)
class RunnerReply:
    """What a runner answers: a whole body, or the chunks of an event stream."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    chunks: AsyncIterator[bytes] | None = None

    @classmethod
    def json(cls, value: object, *, status: int = 200) -> RunnerReply:
        """An answer in JSON."""
        return cls(status=status, body=json.dumps(value).encode())

    @classmethod
    def events(cls, chunks: AsyncIterator[bytes]) -> RunnerReply:
        """A stream of events, as the bytes that the runner writes."""
        return cls(content_type="text/event-stream", chunks=chunks)


Handler: TypeAlias = "Callable[[RunnerRequest], Awaitable[RunnerReply]]"


@dataclass
class FakeCapability:
    """A capability as an orchestrator holds it.

    Attributes:
        handler: The runner: gets every request for the capability, batch and stream.
        capacity: Free slots; 0 is a full capability.
        price: Wei per second.
    """

    handler: Handler
    capacity: int = 4
    price: int = 0


@dataclass
class FakeModel:
    """A live-video model as an orchestrator holds it.

    Attributes:
        handler: The runner: gets the start of every job, its path `/live-video-to-video`.
        capacity: Idle containers; every running job takes one.
        price: For one pixel; 0 is free.
    """

    handler: Handler
    capacity: int = 1
    price: Fraction = Fraction(0)


@dataclass(frozen=True, kw_only=True)
class SeenRequest:
    """A request that a fake node got.

    Attributes:
        method: The HTTP method.
        path: The path, percent-encoded as it came.
        headers: All headers, with lower-case names.
        body: The body.
        job: The `Livepeer` header, decoded; empty when there was none.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    job: Mapping[str, object] = field(default_factory=dict[str, object])
