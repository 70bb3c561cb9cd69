"""`livepeer stream`: a file, a camera or a test picture through a live capability."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ._endings import failed, outcome
from ._json import read_json
from ._network import client_of
from ._options import WayOptions, with_option_groups
from ._stream_ends import (
    Pictures,
    check_ends,
    is_endless,
    is_file,
    need_media,
    open_sink,
    open_source,
    say,
)
from ._stream_show import Display, report
from ._stream_signals import signals_taken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.client import Client
    from livepeer.client.media import (
        MediaSource,
        Summary,
        TestPattern,
        Webcam,
    )


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What was asked for."""

    capability: str
    input: str
    output: str
    pictures: Pictures
    params: Mapping[str, object]
    fast: bool
    live: bool
    reconnect: bool
    duration_s: float | None


@with_option_groups
def stream(
    capability: Annotated[str, typer.Argument(help="The capability's registered name.")],
    input: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="FILE|webcam[:N]|test",
            help="What goes in: a media file, a camera by its number or name, or a test picture.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="FILE|player|none",
            help="Where what comes out goes: a file, a window of ffplay, mpv or VLC, or nowhere.",
        ),
    ] = "none",
    *,
    where: WayOptions,
    params: Annotated[
        str, typer.Option(metavar="JSON", help="The stream's parameters: JSON, @FILE or -.")
    ] = "{}",
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as it goes, not at the file's own pace.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="As a camera: do not wait for a runner that is too slow."),
    ] = False,
    reconnect: Annotated[
        bool,
        typer.Option("--reconnect", help="Go on at another orchestrator when one is lost."),
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=0.1, help="End after so many seconds of media.", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Of webcam (1280x720) and test (640x360)."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Pictures in a second of webcam and test (30).")
    ] = None,
    bitrate: Annotated[
        int | None,
        typer.Option(min=10_000, help="The most bits in a second of webcam and test."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what it came to as one JSON object.")
    ] = False,
) -> None:
    """Stream a file, a camera or a test picture through a live capability, and keep what comes out.

    A file goes in at its own pace, and waits for a slow runner: no frame is lost on the way to one
    with live_policy="wait". A camera and the test picture go on until --duration is over or Ctrl-C
    ends them. Through a gateway media goes over RTMP, and waits for nobody. The exit status is 0
    when all of it came through, 1 when something failed, 2 for a mistake in the command, 130 when
    a file was interrupted, 143 when it was terminated.
    """
    with outcome():
        request = _Request(
            capability=capability,
            input=input,
            output=output,
            pictures=Pictures(size=size, fps=fps, bitrate=bitrate),
            params=_params(params),
            fast=fast,
            live=live,
            reconnect=reconnect,
            duration_s=duration,
        )
        _check(request)
        need_media()
        client = client_of(where)
        try:
            summary, recorded = _run(request, client)
        finally:
            # Also of a stream that failed.
            if client.spent:
                say(f"paid: {client.spent} wei")
        file = output if is_file(output) else None
        status = report(summary, file=file, recorded=recorded, paid=client.spent, as_json=as_json)
        raise typer.Exit(status)


def _check(request: _Request) -> None:
    if request.fast and request.live:
        raise ValueError("--fast and --live exclude each other: a live stream has its own pace")
    check_ends(request.input, request.output, request.pictures)


def _params(text: str) -> dict[str, object]:
    chosen = read_json(text, "--params")
    if not isinstance(chosen, dict):
        raise ValueError(f"--params must be a JSON object, not {text}")
    return {str(name): value for name, value in cast("dict[object, object]", chosen).items()}


def _run(request: _Request, client: Client) -> tuple[Summary, bool]:
    from livepeer.trickle.errors import TrickleError  # lazy: aiohttp

    try:
        with open_source(request.input, request.pictures) as source:
            return asyncio.run(_transfer(request, client, source))
    except (TrickleError, OSError, ValueError) as error:
        raise failed(error, 1) from None


async def _transfer(
    request: _Request, client: Client, source: MediaSource | Webcam | TestPattern
) -> tuple[Summary, bool]:
    """Do it; what it came to, and whether there is a recording."""
    from livepeer.client.media import Transfer  # lazy: PyAV

    lost = f": {request.output} was not written" if is_file(request.output) else ""
    with (
        signals_taken(f"interrupted{lost}") as signals,
        Display(request.duration_s or source.duration_s) as display,
        open_sink(request.output) as sink,
    ):
        # What is missing of the output is told at the end, and of the runner's reports nothing is.
        logging.getLogger("livepeer.trickle").setLevel(logging.ERROR)
        async with client:
            job = await client.start_stream(
                request.capability,
                params=request.params,
                reconnect=request.reconnect,
                on_reconnect=display.reconnected,
            )
            async with job:
                transfer = Transfer(
                    job,
                    source,
                    fast=request.fast,
                    live=request.live,
                    limit_s=request.duration_s,
                    on_progress=display.show,
                )
                if is_endless(request.input):
                    signals.on_first(transfer.stop)
                summary = await transfer.run(sink)
        return summary, sink.finish()
