"""gRPC `GetOrchestrator`: what the node offers, for callers that ask this way.

Source: go-livepeer `server/rpc.go` (`getOrchestrator`, `orchestratorInfoWithCaps`),
`core/orchestrator.go` (`GetCapabilitiesPrices`, `AuthToken`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from math import floor
from typing import TYPE_CHECKING, Final

from .errors import VerifyUnavailable
from .money.messages import params_message
from .money.tickets import number_bytes, sized

if TYPE_CHECKING:
    import grpc.aio

    from ._proto import local_pb2 as pb
    from .admission import Node

_BYOC: Final = 37
_TOKEN_LIFE_S: Final = 30 * 60
_BAD_SIGNATURE: Final = "Invalid orchestrator request: orchestrator req sig check failed"


class GrpcServer:
    """A server on a free port of loopback, from the first time that it is wanted."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._secret = secrets.token_bytes(32)
        self._starting = asyncio.Lock()
        self._server: grpc.aio.Server | None = None
        self._port = 0

    async def port(self) -> int:
        """Its port.

        Raises:
            VerifyUnavailable: grpcio or protobuf is not installed.
        """
        async with self._starting:
            if self._server is None:
                self._server = await self._start()
        return self._port

    async def close(self) -> None:
        """End every call, and stop."""
        if self._server is not None:
            await self._server.stop(grace=None)

    async def _start(self) -> grpc.aio.Server:
        try:
            # lazy: most networks are never asked by gRPC
            import grpc
            import grpc.aio

            from ._proto import local_pb2 as pb
        except ImportError:
            raise VerifyUnavailable("GetOrchestrator", "grpcio and protobuf") from None

        async def get_orchestrator(
            request: pb.OrchestratorRequest,
            context: grpc.aio.ServicerContext[pb.OrchestratorRequest, pb.OrchestratorInfo],
        ) -> pb.OrchestratorInfo:
            if not self._signed(request):
                await context.abort(grpc.StatusCode.UNKNOWN, _BAD_SIGNATURE)
            return self._info(request)

        method = grpc.unary_unary_rpc_method_handler(
            get_orchestrator,
            request_deserializer=pb.OrchestratorRequest.FromString,
            response_serializer=pb.OrchestratorInfo.SerializeToString,
        )
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("net.Orchestrator", {"GetOrchestrator": method}),)
        )
        self._port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server

    def _signed(self, request: pb.OrchestratorRequest) -> bool:
        verifier, address = self._node.verifier, sized(request.address, 20)
        return verifier.accepts(address, verifier.checksum(address).encode(), request.sig)

    def _info(self, request: pb.OrchestratorRequest) -> pb.OrchestratorInfo:
        from ._proto import local_pb2 as pb  # lazy: protobuf

        asked = request.capabilities if request.HasField("capabilities") else None
        info = pb.OrchestratorInfo(
            transcoder=self._node.url,
            capabilities=pb.Capabilities(),
            auth_token=self._auth_token(),
            capabilities_prices=[] if asked else self._prices(),
        )
        if self._node.till is not None:
            price = self._price(asked)
            params = self._node.till.ticket_params(sized(request.address, 20), price)
            info.address = params.recipient
            info.ticket_params.CopyFrom(params_message(params))
            info.price_info.CopyFrom(pb.PriceInfo(pricePerUnit=price, pixelsPerUnit=1))
        return info

    def _prices(self) -> list[pb.PriceInfo]:
        """What each capability registered, whether or not it is charged for."""
        from ._proto import local_pb2 as pb  # lazy: protobuf

        registry = self._node.registry
        return [
            pb.PriceInfo(
                pricePerUnit=floor(registry.price(name)),
                pixelsPerUnit=1,
                capability=_BYOC,
                constraint=name,
            )
            for name in registry.names()
        ]

    def _price(self, asked: pb.Capabilities | None) -> int:
        """The price of what is asked for.

        go-livepeer's master gives that of transcoding, which is free here, for a BYOC capability;
        its branches with V1 signatures give the capability's own.
        """
        if asked is None or self._node.settings.signature != "v1" or _BYOC not in asked.capacities:
            return 0
        models = asked.constraints.PerCapability[_BYOC].models
        return sum(self._node.price(name) for name in models)

    def _auth_token(self) -> pb.AuthToken:
        from ._proto import local_pb2 as pb  # lazy: protobuf

        session, expiration = secrets.token_hex(4), int(time.time()) + _TOKEN_LIFE_S
        message = session.encode() + number_bytes(expiration)
        token = hmac.digest(self._secret, message, hashlib.sha256)
        return pb.AuthToken(token=token, session_id=session, expiration=expiration)
