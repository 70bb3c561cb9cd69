"""Run an example by its name: `uv run python scripts/run_example.py green_shift --port 5000`.

Without a name it lists them. Arguments that are not its own go to the example, so
`--prepare-models` does there what it does everywhere.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "runner"


def examples() -> dict[str, Path]:
    """The pipeline of each example, by the example's name."""
    return {path.parent.name: path for path in sorted(EXAMPLES.glob("*/pipeline.py"))}


def summary(path: Path) -> str:
    """The first line of what a file says of itself."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def main(arguments: list[str]) -> None:
    """Become the example, or list them all."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="the example's folder in examples/runner")
    parser.add_argument("--host", help="address to listen on (all interfaces)")
    parser.add_argument("--port", type=int, help="port to listen on (5000)")
    options, rest = parser.parse_known_args(arguments)
    known = examples()
    if options.name is None:
        width = max(map(len, known))
        for name, path in known.items():
            print(f"{name:{width}}  {summary(path)}")
        return
    if options.name not in known:
        near = difflib.get_close_matches(options.name, list(known), n=1, cutoff=0.0)
        sys.exit(f"error: there is no example {options.name}; did you mean {near[0]}?")
    for variable, value in (("LIVEPEER_HOST", options.host), ("LIVEPEER_PORT", options.port)):
        if value is not None:
            os.environ[variable] = str(value)
    # In this process's place, so that signals and the exit status are the example's own.
    os.execv(sys.executable, [sys.executable, str(known[options.name]), *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
