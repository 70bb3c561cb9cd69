"""`livepeer token`: what orchestrators ask for a capability, from the shell."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from ._endings import failed, outcome
from ._network import network_of
from ._options import AsJSON, DirectOptions, Timeout, with_option_groups

if TYPE_CHECKING:
    from livepeer.client import Candidate, ClientError, JobToken

    from ._network import Network


@with_option_groups
def token(
    capability: Annotated[str, typer.Argument(help="The capability's registered name.")],
    *,
    where: DirectOptions,
    timeout: Timeout = 10.0,
    as_json: AsJSON = False,
) -> None:
    """Ask orchestrators for their terms: the price, the sender's balance, the free slots.

    The exit status is 0 when one of them offers the capability, 1 when none does, 2 for a mistake
    in the command.
    """
    with outcome():
        network = network_of(where)
        asked = asyncio.run(_ask(network, capability, timeout))
        if as_json:
            typer.echo(json.dumps([_fields(candidate, terms) for candidate, terms in asked]))
        else:
            for candidate, terms in asked:
                typer.echo(_line(candidate, terms))
        if not any(_offered(terms) for _, terms in asked):
            text = f"none of {len(asked)} orchestrators offers {capability!r} at the moment"
            raise failed(LookupError(text), 1)


async def _ask(
    network: Network, capability: str, timeout_s: float
) -> list[tuple[Candidate, JobToken | ClientError]]:
    from livepeer.client import JobTimeout
    from livepeer.client._net.http import HTTP  # lazy: aiohttp
    from livepeer.client._nodes.terms import Terms
    from livepeer.client._wire.encoding import redact

    from ._asking import ask_all

    try:
        async with HTTP(**network.trust) as http:
            signer = await network.signer()
            # Before the time of an orchestrator runs.
            await signer.token_credentials()
            candidates = await network.source.candidates(capability)

            async def ask(url: str) -> JobToken:
                try:
                    async with asyncio.timeout(timeout_s):
                        return await Terms(http, url, signer, ttl_s=0.0).fetch(capability)
                except JobTimeout:
                    raise
                except TimeoutError as error:
                    raise JobTimeout(
                        f"no answer within {timeout_s:g} s", url=redact(url)
                    ) from error

            return list(zip(candidates, await ask_all(candidates, ask), strict=True))
    finally:
        await network.aclose()


def _offered(terms: JobToken | ClientError) -> bool:
    return not isinstance(terms, Exception) and terms.available_capacity > 0


def _fields(candidate: Candidate, terms: JobToken | ClientError) -> dict[str, object]:
    if isinstance(terms, Exception):
        return {"url": candidate.url, "error": str(terms)}
    return {
        "url": candidate.url,
        "price_per_s": terms.price_per_s,
        "balance": terms.balance,
        "free_slots": terms.available_capacity,
        "service_addr": terms.service_addr,
    }


def _line(candidate: Candidate, terms: JobToken | ClientError) -> str:
    if isinstance(terms, Exception):
        return f"{candidate.url}  failed: {' '.join(str(terms).split())}"
    if not _offered(terms):
        return f"{candidate.url}  not offered, or every slot is taken"
    price = f"{terms.price_per_s} wei per second" if terms.price_per_s else "free"
    return (
        f"{candidate.url}  price: {price}  balance: {terms.balance} wei"
        f"  free slots: {terms.available_capacity}"
    )
