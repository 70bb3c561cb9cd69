"""The work of `livepeer trickle ls`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import typer

from livepeer.trickle._http import trickle_session
from livepeer.trickle.errors import ChannelNotFound, ChannelRefused

from ._ask import Listed, ask_edge, ask_listing

if TYPE_CHECKING:
    import aiohttp


async def show(url: str, *, as_json: bool, verify_tls: bool) -> None:
    """Print what there is.

    Raises:
        TrickleError: There is nothing, or the server cannot be asked.
    """
    async with trickle_session(verify_tls=verify_tls) as session:
        channels = await ask_listing(session, url)
        if channels is None:
            name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
            channels = [Listed(name, await _ask_channel(session, url))]
    if as_json:
        typer.echo(json.dumps({"channels": [asdict(channel) for channel in channels]}))
        return
    rows = [("CHANNEL", "NEXT", "CONTENT TYPE"), *map(_row, channels)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, edge_text, content_type in rows:
        typer.echo(f"{name:<{widths[0]}}  {edge_text:>{widths[1]}}  {content_type}".rstrip())


async def _ask_channel(session: aiohttp.ClientSession, url: str) -> int:
    try:
        edge = await ask_edge(session, url)
    except ChannelRefused as error:
        # What a server answers for its own base.
        if error.status != 405:
            raise
        edge = None
    if edge is None:
        raise ChannelNotFound(
            f"{url} is neither a channel nor a server that lists its channels (go-livepeer's does"
            f" not): ask for one channel, {url.rstrip('/')}/NAME"
        )
    return edge


def _row(channel: Listed) -> tuple[str, str, str]:
    return _printable(channel.name), str(channel.next), _printable(channel.content_type or "")


def _printable(text: str) -> str:
    """What strangers named, without what a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
