"""The receiver of tickets: it makes their parameters, checks each ticket and counts nonces.

Source: go-livepeer `pm/recipient.go`, `pm/validator.go`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ._keys import is_digest_signed, keccak
from ._tickets import MAX_WIN_PROB, FakeChain, TicketTerms, number_bytes, uint256

if TYPE_CHECKING:
    from fractions import Fraction

MAX_NONCES: Final = 600
# Blocks for which parameters hold.
TERMS_BLOCKS: Final = 40
# Face value in tickets' worth.
_FACE_TICKETS: Final = 100


class TicketRefusedError(Exception):
    """A ticket was not accepted. `fatal`: those that follow it are not looked at."""

    def __init__(self, text: str, *, fatal: bool) -> None:
        super().__init__(text)
        self.fatal = fatal


class Recipient:
    """Accepts tickets that were made with its own, unexpired parameters, each once.

    Attributes:
        address: Who is paid, 20 bytes.
        ticket_value: What a ticket is worth, in wei; of parameters made from now on.
    """

    def __init__(self, address: bytes, chain: FakeChain, *, ticket_value: int) -> None:
        self.address = address
        self.ticket_value = ticket_value
        self._chain = chain
        self._secret = secrets.token_bytes(32)
        self._nonces: dict[bytes, set[int]] = {}

    def terms(self, sender: bytes, rate: Fraction) -> TicketTerms:
        """New parameters for a sender at a price per unit; a session of its own each time."""
        face = self.ticket_value * _FACE_TICKETS if rate > 0 else 0
        draft = TicketTerms(
            recipient=self.address,
            face_value=face,
            # Rounded up, as there: a ticket is worth a trace more than was asked for.
            win_prob=self.ticket_value * -(-MAX_WIN_PROB // face) if face else 0,
            rand_hash=bytes(32),
            seed=int.from_bytes(secrets.token_bytes(32)),
            expiration_block=self._chain.block + TERMS_BLOCKS,
            round=self._chain.round,
            round_hash=self._chain.round_hash,
        )
        return replace(draft, rand_hash=keccak(self._rand(draft, sender, rate)))

    def receive(
        self, terms: TicketTerms, sender: bytes, rate: Fraction, nonce: int, signature: bytes
    ) -> None:
        """Check one ticket and remember its nonce.

        Raises:
            TicketRefusedError: With the text of go-livepeer.
        """
        rand = self._rand(terms, sender, rate)
        if terms.recipient != self.address:
            raise TicketRefusedError("invalid ticket recipient", fatal=True)
        if not any(sender):
            raise TicketRefusedError("invalid ticket sender", fatal=True)
        if keccak(rand) != terms.rand_hash:
            text = "invalid recipientRand for ticket recipientRandHash"
            raise TicketRefusedError(text, fatal=True)
        if not is_digest_signed(terms.ticket_hash(sender, nonce), signature, sender):
            raise TicketRefusedError("invalid ticket signature", fatal=False)
        self._count(rand, nonce)
        if terms.expiration_block <= self._chain.block:
            raise TicketRefusedError("TicketParams expired", fatal=False)

    def _count(self, rand: bytes, nonce: int) -> None:
        seen = self._nonces.setdefault(rand, set())
        if nonce in seen:
            text = f"invalid ticket senderNonce: already seen nonce={nonce}"
            raise TicketRefusedError(text, fatal=False)
        if len(seen) >= MAX_NONCES:
            text = f"invalid ticket senderNonce: too many values nonce={nonce}"
            raise TicketRefusedError(text, fatal=False)
        seen.add(nonce)

    def _rand(self, terms: TicketTerms, sender: bytes, rate: Fraction) -> bytes:
        """The random number behind the hash: the parameters under a secret, so that none of
        them can be changed.
        """
        message = (
            number_bytes(terms.seed)
            + sender
            + number_bytes(terms.face_value)
            + number_bytes(terms.win_prob)
            + number_bytes(terms.expiration_block)
            + number_bytes(rate.numerator)
            + number_bytes(rate.denominator)
            + terms.aux_data
        )
        return uint256(int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256)))
