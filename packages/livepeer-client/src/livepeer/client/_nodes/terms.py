"""What one orchestrator asks for its capabilities, kept for a short time where it is nothing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from livepeer.client._answers.refusals import read_refusal
from livepeer.client._wire.encoding import CAPABILITY, ETH_ADDRESS, redact
from livepeer.client._wire.tokens import parse_token
from livepeer.client.errors import JobTimeout, OrchestratorError

if TYPE_CHECKING:
    from livepeer.client._net.http import HTTP
    from livepeer.client._sign.signing import Signer
    from livepeer.client._wire.tokens import JobToken

TERMS_TTL_S: Final = 10.0
"""The terms of a free capability are used again for so long, and a call is one request then. An
orchestrator that has no slot any more says so when it gets the job."""

TERMS_TIMEOUT_S: Final = 5.0
"""For all of one answer; as long as a search waits for each orchestrator."""

MAX_CAPABILITIES: Final = 1024

_NO_TERMS: Final = (
    "there is no such route, so it is no orchestrator: a gateway's URL goes to `gateway=` (in a"
    " shell: --gateway), and a runner is called by its orchestrator's"
)

_NEVER: Final = float("-inf")


@dataclass
class _Known:
    """What is known of a capability.

    Attributes:
        priced: It had a price the last time: its terms are for one payment, and never shared.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: JobToken | None = None
    came: float = _NEVER
    until: float = _NEVER
    priced: bool = False

    def kept(self) -> JobToken | None:
        """The terms, while they may be used again."""
        return self.token if self.until > asyncio.get_running_loop().time() else None

    def since(self, moment: float) -> JobToken | None:
        """The terms, if they came at this moment or later."""
        return self.token if self.came >= moment else None


class Terms:
    """The terms of one orchestrator for one signer.

    Args:
        http: The connections.
        node_url: The orchestrator.
        signer: Whose terms.
        ttl_s: For how many seconds the terms of a free capability are used again.
    """

    def __init__(self, http: HTTP, node_url: str, signer: Signer, *, ttl_s: float) -> None:
        self._http = http
        self._node_url = node_url
        self._signer = signer
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def get(self, capability: str) -> JobToken:
        """The terms for a capability; those who ask at the same time share them if it is free.

        Raises:
            ClientError: The orchestrator does not tell.
        """
        known = self._of(capability)
        if (token := known.kept()) is not None:
            return token
        came = asyncio.get_running_loop().time()
        if not known.priced:
            async with known.lock:
                # Of those that waited, each asks for itself when there turned out to be a price.
                if not known.priced:
                    return known.since(came) or await self.fetch(capability)
        return await self.fetch(capability)

    def kept(self, capability: str) -> JobToken | None:
        """The terms for a free capability, while they may be used again."""
        known = self._known.get(capability)
        return None if known is None else known.kept()

    async def fetch(self, capability: str) -> JobToken:
        """The terms of this moment, with what a payment needs of them.

        Raises:
            ClientError: The orchestrator does not tell.
        """
        credentials = await self._signer.token_credentials()
        url = f"{self._node_url}/process/token"
        where = redact(url)
        try:
            async with asyncio.timeout(TERMS_TIMEOUT_S):
                reply = await self._http.exchange(
                    "GET",
                    url,
                    headers={ETH_ADDRESS: credentials.header(), CAPABILITY: capability},
                    timeout_s=TERMS_TIMEOUT_S,
                )
        except TimeoutError as error:
            raise JobTimeout(
                f"it did not tell its terms within {TERMS_TIMEOUT_S:g} s", url=where
            ) from error
        if reply.status == 404:
            raise OrchestratorError(_NO_TERMS, url=where, status=404)
        if reply.status != 200:
            raise read_refusal(
                reply.status, reply.body, url=where, node=OrchestratorError, runner=False
            ).error
        token = parse_token(reply.body, redact(self._node_url))
        known = self._of(capability)
        known.priced = token.price_per_s > 0
        known.token = token
        known.came = asyncio.get_running_loop().time()
        keep = token.available_capacity > 0 and not known.priced
        known.until = known.came + self._ttl_s if keep else _NEVER
        return token

    def forget(self, capability: str) -> None:
        """Use what is known of a capability no more: its orchestrator did not take a job."""
        known = self._known.get(capability)
        if known is not None:
            known.until = _NEVER

    def _of(self, capability: str) -> _Known:
        known = self._known.get(capability)
        if known is None:
            known = self._known[capability] = _Known()
            if len(self._known) > MAX_CAPABILITIES:
                self._known.popitem(last=False)
        return known
