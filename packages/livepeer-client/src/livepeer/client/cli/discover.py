"""`livepeer discover`: which orchestrators there are and what they offer, from the shell."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ._endings import failed, outcome
from ._network import network_of
from ._options import AsJSON, DirectOptions, Timeout, with_option_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.client import Candidate, ClientError, OrchestratorInfo, OrchestratorSource
    from livepeer.client._wire.capabilities import CapabilityQuery

    from ._network import Network


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One orchestrator as it is printed.

    Attributes:
        candidate: As it is listed.
        offers: What it offers, by name; None when it was not asked.
        error: Why it did not answer.
    """

    candidate: Candidate
    offers: dict[str, dict[str, int]] | None = None
    error: str | None = None


@with_option_groups
def discover(
    *,
    where: DirectOptions,
    caps: Annotated[
        list[str] | None,
        typer.Option(
            "--caps",
            metavar="PIPELINE/MODEL",
            help="Only who offers one of these; give it several times, or with commas between."
            " A capability of one's own is byoc/NAME.",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--listed", help="Only print the list; ask no orchestrator.")
    ] = False,
    timeout: Timeout = 10.0,
    as_json: AsJSON = False,
) -> None:
    """List orchestrators, and ask each by gRPC what it offers and at what price.

    The exit status is 0 when there is one, 1 when there is none or the list cannot be had, 2 for a
    mistake in the command.
    """
    # Before the library is loaded: it writes to standard error by itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with outcome():
        network = network_of(where)
        queries = _queries(caps or (), listed=listed)
        rows = asyncio.run(_rows(network, queries, timeout, listed=listed))
        if as_json:
            typer.echo(json.dumps([_fields(row) for row in rows]))
        else:
            for row in rows:
                for line in _lines(row):
                    typer.echo(line)
        if all(row.error is not None for row in rows):
            text = "no orchestrator answered" if rows else "there is no such orchestrator"
            if rows and queries:
                text += " with such an offer"
            raise failed(LookupError(text), 1)


def _queries(caps: Sequence[str], *, listed: bool) -> Sequence[CapabilityQuery]:
    from livepeer.client import CapabilityId, ConfigError
    from livepeer.client._wire.capabilities import parse_capability_queries

    queries = parse_capability_queries(caps)
    if listed and any(query.id is CapabilityId.BYOC for query in queries):
        raise ConfigError("byoc capabilities are in no list; leave --listed out")
    return queries


async def _rows(
    network: Network, queries: Sequence[CapabilityQuery], timeout_s: float, *, listed: bool
) -> list[_Row]:
    from livepeer.client import get_orchestrator_info

    from ._asking import ask_all

    try:
        candidates = await _listed(network.source, queries)
        if listed:
            return [_Row(candidate=candidate) for candidate in candidates]
        signer = await network.signer()
        await signer.token_credentials()

        async def ask(url: str) -> OrchestratorInfo:
            return await get_orchestrator_info(
                url, signer=signer, timeout_s=timeout_s, **network.trust
            )

        answers = zip(candidates, await ask_all(candidates, ask), strict=True)
    finally:
        await network.aclose()
    wanted = {str(query) for query in queries}
    rows = [_row(candidate, answer, wanted) for candidate, answer in answers]
    return [row for row in rows if row.error is not None or row.offers or not wanted]


async def _listed(
    source: OrchestratorSource, queries: Sequence[CapabilityQuery]
) -> Sequence[Candidate]:
    from livepeer.client import CapabilityId, DiscoveryURL, SignerSource

    if not isinstance(source, DiscoveryURL | SignerSource):
        return await source.candidates(None)
    if any(query.id is CapabilityId.BYOC for query in queries):
        return await source.discover()
    return await source.discover([str(query) for query in queries])


def _row(candidate: Candidate, answer: OrchestratorInfo | ClientError, wanted: set[str]) -> _Row:
    if isinstance(answer, Exception):
        return _Row(candidate=candidate, error=" ".join(str(answer).split()))
    offers: dict[str, dict[str, int]] = {}
    for offer in answer.offers:
        offers[_name(offer.id, offer.model)] = {"idle": offer.idle, "busy": offer.busy}
    for price in answer.prices:
        fields = offers.setdefault(_name(price.id, price.model), {})
        fields |= {"wei": price.wei, "units": price.units}
    kept = {name: offers[name] for name in sorted(offers) if not wanted or name in wanted}
    return _Row(candidate=candidate, offers=kept)


def _name(id: int, model: str) -> str:
    from livepeer.client import CapabilityId

    known = id in CapabilityId.__members__.values()
    return f"{CapabilityId(id).pipeline if known else id}/{model}"


def _fields(row: _Row) -> dict[str, object]:
    fields: dict[str, object] = {
        "url": row.candidate.url,
        "score": row.candidate.score,
        "capabilities": list(row.candidate.capabilities),
    }
    if row.offers is not None:
        fields["offers"] = [{"capability": name, **row.offers[name]} for name in row.offers]
    if row.error is not None:
        fields["error"] = row.error
    return fields


def _lines(row: _Row) -> list[str]:
    if row.error is not None:
        return [f"{row.candidate.url}  failed: {row.error}"]
    if row.offers is None:
        return [row.candidate.url, *(f"  {name}" for name in row.candidate.capabilities)]
    return [
        row.candidate.url,
        *(f"  {name}  {_said(name, row.offers[name])}" for name in row.offers),
    ]


def _said(name: str, offer: dict[str, int]) -> str:
    said: list[str] = []
    if "wei" in offer:
        unit = "second" if name.startswith("byoc/") else "pixel"
        units = offer["units"]
        per = unit if units == 1 else f"{units} {unit}s"
        said.append(f"{offer['wei']} wei per {per}" if offer["wei"] else "free")
    if "idle" in offer:
        said.append(f"{offer['idle']} idle, {offer['busy']} busy")
    return ", ".join(said)
