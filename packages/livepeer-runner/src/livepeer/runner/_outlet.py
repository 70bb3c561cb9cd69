"""Where a live hook's events and data go: the session that the hook runs for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outlet(Protocol):
    """A session, as a hook sees it. Safe to call from any thread; never blocks."""

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Queue an event."""
        ...

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Queue a line of data."""
        ...


CURRENT: ContextVar[Outlet | None] = ContextVar("livepeer session", default=None)
"""The session of the hook that runs."""

# By pipeline, and not an attribute of it: authors need not call super().__init__().
_attached: WeakKeyDictionary[object, list[Outlet]] = WeakKeyDictionary()


def attach(pipeline: object, outlet: Outlet) -> None:
    """Make a session known to its pipeline."""
    _attached.setdefault(pipeline, []).append(outlet)


def detach(pipeline: object, outlet: Outlet) -> None:
    """Forget a session. Idempotent."""
    outlets = _attached.get(pipeline, [])
    if outlet in outlets:
        outlets.remove(outlet)


def outlet_of(pipeline: object) -> Outlet | None:
    """The session of the running hook, or the only one there is; None when there is none.

    Raises:
        LookupError: Several sessions run, and the call comes from none of their hooks.
    """
    current = CURRENT.get()
    if current is not None:
        return current
    outlets = _attached.get(pipeline, [])
    if len(outlets) > 1:
        raise LookupError("several streams run: emit from a hook, which knows its own")
    return outlets[0] if outlets else None
