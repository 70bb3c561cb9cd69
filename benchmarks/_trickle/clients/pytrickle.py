"""`pytrickle`, its transport alone.

The package imports torch and PyAV when it is imported; the two modules of its transport need
neither, so they are loaded without the package's own `__init__`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from . import publish_answered

if TYPE_CHECKING:
    from _trickle.load import Load


def _bare_package() -> None:
    spec = find_spec("pytrickle")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("pytrickle is not installed", name="pytrickle")
    package = ModuleType("pytrickle")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["pytrickle"] = package


_bare_package()

# Only its own environment has it: to everything that checks this module it is not there.
TricklePublisher = import_module("pytrickle.publisher").TricklePublisher
TrickleSubscriber = import_module("pytrickle.subscriber").TrickleSubscriber


async def publish(load: Load) -> None:
    """Publish the segments."""
    await publish_answered(TricklePublisher, load)


async def subscribe(load: Load) -> None:
    """Read the segments as their bytes arrive."""
    async with TrickleSubscriber(load.url, start_seq=0) as subscriber, load.measured():
        for seq in range(load.plan.segments):
            segment = await subscriber.next()
            while chunk := await segment.read():
                load.take(chunk)
            await segment.close()
            load.done(seq + 1)
