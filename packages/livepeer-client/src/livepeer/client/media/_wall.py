"""Units go in when they are due, by the clock on the wall."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.trickle.media.clock import seconds

if TYPE_CHECKING:
    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle.media import AccessUnit


class WallClock:
    """Waits for the time of each unit. The first one of each session is due at once.

    So what was waited for between two sessions is not made up for.
    """

    def __init__(self) -> None:
        self._session: StreamSession | None = None
        self._begun: tuple[float, int] | None = None

    async def reach(self, unit: AccessUnit, session: StreamSession | None) -> None:
        """Wait until a unit is due.

        Args:
            unit: The unit.
            session: What it goes into; None between two.
        """
        now = asyncio.get_running_loop().time()
        before, self._session = self._session, session or self._session
        if self._begun is None or before is not self._session:
            self._begun = now, unit.dts
        begin, first = self._begun
        await asyncio.sleep(max(begin + seconds(unit.dts - first) - now, 0))
