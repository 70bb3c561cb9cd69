"""The `livepeer` command as its users run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]
GRAYSCALE = REPOSITORY / "examples" / "runner" / "live_grayscale"
HELLO_WORLD = REPOSITORY / "examples" / "runner" / "hello_world"
TEXT_REVERSAL = REPOSITORY / "examples" / "runner" / "live_text_reversal"
CLIP = REPOSITORY / "examples" / "assets" / "bigbuckbunny.mp4"

ANY_PORTS = ("--port", "0", "--orchestrator-port", "0", "--gateway-port", "0")
"""Options of `livepeer dev` for ports that are free, whatever else runs on this machine."""

LIMIT_S = 100.0
"""For a run of the command; only a fault lets it pass."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a run ended.

    It ended with all that it started: whatever process it leaves behind holds the pipes to which
    the command's errors go, and `run` would wait for it in vain.
    """

    status: int
    out: str
    err: str

    def error(self) -> str:
        """The one line that says what was wrong; fails when there is another, or a traceback."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("error: ")


def start(
    *arguments: str | Path, cwd: Path | None = None, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start the command, in a process group of its own."""
    # Compiled files beside a test's pipeline are none of what the command might leave behind.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    if cwd is not None:
        environment["TMPDIR"] = str(cwd)
    return subprocess.Popen(
        [sys.executable, "-m", "livepeer.cli", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def finish(process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> Finished:
    """Wait until a run has ended, with every process that it started."""
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate(timeout=limit_s)
        raise AssertionError(f"no end within {limit_s:g} s; it said: {out}{err}") from None
    return Finished(status=process.returncode, out=out, err=err)


def run(*arguments: str | Path, cwd: Path | None = None, limit_s: float = LIMIT_S) -> Finished:
    """Run the command to its end.

    Args:
        arguments: Of the command.
        cwd: Where it runs, and where its temporary files go.
        limit_s: For how long it may run.
    """
    return finish(start(*arguments, cwd=cwd), limit_s)


def resident_bytes(pid: int) -> int:
    """The memory of a process and of those that it started, as far as they are in memory."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    )
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    tree = {pid}
    while grown := {row[0] for row in rows if row[1] in tree} - tree:
        tree |= grown
    return sum(row[2] for row in rows if row[0] in tree) * 1024
