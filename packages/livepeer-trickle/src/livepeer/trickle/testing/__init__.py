"""Trickle on real sockets in tests: an application on a free port, and a bad path in front of it.

```python
async with TrickleServer(autocreate=True).listening() as base, FaultProxy(base) as proxy:
    publisher = TricklePublisher(f"{proxy.url}/channel")
    await publisher.write_segment(b"first")
    async with proxy.away():  # connections are reset, and new ones refused
        await asyncio.sleep(1)
    await publisher.write_segment(b"second")
```
"""

from __future__ import annotations

from ._faults import Rule
from ._proxy import FaultProxy, ProxyStats
from ._serve import serve

__all__ = ["FaultProxy", "ProxyStats", "Rule", "serve"]
