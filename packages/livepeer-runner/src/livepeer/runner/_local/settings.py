"""Every interval and limit of the local network, each with the value that go-livepeer uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """How the local network behaves; the defaults are go-livepeer's unless a line says otherwise.

    Durations are in seconds, sizes in bytes.
    """

    secret: str = field(default="", repr=False)
    """What `/capability/register` demands in `Authorization`; "" asks for no header."""

    signature: Literal["legacy", "v1"] = "legacy"
    """Which job message the orchestrator takes: of go-livepeer's master, or of its V1 branches."""

    max_body_bytes: int = 256 * MIB
    """Longest request or runner answer that is buffered; go-livepeer has no limit here."""

    answer_timeout_s: float = 600.0
    """For reading a runner's answer once its headers are there; go-livepeer waits forever."""

    sse_filler_interval_s: float = 0.1
    """Between the bare newlines after a runner's event stream ended; go-livepeer never pauses."""

    channel_idle_s: float = 300.0
    """A trickle channel without a new segment for so long is closed."""

    channel_sweep_s: float = 60.0
    """How often idle channels are looked for."""

    search_timeout_s: float = 5.0
    """For all orchestrators to offer a token. go-livepeer allows 1 s; a busy laptop needs more."""

    token_timeout_s: float = 5.0
    """For one orchestrator to offer a token; go-livepeer allows 0.5 s in a search, else 3 s."""

    token_attempts: int = 3
    """How often the token for an update or a stop is asked for."""

    max_client_body_bytes: int = 10 * MIB
    """Longest body of a stream's start or update at the gateway."""

    gateway_host: str = ""
    """Host in the URLs that the gateway hands out (`-gatewayHost`), empty as in go-livepeer."""

    allow_cors: bool = False
    """Whether the gateway's stream routes allow browsers (`LIVE_AI_ALLOW_CORS`)."""

    keepalive_interval_s: float = 10.0
    """Between the keep-alive messages on a stream's control channel."""

    events_gap_s: float = 30.0
    """A runner that sends no valid event for longer is given up."""

    events_check_interval_s: float = 10.0
    """How often that is looked at."""

    status_clear_s: float = 60.0
    """After so long the gateway forgets a stream's status once, as go-livepeer does."""

    stop_timeout_s: int = 10
    """The `timeout_seconds` of the stop that the gateway sends, in whole seconds."""

    max_streams: int = 256
    """How many streams and stored statuses the gateway holds; go-livepeer has no limit."""

    ticket_value: int = 0
    """What a ticket is worth in wei (`-ticketEV`); 0 for what 100 s of its capability cost,
    at most 1e12."""

    block_s: float = 12.0
    """Seconds from one block to the next; ticket parameters expire after 40 blocks."""

    account_idle_s: float = 600.0
    """A sender's credit for a capability is dropped when it was not used for so long."""

    max_accounts: int = 10_000
    """How many of those accounts, and of ticket parameters in use, there can be at a time;
    go-livepeer has no limit."""

    events_debit_interval_s: float = 5.0
    """How often a job with an event stream is debited."""

    events_debit_s: int = 5
    """For how many seconds it is debited each time."""

    stream_debit_interval_s: float = 23.0
    """How often a stream is debited."""

    stream_debit_s: int = 23
    """For how many seconds it is debited each time."""

    stream_payment_interval_s: float = 50.0
    """How often the gateway pays for a stream."""

    stream_payment_s: int = 70
    """For how many seconds it pays each time (the payment's `timeout_seconds`)."""

    shutdown_timeout_s: float = 1.0
    """How long running requests get to end when the network closes."""
