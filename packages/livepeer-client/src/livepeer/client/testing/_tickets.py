"""Tickets as the recipient and the sender see them: parameters, hash, value and bytes.

Source: go-livepeer `pm/ticket.go`, `pm/recipient.go`, `server/rpc.go`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ._keys import keccak
from ._protobuf import Message, Sub, encode

if TYPE_CHECKING:
    from livepeer.client._wire.encoding import JSONValue

MAX_WIN_PROB: Final = (1 << 256) - 1


@dataclass
class FakeChain:
    """What a node sees of the chain. Two fakes that are given the same one see the same.

    Attributes:
        block: The last L1 block; a test adds to it, so that ticket parameters expire.
        round: The last round, part of every ticket.
        round_hash: The block hash of that round, 32 bytes.
    """

    block: int = 21_000_000
    round: int = 3_700
    round_hash: bytes = bytes.fromhex("a5" * 32)


def number_bytes(value: int) -> bytes:
    """Big-endian without leading zeros, empty for 0, as `big.Int.Bytes` of Go."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def uint256(value: int) -> bytes:
    """32 bytes, big-endian."""
    return value.to_bytes(32)


@dataclass(frozen=True, kw_only=True)
class TicketTerms:
    """The parameters that an orchestrator wants in tickets, as messages carry them."""

    recipient: bytes
    face_value: int
    win_prob: int
    rand_hash: bytes
    seed: int
    expiration_block: int
    round: int
    round_hash: bytes

    @property
    def value(self) -> Fraction:
        """What one ticket is worth: face value times the chance to win, in wei."""
        return Fraction(self.face_value * self.win_prob, MAX_WIN_PROB)

    @property
    def aux_data(self) -> bytes:
        """Round and block hash as tickets carry them: nothing when both are zero."""
        if self.round == 0 and not any(self.round_hash):
            return b""
        return uint256(self.round) + self.round_hash

    def ticket_hash(self, sender: bytes, nonce: int) -> bytes:
        """What the sender of a ticket signs."""
        return keccak(
            self.recipient
            + sender
            + uint256(self.face_value)
            + uint256(self.win_prob)
            + uint256(nonce)
            + self.rand_hash
            + self.aux_data
        )

    def encode_expiration(self) -> Sub:
        """A `TicketExpirationParams`."""
        return Sub(encode({1: self.round, 2: self.round_hash}))

    def encode(self, *, with_expiration: bool = True) -> Sub:
        """A `TicketParams`; a payment's has its expiration beside it, not in it."""
        fields: dict[int, object] = {
            1: self.recipient,
            2: number_bytes(self.face_value),
            3: number_bytes(self.win_prob),
            4: self.rand_hash,
            5: number_bytes(self.seed),
            6: number_bytes(self.expiration_block),
        }
        if with_expiration:
            fields[7] = self.encode_expiration()
        return Sub(encode(fields))

    @classmethod
    def decode(cls, message: Message, expiration: Message) -> TicketTerms:
        """Read a `TicketParams` and the `TicketExpirationParams` that goes with it."""
        return cls(
            recipient=message.data(1)[-20:].rjust(20, b"\0"),
            face_value=int.from_bytes(message.data(2)),
            win_prob=int.from_bytes(message.data(3)),
            rand_hash=message.data(4)[-32:].rjust(32, b"\0"),
            seed=int.from_bytes(message.data(5)),
            expiration_block=int.from_bytes(message.data(6)),
            round=expiration.number(1),
            round_hash=expiration.data(2)[-32:].rjust(32, b"\0"),
        )

    def json(self) -> dict[str, JSONValue]:
        """As in a BYOC token: base64, and what is zero left out."""
        fields = {
            "recipient": self.recipient,
            "face_value": number_bytes(self.face_value),
            "win_prob": number_bytes(self.win_prob),
            "recipient_rand_hash": self.rand_hash,
            "seed": number_bytes(self.seed),
            "expiration_block": number_bytes(self.expiration_block),
        }
        found: dict[str, JSONValue] = {
            name: base64.b64encode(value).decode() for name, value in fields.items() if value
        }
        found["expiration_params"] = {
            "creation_round": self.round,
            "creation_round_block_hash": base64.b64encode(self.round_hash).decode(),
        }
        return found


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price: so many wei for so many units."""

    per_unit: int
    units: int = 1

    @property
    def rate(self) -> Fraction:
        """Wei for one unit."""
        return Fraction(self.per_unit, self.units)

    def encode(self, *, capability: int = 0, constraint: str = "") -> Sub:
        """A `PriceInfo`."""
        return Sub(encode({1: self.per_unit, 2: self.units, 3: capability, 4: constraint}))
