"""One process of a subject: `python -m _client.subject NAME`.

Each line on standard input is a lap, the fields of `Load`; it says what each of its parts came to.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from importlib import import_module
from typing import cast

from _face.roles import say

from .load import Load, Subject, lap


def main(name: str) -> None:
    # What a client logs for every call would be measured with it.
    logging.disable(logging.CRITICAL)
    subject = cast("Subject", import_module(f"_client.subjects.{name}"))
    say({"up": True})
    while line := sys.stdin.readline():
        parts = lap(subject, Load(**json.loads(line)))
        say({"parts": [asdict(part) for part in parts]})


if __name__ == "__main__":
    main(sys.argv[1])
