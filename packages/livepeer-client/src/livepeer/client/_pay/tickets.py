"""Payment tickets: what they are worth, what of them is signed, and the message that carries them.

Pure but for protobuf, and the hash of the extra `eth`. Sources: go-livepeer `pm/ticket.go`,
`pm/sender.go`, `byoc/payment.go`, `net/lp_rpc.proto`.
"""

from __future__ import annotations

import base64
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from livepeer.client._sign.eth import keccak256
from livepeer.client.errors import InvalidAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from livepeer.client._proto.livepeer_pb2 import PriceInfo, TicketParams
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.tokens import JobToken

MAX_TICKETS: Final = 600
"""An orchestrator counts so many tickets for one set of parameters (`pm.maxSenderNonces`)."""

CERTAIN: Final = 2**256 - 1
"""The `win_prob` of a ticket that always wins."""

_ADDRESS_BYTES: Final = 20
_WORD_BYTES: Final = 32
_MOST: Final = 2**63 - 1


def read_ticket_params(terms: JobToken) -> TicketParams:
    """The ticket parameters of a token, as the message that a payment repeats.

    Raises:
        InvalidAnswer: There are none, or they are not what an orchestrator sends.
    """
    from livepeer.client._proto.livepeer_pb2 import TicketParams  # lazy: protobuf

    fields = terms.ticket_params
    if fields is None:
        raise InvalidAnswer(
            "the capability has a price, but the token no ticket parameters", url=terms.url
        )
    url = terms.url
    params = TicketParams(
        recipient=_bytes(fields, "recipient", url, _ADDRESS_BYTES),
        face_value=_bytes(fields, "face_value", url),
        win_prob=_bytes(fields, "win_prob", url),
        recipient_rand_hash=_bytes(fields, "recipient_rand_hash", url),
        seed=_bytes(fields, "seed", url),
        expiration_block=_bytes(fields, "expiration_block", url),
    )
    expiration = fields.get("expiration_params")
    if isinstance(expiration, dict):
        block_hash = _bytes(expiration, "creation_round_block_hash", url)
        params.expiration_params.creation_round_block_hash = block_hash
        params.expiration_params.creation_round = _round(expiration, url)
    return params


def read_price(terms: JobToken) -> PriceInfo:
    """The price of a token, as the message that a payment repeats.

    Raises:
        InvalidAnswer: It is larger than any orchestrator can write.
    """
    from livepeer.client._proto.livepeer_pb2 import PriceInfo  # lazy: protobuf

    wei, units = terms.price
    if max(wei, units) > _MOST:
        raise InvalidAnswer("the token's `price` is too large", url=terms.url)
    return PriceInfo(pricePerUnit=wei, pixelsPerUnit=units)


def ticket_value(params: TicketParams) -> Fraction:
    """The expected value of one ticket, in wei."""
    face_value = int.from_bytes(params.face_value, "big")
    return Fraction(face_value * int.from_bytes(params.win_prob, "big"), CERTAIN)


def ticket_count(cost: int, value: Fraction) -> int:
    """How many tickets cover `cost` wei; no more than an orchestrator counts, 0 when none can."""
    if value == 0:
        return 0
    return max(0, min(MAX_TICKETS, math.ceil(cost / value)))


def in_tickets(cost: int, value: Fraction) -> int:
    """What `cost` wei come to when they are paid with whole tickets, rounded up."""
    return cost if value == 0 else math.ceil(math.ceil(cost / value) * value)


def ticket_hash(params: TicketParams, sender: bytes, nonce: int) -> bytes:
    """The 32 bytes of which a ticket's signature is made.

    Args:
        params: With 20 bytes of `recipient`.
        sender: 20 bytes.
        nonce: Counts the tickets of one `recipient_rand_hash`, from 1.
    """
    expiration = params.expiration_params
    block_hash = _word(expiration.creation_round_block_hash)
    message = b"".join(
        (
            params.recipient.rjust(_ADDRESS_BYTES, b"\0"),
            sender,
            _word(params.face_value),
            _word(params.win_prob),
            _word(nonce.to_bytes(4, "big")),
            _word(params.recipient_rand_hash),
        )
    )
    if expiration.creation_round or any(block_hash):
        message += _word(expiration.creation_round.to_bytes(8, "big")) + block_hash
    return keccak256(message)


def _word(number: bytes) -> bytes:
    return number.rjust(_WORD_BYTES, b"\0")


def payment_header(
    params: TicketParams,
    sender: bytes,
    signatures: Mapping[int, bytes],
    *,
    price: PriceInfo,
) -> str:
    """The value of `Livepeer-Payment`.

    Args:
        params: As the orchestrator told them.
        sender: 20 bytes.
        signatures: Of each ticket, by its nonce.
        price: As the orchestrator told it: it derives the tickets' secret from that.
    """
    from livepeer.client._proto.livepeer_pb2 import Payment, TicketSenderParams  # lazy: protobuf

    payment = Payment(
        ticket_params=params,
        sender=sender,
        expiration_params=params.expiration_params,
        ticket_sender_params=[
            TicketSenderParams(sender_nonce=nonce, sig=signature)
            for nonce, signature in signatures.items()
        ],
        expected_price=price,
    )
    return base64.b64encode(payment.SerializeToString()).decode()


def payment_value(header: str) -> int:
    """What a payment is worth, in wei and rounded up; to be counted, not to be judged.

    Raises:
        InvalidAnswer: It is no payment.
    """
    from google.protobuf.message import DecodeError  # lazy: protobuf

    from livepeer.client._proto.livepeer_pb2 import Payment  # lazy: protobuf

    try:
        payment = Payment.FromString(base64.b64decode(header, validate=True))
    except (ValueError, DecodeError) as error:
        raise InvalidAnswer("the payment cannot be read") from error
    return total_value(payment.ticket_params, payment.ticket_sender_params)


def total_value(params: TicketParams, tickets: Sequence[object]) -> int:
    """What so many tickets are worth, in wei and rounded up."""
    return math.ceil(ticket_value(params) * len(tickets))


def _bytes(fields: Mapping[str, JSONValue], name: str, url: str, most: int = _WORD_BYTES) -> bytes:
    # What is zero is left out.
    value = fields.get(name, "")
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or len(data) > most:
        raise InvalidAnswer(
            f"the token's `ticket_params.{name}` is not {most} bytes or fewer in base64", url=url
        )
    return data


def _round(fields: Mapping[str, JSONValue], url: str) -> int:
    value = fields.get("creation_round", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise InvalidAnswer("the token's `creation_round` is no round", url=url)
    return value
