"""What a node sees of the chain: blocks that go by, and the round that tickets belong to.

There is no chain. Blocks are counted by the clock, so that ticket parameters run out as they do
elsewhere; everybody has funds, and nothing is ever redeemed.
"""

from __future__ import annotations

import secrets
import time

_FIRST_BLOCK = 21_000_000
_ROUND = 3_700


class Chain:
    """Block and round as one node sees them.

    Args:
        block_s: Seconds from one block to the next.
    """

    round = _ROUND

    def __init__(self, block_s: float) -> None:
        self._block_s = block_s
        self._began = time.monotonic()
        self.round_hash = secrets.token_bytes(32)
        """Hash of the round's first block."""

    @property
    def block(self) -> int:
        """The last block."""
        return _FIRST_BLOCK + int((time.monotonic() - self._began) / self._block_s)
