"""Trickle: segments over HTTP that are read while they are written.

Publish and subscribe to the channels of the Livepeer network, or serve them.
`livepeer.trickle.media` turns MPEG-TS segments into frames and back, and needs the `media` extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._http import trickle_session
    from ._reader import SegmentReader
    from ._writer import SegmentWriter
    from .channels import JSONLPublisher, JSONLSubscriber, JSONPublisher, JSONSubscriber
    from .errors import TrickleError
    from .events import Ended, Gap, Retry, TrickleEvent
    from .publisher import TricklePublisher
    from .server import TrickleServer
    from .stats import PublisherStats, ServerStats, SubscriberStats
    from .subscriber import TrickleSubscriber

__all__ = [
    "Ended",
    "Gap",
    "JSONLPublisher",
    "JSONLSubscriber",
    "JSONPublisher",
    "JSONSubscriber",
    "PublisherStats",
    "Retry",
    "SegmentReader",
    "SegmentWriter",
    "ServerStats",
    "SubscriberStats",
    "TrickleError",
    "TrickleEvent",
    "TricklePublisher",
    "TrickleServer",
    "TrickleSubscriber",
    "trickle_session",
]

_HOMES = {
    "Ended": "events",
    "Gap": "events",
    "JSONLPublisher": "channels",
    "JSONLSubscriber": "channels",
    "JSONPublisher": "channels",
    "JSONSubscriber": "channels",
    "PublisherStats": "stats",
    "Retry": "events",
    "SegmentReader": "_reader",
    "SegmentWriter": "_writer",
    "ServerStats": "stats",
    "SubscriberStats": "stats",
    "TrickleError": "errors",
    "TrickleEvent": "events",
    "TricklePublisher": "publisher",
    "TrickleServer": "server",
    "TrickleSubscriber": "subscriber",
    "trickle_session": "_http",
}


def __getattr__(name: str) -> object:
    # lazy: the import of this package costs no aiohttp.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
