"""How an event stream is cut into lines on its way through orchestrator and gateway. Pure.

Both read with Go's `bufio.Scanner` (`byoc/job_orchestrator.go`, `byoc/job_gateway.go`): a line ends
at `\\n`, loses a `\\r` before it, and one that does not fit in 64 KiB with its newline ends the
reading without a word.
"""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 64 * 1024 - 1
DONE: Final = b"[DONE]"


class LineScanner:
    """Splits bytes into lines as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self.too_long = False
        """A line did not fit; nothing comes out any more."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        if self.too_long:
            return []
        *ended, self._rest = (self._rest + data).split(b"\n")
        lines: list[bytes] = []
        for line in ended:
            if len(line) > MAX_LINE:
                self.too_long = True
                return lines
            lines.append(line.removesuffix(b"\r"))
        self.too_long = len(self._rest) > MAX_LINE
        return lines

    def end(self) -> list[bytes]:
        """The last line, when the stream ended without a newline after it."""
        if self.too_long or not self._rest:
            return []
        return [self._rest.removesuffix(b"\r")]


def balance_event(balance: str) -> bytes:
    """What the orchestrator sends before a line with the end marker anywhere in it.

    It has one newline too many, as upstream.
    """
    return f'data: {{"balance": {balance}}}\n\n\n'.encode()
