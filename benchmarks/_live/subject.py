"""The process under test: `python -m _live.subject NAME`.

It reads one job from standard input, says that it is ready when it waits for the stream, and runs
until it is ended.
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module

from .job import Job


def main() -> None:
    """Run one subject."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    name = parser.parse_args().name
    # What a subject logs for every frame would be measured with it.
    logging.disable(logging.WARNING)
    subject = import_module(f"_live.subjects.{name}")
    subject.main(Job.parse(sys.stdin.readline()))


if __name__ == "__main__":
    main()
