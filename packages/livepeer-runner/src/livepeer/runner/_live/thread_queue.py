"""A queue between threads that can be closed; its subclass says how much fits."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class ThreadQueue(ABC, Generic[_Item]):
    """Keeps the order of what goes through it. What a subclass defines is called under the lock."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._closed = False
        self._condition = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: _Item) -> bool:
        """Append, once there is room; False when the queue was closed and the item is lost."""
        with self._condition:
            while not self._closed and not self._has_room(item):
                self._condition.wait()
            if self._closed:
                return False
            self._append(item)
            return True

    def get(self) -> _Item | None:
        """The next item; None when the queue is closed and empty."""
        with self._condition:
            while not self._items:
                if self._closed:
                    return None
                self._condition.wait()
            item = self._items.popleft()
            self._taken(item)
            self._condition.notify_all()
            return item

    def close(self) -> None:
        """Take nothing more; what waits can still be got. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def abort(self) -> None:
        """Close, and forget what waits. Idempotent."""
        with self._condition:
            while self._items:
                self._taken(self._items.popleft())
        self.close()

    def _append(self, item: _Item) -> None:
        self._items.append(item)
        self._added(item)
        self._condition.notify_all()

    @abstractmethod
    def _has_room(self, item: _Item) -> bool:
        """Whether the item can be appended now."""

    @abstractmethod
    def _added(self, item: _Item) -> None:
        """It was appended."""

    @abstractmethod
    def _taken(self, item: _Item) -> None:
        """The first item was taken out."""
