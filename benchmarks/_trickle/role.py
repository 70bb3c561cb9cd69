"""One process of a client: `python -m _trickle.role CLIENT publish|subscribe`.

Each line on standard input, `{"url": ..., "plan": ..., "progress": ..., "readers": ...}`, is a lap
with a new client; it says that it is ready, waits for another line, says what it used, waits for
one more, closes the client, and says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from importlib import import_module
from pathlib import Path

from _face.roles import say

from .load import Load, Plan
from .progress import Progress


def main() -> None:
    """Run one role of one client, lap by lap, on uvloop where that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("client")
    parser.add_argument("role", choices=["publish", "subscribe"])
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    # What a client logs for every segment would be measured with it.
    logging.disable(logging.CRITICAL)
    role = getattr(import_module(f"_trickle.clients.{options.client}"), options.role)
    run = import_module("uvloop").run if options.uvloop else asyncio.run
    say({"up": True})
    while line := sys.stdin.readline():
        lap = json.loads(line)
        progress = Progress(Path(lap["progress"]), lap["readers"])
        run(role(Load(lap["url"], Plan(**lap["plan"]), progress)))
        say({"closed": True})


if __name__ == "__main__":
    main()
