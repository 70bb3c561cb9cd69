"""The messages of payments, byte for byte; beside another package's of the same names."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from livepeer.client._pay.info import byoc_capability, read_info, read_result
from livepeer.client._proto import livepeer_pb2 as wire
from livepeer.client.errors import InvalidAnswer


def test_a_captured_payment_reads_and_writes_the_same(vectors: dict[str, Any]) -> None:
    captured = vectors["payment"]
    payment = wire.Payment.FromString(bytes.fromhex(captured["proto_hex"]))
    assert [ticket.sender_nonce for ticket in payment.ticket_sender_params] == [1]
    assert (payment.expected_price.pricePerUnit, payment.expected_price.pixelsPerUnit) == (10, 1)
    assert payment.ticket_params.expiration_params == payment.expiration_params
    header = base64.b64encode(payment.SerializeToString()).decode()
    assert header == captured["livepeer_payment_header"]


def test_the_service_is_the_one_that_orchestrators_serve() -> None:
    service = wire.DESCRIPTOR.services_by_name["Orchestrator"]
    assert f"/{service.full_name}/{service.methods[0].name}" == "/net.Orchestrator/GetOrchestrator"


def test_a_byoc_capability_is_named_in_both_maps() -> None:
    expected = "1a04082510012a191217082512130a110a0d746578742d726576657273616c1200"
    assert byoc_capability("text-reversal").hex() == expected


def test_fields_that_are_unknown_here_are_kept() -> None:
    info = wire.OrchestratorInfo(transcoder="https://a.example:8935")
    # Field 7 of the real message, of which no caller has a use.
    raw = info.SerializeToString() + b"\x3a\x03\x0a\x01x"
    assert read_info(raw).SerializeToString() == raw


def test_another_package_may_bring_the_same_messages() -> None:
    theirs = descriptor_pb2.FileDescriptorProto()
    wire.DESCRIPTOR.CopyToProto(theirs)
    theirs.name = "another.proto"
    del theirs.service[:]
    # Refused where a name is taken already.
    descriptor_pool.Default().AddSerializedFile(theirs.SerializeToString())


def test_the_terms_of_a_payments_answer_are_taken_where_tickets_can_be_made_of_them() -> None:
    info = wire.OrchestratorInfo(transcoder="https://a.example:8935")
    bare = wire.PaymentResult(info=info).SerializeToString()
    assert bare.hex().startswith("8201")
    assert read_result(bare) is None
    info.ticket_params.seed = b"\x01"
    assert read_result(wire.PaymentResult(info=info).SerializeToString()) == (
        info.SerializeToString()
    )


@pytest.mark.parametrize("read", [read_info, read_result])
def test_what_is_no_message_is_told(read: Any) -> None:
    with pytest.raises(InvalidAnswer, match="cannot be read"):
        read(b"\xff\xff")
