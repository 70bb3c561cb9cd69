"""The Ethereum library of the extra `eth`, loaded when it is first needed."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from livepeer.client.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account import Account


def load_account() -> type[Account]:
    """The library's `Account`; raises `MissingExtra`."""
    # Looked for first, so that a fault inside of the library is not taken for its absence.
    if find_spec("eth_account") is None:
        raise MissingExtra(
            "signing with a local key needs the extra `eth`: pip install 'livepeer-client[eth]'"
        )
    limit = sys.getrecursionlimit()
    from eth_account import Account  # lazy: costs most of a second

    # A dependency of it raises the limit a hundredfold, with which a deeply nested JSON answer
    # no longer fails but overflows the C stack and ends the process.
    sys.setrecursionlimit(limit)
    return Account


def keccak256(data: bytes) -> bytes:
    """The Keccak-256 hash that Ethereum uses; 32 bytes.

    Raises:
        MissingExtra: The extra `eth` is not installed.
    """
    return _keccak()(data)


@cache
def _keccak() -> Callable[[bytes], bytes]:
    load_account()
    from eth_utils.crypto import keccak  # lazy: heavy

    return keccak
