"""A fake orchestrator and a fake gateway on loopback, for tests of code that calls capabilities.

They answer as go-livepeer does, with the traits that surprise callers: statuses with several
meanings, a gateway whose empty 200 is a failure, relays that flood an event stream or run a job
twice. The capability behind them is a function of the test's.

```python
async def hello(request: RunnerRequest) -> RunnerReply:
    return RunnerReply.json({"hello": request.json()["name"]})


async with fake_orchestrator({"hello": FakeCapability(hello)}) as node:
    async with Client(orchestrators=[node.url]) as client:
        assert await client.call("hello", {"name": "Ada"}) == {"hello": "Ada"}
```
"""

from __future__ import annotations

from ._gateway import FakeGateway, fake_gateway
from ._orchestrator import FakeOrchestrator, fake_orchestrator
from ._runner import FakeCapability, RunnerReply, RunnerRequest, SeenRequest

__all__ = [
    "FakeCapability",
    "FakeGateway",
    "FakeOrchestrator",
    "RunnerReply",
    "RunnerRequest",
    "SeenRequest",
    "fake_gateway",
    "fake_orchestrator",
]
