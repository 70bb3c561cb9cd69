"""The options of a client and of a call, for whatever passes them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._body.payload import Files
    from ._body.progress import OnProgress
    from ._find.access import AccessToken
    from ._find.discovery import OrchestratorSource
    from ._find.selection import SelectionPolicy
    from ._net.trust import TrustStore
    from ._pay.payments import PaymentProvider
    from ._sign.signing import Signer


class ClientOptions(TypedDict, total=False):
    """What `Client` takes; it is described there."""

    gateway: str | None
    orchestrators: Sequence[str]
    discovery: str | OrchestratorSource | None
    discovery_headers: Mapping[str, str] | None
    signer: Signer | str | None
    signer_headers: Mapping[str, str] | None
    access_token: str | AccessToken | None
    payments: PaymentProvider | None
    max_price_per_s: int | None
    max_spend: int | None
    selection: SelectionPolicy | None
    use_tofu: bool
    trust: TrustStore | None
    verify_tls: bool
    keep_alive_s: float
    max_answer_bytes: int


class CallOptions(TypedDict, total=False):
    """What `Client.call` and its like take besides; it is described there."""

    timeout_s: int
    files: Files | None
    content_type: str | None
    on_progress: OnProgress | None
    at_most_once: bool
