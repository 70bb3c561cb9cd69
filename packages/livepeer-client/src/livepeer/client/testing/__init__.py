"""Fakes of the network on loopback, for tests of code that calls capabilities and pays for them.

An orchestrator, a gateway, a remote signer and a discovery URL. They answer as go-livepeer does,
with the traits that surprise callers: statuses with several meanings, a gateway whose empty 200 is
a failure, relays that flood an event stream or run a job twice. Signatures, tickets and credit are
real and checked, by code of their own. The capability behind them is a function of the test's.

```python
async def hello(request: RunnerRequest) -> RunnerReply:
    return RunnerReply.json({"hello": request.json()["name"]})


async with fake_orchestrator({"hello": FakeCapability(hello)}) as node:
    async with Client(orchestrators=[node.url]) as client:
        assert await client.call("hello", {"name": "Ada"}) == {"hello": "Ada"}
```

Whoever pays does so with a remote signer's tickets, and no test waits for time to pass:

```python
clock = FakeClock()
async with (
    fake_orchestrator({"hello": FakeCapability(hello, price=10)}, flavour="byoc") as node,
    fake_signer(flavour="byoc", clock=clock) as signer,
    Client(orchestrators=[node.url], signer=signer.url) as client,
):
    await client.call("hello", {"name": "Ada"})
    assert node.balance(signer.address, "hello") > 0
    clock.advance(30)
    signer.faults.answer(503, times=2, path="/generate-live-payment")
```
"""

from __future__ import annotations

from ._cashier import ReceivedPayment
from ._clock import FakeClock
from ._discovery import FakeDiscovery, fake_discovery
from ._faults import Faults
from ._gateway import FakeGateway, fake_gateway
from ._orchestrator import FakeOrchestrator, fake_orchestrator
from ._runner import FakeCapability, FakeModel, RunnerReply, RunnerRequest, SeenRequest
from ._signer import FakeSigner, Verdict, fake_signer
from ._signer_order import MadePayment, SignerLimits
from ._tickets import FakeChain

__all__ = [
    "FakeCapability",
    "FakeChain",
    "FakeClock",
    "FakeDiscovery",
    "FakeGateway",
    "FakeModel",
    "FakeOrchestrator",
    "FakeSigner",
    "Faults",
    "MadePayment",
    "ReceivedPayment",
    "RunnerReply",
    "RunnerRequest",
    "SeenRequest",
    "SignerLimits",
    "Verdict",
    "fake_discovery",
    "fake_gateway",
    "fake_orchestrator",
    "fake_signer",
]
