"""The caller's side of `livepeer dev`: livepeer-client's commands, in a process of their own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_STOP_S = 5.0
_NO_LIMIT_WEI = 10**30
"""More than any stream costs: the tickets of a key without a deposit are worth nothing."""


@dataclass(frozen=True, kw_only=True)
class StreamCall:
    """What `--input` and its companions ask for; `key_file` pays for it."""

    input: Path
    output: Path | None
    params: str
    fast: bool
    live: bool
    key_file: Path | None

    def arguments(self, capability: str, orchestrator: str) -> list[str]:
        """The arguments of `livepeer`."""
        return [
            *("stream", capability, "--orchestrator", orchestrator),
            *("--input", str(self.input), "--params", self.params),
            *(("--output", str(self.output)) if self.output else ()),
            *(("--fast",) if self.fast else ()),
            *(("--live",) if self.live else ()),
            *(("--key-file", str(self.key_file)) if self.key_file else ()),
            *(("--max-spend", str(_NO_LIMIT_WEI)) if self.key_file else ()),
        ]


@dataclass(frozen=True, kw_only=True)
class BatchCall:
    """What `--call` and its companions ask for."""

    payload: str
    output: Path | None

    def arguments(self, capability: str, gateway: str) -> list[str]:
        """The arguments of `livepeer`."""
        return [
            *("call", capability, self.payload, "--gateway", gateway),
            *(("--output", str(self.output)) if self.output else ()),
        ]


@contextmanager
def fresh_key() -> Generator[Path]:
    """A file with a new private key, for as long as the context."""
    # A folder that only this user can look into.
    with TemporaryDirectory(prefix="livepeer-dev-") as folder:
        file = Path(folder) / "key.txt"
        file.write_text(secrets.token_hex(32), encoding="ascii")
        yield file


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
