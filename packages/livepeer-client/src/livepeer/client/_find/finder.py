"""Orchestrators for one call: whom to ask, how many at a time, and what the last search found."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    ConfigError,
    InvalidJob,
    InvalidKey,
    JobTimeout,
    MissingExtra,
    NodeUnreachable,
    SignerError,
)
from livepeer.trickle.aio import cancel_and_wait

from .discovery import ListSource
from .selection import Offer, balanced, in_order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence

    from livepeer.client._wire.candidates import Candidate
    from livepeer.client._wire.tokens import JobToken

    from .discovery import OrchestratorSource
    from .selection import SelectionPolicy

PARALLEL: Final = 5
PROBE_TIMEOUT_S: Final = 5.0
SEARCH_S: Final = 1.0
MAX_CANDIDATES: Final = 50
REMEMBER_S: Final = 30.0
AVOID_S: Final = 30.0
MAX_REMEMBERED: Final = 256

# No orchestrator's fault, and the next one would meet with the same.
_OURS: Final = (ConfigError, InvalidJob, InvalidKey, MissingExtra, SignerError)

Probe: TypeAlias = "Callable[[str, str], Awaitable[JobToken]]"
"""Asks an orchestrator, by its URL, for its terms for a capability."""


@dataclass(kw_only=True)
class _Call:
    """One call's way through the orchestrators."""

    capability: str
    probe: Probe
    rejections: list[ClientError]
    excluded: frozenset[str]
    asked: set[str] = field(default_factory=set[str])


@dataclass(kw_only=True)
class _Search:
    """What the last search for a capability came to."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: float = float("-inf")
    order: tuple[Candidate, ...] = ()
    asked: frozenset[str] = frozenset()
    rejections: tuple[ClientError, ...] = ()


class Finder:
    """Finds orchestrators for a capability, one after the other, the best first.

    With `in_order` one is asked when the one before it did not do. With any other policy several
    are asked side by side, and what they offer is sorted; that order is used again for a while, so
    that not every call asks everyone. Calls that come meanwhile wait for that one search.

    Args:
        source: Names the orchestrators.
        policy: Sorts what they offer; by default `in_order` for a `ListSource`, else `balanced`.
        parallel: How many are asked at the same time.
        probe_timeout_s: Seconds that each has to tell its terms.
        search_s: Once somebody offers it, the rest are waited for no longer than this. They are
            asked again when none of those found takes the job.
        max_candidates: How many are asked for one call at the most.
        remember_s: Seconds that the order of a search is used again; 0 for a search each call.
        avoid_s: Seconds for which one that could not be reached is asked last.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        source: OrchestratorSource,
        *,
        policy: SelectionPolicy | None = None,
        parallel: int = PARALLEL,
        probe_timeout_s: float = PROBE_TIMEOUT_S,
        search_s: float = SEARCH_S,
        max_candidates: int = MAX_CANDIDATES,
        remember_s: float = REMEMBER_S,
        avoid_s: float = AVOID_S,
    ) -> None:
        for name, value in (("parallel", parallel), ("max_candidates", max_candidates)):
            if value < 1:
                raise ConfigError(f"`{name}` must be at least 1, not {value!r}")
        for name, seconds in (("probe_timeout_s", probe_timeout_s), ("search_s", search_s)):
            if seconds <= 0:
                raise ConfigError(f"`{name}` must be more than 0, not {seconds!r}")
        self._source = source
        self._policy = policy or (in_order if isinstance(source, ListSource) else balanced)
        self._parallel = parallel
        self._probe_timeout_s = probe_timeout_s
        self._search_s = search_s
        self._max_candidates = max_candidates
        self._remember_s = remember_s
        self._avoid_s = avoid_s
        self._avoided: dict[str, float] = {}
        self._searches: OrderedDict[str, _Search] = OrderedDict()

    async def offers(
        self,
        capability: str,
        probe: Probe,
        *,
        exclude: Collection[str] = frozenset(),
        rejections: list[ClientError],
    ) -> AsyncGenerator[Offer]:
        """Orchestrators with a slot for the capability, each at most once.

        Close the generator when one of them took the job.

        Args:
            capability: A BYOC name or `pipeline/model`.
            probe: Asks an orchestrator for its terms.
            exclude: URLs that are not asked.
            rejections: Gets the reason of each that was asked in vain.

        Raises:
            DiscoveryError: There is no list of orchestrators.
            ClientError: What `probe` raises that is no orchestrator's fault, such as a signer's.
        """
        call = _Call(
            capability=capability,
            probe=probe,
            rejections=rejections,
            excluded=frozenset(exclude),
        )
        if self._policy is in_order:
            order: Sequence[Candidate] = await self._unasked(call)
        else:
            found, order = await self._searched(call)
            for offer in found:
                yield offer
        for candidate in order:
            offered = await self._ask(call, candidate)
            if offered is not None:
                yield offered
        # None of them took it. Those that a search did not wait for are asked now.
        while rest := await self._unasked(call):
            for offer in await self._round(call, rest):
                yield offer

    async def _unasked(self, call: _Call) -> list[Candidate]:
        listed = await self._source.candidates(call.capability)
        considered = [c for c in listed if c.url not in call.excluded][: self._max_candidates]
        now = asyncio.get_running_loop().time()
        self._avoided = {url: until for url, until in self._avoided.items() if until > now}
        unasked = [candidate for candidate in considered if candidate.url not in call.asked]
        return sorted(unasked, key=lambda candidate: candidate.url in self._avoided)

    async def _searched(self, call: _Call) -> tuple[Sequence[Offer], Sequence[Candidate]]:
        """What a search finds now, or the order in which an earlier one found it."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        search = self._remembered(call.capability)
        if call.excluded:
            order = search.order if came - search.ended < self._remember_s else ()
            kept = [candidate for candidate in order if candidate.url not in call.excluded]
            return ((), kept) if kept else (await self._round(call, await self._unasked(call)), ())
        async with search.lock:
            if came <= search.ended:
                # It went on while we waited, and what it came to is ours as well.
                call.rejections.extend(search.rejections)
                call.asked.update(search.asked.difference(c.url for c in search.order))
                return (), search.order
            if search.order and loop.time() - search.ended < self._remember_s:
                return (), search.order
            candidates = await self._unasked(call)
            found = await self._round(call, candidates)
            by_url = {candidate.url: candidate for candidate in candidates}
            search.order = tuple(by_url[offer.url] for offer in found)
            search.asked = frozenset(call.asked)
            search.rejections = tuple(call.rejections)
            search.ended = loop.time()
        return found, ()

    def _remembered(self, capability: str) -> _Search:
        search = self._searches.setdefault(capability, _Search())
        self._searches.move_to_end(capability)
        if len(self._searches) > MAX_REMEMBERED:
            self._searches.popitem(last=False)
        return search

    async def _round(self, call: _Call, candidates: Sequence[Candidate]) -> Sequence[Offer]:
        """Ask side by side until all have answered, or for so long as is worth it; sorted."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._search_s
        waiting = list(reversed(candidates))
        running: set[asyncio.Task[Offer | None]] = set()
        started: list[asyncio.Task[Offer | None]] = []
        offers: list[Offer] = []
        try:
            while (waiting or running) and not (offers and loop.time() >= until):
                while waiting and len(running) < self._parallel:
                    started.append(asyncio.create_task(self._ask(call, waiting.pop())))
                    running.add(started[-1])
                timeout_s = max(0.0, until - loop.time()) if offers else None
                done, running = await asyncio.wait(
                    running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    offer = await task
                    if offer is not None:
                        offers.append(offer)
        finally:
            await cancel_and_wait(*started)
        # As they were listed, not as they happened to answer: a policy may keep that order.
        places = {candidate.url: place for place, candidate in enumerate(candidates)}
        offers.sort(key=lambda offer: places[offer.url])
        return self._sorted(call, offers)

    def _sorted(self, call: _Call, offers: Sequence[Offer]) -> Sequence[Offer]:
        chosen = list(self._policy(offers))
        kept = {offer.url for offer in chosen}
        call.rejections += [
            CapabilityUnavailable("the selection policy leaves it out", url=redact(offer.url))
            for offer in offers
            if offer.url not in kept
        ]
        return chosen

    async def _ask(self, call: _Call, candidate: Candidate) -> Offer | None:
        """What one offers; None, and the reason among the rejections, when that is nothing."""
        if candidate.url in call.asked:
            return None
        loop = asyncio.get_running_loop()
        began = loop.time()
        error: ClientError
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                token = await call.probe(candidate.url, call.capability)
        except _OURS:
            raise
        except ClientError as failure:
            error = failure
        except TimeoutError:
            error = JobTimeout(
                f"it did not tell its terms within {self._probe_timeout_s:g} s",
                url=redact(candidate.url),
            )
        else:
            call.asked.add(candidate.url)
            if token.available_capacity > 0:
                return Offer(
                    url=candidate.url,
                    token=token,
                    latency_s=loop.time() - began,
                    score=candidate.score,
                )
            error = CapabilityUnavailable(
                f"capability {call.capability!r} is not offered, or every slot is taken",
                url=redact(candidate.url),
            )
        call.asked.add(candidate.url)
        call.rejections.append(error)
        if isinstance(error, JobTimeout | NodeUnreachable):
            self._avoided[candidate.url] = loop.time() + self._avoid_s
        return None
