"""What the branch for BYOC by remote signers has: the message of a V1 job signature.

Source: go-livepeer `byoc/types.go` (`FlattenBYOCJob`), branch `feat/remote-signer-byoc`.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

# `head` is what is released, `byoc` the branch.
Flavour: TypeAlias = Literal["head", "byoc"]

_PREFIX: Final = b"LP_BYOC_JOB_V1\0\0"


def v1_message(timeout_s: int, id_: str, capability: str, request: str, parameters: str) -> bytes:
    """The bytes that are hashed and signed; a timeout beyond 32 bits loses its upper ones."""
    parts = [text.encode() for text in (id_, capability, request, parameters)]
    body = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return _PREFIX + struct.pack(">I", timeout_s & 0xFFFFFFFF) + body
