"""Messages from any thread to one channel: bounded, in two lanes, published one by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import ChannelClosed, ChannelNotFound, TrickleError

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

LANE_MESSAGES = 256
LANE_BYTES = 4 * 1024 * 1024
"""How much may wait for the network in one lane; beyond that the oldest is dropped and counted."""


class Publisher(Protocol):
    """A channel that takes messages."""

    async def publish(self, message: bytes) -> None:
        """Publish one, and wait until the server has it."""
        ...

    async def close(self, *, delete: bool = False) -> None:
        """Stop publishing."""
        ...


class _Lane:
    """Messages that wait in order; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> int:
        """Append one; how many were dropped for it."""
        self._messages.append(message)
        self._size += len(message)
        dropped = 0
        while len(self) > LANE_MESSAGES or self._size > LANE_BYTES:
            self.take()
            dropped += 1
        return dropped

    def take(self) -> bytes:
        message = self._messages.popleft()
        self._size -= len(message)
        return message

    def clear(self) -> int:
        """Forget all; how many there were."""
        count, self._size = len(self), 0
        self._messages.clear()
        return count


class MessageQueue:
    """Messages on their way to one channel. Make it on the network's loop.

    The session's own have a lane of their own, which goes first: what an author emits neither
    pushes them out nor holds them up.

    Args:
        publisher: The channel.
        name: What it is called in the log.

    Attributes:
        gone: Set when the server says that the channel is no more.
    """

    def __init__(self, publisher: Publisher, name: str) -> None:
        self.gone = asyncio.Event()
        self._publisher = publisher
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._own, self._author = _Lane(), _Lane()
        self._dropped = 0
        self._waking = False
        self._closed = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task = asyncio.create_task(self._drain(), name=f"publish {name}")

    @property
    def dropped(self) -> int:
        """How many messages were lost."""
        return self._dropped

    def put(self, message: bytes, *, own: bool = False) -> None:
        """From any thread: queue one; never blocks.

        Args:
            message: Encoded.
            own: Whether it is the session's own, and not the author's.
        """
        with self._lock:
            if self._closed:
                self._dropped += 1
                return
            self._dropped += (self._own if own else self._author).put(message)
            wake, self._waking = not self._waking, True
        # One wake-up at a time, however much is put: the loop must not fill with them.
        if wake:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody publishes
                self._loop.call_soon_threadsafe(self._wake.set)

    async def close(self, timeout_s: float, last: Sequence[bytes] = ()) -> None:
        """Publish what waits and then `last`, and stop.

        Args:
            timeout_s: What was not published by then is lost. The last messages have half of it
                for themselves.
            last: The session's own.
        """
        try:
            await self._flush(timeout_s / 2 if last else timeout_s)
            if last:
                self._forget_author()
                for message in last:
                    self.put(message, own=True)
                await self._flush(timeout_s / 2)
        finally:
            with self._lock:
                self._closed = True
                left = self._own.clear() + self._author.clear()
            self._lose(left)
            await cancel_and_wait(self._task)
            try:
                await self._publisher.close()
            except TrickleError as error:
                _log.debug("the %s channel was gone when it was closed: %s", self._name, error)

    async def _flush(self, timeout_s: float) -> None:
        self._idle.clear()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    def _forget_author(self) -> None:
        with self._lock:
            left = self._author.clear()
        self._lose(left)

    def _lose(self, count: int) -> None:
        if count:
            self._dropped += count
            level = logging.INFO if self.gone.is_set() else logging.WARNING
            _log.log(level, "%d messages for the %s channel were lost", count, self._name)

    async def _drain(self) -> None:
        while True:
            while (message := self._take()) is not None:
                await self._publish(message)
            self._idle.set()
            await self._wake.wait()
            self._wake.clear()

    def _take(self) -> bytes | None:
        with self._lock:
            if self._own:
                return self._own.take()
            if self._author:
                return self._author.take()
            self._waking = False
            return None

    async def _publish(self, message: bytes) -> None:
        try:
            await self._publisher.publish(message)
        except (ChannelNotFound, ChannelClosed) as error:
            self._dropped += 1
            if not self.gone.is_set():
                _log.info("the %s channel is gone: %s", self._name, error)
            self.gone.set()
        except TrickleError as error:
            self._dropped += 1
            _log.warning("a message for the %s channel was lost: %s", self._name, error)
        except Exception as error:  # noqa: BLE001 - a supervisor: the messages after it must go on
            self._dropped += 1
            _log.error("a message for the %s channel was lost", self._name, exc_info=error)
