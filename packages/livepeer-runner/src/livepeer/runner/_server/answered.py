"""What a call gave."""

from __future__ import annotations

from typing import NamedTuple


class Answered(NamedTuple):
    """What goes to the caller.

    Attributes:
        body: Its bytes.
        media_type: Their content type.
    """

    body: bytes
    media_type: str
