"""Who there is to ask: orchestrators from a list, a discovery URL, or a remote signer.

Source: go-livepeer `discovery/wh_discovery.go`, `server/remote_discovery.go`. Every entry is a
hint: lists are up to half an hour old, and prices and capacities in them are older.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._wire.candidates import Candidate, read_list, with_caps
from livepeer.client._wire.capabilities import (
    CapabilityId,
    find_capability_query,
    parse_capability_queries,
)
from livepeer.client._wire.encoding import base_url, redact, service_url
from livepeer.client.errors import ClientError, ConfigError, DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
REFRESH_S: Final = 60.0
MAX_LIST_BYTES: Final = 16 * 1024 * 1024
MAX_LISTS: Final = 64


class OrchestratorSource(Protocol):
    """Names the orchestrators that may be asked."""

    async def candidates(self, capability: str | None) -> Sequence[Candidate]:
        """Those that may offer a capability: a BYOC name or `pipeline/model`; None for all.

        Raises:
            DiscoveryError: There is no list at the moment.
        """
        ...


class Discovers(Protocol):
    """What `SignerSource` needs of a remote signer."""

    async def discover(self, caps: Sequence[str]) -> Sequence[Candidate]:
        """The orchestrators that the signer knows for any of `caps`, each `pipeline/model`."""
        ...


class ListSource:
    """The orchestrators that the caller names, in this order.

    Args:
        urls: Their URLs.

    Raises:
        ConfigError: There is none, or one is no URL.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        if isinstance(urls, str):
            urls = (urls,)
        if not urls:
            raise ConfigError("`orchestrators` must name at least one URL")
        self._candidates = tuple(
            Candidate(url=url) for url in dict.fromkeys(base_url(u, "orchestrators") for u in urls)
        )

    async def candidates(self, capability: str | None) -> Sequence[Candidate]:  # noqa: ARG002 - whoever is named is asked
        """All of them, whatever the capability."""
        return self._candidates

    def __repr__(self) -> str:
        return f"<ListSource of {', '.join(redact(each.url) for each in self._candidates)}>"


@dataclass(kw_only=True)
class _Kept:
    """The last list for some capabilities."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    fetched: float = -math.inf
    candidates: Sequence[Candidate] = ()


class _Refreshed(ABC):
    """Lists that are fetched again now and then, once however many ask for them.

    As in go-livepeer's gateway, a list that cannot be renewed is used further on.
    """

    def __init__(self, refresh_s: float) -> None:
        if refresh_s < 0:
            raise ConfigError(f"`refresh_s` must not be negative, not {refresh_s!r}")
        self._refresh_s = refresh_s
        self._lists: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    async def candidates(self, capability: str | None) -> Sequence[Candidate]:
        """Those that may offer a capability: a BYOC name or `pipeline/model`; None for all.

        BYOC capabilities are in no list, so that all orchestrators may offer one.

        Raises:
            DiscoveryError: There is no list, and there was none before.
        """
        query = None if capability is None else find_capability_query(capability)
        if query is None or query.id is CapabilityId.BYOC:
            return await self.discover()
        return await self.discover([str(query)])

    async def discover(self, caps: Sequence[str] = ()) -> Sequence[Candidate]:
        """The orchestrators for any of `caps`, each `pipeline/model`; for none, all of them.

        Raises:
            DiscoveryError: There is no list, and there was none before.
            ConfigError: One of `caps` is no `pipeline/model`.
        """
        wanted = tuple(str(query) for query in parse_capability_queries(caps))
        kept = self._lists.setdefault(wanted, _Kept())
        self._lists.move_to_end(wanted)
        if len(self._lists) > MAX_LISTS:
            self._lists.popitem(last=False)
        loop = asyncio.get_running_loop()
        async with kept.lock:
            if loop.time() - kept.fetched < self._refresh_s:
                return kept.candidates
            try:
                kept.candidates = await self._fetch(wanted)
            except ClientError as error:
                if kept.fetched == -math.inf:
                    raise
                _log.warning("the list of orchestrators is not renewed: %s", error)
            # After a failure as well: not every call is to wait for the next one.
            kept.fetched = loop.time()
            return kept.candidates

    @abstractmethod
    async def _fetch(self, caps: Sequence[str]) -> Sequence[Candidate]: ...


class DiscoveryURL(_Refreshed):
    """The orchestrators that a discovery service or a webhook lists.

    Its certificate is always verified. An orchestrator's own `/discovery` has the same form.

    Args:
        url: Where the list is; https when there is no scheme.
        headers: Sent there and nowhere else, for instance a bearer token.
        timeout_s: Seconds for one list.
        refresh_s: Seconds that a list is used.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        refresh_s: float = REFRESH_S,
    ) -> None:
        super().__init__(refresh_s)
        if timeout_s <= 0:
            raise ConfigError(f"`timeout_s` must be more than 0, not {timeout_s!r}")
        self._url = service_url(url, "discovery")
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s

    async def _fetch(self, caps: Sequence[str]) -> Sequence[Candidate]:
        from livepeer.client._net.http import HTTP  # lazy: aiohttp

        url = with_caps(self._url, caps)
        try:
            async with HTTP(use_tofu=False, max_answer_bytes=MAX_LIST_BYTES) as http:
                reply = await http.exchange(
                    "GET", url, headers=self._headers, timeout_s=self._timeout_s
                )
        except ClientError as error:
            failed = DiscoveryError(f"there is no list: {error}", retryable=error.retryable)
            # In the text already.
            failed.url = error.url
            raise failed from error
        return read_list(reply.status, reply.body, url=url, caps=caps)

    def __repr__(self) -> str:
        return f"<DiscoveryURL {redact(self._url)}>"


class SignerSource(_Refreshed):
    """The orchestrators that a remote signer lists, where it was started with discovery.

    Args:
        signer: The signer.
        refresh_s: Seconds that a list is used.
    """

    def __init__(self, signer: Discovers, *, refresh_s: float = REFRESH_S) -> None:
        super().__init__(refresh_s)
        self._signer = signer

    async def _fetch(self, caps: Sequence[str]) -> Sequence[Candidate]:
        return await self._signer.discover(caps)

    def __repr__(self) -> str:
        return f"<SignerSource {self._signer!r}>"
