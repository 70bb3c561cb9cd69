"""Why a live stream ended, and what became of it at another orchestrator. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import (
    ClientError,
    ConfigError,
    JobTimeout,
    NodeUnreachable,
    PaymentRequiredError,
    RunnerError,
    StreamLost,
)


class EndReason(StrEnum):
    """Who or what ended a stream."""

    CALLER = "caller"
    """We stopped it."""
    RUNNER = "runner"
    """The runner was done with it, broke it off, stops itself, or has not reported for too long."""
    ORCHESTRATOR = "orchestrator"
    """The orchestrator died or began anew, or closed the stream's channels."""
    NETWORK = "network"
    """The orchestrator did not answer in time, or there was no way to it."""
    PAYMENT = "payment"
    """What the stream owes was not paid."""


@dataclass(frozen=True, kw_only=True)
class StreamEnd:
    """The end of a stream, or of one of its sessions.

    Attributes:
        reason: Who or what ended it.
        text: What happened, in words.
        error: What the stream's iterators raise; None when the caller stopped it, or the runner had
            done all of it.
    """

    reason: EndReason
    text: str
    error: ClientError | None = None

    @property
    def recoverable(self) -> bool:
        """Whether another orchestrator may do better."""
        return self.error is not None and self.reason not in (EndReason.CALLER, EndReason.PAYMENT)


def lost(
    reason: EndReason, what: str, *, url: str, cause: BaseException | None = None
) -> StreamEnd:
    """The end of a stream that nobody here stopped."""
    error = StreamLost(what, url=redact(url))
    error.__cause__ = cause
    return StreamEnd(reason=reason, text=what, error=error)


STOPPED: Final = StreamEnd(reason=EndReason.CALLER, text="the caller stopped it")

_BEGINNINGS: Final = (
    (PaymentRequiredError, EndReason.PAYMENT),
    (RunnerError, EndReason.RUNNER),
    ((NodeUnreachable, JobTimeout), EndReason.NETWORK),
    (ClientError, EndReason.ORCHESTRATOR),
)


def not_started(error: BaseException) -> StreamEnd:
    """The end of a stream that never began."""
    for kind, reason in _BEGINNINGS:
        if isinstance(error, kind):
            return StreamEnd(reason=reason, text=f"it did not start: {error}", error=error)
    return failed(error) if isinstance(error, Exception) else STOPPED


def failed(error: Exception) -> StreamEnd:
    """The end of a stream by a fault in this program."""
    failure = StreamLost(f"the client failed: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return StreamEnd(reason=EndReason.CALLER, text=str(failure), error=failure)


def not_resumed(end: StreamEnd, cause: ClientError) -> StreamEnd:
    """The end of a session that no other could follow."""
    text = f"{end.text}; and it does not go on elsewhere: {cause}"
    error = StreamLost(text)
    error.__cause__ = cause
    return StreamEnd(reason=end.reason, text=text, error=error)


@dataclass(frozen=True, kw_only=True)
class Reconnected:
    """A stream that goes on at another orchestrator, and the gap between.

    Attributes:
        number: How many times that happened to the stream; 1 at first.
        end: What ended the session before.
        from_url: The node that was lost, without secrets.
        to_url: The node that has the stream now.
        gap_s: Seconds from the last sign of life of the one to the start at the other.
    """

    number: int
    end: StreamEnd
    from_url: str
    to_url: str
    gap_s: float


@dataclass(frozen=True, kw_only=True)
class Reconnect:
    """How hard a lost stream tries to go on elsewhere.

    Attributes:
        within_s: Seconds in which another orchestrator must have taken it.
        pause_s: Seconds before all orchestrators are asked again, those lost too; doubles each
            time, up to 8 times itself.
        per_minute: How many times within a minute; a stream that is lost more often ends.

    Raises:
        ConfigError: A limit is not more than 0.
    """

    within_s: float = 30.0
    pause_s: float = 0.5
    per_minute: int = 5

    def __post_init__(self) -> None:
        _check_positive(self)


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """How a stream is kept alive and watched.

    An orchestrator that died or went silent is known to have after `lost_after_s`.

    Attributes:
        keep_alive_s: Seconds between signs of life on the control channel; go-livepeer's gateway
            has 10 as well (`byoc/trickle.go`).
        probe_s: Seconds between questions whether the orchestrator still has the stream.
        gateway_probe_s: The same of a gateway, which many share.
        away_s: For how long, in seconds, these may fail until it counts as lost.
        events_silent_s: After so many seconds without an event the runner counts as lost, as it
            does at go-livepeer's gateway.
        pay_again_s: Seconds until a payment that could not be made is tried again.
        media_silent_s: After so many seconds in which a gateway's media server takes nothing, it
            counts as lost.
        settle_s: Seconds that the closing of one channel waits for that of the others, which tells
            who closed it.
        keep_events: How many events are kept for an iterator that begins late or is slow.

    Raises:
        ConfigError: One of them is not more than 0.
    """

    keep_alive_s: float = 10.0
    probe_s: float = 0.5
    gateway_probe_s: float = 5.0
    away_s: float = 1.8
    events_silent_s: float = 30.0
    pay_again_s: float = 2.0
    media_silent_s: float = 15.0
    settle_s: float = 0.3
    keep_events: int = 256

    def __post_init__(self) -> None:
        _check_positive(self)

    @property
    def lost_after_s(self) -> float:
        """Seconds until an orchestrator that died counts as lost, at the latest."""
        return self.probe_s + self.away_s


def _check_positive(options: Reconnect | StreamSettings) -> None:
    for option in fields(options):
        value: object = getattr(options, option.name)
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigError(f"`{option.name}` must be more than 0, not {value!r}")
