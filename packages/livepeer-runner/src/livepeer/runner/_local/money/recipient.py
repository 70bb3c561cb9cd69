"""Who takes tickets: it makes their parameters, and checks each ticket against its own secret.

Source: go-livepeer `pm/recipient.go`, `pm/validator.go`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from .tickets import MAX_TICKETS, MAX_WIN_PROB, TicketParams, number_bytes, word

if TYPE_CHECKING:
    from fractions import Fraction

    from livepeer.runner._local.keys import EthereumVerifier

    from .chain import Chain

# For so many blocks parameters hold.
_PARAMS_BLOCKS: Final = 40
# Face value in values: one ticket of so many wins.
_FACE_VALUES: Final = 100


class TicketRefused(Exception):
    """A ticket was not taken.

    Attributes:
        fatal: The tickets after it are not looked at.
    """

    def __init__(self, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.fatal = fatal


@dataclass(slots=True)
class _Session:
    """The tickets that were taken for one set of parameters."""

    expiration_block: int
    nonces: set[int] = field(default_factory=set[int])


class Recipient:
    """Takes tickets that were made with its own parameters, each once, until they expire.

    Args:
        address: Who is paid, 20 bytes.
        verifier: Checks the signatures.
        chain: Says which block and round it is.
        max_sessions: For how many sets of parameters that have not expired tickets are
            remembered; tickets for more are refused.
    """

    def __init__(
        self, address: bytes, verifier: EthereumVerifier, chain: Chain, max_sessions: int
    ) -> None:
        self.address = address
        self._verifier = verifier
        self._chain = chain
        self._max_sessions = max_sessions
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[int, _Session] = {}

    def params(self, sender: bytes, price: Fraction, value: int) -> TicketParams:
        """New parameters for a sender at a price, for tickets worth `value` wei each.

        At a price of 0 nothing is to be paid, and tickets are worth nothing.
        """
        face = value * _FACE_VALUES if price > 0 else 0
        draft = TicketParams(
            recipient=self.address,
            face_value=face,
            # Rounded up upstream: a ticket is worth a trace more than was asked for.
            win_prob=value * -(-MAX_WIN_PROB // face) if face else 0,
            rand_hash=bytes(32),
            seed=int.from_bytes(secrets.token_bytes(32)),
            expiration_block=self._chain.block + _PARAMS_BLOCKS,
            round=self._chain.round,
            round_hash=self._chain.round_hash,
        )
        rand = self._rand(draft, sender, price)
        return replace(draft, rand_hash=self._verifier.keccak(word(rand)))

    def take(
        self, params: TicketParams, sender: bytes, price: Fraction, nonce: int, signature: bytes
    ) -> None:
        """Check a ticket, and remember it.

        Raises:
            TicketRefused: With go-livepeer's reason.
        """
        rand = self._rand(params, sender, price)
        if params.recipient != self.address:
            raise TicketRefused("invalid ticket recipient", fatal=True)
        if not any(sender):
            raise TicketRefused("invalid ticket sender", fatal=True)
        if self._verifier.keccak(word(rand)) != params.rand_hash:
            raise TicketRefused(
                "invalid recipientRand for ticket recipientRandHash: it was made for another "
                "sender or price, changed, or given by another orchestrator",
                fatal=True,
            )
        if not self._verifier.accepts(sender, params.message(sender, nonce), signature):
            raise TicketRefused("invalid ticket signature")
        self._remember(rand, params.expiration_block, nonce)
        if params.expiration_block <= self._chain.block:
            raise TicketRefused("TicketParams expired")

    def _remember(self, rand: int, expiration_block: int, nonce: int) -> None:
        session = self._sessions.get(rand) or self._begin(rand, expiration_block)
        if nonce in session.nonces:
            raise TicketRefused(f"invalid ticket senderNonce: already seen nonce={nonce}")
        if len(session.nonces) >= MAX_TICKETS:
            raise TicketRefused(f"invalid ticket senderNonce: too many values nonce={nonce}")
        session.nonces.add(nonce)

    def _begin(self, rand: int, expiration_block: int) -> _Session:
        block = self._chain.block
        # The oldest come first, and expire first, give or take a block.
        while self._sessions:
            oldest = next(iter(self._sessions))
            if self._sessions[oldest].expiration_block > block:
                break
            del self._sessions[oldest]
        if len(self._sessions) >= self._max_sessions:
            raise TicketRefused("too many ticket parameters are in use")
        session = self._sessions[rand] = _Session(expiration_block)
        return session

    def _rand(self, params: TicketParams, sender: bytes, price: Fraction) -> int:
        """The number behind the hash: all parameters under the secret, so that none can change."""
        message = b"".join(
            (
                number_bytes(params.seed),
                sender,
                number_bytes(params.face_value),
                number_bytes(params.win_prob),
                number_bytes(params.expiration_block),
                number_bytes(price.numerator),
                number_bytes(price.denominator),
                params.aux_data,
            )
        )
        return int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256))
