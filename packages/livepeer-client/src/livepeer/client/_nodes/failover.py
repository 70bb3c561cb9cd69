"""From one orchestrator to the next, until one takes the job; and the error when none does."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    NoOrchestrator,
    PaymentRequiredError,
)

from .node import Node
from .terms import MAX_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from livepeer.client._find.finder import Finder, Probe
    from livepeer.client._find.selection import Offer
    from livepeer.client._net.http import HTTP
    from livepeer.client._sign.signing import Signer
    from livepeer.client._wire.tokens import JobToken

_T = TypeVar("_T")

MAX_NODES: Final = 1024
"""So many orchestrators are remembered, with their terms and what signature they take."""

DEADLINE: Final = 2
"""Once so many times what one orchestrator has for a job have passed, no further one is tried for
it: one that is silent leaves time for another. What was begun goes on to its own end."""


class _TimeIsUp(Exception):
    """No further orchestrator is to be asked."""


class Deadline:
    """The moment from which no further orchestrator is tried; see `DEADLINE`.

    Args:
        attempt_s: Seconds that one has.
    """

    def __init__(self, attempt_s: float) -> None:
        self.seconds = DEADLINE * attempt_s
        self._until = asyncio.get_running_loop().time() + self.seconds

    def check(self, rejections: Sequence[ClientError]) -> None:
        """Let the next one be tried, or not; the first is, however long the search took."""
        if rejections and asyncio.get_running_loop().time() >= self._until:
            raise _TimeIsUp


class Failover:
    """The orchestrators of one client, for one signer.

    The one that took a job of a free capability gets the next as well, without a search, for as
    long as its terms may be used again.

    Args:
        http: The connections.
        finder: Who there is, and in what order.
        signer: Who answers for the jobs.
        terms_ttl_s: For how many seconds the terms of a free capability are used again.
    """

    def __init__(self, http: HTTP, finder: Finder, *, signer: Signer, terms_ttl_s: float) -> None:
        self._http = http
        self._finder = finder
        self._signer = signer
        self._terms_ttl_s = terms_ttl_s
        self._nodes: OrderedDict[str, Node] = OrderedDict()
        self._takers: OrderedDict[str, Node] = OrderedDict()

    def node(self, url: str) -> Node:
        """The orchestrator of a URL, with what was learnt of it."""
        node = self._nodes.get(url)
        if node is None:
            node = Node(self._http, url, signer=self._signer, terms_ttl_s=self._terms_ttl_s)
            self._nodes[url] = node
            if len(self._nodes) > MAX_NODES:
                self._nodes.popitem(last=False)
        return node

    async def first(
        self,
        capability: str,
        attempt: Callable[[Node, JobToken], Awaitable[_T]],
        *,
        attempt_s: float,
        exclude: Collection[str] = frozenset(),
    ) -> _T:
        """What the first orchestrator gives that does not fail in a way another may not.

        Args:
            capability: What is wanted.
            attempt: Has one of them do it, by its terms.
            attempt_s: Seconds that one has; see `DEADLINE`.
            exclude: URLs of those that are not asked.

        Raises:
            NoOrchestrator: Each failed, or each until the time was up; the text says why.
            CapabilityUnavailable: None offers it.
            PaymentRequiredError: None was paid.
            ClientError: The only one failed so, or one of them in a way that all would.
        """
        deadline = Deadline(attempt_s)
        rejections: list[ClientError] = []
        last = self._takers.get(capability)
        token = None if last is None else last.terms.kept(capability)
        if last is not None and token is not None and last.url not in exclude:
            try:
                return await attempt(last, token)
            except ClientError as error:
                if not error.elsewhere:
                    raise
                rejections.append(error)
            exclude = {*exclude, last.url}

        async def probe(url: str, wanted: str) -> JobToken:
            return await self.node(url).terms.get(wanted)

        async def take(offer: Offer) -> _T:
            node = self.node(offer.url)
            taken = await attempt(node, offer.token)
            self._remember(capability, node)
            return taken

        return await first_taker(
            self._finder, capability, probe, take, deadline, rejections, exclude=exclude
        )

    def _remember(self, capability: str, node: Node) -> None:
        self._takers[capability] = node
        self._takers.move_to_end(capability)
        if len(self._takers) > MAX_CAPABILITIES:
            self._takers.popitem(last=False)


async def first_taker(
    finder: Finder,
    capability: str,
    probe: Probe,
    take: Callable[[Offer], Awaitable[_T]],
    deadline: Deadline,
    rejections: list[ClientError],
    *,
    exclude: Collection[str] = frozenset(),
) -> _T:
    """What `take` gives for the first offer, or for the next where that one does not do.

    Args:
        finder: Who there is, and in what order.
        capability: What is wanted.
        probe: Asks one of them for its terms.
        take: Has one of them do it.
        deadline: No further one is tried then.
        rejections: Why others failed before; gets the reasons of these.
        exclude: URLs of those that are not asked.

    Raises:
        ClientError: As for `Failover.first`.
    """

    async def probe_in_time(url: str, wanted: str) -> JobToken:
        deadline.check(rejections)
        return await probe(url, wanted)

    offers = finder.offers(capability, probe_in_time, exclude=exclude, rejections=rejections)
    try:
        async with aclosing(offers):
            async for offer in offers:
                deadline.check(rejections)
                try:
                    return await take(offer)
                except ClientError as error:
                    if not error.elsewhere:
                        raise
                    rejections.append(error)
    except _TimeIsUp:
        raise _too_late(deadline.seconds, rejections) from rejections[-1]
    raise _all_failed(capability, rejections)


def _too_late(seconds: float, rejections: Sequence[ClientError]) -> NoOrchestrator:
    reasons = "; ".join(str(rejection) for rejection in rejections)
    return NoOrchestrator(
        f"after {seconds:g} s, {DEADLINE} times what one has, no further orchestrator was tried:"
        f" {reasons}",
        causes=rejections,
    )


def _all_failed(capability: str, rejections: Sequence[ClientError]) -> ClientError:
    """One error of the reasons of all."""
    if not rejections:
        return NoOrchestrator(f"no orchestrator is left to ask for {capability!r}")
    last = rejections[-1]
    count = len(rejections)
    if count == 1:
        return last
    reasons = "; ".join(str(rejection) for rejection in rejections)
    error: ClientError
    if all(isinstance(rejection, CapabilityUnavailable) for rejection in rejections):
        error = CapabilityUnavailable(
            f"none of {count} orchestrators offers {capability!r} at the moment: {reasons}"
        )
    elif all(isinstance(rejection, PaymentRequiredError) for rejection in rejections):
        error = PaymentRequiredError(f"none of {count} orchestrators was paid: {reasons}")
    else:
        error = NoOrchestrator(
            f"each of {count} orchestrators failed: {reasons}", causes=rejections
        )
    error.__cause__ = last
    return error
