"""The gRPC service of an orchestrator: `net.Orchestrator/GetOrchestrator`, as bytes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from livepeer.client.errors import MissingExtra

from ._info import RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import grpc.aio


@asynccontextmanager
async def serve_grpc(answer: Callable[[bytes], bytes]) -> AsyncGenerator[int]:
    """Serve the method in clear text on a free loopback port, which it yields.

    Raises:
        MissingExtra: gRPC is not installed.
    """
    if find_spec("grpc") is None:
        raise MissingExtra("a fake with gRPC needs the extra `grpc`: livepeer-client[grpc]")
    import grpc  # lazy: an extra, and slow to load
    import grpc.aio  # lazy: as above

    async def handle(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return answer(request)
        except (RequestRefusedError, ValueError) as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "GetOrchestrator": grpc.unary_unary_rpc_method_handler(handle)
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("net.Orchestrator", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
