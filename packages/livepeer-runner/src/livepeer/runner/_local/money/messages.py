"""The payment in a `Livepeer-Payment` header: base64 of a protobuf, read and written.

Source: go-livepeer `net/lp_rpc.proto`, `server/segment_rpc.go` (`getPayment`).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Final

from livepeer.runner._local.errors import VerifyUnavailable

from .tickets import TicketParams, number_bytes, sized

if TYPE_CHECKING:
    from livepeer.runner._local._proto import local_pb2 as pb

PAYMENT_HEADER: Final = "Livepeer-Payment"


class PaymentRefused(Exception):
    """A payment that cannot be read, or was not taken; the message is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment: tickets of one sender, all with the same parameters.

    Attributes:
        sender: Who pays, 20 bytes.
        params: None for a payment without tickets, which credits nothing.
        price: Units and wei for them, as the orchestrator told: it is part of the parameters.
        tickets: Nonce and signature of each.
    """

    sender: bytes
    params: TicketParams | None
    price: tuple[int, int]
    tickets: tuple[tuple[int, bytes], ...]

    @property
    def rate(self) -> Fraction:
        """Wei for one unit."""
        wei, units = self.price
        return Fraction(wei, units)

    def header(self) -> str:
        """The value of the header."""
        from livepeer.runner._local._proto import local_pb2 as pb  # lazy: protobuf

        wei, units = self.price
        message = pb.Payment(
            sender=self.sender,
            expected_price=pb.PriceInfo(pricePerUnit=wei, pixelsPerUnit=units),
            ticket_sender_params=[
                pb.TicketSenderParams(sender_nonce=nonce, sig=signature)
                for nonce, signature in self.tickets
            ],
        )
        if self.params is not None:
            message.ticket_params.CopyFrom(params_message(self.params))
            message.expiration_params.CopyFrom(message.ticket_params.expiration_params)
        return base64.b64encode(message.SerializeToString()).decode()


def check_messages() -> None:
    """See whether payments can be read.

    Raises:
        VerifyUnavailable: protobuf is not installed.
    """
    try:
        import_module("google.protobuf")
    except ImportError:
        raise VerifyUnavailable("charge", "protobuf") from None


def params_message(params: TicketParams) -> pb.TicketParams:
    """The parameters as protobuf, with their expiration."""
    from livepeer.runner._local._proto import local_pb2 as pb  # lazy: protobuf

    return pb.TicketParams(
        recipient=params.recipient,
        face_value=number_bytes(params.face_value),
        win_prob=number_bytes(params.win_prob),
        recipient_rand_hash=params.rand_hash,
        seed=number_bytes(params.seed),
        expiration_block=number_bytes(params.expiration_block),
        expiration_params=pb.TicketExpirationParams(
            creation_round=params.round, creation_round_block_hash=params.round_hash
        ),
    )


def read_payment(header: str) -> Payment:
    """Read the header.

    Raises:
        PaymentRefused: It is no payment, or one that upstream's handler fails on.
    """
    from google.protobuf.message import DecodeError  # lazy: protobuf

    from livepeer.runner._local._proto import local_pb2 as pb  # lazy: protobuf

    try:
        message = pb.Payment.FromString(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError) as error:
        raise PaymentRefused(f"no base64: {error}") from None
    except DecodeError as error:
        raise PaymentRefused(f"no protobuf: {error}") from None
    if not message.HasField("ticket_params"):
        return Payment(sender=message.sender, params=None, price=(0, 1), tickets=())
    if not message.sender:
        raise PaymentRefused("the payment has no sender")
    if not message.HasField("expiration_params"):
        raise PaymentRefused("the payment has no expiration_params")
    if not message.HasField("expected_price") or message.expected_price.pixelsPerUnit == 0:
        raise PaymentRefused("the payment has no expected_price, or one of zero pixelsPerUnit")
    price = message.expected_price
    return Payment(
        sender=sized(message.sender, 20),
        params=_params(message),
        price=(price.pricePerUnit, price.pixelsPerUnit),
        tickets=tuple((each.sender_nonce, each.sig) for each in message.ticket_sender_params),
    )


def _params(payment: pb.Payment) -> TicketParams:
    params, expiration = payment.ticket_params, payment.expiration_params
    return TicketParams(
        recipient=sized(params.recipient, 20),
        face_value=int.from_bytes(params.face_value),
        win_prob=int.from_bytes(params.win_prob),
        rand_hash=sized(params.recipient_rand_hash, 32),
        seed=int.from_bytes(params.seed),
        expiration_block=int.from_bytes(params.expiration_block),
        round=expiration.creation_round,
        round_hash=sized(expiration.creation_round_block_hash, 32),
    )
