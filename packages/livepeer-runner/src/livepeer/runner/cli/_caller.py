"""The caller's side of `livepeer dev`: livepeer-client's commands, in a process of their own."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class StreamCall:
    """What `--input` and its companions ask for."""

    input: Path
    output: Path | None
    params: str
    fast: bool
    live: bool

    def arguments(self, capability: str, orchestrator: str) -> list[str]:
        """The arguments of `livepeer`."""
        return [
            *("stream", capability, "--orchestrator", orchestrator),
            *("--input", str(self.input), "--params", self.params),
            *(("--output", str(self.output)) if self.output else ()),
            *(("--fast",) if self.fast else ()),
            *(("--live",) if self.live else ()),
        ]


def check_client() -> None:
    """Raise `ModuleNotFoundError` unless livepeer-client is installed."""
    try:
        version("livepeer-client")
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            "--input and --call need livepeer-client: pip install 'livepeer-client[eth,media]'"
        ) from None


async def run_caller(arguments: list[str], stdout: int) -> int:
    """Run `livepeer` with these arguments and wait; cancelled, it is interrupted and waited for.

    Args:
        arguments: Of the command.
        stdout: The file descriptor that its answer goes to.
    """
    # A group of its own: a terminal's Ctrl-C reaches us, and we pass it on, once.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livepeer.cli", *arguments), stdout=stdout, process_group=0
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
