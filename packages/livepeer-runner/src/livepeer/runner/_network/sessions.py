"""What the network's starts, updates and stops are turned into, whatever the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The trickle channels of one session; None where the caller did not ask for one.

    Attributes:
        events: We publish events and heartbeats.
        control: We read parameter updates and keep-alives.
        subscribe: We read the stream that comes in.
        publish: We publish the stream that goes out.
        data: We publish JSON lines.
        keep_alives: The control channel has keep-alives from the first moment; its silence means
            that the caller is gone, even before there was one.
    """

    events: str
    control: str
    subscribe: str | None = None
    publish: str | None = None
    data: str | None = None
    keep_alives: bool = False


class Sessions(Protocol):
    """What a session source drives."""

    async def start(
        self, stream_id: str, channels: Channels, params: Mapping[str, Any] | None
    ) -> None:
        """Begin a session.

        Raises:
            SessionExists: One of this id runs.
            AtCapacity: No more can run.
            StageAway: The model is being loaded.
            InvalidParams: The parameters do not fit; each error's `loc` begins with its field.
            HookFailed: `on_stream_start` raised; nothing is left of the session.
        """
        ...

    async def update(self, stream_id: str | None, params: Mapping[str, Any]) -> None:
        """Change what is named of a session's parameters; without an id, the only session's.

        Raises:
            NoSession: There is none, or it ended before the parameters were in force.
            StageAway: The model is being loaded.
            InvalidParams: The parameters do not fit, and the old ones stay in force.
            HookFailed: `on_params_update` raised.
        """
        ...

    async def stop(self, stream_id: str | None, reason: str) -> None:
        """End a session, or without an id the only one.

        Nothing happens where there is none, or without an id several.
        """
        ...
