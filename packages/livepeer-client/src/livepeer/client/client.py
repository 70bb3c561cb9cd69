"""One entry for every call: through a gateway, or directly at orchestrators."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Self

from ._wire import base_url, dump_json
from .errors import ClientError, ConfigError
from .jobs import BYOCJobRequest, new_job_id
from .payments import FreeOnly
from .signing import LocalSigner
from .stream import BYOCJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ._http import HTTP
    from ._wire import JSONValue
    from .answer import Answer
    from .payments import PaymentProvider
    from .signing import Signer
    from .transport import JobTransport

_log = logging.getLogger(__name__)

KEEP_ALIVE_S = 10.0
"""How often a stream's control channel gets a sign of life; go-livepeer's gateway does the same."""


class Client:
    """Calls capabilities on the Livepeer network. An async context manager.

    ```python
    async with Client(gateway="http://127.0.0.1:9935") as client:
        print(await client.call("hello", {"name": "Ada"}))
    ```

    Leaving the context stops the streams that it started and that still run.

    Args:
        gateway: The URL of a gateway, which finds orchestrators, signs and pays.
        orchestrators: Instead of a gateway: URLs of orchestrators, tried in this order.
        signer: Who answers for jobs at orchestrators; by default a fresh random key, which is
            enough for whatever costs nothing.
        payments: What pays orchestrators; by default nothing does.
        keep_alive_s: Seconds between signs of life on a stream's control channel.
        verify_tls: Check certificates. Orchestrators have self-signed ones by default, which
            only False accepts.
        max_answer_bytes: The largest answer, or event, that is read; 64 MiB by default.

    Raises:
        ConfigError: Neither or both of gateway and orchestrators, or no valid URL.
    """

    def __init__(
        self,
        *,
        gateway: str | None = None,
        orchestrators: Sequence[str] = (),
        signer: Signer | None = None,
        payments: PaymentProvider | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
        verify_tls: bool = True,
        max_answer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        if isinstance(orchestrators, str):
            orchestrators = (orchestrators,)
        if (gateway is None) == (not orchestrators):
            raise ConfigError("give either `gateway` or `orchestrators`")
        if keep_alive_s <= 0:
            raise ConfigError(f"`keep_alive_s` must be more than 0, not {keep_alive_s!r}")
        self._gateway = None if gateway is None else base_url(gateway, "gateway")
        self._orchestrators = tuple(base_url(url, "orchestrators") for url in orchestrators)
        self._signer = signer
        self._payments = payments or FreeOnly()
        self._keep_alive_s = keep_alive_s
        self._verify_tls = verify_tls
        self._max_answer_bytes = max_answer_bytes
        self._stack = AsyncExitStack()
        self._opened: tuple[HTTP, JobTransport] | None = None
        self._jobs: set[BYOCJob] = set()

    async def call(
        self, capability: str, payload: object, *, route: str = "predict", timeout_s: int = 60
    ) -> JSONValue:
        """Run a batch job and return its answer.

        Args:
            capability: The registered name.
            payload: What the runner gets as its JSON body.
            route: The runner's path.
            timeout_s: Whole seconds that the runner has.

        Raises:
            RunnerError: The runner refused the payload or failed.
            CapabilityUnavailable: Nobody offers the capability at the moment.
            NoOrchestrator: Each orchestrator failed.
            PaymentRequired: It has a price.
            JobTimeout: No answer in time.
            StreamError: The capability answers with a stream of events; see `call_events`.
            ClientError: Whatever else can go wrong on the way.
        """
        async with self.open_call(capability, payload, route=route, timeout_s=timeout_s) as answer:
            return await answer.json()

    async def call_events(
        self, capability: str, payload: object, *, route: str = "predict", timeout_s: int = 60
    ) -> AsyncGenerator[JSONValue]:
        """Run a batch job that answers with a stream of events, and give each item as it comes.

        A plain answer is a stream of one item. The connection is closed at the stream's end, and
        also when the iteration is given up: use `contextlib.aclosing` to have that happen at once.

        Raises:
            RunnerError: The runner failed, at its start or in the middle.
            StreamCut: The stream ended before its end was announced.
            ClientError: As for `call`.
        """
        async with self.open_call(capability, payload, route=route, timeout_s=timeout_s) as answer:
            items = answer.items()
            async with aclosing(items):
                async for item in items:
                    yield item

    @asynccontextmanager
    async def open_call(
        self, capability: str, payload: object, *, route: str = "predict", timeout_s: int = 60
    ) -> AsyncGenerator[Answer]:
        """Run a batch job and give its answer when its headers are here, whatever its kind.

        Raises:
            ClientError: As for `call`.
        """
        request = BYOCJobRequest(capability=capability, timeout_s=timeout_s)
        body = dump_json(payload, "payload").encode()
        _, transport = self._open()
        async with transport.call(request.job(), body, route=route) as answer:
            yield answer

    async def start_stream(
        self,
        capability: str,
        *,
        params: Mapping[str, object] | None = None,
        video_in: bool = True,
        video_out: bool = True,
        data_out: bool = True,
        stream_id: str | None = None,
        timeout_s: int = 120,
    ) -> BYOCJob:
        """Start a live stream.

        Args:
            capability: The registered name.
            params: The runner's parameters.
            video_in: The stream takes media in.
            video_out: The stream gives media out.
            data_out: The stream gives data out.
            stream_id: By default a fresh random one. A second stream of one id closes the
                channels of the first.
            timeout_s: Whole seconds that the runner has to start.

        Raises:
            RunnerError: The runner refused the parameters or failed.
            ClientError: As for `call`.
        """
        request = BYOCJobRequest(
            capability=capability,
            timeout_s=timeout_s,
            enable_video_ingress=video_in,
            enable_video_egress=video_out,
            enable_data_output=data_out,
            id=new_job_id() if stream_id is None else stream_id,
        )
        return await self.start(request, params=params)

    async def start(
        self, request: BYOCJobRequest, *, params: Mapping[str, object] | None = None
    ) -> BYOCJob:
        """Start a live stream from a request that says all of it.

        Raises:
            ClientError: As for `start_stream`.
        """
        http, transport = self._open()
        stream = await transport.start(request, params)
        job = BYOCJob(
            transport,
            stream,
            http,
            keep_alive_s=self._keep_alive_s,
            on_stop=self._jobs.discard,
        )
        self._jobs.add(job)
        return job

    async def __aenter__(self) -> Self:
        from ._direct import OrchestratorTransport  # lazy: aiohttp
        from ._gateway import GatewayTransport  # lazy: aiohttp
        from ._http import HTTP  # lazy: aiohttp

        if self._opened is not None:
            raise RuntimeError("the client is open already")
        http = HTTP(verify_tls=self._verify_tls, max_answer_bytes=self._max_answer_bytes)
        transport: JobTransport
        if self._gateway is not None:
            transport = GatewayTransport(http, self._gateway)
        else:
            signer = self._signer
            if signer is None:
                # In a thread: the Ethereum library takes most of a second to import.
                signer = await asyncio.to_thread(LocalSigner.ephemeral)
            transport = OrchestratorTransport(
                http, self._orchestrators, signer=signer, payments=self._payments
            )
        await self._stack.enter_async_context(http)
        self._opened = (http, transport)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for job in tuple(self._jobs):
                try:
                    await job.stop()
                except ClientError as error:
                    _log.warning("stream %s was not stopped: %s", job.stream_id, error)
        finally:
            self._opened = None
            await self._stack.aclose()

    def __repr__(self) -> str:
        nodes = ", ".join(self._orchestrators) if self._gateway is None else self._gateway
        return f"<Client of {nodes}>"

    def _open(self) -> tuple[HTTP, JobTransport]:
        if self._opened is None:
            raise RuntimeError(
                "the client is not open; use it as `async with Client(...) as client:`"
            )
        return self._opened


async def start_byoc_job(
    request: BYOCJobRequest,
    *,
    params: Mapping[str, object] | None = None,
    gateway: str | None = None,
    orchestrators: Sequence[str] = (),
    signer: Signer | None = None,
    payments: PaymentProvider | None = None,
    keep_alive_s: float = KEEP_ALIVE_S,
    verify_tls: bool = True,
) -> BYOCJob:
    """Start one live stream with a client of its own, which closes when the job is stopped.

    Args:
        request: The job.
        params: The runner's parameters.
        gateway: As for `Client`, like all that follows.
        orchestrators: See there.
        signer: See there.
        payments: See there.
        keep_alive_s: See there.
        verify_tls: See there.

    Raises:
        ClientError: As for `Client.start_stream`.
    """
    resources = AsyncExitStack()
    client = Client(
        gateway=gateway,
        orchestrators=orchestrators,
        signer=signer,
        payments=payments,
        keep_alive_s=keep_alive_s,
        verify_tls=verify_tls,
    )
    try:
        await resources.enter_async_context(client)
        job = await client.start(request, params=params)
    except BaseException:
        await resources.aclose()
        raise
    job.when_stopped(resources.aclose)
    return job
