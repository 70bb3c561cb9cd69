"""The work of `livepeer trickle serve`."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import typer

from livepeer.trickle.loopback import from_this_machine, is_loopback
from livepeer.trickle.server import TrickleServer

if TYPE_CHECKING:
    from collections.abc import Generator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
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
        stopped = stack.enter_context(_stop_on_signal())
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


@contextmanager
def _stop_on_signal() -> Generator[asyncio.Event]:
    """Give an event that the first signal sets; the next one has its default effect again."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def stop() -> None:
        stopped.set()
        restore()

    # Not on Windows, where Ctrl-C still ends the loop with KeyboardInterrupt.
    with suppress(NotImplementedError):
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        with suppress(NotImplementedError):
            restore()


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # asyncio's own text names the address once more.
        return os.strerror(error.errno)
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
