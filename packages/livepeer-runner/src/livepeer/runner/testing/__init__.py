"""Run pipelines on real sockets in tests.

```python
async with live_session(Grayscale(), params={"strength": 1}) as session:
    await session.publish_clip(Path("clip.mp4"), seconds=2)
    for frame in await session.frames():
        ...
```
"""

from __future__ import annotations

from livepeer.runner._server.uvicorn import RunningServer

from ._serve import serve
from ._session import LiveSession, Refused, live_session

__all__ = ["LiveSession", "Refused", "RunningServer", "live_session", "serve"]
