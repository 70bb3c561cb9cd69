"""Segment credentials and the tokens within them: what a live-video payment carries beside tickets.

Source: go-livepeer `server/segment_rpc.go` (`genSegCreds`, `verifySegCreds`), `core/streamdata.go`,
`core/orchestrator.go` (`AuthToken`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._keys import FakeKey, is_signed, keccak
from ._protobuf import Message, Sub, encode
from ._tickets import number_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_LIFE_S: Final = 1800


class CredentialsRefusedError(Exception):
    """Segment credentials were not accepted; the text is go-livepeer's."""


@dataclass(frozen=True, kw_only=True)
class SegmentData:
    """What is used of segment credentials that were accepted."""

    manifest_id: str
    session_id: str
    auth_token: Message
    capabilities: Message | None


def flatten(manifest_id: bytes, sequence: int, content_hash: bytes) -> bytes:
    """What a sender signs of a segment without renditions."""
    return manifest_id + number_bytes(sequence).rjust(32, b"\0") + content_hash


def make_credentials(
    key: FakeKey, manifest_id: str, *, auth_token: bytes, capabilities: bytes | None
) -> str:
    """The `Livepeer-Segment` header for an empty segment."""
    content_hash = keccak(b"")
    fields = {
        1: manifest_id.encode(),
        3: content_hash,
        4: b"invalid",
        5: key.sign(flatten(manifest_id.encode(), 0, content_hash)),
        7: None if capabilities is None else Sub(capabilities),
        8: Sub(auth_token),
    }
    return base64.b64encode(encode(fields)).decode()


class TokenOffice:
    """Makes the tokens of one orchestrator and knows them again; a restart forgets them."""

    def __init__(self, clock: Callable[[], float], *, life_s: float = TOKEN_LIFE_S) -> None:
        self.life_s = life_s
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def issue(self, session_id: str = "") -> Sub:
        """An `AuthToken`, by default of a new session."""
        session_id = session_id or secrets.token_hex(4)
        expires = int(self._clock() + self.life_s)
        return Sub(encode({1: self._mark(session_id, expires), 2: session_id, 3: expires}))

    def check(self, token: Message) -> None:
        """Raises `CredentialsRefusedError` for a token that is another's or too old."""
        expires = token.number(3)
        if not hmac.compare_digest(token.data(1), self._mark(token.text(2), expires)):
            raise CredentialsRefusedError("invalid auth token")
        if self._clock() > expires:
            raise CredentialsRefusedError("expired auth token")

    def _mark(self, session_id: str, expires: int) -> bytes:
        message = session_id.encode() + number_bytes(abs(expires))
        return hmac.digest(self._secret, message, hashlib.sha256)


def read_credentials(
    header: str, sender: bytes, office: TokenOffice, *, verify: bool
) -> SegmentData:
    """Check a `Livepeer-Segment` header.

    Args:
        header: Its value; empty is read as credentials without a field.
        sender: Who must have signed, 20 bytes.
        office: Whose tokens are good.
        verify: False for an orchestrator without a chain, which checks no signature.

    Raises:
        CredentialsRefusedError: With the text of go-livepeer.
    """
    try:
        data = Message(base64.b64decode(header, validate=True))
        signed = flatten(data.data(1), data.number(2), data.data(3).rjust(32, b"\0"))
    except ValueError as error:
        raise CredentialsRefusedError("ErrorSegEncoding") from error
    if verify and not is_signed(signed, data.data(5), sender):
        raise CredentialsRefusedError("ErrSegSig")
    if 8 not in data:
        raise CredentialsRefusedError("missing auth token")
    token = data.message(8)
    office.check(token)
    return SegmentData(
        manifest_id=data.text(1),
        session_id=token.text(2),
        auth_token=token,
        capabilities=data.message(7) if 7 in data else None,
    )
