"""The trickle wire in one place: paths, header names, statuses and the sequence grammar. Pure.

Source: go-livepeer `trickle/trickle_server.go`, `trickle_publisher.go`, `trickle_subscriber.go`.
"""

from __future__ import annotations

import re
from typing import Final

SEQ: Final = "Lp-Trickle-Seq"
LATEST: Final = "Lp-Trickle-Latest"
CLOSED: Final = "Lp-Trickle-Closed"
RESET: Final = "Lp-Trickle-Reset"
TRUNCATED: Final = "Lp-Trickle-Truncated"
"""Ours, on the DELETE of a segment: its publisher could not finish it. Others ignore it."""

EXPECT_CONTENT: Final = "Expect-Content"

CLOSED_VALUE: Final = "terminated"

NOT_HELD: Final = 470
"""The segment is neither held nor the next one; `Lp-Trickle-Latest` says where to go on."""

NEXT: Final = -1
"""A request for the segment at the leading edge: the next to be written."""

CURRENT: Final = -2
"""A request for the segment written last."""

MPEGTS: Final = "video/MP2T"
JSON: Final = "application/json"
JSONL: Final = "application/jsonl"

# strconv.Atoi: ASCII digits only and 64 bits; int() would take "1_0" and other scripts' digits.
_SEQ_GRAMMAR = re.compile(r"[+-]?0*[0-9]{1,19}", re.ASCII)
_INT64_MAX = 2**63 - 1


def parse_seq(text: str) -> int | None:
    """Read a sequence number as the server does, or return None where it answers 400.

    Numbers below -2 are None as well: go-livepeer drops the connection on them, and a peer that
    sends one gains nothing from being treated as badly by us.
    """
    seq = parse_header_seq(text)
    return seq if seq is not None and seq >= CURRENT else None


def parse_header_seq(value: str | None) -> int | None:
    """Read the number in a response header; None when it is absent or no number."""
    if value is None:
        return None
    if len(value) < 19 and value.isascii() and value.isdigit():
        return int(value)
    if not _SEQ_GRAMMAR.fullmatch(value):
        return None
    # Python refuses to read thousands of digits, zeros among them; Go does not.
    seq = int(value[:1].strip("0123456789") + value.lstrip("+-").lstrip("0").rjust(1, "0"))
    return seq if abs(seq) <= _INT64_MAX else None
