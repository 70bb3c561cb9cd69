"""Scripts of the guides, run as a reader runs them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 60.0


def assert_prints(script: str, output: str, folder: Path) -> None:
    """Run a script in a folder: no warning, no error, and what the guide says it prints."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == output
