"""Processes that a benchmark starts: they speak in lines of JSON, and end with it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEARING_TIMEOUT_S = 120.0
ENDING_TIMEOUT_S = 10.0


class Failed(Exception):
    """A process ended, or kept silent, where it had something to say."""


class Child:
    """A process under test or beside it. A context manager that ends it.

    Args:
        command: What is run.
        environment: Variables on top of our own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, message: Mapping[str, object] | None = None) -> None:
        """Send a line that it waits for.

        Raises:
            Failed: It ended before.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n" if message is None else json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed(f"{self._name} ended: {self._last_words()}") from None

    def hear(self, timeout_s: float = HEARING_TIMEOUT_S) -> dict[str, object]:
        """The next thing that it says.

        Raises:
            Failed: It ended, or said nothing for so long.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise Failed(f"nothing was heard for {timeout_s:g} s of {self._name}") from None
        if not line:
            raise Failed(f"{self._name} ended: {self._last_words()}")
        said: dict[str, object] = json.loads(line)
        return said

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(ENDING_TIMEOUT_S)
        assert self._process.stdin is not None
        # What it did not read any more is of no interest.
        with suppress(OSError):
            self._process.stdin.close()
        self._errors.close()

    @property
    def _name(self) -> str:
        return " ".join(Path(part).name for part in self._command[:5])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        return words[-1] if words else "it said nothing"


def number(said: Mapping[str, object], name: str) -> float:
    """A number that a process said."""
    return float(str(said[name]))


def numbers(said: Mapping[str, object], name: str) -> list[float]:
    """A list of numbers that a process said."""
    return [float(value) for value in cast("list[float]", said[name])]


def cpu_of(pid: int) -> float:
    """CPU seconds that another process has used, where it cannot say so itself (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident_of(pid: int) -> float:
    """The resident set of a process in MiB."""
    # Linux counts it lazily, and exactly only here.
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) / 1024
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout) / 1024
