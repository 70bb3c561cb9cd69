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
    from ._answers.answer import Answer
    from ._body.payload import FileInput, Files
    from ._body.progress import CallProgress
    from ._find.access import AccessToken, parse_access_token
    from ._find.discovery import DiscoveryURL, ListSource, OrchestratorSource, SignerSource
    from ._find.finder import Finder
    from ._find.orchestrator_info import CapabilityPrice, OrchestratorInfo, get_orchestrator_info
    from ._find.selection import (
        Offer,
        SelectionPolicy,
        balanced,
        by_latency,
        by_price,
        by_score,
        in_order,
    )
    from ._net.trust import TrustStore
    from ._nodes.direct import OrchestratorTransport
    from ._nodes.gateway import GatewayTransport
    from ._nodes.transport import ChannelURLs, GatewayMediaURLs, JobTransport, StreamHandle
    from ._pay.byoc import BYOCPaymentSession, RemotePayments
    from ._pay.lv2v import LV2VPaymentSession
    from ._pay.own_key import TicketPayments
    from ._pay.payments import FreeOnly, Payment, PaymentProvider, PaymentSession
    from ._pay.spending import SpendingLimits
    from ._sign.remote import LivePayment, RemoteSigner
    from ._sign.signing import LocalSigner, Signer, TokenCredentials
    from ._streams.byoc import BYOCJob
    from ._streams.ends import EndReason, Reconnect, Reconnected, StreamEnd, StreamSettings
    from ._streams.lv2v import LV2VJob, start_lv2v
    from ._streams.session import StreamSession
    from ._wire.candidates import Candidate
    from ._wire.capabilities import (
        CapabilityId,
        build_capabilities_from_queries,
        capability_id_from_pipeline,
    )
    from ._wire.encoding import JSONValue
    from ._wire.jobs import BYOCJobRequest, Job, SignedJob
    from ._wire.runners import ListedRunner, find_runners
    from ._wire.tokens import JobToken
    from .capability import Capability
    from .client import Client, start_byoc_job
    from .errors import (
        CapabilityUnavailable,
        CertificateChanged,
        ClientError,
        ConfigError,
        DiscoveryError,
        GatewayError,
        InvalidAnswer,
        InvalidJob,
        InvalidKey,
        JobTimeout,
        MissingExtra,
        NodeUnreachable,
        NoOrchestrator,
        NothingDue,
        OrchestratorError,
        PaymentRequiredError,
        PriceTooHigh,
        RunnerError,
        SignatureRefused,
        SignerError,
        SignerRefused,
        SignerUnavailable,
        SpendLimit,
        StreamCut,
        StreamError,
        StreamLost,
        TermsExpired,
    )
    from .options import CallOptions, ClientOptions
    from .sync import SyncAnswer, SyncBYOCJob, SyncClient


__all__ = [
    "AccessToken",
    "Answer",
    "BYOCJob",
    "BYOCJobRequest",
    "BYOCPaymentSession",
    "CallOptions",
    "CallProgress",
    "Candidate",
    "Capability",
    "CapabilityId",
    "CapabilityPrice",
    "CapabilityUnavailable",
    "CertificateChanged",
    "ChannelURLs",
    "Client",
    "ClientError",
    "ClientOptions",
    "ConfigError",
    "DiscoveryError",
    "DiscoveryURL",
    "EndReason",
    "FileInput",
    "Files",
    "Finder",
    "FreeOnly",
    "GatewayError",
    "GatewayMediaURLs",
    "GatewayTransport",
    "InvalidAnswer",
    "InvalidJob",
    "InvalidKey",
    "JSONValue",
    "Job",
    "JobTimeout",
    "JobToken",
    "JobTransport",
    "LV2VJob",
    "LV2VPaymentSession",
    "ListSource",
    "ListedRunner",
    "LivePayment",
    "LocalSigner",
    "MissingExtra",
    "NoOrchestrator",
    "NodeUnreachable",
    "NothingDue",
    "Offer",
    "OrchestratorError",
    "OrchestratorInfo",
    "OrchestratorSource",
    "OrchestratorTransport",
    "Payment",
    "PaymentProvider",
    "PaymentRequiredError",
    "PaymentSession",
    "PriceTooHigh",
    "Reconnect",
    "Reconnected",
    "RemotePayments",
    "RemoteSigner",
    "RunnerError",
    "SelectionPolicy",
    "SignatureRefused",
    "SignedJob",
    "Signer",
    "SignerError",
    "SignerRefused",
    "SignerSource",
    "SignerUnavailable",
    "SpendLimit",
    "SpendingLimits",
    "StreamCut",
    "StreamEnd",
    "StreamError",
    "StreamHandle",
    "StreamLost",
    "StreamSession",
    "StreamSettings",
    "SyncAnswer",
    "SyncBYOCJob",
    "SyncClient",
    "TermsExpired",
    "TicketPayments",
    "TokenCredentials",
    "TrustStore",
    "balanced",
    "build_capabilities_from_queries",
    "by_latency",
    "by_price",
    "by_score",
    "capability_id_from_pipeline",
    "find_runners",
    "get_orchestrator_info",
    "in_order",
    "parse_access_token",
    "start_byoc_job",
    "start_lv2v",
]

_HOME = {
    "AccessToken": "_find.access",
    "Answer": "_answers.answer",
    "BYOCJob": "_streams.byoc",
    "BYOCJobRequest": "_wire.jobs",
    "BYOCPaymentSession": "_pay.byoc",
    "CallOptions": "options",
    "CallProgress": "_body.progress",
    "Candidate": "_wire.candidates",
    "Capability": "capability",
    "CapabilityId": "_wire.capabilities",
    "CapabilityPrice": "_find.orchestrator_info",
    "CapabilityUnavailable": "errors",
    "CertificateChanged": "errors",
    "ChannelURLs": "_nodes.transport",
    "Client": "client",
    "ClientError": "errors",
    "ClientOptions": "options",
    "ConfigError": "errors",
    "DiscoveryError": "errors",
    "DiscoveryURL": "_find.discovery",
    "EndReason": "_streams.ends",
    "FileInput": "_body.payload",
    "Files": "_body.payload",
    "Finder": "_find.finder",
    "FreeOnly": "_pay.payments",
    "GatewayError": "errors",
    "GatewayMediaURLs": "_nodes.transport",
    "GatewayTransport": "_nodes.gateway",
    "InvalidAnswer": "errors",
    "InvalidJob": "errors",
    "InvalidKey": "errors",
    "JSONValue": "_wire.encoding",
    "Job": "_wire.jobs",
    "JobTimeout": "errors",
    "JobToken": "_wire.tokens",
    "JobTransport": "_nodes.transport",
    "LV2VJob": "_streams.lv2v",
    "LV2VPaymentSession": "_pay.lv2v",
    "ListSource": "_find.discovery",
    "ListedRunner": "_wire.runners",
    "LivePayment": "_sign.remote",
    "LocalSigner": "_sign.signing",
    "MissingExtra": "errors",
    "NoOrchestrator": "errors",
    "NodeUnreachable": "errors",
    "NothingDue": "errors",
    "Offer": "_find.selection",
    "OrchestratorError": "errors",
    "OrchestratorInfo": "_find.orchestrator_info",
    "OrchestratorSource": "_find.discovery",
    "OrchestratorTransport": "_nodes.direct",
    "Payment": "_pay.payments",
    "PaymentProvider": "_pay.payments",
    "PaymentRequiredError": "errors",
    "PaymentSession": "_pay.payments",
    "PriceTooHigh": "errors",
    "Reconnect": "_streams.ends",
    "Reconnected": "_streams.ends",
    "RemotePayments": "_pay.byoc",
    "RemoteSigner": "_sign.remote",
    "RunnerError": "errors",
    "SelectionPolicy": "_find.selection",
    "SignatureRefused": "errors",
    "SignedJob": "_wire.jobs",
    "Signer": "_sign.signing",
    "SignerError": "errors",
    "SignerRefused": "errors",
    "SignerSource": "_find.discovery",
    "SignerUnavailable": "errors",
    "SpendLimit": "errors",
    "SpendingLimits": "_pay.spending",
    "StreamCut": "errors",
    "StreamEnd": "_streams.ends",
    "StreamError": "errors",
    "StreamHandle": "_nodes.transport",
    "StreamLost": "errors",
    "StreamSession": "_streams.session",
    "StreamSettings": "_streams.ends",
    "SyncAnswer": "sync",
    "SyncBYOCJob": "sync",
    "SyncClient": "sync",
    "TermsExpired": "errors",
    "TicketPayments": "_pay.own_key",
    "TokenCredentials": "_sign.signing",
    "TrustStore": "_net.trust",
    "balanced": "_find.selection",
    "build_capabilities_from_queries": "_wire.capabilities",
    "by_latency": "_find.selection",
    "by_price": "_find.selection",
    "by_score": "_find.selection",
    "capability_id_from_pipeline": "_wire.capabilities",
    "find_runners": "_wire.runners",
    "get_orchestrator_info": "_find.orchestrator_info",
    "in_order": "_find.selection",
    "parse_access_token": "_find.access",
    "start_byoc_job": "client",
    "start_lv2v": "_streams.lv2v",
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
