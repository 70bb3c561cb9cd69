"""Orchestrators as a list names them, and what is read of such a list. Pure.

Source: go-livepeer `server/remote_discovery.go`, `discovery/wh_discovery.go`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from livepeer.client.errors import ConfigError, DiscoveryError

from .encoding import base_url, load_json, redact, service_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .encoding import JSONValue


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An orchestrator that may be asked.

    Attributes:
        url: Its address, without a trailing slash.
        score: What the list thinks of it; go-livepeer always says 1.
        capabilities: What it is said to offer, as `pipeline/model`; empty where the list does not
            say. BYOC capabilities are in no list of go-livepeer's.
        runners: Its live runners as listed, unread.
    """

    url: str
    score: float = 1.0
    capabilities: tuple[str, ...] = ()
    runners: tuple[Mapping[str, JSONValue], ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return without_secrets(self)


def with_caps(url: str, caps: Sequence[str]) -> str:
    """`url` with one `caps` for each capability: no server splits them at commas."""
    query = "&".join(f"caps={quote(cap, safe='/')}" for cap in caps)
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def read_list(status: int, body: bytes, *, url: str, caps: Sequence[str] = ()) -> list[Candidate]:
    """The answer of a discovery service. Entries that are none are left out.

    Args:
        status: Of the answer.
        body: A JSON array.
        url: Where it is from, for errors.
        caps: What was asked for. Not every server looks at it: an entry that lists its
            capabilities has to have one of these.

    Raises:
        DiscoveryError: It is no list; `retryable` when there may be one later.
    """
    where = redact(url)
    if status == 503:
        text = "there is no list yet: the service has not heard from its orchestrators"
        raise DiscoveryError(text, url=where, status=status, retryable=True)
    if not 200 <= status < 300:
        hint = "; it was started without discovery, or the path is another" if status == 404 else ""
        raise DiscoveryError(
            f"there is no list: the answer is {status}{hint}",
            url=where,
            status=status,
            retryable=status == 429 or status >= 500,
        )
    try:
        entries = load_json(body)
    except ValueError:
        entries = None
    if not isinstance(entries, list):
        raise DiscoveryError("the list is no JSON array", url=where, status=status)
    wanted = set(caps)
    first: dict[str, Candidate] = {}
    for candidate in filter(None, map(_candidate, entries)):
        first.setdefault(candidate.url, candidate)
    return [
        candidate
        for candidate in first.values()
        if not wanted or not candidate.capabilities or wanted.intersection(candidate.capabilities)
    ]


def _score(score: JSONValue) -> float:
    try:
        number = float(score) if isinstance(score, int | float) else 1.0
    except OverflowError:
        return 1.0
    return number if math.isfinite(number) else 1.0


def _candidate(entry: JSONValue) -> Candidate | None:
    if not isinstance(entry, dict):
        return None
    address, score = entry.get("address"), entry.get("score")
    capabilities, runners = entry.get("capabilities"), entry.get("runners")
    if not isinstance(address, str):
        return None
    try:
        url = base_url(service_url(address, "address"), "address")
    except ConfigError:
        return None
    return Candidate(
        url=url,
        score=_score(score),
        capabilities=tuple(c for c in capabilities if isinstance(c, str))
        if isinstance(capabilities, list)
        else (),
        runners=tuple(r for r in runners if isinstance(r, dict))
        if isinstance(runners, list)
        else (),
    )
