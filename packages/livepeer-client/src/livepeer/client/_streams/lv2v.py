"""Live video through one of an orchestrator's own pipelines: the start job older than BYOC."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from livepeer.client._find.access import choose_source, parse_access_token
from livepeer.client._pay.spending import SpendingLimits
from livepeer.client._wire.jobs import check_timeout
from livepeer.client.errors import ConfigError, InvalidJob, StreamLost
from livepeer.trickle.errors import TrickleError

from .ends import StreamSettings
from .live import StreamJob
from .lv2v_node import PIPELINE, Callers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from livepeer.client._find.discovery import OrchestratorSource
    from livepeer.client._find.orchestrator_info import HasCredentials
    from livepeer.client._find.selection import SelectionPolicy
    from livepeer.client._net.http import HTTP
    from livepeer.client._net.trust import TrustStore
    from livepeer.client._sign.remote import RemoteSigner

    from .ends import Reconnect, Reconnected
    from .lv2v_transport import LV2VWay

PAY_EVERY_S = 10.0
"""Go-livepeer's own gateway pays every 5 seconds, and the first payment is for 60."""


class LV2VJob(StreamJob):
    """A live-video job. An async context manager that stops it.

    `start_lv2v` makes these. It is kept alive, watched, paid and taken elsewhere as a `BYOCJob`
    is. There is no data channel, and parameters go over the control channel, so that nobody
    answers whether they fit: see the events.
    """

    def __init__(
        self,
        way: LV2VWay,
        http: HTTP,
        model_id: str,
        *,
        settings: StreamSettings,
        reconnect: bool | Reconnect,
        on_reconnect: Callable[[Reconnected], None] | None,
    ) -> None:
        self._lv2v = way
        super().__init__(
            f"{PIPELINE}/{model_id}",
            way,
            http,
            settings=settings,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
        )

    async def update(self, params: Mapping[str, object]) -> None:
        """Give the runner new parameters.

        While the job looks for another orchestrator, this waits for it.

        Raises:
            StreamError: The stream is stopped, or has ended.
            StreamLost: They did not reach the orchestrator.
        """
        session = await self._standing()
        try:
            await session.tell(params)
        except TrickleError as error:
            raise StreamLost("the parameters did not arrive", url=session.node_url) from error
        self._lv2v.params.update(params)


async def start_lv2v(
    model_id: str,
    *,
    params: Mapping[str, object] | None = None,
    orchestrators: Sequence[str] = (),
    discovery: str | OrchestratorSource | None = None,
    discovery_headers: Mapping[str, str] | None = None,
    access_token: str | None = None,
    signer: HasCredentials | str | None = None,
    signer_headers: Mapping[str, str] | None = None,
    selection: SelectionPolicy | None = None,
    max_price_per_s: int | None = None,
    max_spend: int | None = None,
    use_tofu: bool = True,
    trust: TrustStore | None = None,
    verify_tls: bool = True,
    stream_id: str = "",
    request_id: str = "",
    timeout_s: int = 60,
    pay_every_s: float = PAY_EVERY_S,
    settings: StreamSettings | None = None,
    reconnect: bool | Reconnect = False,
    on_reconnect: Callable[[Reconnected], None] | None = None,
) -> LV2VJob:
    """Start a live-video job straight at an orchestrator. Needs the extra `grpc`.

    That it is taken does not mean that its model is loaded: the first output may take long.

    Args:
        model_id: The pipeline's name in its exact letter case, such as `noop`.
        params: Its first parameters.
        orchestrators: URLs, tried in this order.
        discovery: Instead: the URL of a discovery service, or any other source.
        discovery_headers: Sent to that service and to nobody else.
        access_token: Instead of all of these and the signer.
        signer: A `RemoteSigner` or the URL of one, which pays; any other signer only answers for
            us; None is enough off-chain.
        signer_headers: Sent to the remote signer of that URL, and to nobody else.
        selection: Sorts what orchestrators offer; by default a list is taken as it is.
        max_price_per_s: The most that it may cost, in wei per second of video.
        max_spend: The most that may be spent, in wei.
        use_tofu: Trust the first self-signed certificate that an orchestrator shows, and no other
            later.
        trust: Remembers these certificates.
        verify_tls: False takes any certificate.
        stream_id: For the logs of the orchestrator.
        request_id: Likewise.
        timeout_s: Whole seconds that the runner has to take the start.
        pay_every_s: Seconds between two payments.
        settings: How the stream is kept alive and watched.
        reconnect: Go on at another orchestrator when this one, or its runner, is lost.
        on_reconnect: Told each time that it did; it must not block.

    Raises:
        InvalidJob: `model_id` is empty.
        ConfigError: An option is wrong, or there is nobody to ask.
        CapabilityUnavailable: Nobody has a container for the model at the moment.
        PaymentRequiredError: It has a price that nobody pays.
        NoOrchestrator: Each orchestrator failed.
        ClientError: Whatever else can go wrong on the way.
    """
    if not model_id.strip():
        # An orchestrator drops the connection of one without.
        raise InvalidJob("`model_id` must name the pipeline, such as 'noop'")
    check_timeout(timeout_s)
    if pay_every_s <= 0:
        raise ConfigError(f"`pay_every_s` must be more than 0, not {pay_every_s!r}")
    token = None if access_token is None else parse_access_token(access_token)
    if token is not None and token.signer is not None:
        signer, signer_headers = token.signer, token.signer_headers
    who, payer = _signer(signer, signer_headers)
    source = choose_source(
        token=token,
        orchestrators=orchestrators,
        discovery=discovery,
        discovery_headers=discovery_headers,
        signer=payer,
    )
    if source is None:
        raise ConfigError("give `orchestrators`, `discovery`, `access_token` or a remote `signer`")
    from livepeer.client._find.finder import Finder
    from livepeer.client._net.http import HTTP  # lazy: aiohttp

    from .lv2v_transport import LV2VWay

    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            HTTP(verify_tls=verify_tls, use_tofu=use_tofu, trust=trust)
        )
        if payer is not None:
            stack.push_async_callback(payer.aclose)
        callers = Callers(
            http=http,
            signer=who,
            payer=payer,
            limits=SpendingLimits(max_price_per_s=max_price_per_s, max_spend=max_spend),
            use_tofu=use_tofu,
            verify_tls=verify_tls,
            trust=trust,
        )
        way = LV2VWay(
            callers,
            Finder(source, policy=selection),
            model_id=model_id,
            params=params,
            ids=_given(stream_id=stream_id, gateway_request_id=request_id),
            timeout_s=timeout_s,
            pay_every_s=pay_every_s,
        )
        job = LV2VJob(
            way,
            http,
            model_id,
            settings=settings or StreamSettings(),
            reconnect=reconnect,
            on_reconnect=on_reconnect,
        )
        await job.start()
        job.when_stopped(stack.pop_all().aclose)
    return job


def _signer(
    signer: HasCredentials | str | None, headers: Mapping[str, str] | None
) -> tuple[HasCredentials | None, RemoteSigner | None]:
    """Who answers for us, and who pays."""
    from livepeer.client._sign.remote import RemoteSigner

    if isinstance(signer, str):
        signer = RemoteSigner(signer, headers=headers)
    elif headers:
        raise ConfigError("`signer_headers` goes with the URL of a remote signer as `signer`")
    return signer, signer if isinstance(signer, RemoteSigner) else None


def _given(**ids: str) -> dict[str, str]:
    return {name: value for name, value in ids.items() if value}
