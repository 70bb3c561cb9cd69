"""A ticket: what an orchestrator wants in it, what its sender signs, and what it is worth. Pure.

Source: go-livepeer `pm/ticket.go`, `byoc/types.go` (the JSON of a token).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from livepeer.runner._local import gojson

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WIN_PROB: Final = (1 << 256) - 1
MAX_TICKETS: Final = 600
"""How many tickets an orchestrator takes for one set of parameters."""

_DATA: Final = (
    "recipient",
    "face_value",
    "win_prob",
    "recipient_rand_hash",
    "seed",
    "expiration_block",
)


def number_bytes(value: int) -> bytes:
    """Big-endian without leading zeros or sign; nothing for 0, as Go writes its big numbers."""
    value = abs(value)
    return value.to_bytes((value.bit_length() + 7) // 8)


def word(value: int) -> bytes:
    """32 bytes, big-endian and without sign."""
    return abs(value).to_bytes(32)


def sized(data: bytes, length: int) -> bytes:
    """The last bytes of `data`, filled up with zeros in front, as go-ethereum reads them."""
    return data[-length:].rjust(length, b"\0")


def decimal_text(value: Fraction, places: int) -> str:
    """The number with so many decimals, halves away from zero, as Go's `big.Rat.FloatString`."""
    scaled = abs(value) * 10**places
    digits = str(int(scaled + Fraction(1, 2))).rjust(places + 1, "0")
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    sign = "-" if value < 0 and digits.strip("0") else ""
    return f"{sign}{whole}.{decimals}" if places else f"{sign}{whole}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketParams:
    """The parameters that an orchestrator made for one sender and one price.

    `recipient` has 20 bytes, the hashes have 32. `win_prob` is of 2^256 - 1, and `face_value` in
    wei.
    """

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
        """What one ticket is worth, in wei."""
        return Fraction(self.face_value * self.win_prob, MAX_WIN_PROB)

    @property
    def aux_data(self) -> bytes:
        """The round and its hash, nothing when both are zero."""
        if self.round == 0 and not any(self.round_hash):
            return b""
        return word(self.round) + self.round_hash

    def message(self, sender: bytes, nonce: int) -> bytes:
        """The bytes whose Keccak hash is the ticket's, which the sender signs."""
        return b"".join(
            (
                self.recipient,
                sender,
                word(self.face_value),
                word(self.win_prob),
                word(nonce),
                self.rand_hash,
                self.aux_data,
            )
        )

    def json(self) -> dict[str, object]:
        """The `ticket_params` of a token: base64, and what is zero left out."""
        fields = {
            "recipient": self.recipient,
            "face_value": number_bytes(self.face_value),
            "win_prob": number_bytes(self.win_prob),
            "recipient_rand_hash": self.rand_hash,
            "seed": number_bytes(self.seed),
            "expiration_block": number_bytes(self.expiration_block),
        }
        told: dict[str, object] = {name: _base64(data) for name, data in fields.items() if data}
        told["expiration_params"] = {
            "creation_round": self.round,
            "creation_round_block_hash": _base64(self.round_hash),
        }
        return told


def read_params(found: Mapping[str, gojson.JSONValue]) -> TicketParams:
    """Read the `ticket_params` of a token.

    Raises:
        gojson.GoJSONError: A field of the wrong type.
    """
    data = {name: _data(found, name) for name in _DATA}
    expiration = found.get("expiration_params")
    expiration = expiration if isinstance(expiration, dict) else {}
    number = expiration.get("creation_round")
    return TicketParams(
        recipient=sized(data["recipient"], 20),
        face_value=int.from_bytes(sized(data["face_value"], 32)),
        win_prob=int.from_bytes(sized(data["win_prob"], 32)),
        rand_hash=sized(data["recipient_rand_hash"], 32),
        seed=int.from_bytes(data["seed"]),
        expiration_block=int.from_bytes(data["expiration_block"]),
        round=number if isinstance(number, int) else 0,
        round_hash=sized(_data(expiration, "creation_round_block_hash"), 32),
    )


def ticket_count(cost: Fraction, value: Fraction) -> int:
    """How many tickets of a value pay a cost: enough, but no more than an orchestrator takes."""
    if value == 0:
        return 0
    return max(0, min(-(-cost // value), MAX_TICKETS))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(found: Mapping[str, gojson.JSONValue], name: str) -> bytes:
    text = found.get(name)
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        raise gojson.GoJSONError(f"ticket_params.{name}: illegal base64 data") from None
