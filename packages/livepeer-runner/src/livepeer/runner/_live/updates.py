"""Updates of a session's parameters: tasks of the session, which end when it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.runner.errors import HookFailed, InvalidParams, NoSession, StageAway
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from livepeer.runner._live.reports import Reports

_WAITING_BYTES = 16 * 1024 * 1024


class Updates:
    """Applies updates that somebody waits for, and those of the control channel.

    Args:
        apply: Puts parameters in force.
        reports: Told of what nobody waits for.
    """

    def __init__(
        self,
        apply: Callable[[Mapping[str, object]], Coroutine[None, None, None]],
        reports: Reports,
    ) -> None:
        self._apply = apply
        self._reports = reports
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._working = False
        self._waiting: dict[str, object] = {}
        self._waiting_bytes = 0

    async def run(self, params: Mapping[str, object]) -> None:
        """Apply parameters and wait for it.

        Raises:
            NoSession: The session ended meanwhile.
            RunnerError: What `apply` raised.
        """
        if not self._closed:
            task = self._begin(self._apply(params))
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                task.cancel()
                raise
            if not task.cancelled():
                task.result()
                return
        raise NoSession("the stream ended before the update was in force")

    def add(self, params: Mapping[str, object], size: int) -> None:
        """Apply parameters some time soon; what does not fit is told as an event.

        One update runs and one waits. An update names only what changes, so that those which
        come while one waits are added to it, and are refused with it if it is.

        Args:
            params: What changes.
            size: As it came, in bytes.
        """
        if self._waiting_bytes + size > _WAITING_BYTES:
            self._reports.refused(MessageError("too many updates wait for on_params_update()"))
            return
        self._waiting.update(params)
        self._waiting_bytes += size
        if not self._working and not self._closed:
            self._working = True
            self._begin(self._work())

    async def close(self) -> None:
        """Cancel what runs and take no more. Idempotent."""
        self._closed = True
        await cancel_and_wait(*self._tasks)

    def _begin(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name="update")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self) -> None:
        try:
            while self._waiting:
                params, self._waiting, self._waiting_bytes = self._waiting, {}, 0
                await self._apply_or_refuse(params)
        finally:
            self._working = False

    async def _apply_or_refuse(self, params: Mapping[str, object]) -> None:
        try:
            await self._apply(params)
        except (HookFailed, InvalidParams, StageAway) as error:
            self._reports.refused(error)
        except Exception as error:  # noqa: BLE001 - a supervisor: the next update may do better
            self._reports.failed("an update", error)
