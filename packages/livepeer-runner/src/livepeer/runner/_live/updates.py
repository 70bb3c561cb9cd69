"""Updates of a session's parameters: tasks of the session, which end when it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.runner.errors import HookFailed, InvalidParams, NoSession, StageAway
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from livepeer.runner._live.reports import Reports
    from livepeer.runner.errors import RunnerError

_WAITING_BYTES = 16 * 1024 * 1024
_KEPT_APART = 64


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
        self._waiting: list[dict[str, object]] = []
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

        An update names only what changes, so that those which come while one runs are put
        together and applied as one. If that is refused, each is applied by itself, so that only
        what is wrong is lost; of more than 64, the rest counts as one.

        Args:
            params: What changes.
            size: As it came, in bytes.
        """
        if self._waiting_bytes + size > _WAITING_BYTES:
            self._reports.refused(MessageError("too many updates wait for on_params_update()"))
            return
        if len(self._waiting) < _KEPT_APART:
            self._waiting.append(dict(params))
        else:
            self._waiting[-1].update(params)
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
                updates, self._waiting, self._waiting_bytes = self._waiting, [], 0
                await self._apply_all(updates)
        finally:
            self._working = False

    async def _apply_all(self, updates: Sequence[Mapping[str, object]]) -> None:
        together = {name: value for update in updates for name, value in update.items()}
        refusal = await self._refusal(together)
        if refusal is None:
            return
        if len(updates) == 1 or isinstance(refusal, StageAway):
            self._reports.refused(refusal)
            return
        for update in updates:
            refusal = await self._refusal(update)
            if refusal is not None:
                self._reports.refused(refusal)

    async def _refusal(self, params: Mapping[str, object]) -> RunnerError | None:
        try:
            await self._apply(params)
        except (HookFailed, InvalidParams, StageAway) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a supervisor: the next update may do better
            self._reports.failed("an update", error)
        return None
