"""What an orchestrator says of itself by gRPC: prices, capabilities, and what a payment needs.

Source: go-livepeer `net/lp_rpc.proto`, `server/rpc.go`, `core/orchestrator.go`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._net.certificates import Certificates
from livepeer.client._wire.capabilities import (
    CapabilityId,
    build_capabilities_from_queries,
    parse_capability_queries,
)
from livepeer.client._wire.encoding import base_url, redact, without_secrets
from livepeer.client.errors import ConfigError, InvalidAnswer, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from livepeer.client._net.trust import TrustStore
    from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo as Message, PriceInfo
    from livepeer.client._sign.signing import TokenCredentials
    from livepeer.client._wire.capabilities import CapabilityQuery

TIMEOUT_S: Final = 10.0
_LEAST_S: Final = 0.05


class HasCredentials(Protocol):
    """What is needed of a signer here."""

    async def token_credentials(self) -> TokenCredentials:
        """An address with its signature over itself."""
        ...


@dataclass(frozen=True, kw_only=True)
class CapabilityPrice:
    """What one capability costs.

    Attributes:
        id: The pipeline's number; `CapabilityId` has those that are known here, and 0 is the price
            of transcoding, or of several models together.
        model: The model, or the name of a BYOC capability.
        wei: For so many units.
        units: How many seconds or pixels; see `unit`.
    """

    id: int
    model: str
    wei: int
    units: int

    @property
    def unit(self) -> str:
        """What is counted: `second` for BYOC, and `pixel` for the rest, whatever stands for it."""
        return "second" if self.id == CapabilityId.BYOC else "pixel"

    @property
    def wei_per_unit(self) -> float:
        """Wei for one unit."""
        return self.wei / self.units if self.units else 0.0


@dataclass(frozen=True, kw_only=True)
class CapabilityOffer:
    """A model of one of the built-in pipelines. BYOC capabilities are among the prices only.

    Attributes:
        id: The pipeline's number.
        model: The model.
        idle: Free containers, where the orchestrator tells.
        busy: Containers at work.
    """

    id: int
    model: str
    idle: int
    busy: int


@dataclass(frozen=True, kw_only=True)
class AuthToken:
    """What a session at the orchestrator is known by. It does not survive its restart.

    Attributes:
        token: Opaque.
        session_id: Its name.
        expiration: Unix time in seconds; half an hour from the call.
    """

    token: bytes = field(repr=False)
    session_id: str
    expiration: int


@dataclass(frozen=True, kw_only=True)
class OrchestratorInfo:
    """What an orchestrator says of itself, and the message as it came.

    Attributes:
        url: The orchestrator that was asked.
        transcoder: Its own idea of its URL; the base of all HTTP calls in go-livepeer.
        address: Its Ethereum address, `0x` and lower case; empty off-chain.
        price: For what was asked for, or for transcoding when nothing was; None off-chain, and
            where it is not told: of a BYOC capability that is not offered or asked for with others.
        prices: What each capability costs. When something was asked for, those of the BYOC
            capabilities among it.
        offers: The models of the built-in pipelines.
        auth_token: A fresh session; None from orchestrators without.
        nodes: Other nodes of the same operator.
        version: The orchestrator's version.
        raw: The message as it came, with fields that are unknown here. A payment signer gets it so.
    """

    url: str
    transcoder: str
    address: str
    price: CapabilityPrice | None
    prices: tuple[CapabilityPrice, ...]
    offers: tuple[CapabilityOffer, ...]
    auth_token: AuthToken | None
    nodes: tuple[str, ...]
    version: str
    raw: bytes = field(repr=False)

    def __repr__(self) -> str:
        return without_secrets(self)

    def byoc_price(self, capability: str) -> CapabilityPrice | None:
        """What a BYOC capability costs, in wei for seconds; None when it is not offered."""
        return next(
            (p for p in self.prices if p.id == CapabilityId.BYOC and p.model == capability), None
        )


async def get_orchestrator_info(
    url: str,
    *,
    signer: HasCredentials | None = None,
    capabilities: Iterable[str] = (),
    ignore_capacity_check: bool = False,
    use_tofu: bool = True,
    verify_tls: bool = True,
    trust: TrustStore | None = None,
    timeout_s: float = TIMEOUT_S,
) -> OrchestratorInfo:
    """Ask an orchestrator by gRPC. Needs the extra `grpc`.

    Of a BYOC capability released orchestrators tell the price only to those who ask for nothing,
    and to others that of transcoding. So where one is asked for, its price is looked up by a
    second request.

    Args:
        url: Its URL. With http the call goes in clear text.
        signer: Who asks; None for nobody, which is enough for an orchestrator off-chain.
        capabilities: `pipeline/model`, each of which may be several with commas between. With
            none, all prices are told, those of BYOC capabilities among them.
        ignore_capacity_check: Have an answer also when every container of a live model is busy.
        use_tofu: Trust the first self-signed certificate that the orchestrator shows, and no other
            later; False verifies as usual.
        verify_tls: False takes any certificate, and remembers none.
        trust: Remembers certificates; by default in the user's data directory.
        timeout_s: Seconds for all of it.

    Raises:
        ConfigError: An argument is wrong.
        NodeUnreachable: There is no connection.
        CertificateChanged: The host is known by another certificate.
        CapabilityUnavailable: Every slot is taken.
        OrchestratorError: It refuses, for instance the signature.
        InvalidAnswer: It answers something else.
        JobTimeout: The time passed.
        MissingExtra: The extra `grpc` is not installed.
    """
    queries = parse_capability_queries(capabilities)
    until = time.monotonic() + timeout_s

    ask = partial(
        ask_orchestrator,
        url,
        signer=signer,
        ignore_capacity_check=ignore_capacity_check,
        use_tofu=use_tofu,
        verify_tls=verify_tls,
        trust=trust,
    )
    info = await ask(capabilities=map(str, queries), timeout_s=timeout_s)
    if not any(query.id is CapabilityId.BYOC for query in queries):
        return _named(info, queries)
    # Some tell all prices in any case.
    if not info.prices:
        whole = await ask(timeout_s=max(until - time.monotonic(), _LEAST_S))
        info = replace(info, prices=whole.prices)
    return _with_byoc_prices(info, queries)


async def ask_orchestrator(
    url: str,
    *,
    signer: HasCredentials | None = None,
    capabilities: Iterable[str] = (),
    ignore_capacity_check: bool = False,
    use_tofu: bool = True,
    verify_tls: bool = True,
    trust: TrustStore | None = None,
    timeout_s: float = TIMEOUT_S,
) -> OrchestratorInfo:
    """What it answers to one request, as it is; the arguments are those of `get_orchestrator_info`.

    Raises:
        ClientError: As for `get_orchestrator_info`.
    """
    url = base_url(url, "url")
    if timeout_s <= 0:
        raise ConfigError(f"`timeout_s` must be more than 0, not {timeout_s!r}")
    # In a thread: the library takes a while to import.
    await asyncio.to_thread(_load)
    from livepeer.client._net.grpc import get_orchestrator  # lazy: grpc

    credentials = None if signer is None else await signer.token_credentials()
    request = orchestrator_request(
        credentials, capabilities, ignore_capacity_check=ignore_capacity_check
    )
    raw = await get_orchestrator(
        url,
        request,
        certificates=Certificates(trust) if use_tofu and verify_tls else None,
        verify_tls=verify_tls,
        timeout_s=timeout_s,
    )
    return parse_orchestrator_info(raw, url)


def orchestrator_request(
    credentials: TokenCredentials | None,
    capabilities: Iterable[str] = (),
    *,
    ignore_capacity_check: bool = False,
) -> bytes:
    """The serialized `OrchestratorRequest`.

    Raises:
        ConfigError: A capability is not `pipeline/model`.
    """
    from livepeer.client._proto.livepeer_pb2 import OrchestratorRequest  # lazy: protobuf

    request = OrchestratorRequest(
        capabilities=build_capabilities_from_queries(capabilities),
        ignoreCapacityCheck=ignore_capacity_check,
    )
    if credentials is not None:
        request.address = bytes.fromhex(credentials.address.removeprefix("0x"))
        request.sig = bytes.fromhex(credentials.signature.removeprefix("0x"))
    return request.SerializeToString(deterministic=True)


def parse_orchestrator_info(raw: bytes, url: str) -> OrchestratorInfo:
    """Read a serialized `OrchestratorInfo`.

    Raises:
        InvalidAnswer: It is none.
    """
    from google.protobuf.message import DecodeError  # lazy: protobuf

    from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo as Message

    try:
        message = Message.FromString(raw)
    except DecodeError as error:
        raise InvalidAnswer("the answer is no OrchestratorInfo", url=redact(url)) from error
    token = message.auth_token
    return OrchestratorInfo(
        url=url,
        transcoder=message.transcoder,
        address=f"0x{message.address.hex()}" if message.address else "",
        price=_price(message.price_info) if message.HasField("price_info") else None,
        prices=tuple(map(_price, message.capabilities_prices)),
        offers=_offers(message),
        auth_token=AuthToken(
            token=token.token, session_id=token.session_id, expiration=token.expiration
        )
        if message.HasField("auth_token")
        else None,
        nodes=tuple(message.nodes),
        version=message.capabilities.version,
        raw=raw,
    )


def _named(info: OrchestratorInfo, queries: Sequence[CapabilityQuery]) -> OrchestratorInfo:
    """The price by the name of the one model that was asked for: on the wire it has none."""
    if info.price is None or len(queries) != 1:
        return info
    return replace(info, price=replace(info.price, id=queries[0].id, model=queries[0].model))


def _with_byoc_prices(
    info: OrchestratorInfo, queries: Sequence[CapabilityQuery]
) -> OrchestratorInfo:
    asked = {query.model for query in queries if query.id is CapabilityId.BYOC}
    found = tuple(p for p in info.prices if p.id == CapabilityId.BYOC and p.model in asked)
    alone = found[0] if len(queries) == 1 and found else None
    return replace(info, price=alone, prices=found)


def _price(price: PriceInfo) -> CapabilityPrice:
    return CapabilityPrice(
        id=price.capability,
        model=price.constraint,
        wei=price.pricePerUnit,
        units=price.pixelsPerUnit,
    )


def _offers(message: Message) -> tuple[CapabilityOffer, ...]:
    constraints = message.capabilities.constraints.PerCapability
    offers = [
        CapabilityOffer(id=id, model=name, idle=model.capacity, busy=model.capacityInUse)
        for id, constraint in constraints.items()
        for name, model in constraint.models.items()
    ]
    # A map on the wire has no order.
    return tuple(sorted(offers, key=lambda offer: (offer.id, offer.model)))


def _load() -> None:
    try:
        import_module("livepeer.client._net.grpc")  # lazy: grpc
    except ModuleNotFoundError as error:
        if error.name != "grpc":
            raise
        raise MissingExtra(
            "asking by gRPC needs the extra `grpc`: pip install 'livepeer-client[grpc]'"
        ) from error
