"""Run pipelines on real sockets in tests.

```python
async with batch_session(Greeter) as session:
    assert await session.predict({"name": "Ada"}) == "Hello, Ada!"

async with batch_session(Counter) as session:
    items = [item async for item in session.stream({"to": 3})]

async with live_session(Grayscale(), params={"strength": 1}) as session:
    await session.publish_clip(Path("clip.mp4"), seconds=2)
    for frame in await session.frames():
        ...
```
"""

from __future__ import annotations

from livepeer.runner._server.uvicorn import RunningServer

from ._batch import BatchSession, batch_session
from ._errors import Refused, StreamFailed
from ._serve import serve
from ._session import LiveSession, live_session

__all__ = [
    "BatchSession",
    "LiveSession",
    "Refused",
    "RunningServer",
    "StreamFailed",
    "batch_session",
    "live_session",
    "serve",
]
