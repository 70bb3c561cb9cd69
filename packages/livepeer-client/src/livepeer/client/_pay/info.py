"""An orchestrator's terms as a remote signer wants to read them: the message `OrchestratorInfo`.

Source: go-livepeer `server/remote_signer.go` (`GenerateLivePayment`), `net/lp_rpc.proto`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from livepeer.client._wire.capabilities import CapabilityId
from livepeer.client.errors import InvalidAnswer

from .tickets import read_price, read_ticket_params

if TYPE_CHECKING:
    from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo
    from livepeer.client._wire.tokens import JobToken

SESSION_S: Final = 1800
"""How long an orchestrator's own session tokens are valid."""


def info_of_token(terms: JobToken, *, session_id: str) -> bytes:
    """A BYOC token as `OrchestratorInfo`, which has all that a payment is made of.

    The session token is our own: a signer looks at nothing of it but the time of its end, and no
    BYOC orchestrator gets to see it.

    Raises:
        InvalidAnswer: The token has no ticket parameters, or none that can be read.
    """
    from livepeer.client._proto.livepeer_pb2 import AuthToken, OrchestratorInfo  # lazy: protobuf

    params = read_ticket_params(terms)
    return OrchestratorInfo(
        transcoder=terms.service_addr or terms.url,
        ticket_params=params,
        price_info=read_price(terms),
        address=params.recipient,
        auth_token=AuthToken(session_id=session_id, expiration=int(time.time()) + SESSION_S),
    ).SerializeToString()


def read_info(info: bytes) -> OrchestratorInfo:
    """What the message says.

    Raises:
        InvalidAnswer: It is none.
    """
    from google.protobuf.message import DecodeError  # lazy: protobuf

    from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo  # lazy: protobuf

    try:
        return OrchestratorInfo.FromString(info)
    except DecodeError as error:
        raise InvalidAnswer("the orchestrator's terms cannot be read") from error


def read_result(result: bytes) -> bytes | None:
    """The terms in the message `PaymentResult`; None where there are none to pay by.

    Raises:
        InvalidAnswer: It is none.
    """
    from google.protobuf.message import DecodeError  # lazy: protobuf

    from livepeer.client._proto.livepeer_pb2 import PaymentResult  # lazy: protobuf

    try:
        info = PaymentResult.FromString(result).info
    except DecodeError as error:
        raise InvalidAnswer("the orchestrator's answer to a payment cannot be read") from error
    return info.SerializeToString() if info.HasField("ticket_params") else None


def byoc_capability(name: str) -> bytes:
    """The message `Capabilities` that names one BYOC capability."""
    from livepeer.client._proto.livepeer_pb2 import Capabilities  # lazy: protobuf

    message = Capabilities()
    message.capacities[CapabilityId.BYOC] = 1
    message.constraints.PerCapability[CapabilityId.BYOC].models[name].SetInParent()
    return message.SerializeToString(deterministic=True)
