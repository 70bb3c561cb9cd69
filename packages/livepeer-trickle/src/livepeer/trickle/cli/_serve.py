"""The work of `livepeer trickle serve`."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import Final

import typer

from livepeer.trickle.aio import stop_on_signal
from livepeer.trickle.loopback import from_this_machine, is_loopback
from livepeer.trickle.server import TrickleServer

_LONGEST_SWEEP_S: Final = 60.0


async def serve(
    host: str, port: int, path: str, *, autocreate: bool, idle_timeout_s: float, changefeed: bool
) -> None:
    """Serve until a signal.

    Raises:
        OSError: The address cannot be had.
    """
    server = TrickleServer(
        autocreate=autocreate,
        changefeed=changefeed,
        listing=True,
        authorize=from_this_machine if is_loopback(host) else None,
        idle_timeout_s=idle_timeout_s,
        # Idle channels go within a fifth more than was asked for.
        sweep_interval_s=min(_LONGEST_SWEEP_S, idle_timeout_s / 5),
    )
    async with AsyncExitStack() as stack:
        stopped = stack.enter_context(stop_on_signal())
        listening = server.listening(host, port, "/" + path.strip("/"))
        try:
            base = await stack.enter_async_context(listening)
        # A host name that is no name at all is a matter of its encoding.
        except (OSError, UnicodeError) as error:
            raise OSError(
                f"cannot listen on {host}, port {port}: {_words(error)} (--host, --port; 0 is free)"
            ) from error
        if not is_loopback(host):
            typer.echo(
                f"warning: whoever reaches {host} can publish, read and close channels: the wire"
                " has no authentication",
                err=True,
            )
        typer.echo(base)
        await stopped.wait()


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # asyncio's own text names the address once more.
        return os.strerror(error.errno)
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
