"""What each sender has paid in advance for each capability, in wei.

Source: go-livepeer `core/accounting.go`. An account that nothing was put into or taken from for
some time is dropped, whatever is in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

_ZERO = Fraction(0)


@dataclass(slots=True)
class _Account:
    amount: Fraction
    used_at: float


class Accounts:
    """Balances by sender and capability.

    Args:
        idle_s: An account unused for so long is dropped.
        limit: How many accounts are kept; the one that was not used for longest goes first.
    """

    def __init__(self, idle_s: float, limit: int) -> None:
        self._idle_s = idle_s
        self._limit = limit
        # In the order of their last use.
        self._accounts: dict[tuple[bytes, str], _Account] = {}

    def balance(self, sender: bytes, capability: str) -> Fraction:
        """What is left; may be negative, and is 0 for whom nothing is known of."""
        account = self._accounts.get((sender, capability))
        if account is None or self._is_idle(account):
            return _ZERO
        return account.amount

    def add(self, sender: bytes, capability: str, amount: Fraction) -> None:
        """Put an amount in, or take a negative one out."""
        total = self.balance(sender, capability) + amount
        self._accounts.pop((sender, capability), None)
        self._accounts[sender, capability] = _Account(total, time.monotonic())
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._accounts:
            key, oldest = next(iter(self._accounts.items()))
            if len(self._accounts) <= self._limit and not self._is_idle(oldest):
                return
            del self._accounts[key]

    def _is_idle(self, account: _Account) -> bool:
        return time.monotonic() - account.used_at > self._idle_s
