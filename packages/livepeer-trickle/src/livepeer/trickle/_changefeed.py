"""The channel that tells which channels come and go.

Source: go-livepeer `trickle/trickle_server.go` (`changefeed`): `{"added":["name"]}` and
`{"removed":["name"]}`, one a segment, the feed's own name in segment 0.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from ._ring import Channel
from ._wire import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES: Final = "_changes"


class Changefeed:
    """Writes the feed into its channel, in the process of the server."""

    def __init__(self, clock: Callable[[], float], slots: int) -> None:
        self._clock = clock
        self._seq = 0
        self.channel = Channel(CHANGES, JSON, clock(), slots)
        self.tell("added", CHANGES)

    def tell(self, change: Literal["added", "removed"], name: str) -> None:
        """Publish one change as a segment of its own."""
        now = self._clock()
        segment = self.channel.for_write(self._seq)
        text = json.dumps({change: [name]}, separators=(",", ":"))
        self.channel.write(segment, text.encode(), now)
        self.channel.finish(segment, now)
        self._seq += 1
