"""Bearer tokens, compared in a time that says nothing of them."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def bears_one_of(authorization: str, tokens: Iterable[str]) -> bool:
    """Whether an `Authorization` header carries one of the tokens.

    Each is compared, and each in a time that does not depend on where it differs.
    """
    scheme, _, given = authorization.partition(" ")
    raw = given.strip().encode()
    found = False
    for token in tokens:
        found |= hmac.compare_digest(raw, token.encode())
    return found and scheme.lower() == "bearer"
