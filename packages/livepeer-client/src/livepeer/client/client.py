"""One entry for every call: through a gateway, or directly at orchestrators."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from ._calls import Caller
from ._nodes.way import Way
from ._streams.byoc import BYOCJob
from ._streams.closing import stop_all
from ._streams.ends import StreamSettings
from ._wire.encoding import MAX_ANSWER_BYTES
from ._wire.jobs import BYOCJobRequest, new_job_id
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from ._find.access import AccessToken
    from ._find.discovery import OrchestratorSource
    from ._find.selection import SelectionPolicy
    from ._net.http import HTTP
    from ._net.trust import TrustStore
    from ._nodes.transport import JobTransport
    from ._pay.payments import PaymentProvider
    from ._sign.signing import Signer
    from ._streams.ends import Reconnect, Reconnected
    from .options import ClientOptions

STOP_S = 20.0
"""For the stop of all streams that still run when a client closes; then they are given up."""


class Client(Caller):
    """Calls capabilities on the Livepeer network. An async context manager.

    ```python
    async with Client(gateway="http://127.0.0.1:9935") as client:
        print(await client.call("hello", {"name": "Ada"}))
    ```

    Leaving the context stops the streams that it started and that still run. Scripts and
    notebooks without an event loop of their own take `SyncClient`.

    Args:
        gateway: The URL of a gateway, which finds orchestrators, signs and pays. Nothing of what
            follows on orchestrators, signing and paying goes with it.
        orchestrators: URLs of orchestrators, tried in this order.
        discovery: Where orchestrators are listed: the URL of a webhook or of a discovery service,
            or a source of one's own.
        discovery_headers: Sent to that URL, and to nobody else.
        signer: Who answers for jobs, or the URL of a remote signer, which may list orchestrators
            as well; by default who pays in `payments`, else a fresh random key, which is enough
            for whatever costs nothing.
        signer_headers: Sent to the remote signer of that URL, and to nobody else.
        access_token: Names orchestrators, a discovery service or a signer in one text; what it
            names comes first.
        payments: What pays; by default the remote signer does, where there is one, and nothing
            else. Who pays has to sign as well.
        max_price_per_s: The most that a capability may cost, in wei per second.
        max_spend: The most that may be paid in all, in wei: the expected value of tickets.
        selection: Sorts the orchestrators that offer a capability. By default a list is tried in
            its order, and others by `balanced`.
        use_tofu: Where no authority vouches for an orchestrator's certificate, trust the first
            one that it shows, and no other later. For orchestrators only.
        trust: Remembers those certificates; by default in the user's data directory.
        verify_tls: Check certificates at all; False accepts any.
        keep_alive_s: Seconds between signs of life on a stream's control channel.
        max_answer_bytes: The largest answer to a call, or event of one, that is read into memory;
            64 MiB by default. What streams report has a limit of its own.

    Raises:
        ConfigError: Nobody to call, options that exclude each other, or one that is wrong.
    """

    def __init__(
        self,
        *,
        gateway: str | None = None,
        orchestrators: Sequence[str] = (),
        discovery: str | OrchestratorSource | None = None,
        discovery_headers: Mapping[str, str] | None = None,
        signer: Signer | str | None = None,
        signer_headers: Mapping[str, str] | None = None,
        access_token: str | AccessToken | None = None,
        payments: PaymentProvider | None = None,
        max_price_per_s: int | None = None,
        max_spend: int | None = None,
        selection: SelectionPolicy | None = None,
        use_tofu: bool = True,
        trust: TrustStore | None = None,
        verify_tls: bool = True,
        keep_alive_s: float = StreamSettings.keep_alive_s,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        _check_positive("keep_alive_s", keep_alive_s)
        _check_positive("max_answer_bytes", max_answer_bytes)
        self._way = Way(
            gateway=gateway,
            orchestrators=orchestrators,
            discovery=discovery,
            discovery_headers=discovery_headers,
            signer=signer,
            signer_headers=signer_headers,
            access_token=access_token,
            payments=payments,
            max_price_per_s=max_price_per_s,
            max_spend=max_spend,
            selection=selection,
            use_tofu=use_tofu,
            trust=trust,
            verify_tls=verify_tls,
            max_answer_bytes=max_answer_bytes,
        )
        self._stream_settings = StreamSettings(keep_alive_s=keep_alive_s)
        self._stack = AsyncExitStack()
        self._opened: tuple[HTTP, JobTransport] | None = None
        self._jobs: set[BYOCJob] = set()

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
        reconnect: bool | Reconnect = False,
        on_reconnect: Callable[[Reconnected], None] | None = None,
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
            reconnect: Go on at another orchestrator when one, or its runner, is lost; with limits
                of one's own, or True for `Reconnect()`.
            on_reconnect: Told of each time, on the loop; it must not block.

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
        return await self.start(
            request, params=params, reconnect=reconnect, on_reconnect=on_reconnect
        )

    async def start(
        self,
        request: BYOCJobRequest,
        *,
        params: Mapping[str, object] | None = None,
        reconnect: bool | Reconnect = False,
        on_reconnect: Callable[[Reconnected], None] | None = None,
        settings: StreamSettings | None = None,
    ) -> BYOCJob:
        """Start a live stream from a request that says all of it.

        Args:
            request: The job.
            params: The runner's parameters.
            reconnect: As for `start_stream`.
            on_reconnect: As for `start_stream`.
            settings: How the stream is kept alive and watched; by default with the client's
                `keep_alive_s`.

        Raises:
            ClientError: As for `start_stream`.
        """
        http, transport = self._open()
        job = BYOCJob(
            transport,
            http,
            request,
            params,
            settings=settings or self._stream_settings,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
            on_stop=self._jobs.discard,
        )
        # Before the start, so that a client that closes meanwhile ends it.
        self._jobs.add(job)
        return await job.start()

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("the client is open already")
        async with AsyncExitStack() as stack:
            self._opened = await self._way.open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await stop_all(tuple(self._jobs), within_s=STOP_S)
        finally:
            self._opened = None
            await self._stack.aclose()

    @property
    def spent(self) -> int:
        """What has left as payments so far, in wei: the expected value of tickets.

        For all calls and streams of this client. A payment counts when it leaves, also where the
        call fails afterwards. Nothing behind a gateway, which pays by itself.
        """
        return self._way.spent

    def __repr__(self) -> str:
        return f"<Client of {self._way}>"

    def _transport(self) -> JobTransport:
        return self._open()[1]

    def _open(self) -> tuple[HTTP, JobTransport]:
        if self._opened is None:
            raise RuntimeError(
                "the client is not open; use it as `async with Client(...) as client:`"
            )
        return self._opened


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"`{name}` must be a number that is more than 0, not {value!r}")


async def start_byoc_job(
    request: BYOCJobRequest,
    *,
    params: Mapping[str, object] | None = None,
    reconnect: bool | Reconnect = False,
    on_reconnect: Callable[[Reconnected], None] | None = None,
    settings: StreamSettings | None = None,
    **options: Unpack[ClientOptions],
) -> BYOCJob:
    """Start one live stream with a client of its own, which closes when the job is stopped.

    Args:
        request: The job.
        params: The runner's parameters.
        reconnect: As for `Client.start_stream`.
        on_reconnect: As for `Client.start_stream`.
        settings: As for `Client.start`.
        options: Those of `Client`.

    Raises:
        ClientError: As for `Client.start_stream`.
    """
    resources = AsyncExitStack()
    client = Client(**options)
    try:
        await resources.enter_async_context(client)
        job = await client.start(
            request,
            params=params,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
            settings=settings,
        )
    except BaseException:
        await resources.aclose()
        raise
    job.when_stopped(resources.aclose)
    return job
