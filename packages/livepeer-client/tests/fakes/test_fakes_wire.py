"""The fakes' own keys, tickets and messages against golden vectors and generated messages."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing._branch import v1_message
from livepeer.client.testing._cashier import read_payment
from livepeer.client.testing._gojson import GoObject
from livepeer.client.testing._keys import (
    FakeKey,
    address_text,
    hex_signature,
    is_digest_signed,
    is_signed,
    raw_address,
)
from livepeer.client.testing._protobuf import Message, encode
from livepeer.client.testing._tickets import TicketTerms


def test_signatures(vectors: dict[str, Any]) -> None:
    keys = {key["name"]: FakeKey(key["private_key"]) for key in vectors["keys"]}
    for row in vectors["job_signature_legacy_HEAD"]["vectors"]:
        fields, key = row["fields"], keys[row["key"]]
        message = (fields["request"] + fields["parameters"]).encode()
        assert "0x" + key.sign(message).hex() == row["signature"]
        signature = hex_signature(row["signature"])
        assert signature is not None
        assert is_signed(message, signature, key.raw)
        assert not is_signed(message + b" ", signature, key.raw)
        assert address_text(key.raw) == key.address
    rows = vectors["job_signature_v1_branch"]["vectors"]
    assert rows
    for row in rows:
        fields, key = row["fields"], keys[row["key"]]
        parts = [fields[name] for name in ("id", "capability", "request", "parameters")]
        message = v1_message(fields["timeout_seconds"], *parts)
        assert "0x" + key.sign(message).hex() == row["signature"]


def test_a_larger_s_and_other_forms_are_refused() -> None:
    key = FakeKey("11" * 32)
    good = key.sign_digest(b"x")
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(good[32:64])
    flipped = good[:32] + high.to_bytes(32) + bytes([55 - good[64]])
    low_v = good[:64] + bytes([good[64] - 27])
    assert is_digest_signed(b"x", good, key.raw)
    for bad in (flipped, low_v, good[:64], bytes(65), bytes(64) + b"\x1b", b""):
        assert not is_digest_signed(b"x", bad, key.raw)


def test_tickets(vectors: dict[str, Any]) -> None:
    rows = vectors["pm_ticket"]["vectors"]
    assert len(rows) >= 7
    for row in rows:
        ticket = row["ticket"]
        terms = TicketTerms(
            recipient=raw_address(ticket["Recipient"]),
            face_value=int(ticket["FaceValue"]),
            win_prob=int(ticket["WinProb"]),
            rand_hash=bytes.fromhex(ticket["Rand"][2:]),
            seed=0,
            expiration_block=0,
            round=ticket["Round"],
            round_hash=bytes.fromhex(ticket["BlockHash"][2:]),
        )
        sender = raw_address(ticket["Sender"])
        assert "0x" + terms.ticket_hash(sender, ticket["Nonce"]).hex() == row["hash"]
        if "ev_wei" in row:
            assert abs(terms.value - Fraction(row["ev_wei"])) < Fraction(1, 10**6)
            signature = bytes.fromhex(row["ticket_signature_by_K1"][2:])
            assert is_digest_signed(bytes.fromhex(row["hash"][2:]), signature, sender)


def test_a_payment_of_the_gateway_is_read(vectors: dict[str, Any]) -> None:
    payment = read_payment(vectors["payment"]["livepeer_payment_header"])
    assert payment.raw.hex() == vectors["payment"]["proto_hex"]
    same = pb.Payment.FromString(payment.raw)
    terms = TicketTerms.decode(payment.message(1), payment.message(3))
    assert terms.recipient == same.ticket_params.recipient
    assert terms.seed == int.from_bytes(same.ticket_params.seed)
    assert terms.encode() == same.ticket_params.SerializeToString()
    assert [ticket.number(1) for ticket in payment.messages(4)] == [1]
    assert payment.message(5).number(1) == same.expected_price.pricePerUnit == 10


def test_numbers_on_the_wire() -> None:
    info = pb.PriceInfo(pricePerUnit=-5, pixelsPerUnit=2**62, capability=37, constraint="é")
    message = Message(info.SerializeToString())
    assert [message.number(1), message.number(2), message.number(3)] == [-5, 2**62, 37]
    assert message.text(4) == "é"
    again = pb.PriceInfo.FromString(encode({1: -5, 2: 2**62, 3: 37, 4: "é"}))
    assert again == info
    assert Message(pb.Capabilities(bitstring=[1, 300]).SerializeToString()).numbers(1) == [1, 300]
    for bad in (b"\x0a\x05ab", b"\x80", b"\x07", b"\x00\x00"):
        with pytest.raises(ValueError, match=r"."):
            Message(bad)


def test_go_reads_json_by_its_own_rules() -> None:
    fields = GoObject.parse(b'{"MANIFESTID":"m","n":3,"b":"aGk=","null":null,"x":1.5}')
    assert (fields.text("ManifestID"), fields.number("n"), fields.data("b")) == ("m", 3, b"hi")
    assert fields.text("null") == fields.text("absent") == ""
    assert "null" not in fields
    for read in (
        lambda: fields.text("n"),
        lambda: fields.number("x"),
        lambda: fields.data("ManifestID"),
        lambda: fields.child("n"),
        lambda: GoObject.parse(b"[]"),
        lambda: GoObject.parse(b""),
    ):
        with pytest.raises(ValueError, match=r"json|base64|EOF"):
            read()
