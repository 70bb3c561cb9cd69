"""Call capabilities on the Livepeer network, stream to them, and pay for them.

```python
import asyncio

from livepeer.client import Client


async def main() -> None:
    async with Client(gateway="http://127.0.0.1:9935") as client:
        print(await client.call("hello", {"name": "Ada"}))


asyncio.run(main())
```

Importing this package loads nothing heavy: each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._direct import OrchestratorTransport
    from ._gateway import GatewayTransport
    from .answer import Answer
    from .client import Client, start_byoc_job
    from .errors import (
        CapabilityUnavailable,
        ClientError,
        ConfigError,
        GatewayError,
        InvalidAnswer,
        InvalidJob,
        InvalidKey,
        JobTimeout,
        MissingExtra,
        NodeUnreachable,
        NoOrchestrator,
        OrchestratorError,
        PaymentRequired,
        RunnerError,
        SignatureRefused,
        StreamCut,
        StreamError,
        StreamLost,
    )
    from .jobs import BYOCJobRequest, Job, SignedJob
    from .payments import FreeOnly, PaymentProvider
    from .signing import LocalSigner, Signer, TokenCredentials
    from .stream import BYOCJob
    from .tokens import JobToken
    from .transport import ChannelURLs, GatewayMediaURLs, JobTransport, StreamHandle

__all__ = [
    "Answer",
    "BYOCJob",
    "BYOCJobRequest",
    "CapabilityUnavailable",
    "ChannelURLs",
    "Client",
    "ClientError",
    "ConfigError",
    "FreeOnly",
    "GatewayError",
    "GatewayMediaURLs",
    "GatewayTransport",
    "InvalidAnswer",
    "InvalidJob",
    "InvalidKey",
    "Job",
    "JobTimeout",
    "JobToken",
    "JobTransport",
    "LocalSigner",
    "MissingExtra",
    "NoOrchestrator",
    "NodeUnreachable",
    "OrchestratorError",
    "OrchestratorTransport",
    "PaymentProvider",
    "PaymentRequired",
    "RunnerError",
    "SignatureRefused",
    "SignedJob",
    "Signer",
    "StreamCut",
    "StreamError",
    "StreamHandle",
    "StreamLost",
    "TokenCredentials",
    "start_byoc_job",
]

_HOME = {
    "Answer": "answer",
    "BYOCJob": "stream",
    "BYOCJobRequest": "jobs",
    "CapabilityUnavailable": "errors",
    "ChannelURLs": "transport",
    "Client": "client",
    "ClientError": "errors",
    "ConfigError": "errors",
    "FreeOnly": "payments",
    "GatewayError": "errors",
    "GatewayMediaURLs": "transport",
    "GatewayTransport": "_gateway",
    "InvalidAnswer": "errors",
    "InvalidJob": "errors",
    "InvalidKey": "errors",
    "Job": "jobs",
    "JobTimeout": "errors",
    "JobToken": "tokens",
    "JobTransport": "transport",
    "LocalSigner": "signing",
    "MissingExtra": "errors",
    "NoOrchestrator": "errors",
    "NodeUnreachable": "errors",
    "OrchestratorError": "errors",
    "OrchestratorTransport": "_direct",
    "PaymentProvider": "payments",
    "PaymentRequired": "errors",
    "RunnerError": "errors",
    "SignatureRefused": "errors",
    "SignedJob": "jobs",
    "Signer": "signing",
    "StreamCut": "errors",
    "StreamError": "errors",
    "StreamHandle": "transport",
    "StreamLost": "errors",
    "TokenCredentials": "signing",
    "start_byoc_job": "client",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
