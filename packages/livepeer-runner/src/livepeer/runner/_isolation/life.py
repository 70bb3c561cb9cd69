"""One life of a model, in a process: how it begins, is lost and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from livepeer.runner._isolation.process import describe_end
from livepeer.runner.errors import PipelineDefinitionError, SetupFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._isolation.messages import Failed
    from livepeer.runner._isolation.process import ModelProcess

_log = logging.getLogger(__name__)

_KILL_S: Final = 2.0

R = TypeVar("R")


class Life(ABC, Generic[R]):
    """Make it on the network's loop, and give it its process, whose threads call `_lose`, `_gone`.

    Attributes:
        opened: Done when `setup()` has returned, with what the process says then; raises
            `SetupFailed` or `PipelineDefinitionError`.
        ended: Why it is gone, once it is.
        lost: Whether it is gone, or about to be.
    """

    _process: ModelProcess[Any]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[R] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.lost = False
        self._lock = threading.Lock()
        self._reason: str | None = None

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    @abstractmethod
    def hang(self) -> str | None:
        """Why it counts as hanging; None when it does not."""

    def kill(self, reason: str) -> None:
        """End the process at once; `ended` follows. Idempotent, from any thread."""
        self._lose(reason)
        self._process.kill()

    async def finish(self, reason: str) -> str:
        """End the process and wait until it is gone, for a few seconds at most; why it is."""
        for _ in range(2):
            self.kill(reason)
            await asyncio.wait((self.ended,), timeout=_KILL_S)
            if self.ended.done():
                break
        else:
            _log.error("the system does not end the model process (pid %d), which stays", self.pid)
            self._end()
        return self.ended.result()

    @abstractmethod
    def _abandon(self, reason: str) -> None:
        """Fail what waits for the process, which is gone."""

    def _refuse(self, failed: Failed) -> None:
        """The process says that it cannot be used; from any thread."""
        kind = PipelineDefinitionError if failed.definition else SetupFailed
        self._on_loop(fail, self.opened, kind(failed.reason))
        self.kill(failed.reason)

    def _lose(self, reason: str) -> None:
        with self._lock:
            self.lost = True
            self._reason = self._reason or reason

    def _gone(self, status: int) -> None:
        """The process is gone; on the thread that received."""
        self._lose(describe_end(status))
        self._on_loop(self._end)

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it everybody gone
            self._loop.call_soon_threadsafe(callback, *args)

    def _end(self) -> None:
        assert self._reason is not None
        self._abandon(self._reason)
        fail(self.opened, SetupFailed(self._reason))
        if not self.ended.done():
            self.ended.set_result(self._reason)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Let a future fail that nobody need ask; one that is done stays what it is."""
    if not future.done():
        future.set_exception(error)
        future.exception()
