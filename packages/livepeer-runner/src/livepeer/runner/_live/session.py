"""One session: its channels, its media, its hooks, and the order in which they end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from livepeer.runner._live.calling import call_hook
from livepeer.runner._live.control import Control
from livepeer.runner._live.output import Output
from livepeer.runner._live.relay import Relay
from livepeer.runner._live.reports import Reports, StopReason, shortened
from livepeer.runner._live.stats import SessionStats
from livepeer.runner._live.status import StreamStatus
from livepeer.runner._live.transform import Media, Transform
from livepeer.runner._live.updates import Updates
from livepeer.runner._logs import logged_as
from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import TrickleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from livepeer.runner._live.closings import Closings
    from livepeer.runner._live.outlet import ChannelOutlet
    from livepeer.runner._live.stage import Stage
    from livepeer.runner._network.sessions import Channels
    from livepeer.runner.errors import HookFailed
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

# Of the time that the end may take, until when: the media, the author's hook, the channels. What
# is left is for the answer to whoever asked for it.
_MEDIA_SHARE = 0.3
_HOOK_SHARE = 0.7
_CHANNELS_SHARE = 0.95


class Session:
    """A stream that runs, from `start` to `stop`.

    It ends by `stop`, or by itself when its control channel ends, when that falls silent after
    the gateway has sent keep-alives on it, or when the events channel or the output channel is
    gone: the network does not tell a runner that the caller of a free stream has vanished
    (go-livepeer `byoc/stream_orchestrator.go` has no such call). Never because the media pauses.

    Args:
        stream_id: The network's name for it.
        channels: Its trickle channels.
        stage: The author's hooks.
        outlet: Publishes events and data.
        http: The session for trickle.
        settings: Intervals and policies.
        name: The pipeline's.
        closings: Takes what cannot be closed in time.
        ended: Called once when the session has ended.
    """

    def __init__(
        self,
        stream_id: str,
        channels: Channels,
        stage: Stage,
        outlet: ChannelOutlet,
        http: aiohttp.ClientSession,
        settings: Settings,
        name: str,
        closings: Closings,
        ended: Callable[[], None],
    ) -> None:
        self.stream_id = stream_id
        self.stats = SessionStats()
        self._channels = channels
        self._stage = stage
        self._outlet = outlet
        self._http = http
        self._settings = settings
        self._closings = closings
        self._ended = ended
        self._reports = Reports(stream_id, outlet, self.stats, StreamStatus(name, self.stats))
        self._updates = Updates(self._update, self._reports)
        self._started = False
        self._media: Media | None = None
        self._output: Output | None = None
        self._source: TrickleSubscriber | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None
        outlet.failures = self._reports.error

    async def start(self, params: Mapping[str, Any]) -> None:
        """Run `on_stream_start`, then begin to work; when that fails nothing is left.

        Raises:
            InvalidParams: The parameters do not fit.
            HookFailed: The hook raised, or took too long.
            StageAway: The model is gone.
        """
        limit = self._settings.hook_start_timeout_s
        try:
            await call_hook(self._stage.start(params), "on_stream_start", limit)
            self._started = True
            self._begin(params)
        except BaseException:
            await self._end()
            raise

    async def update(self, params: Mapping[str, Any]) -> None:
        """Put parameters in force.

        Raises:
            InvalidParams: They do not fit; the old ones stay.
            HookFailed: `on_params_update` raised, or took too long.
            StageAway: The model is gone.
            NoSession: The session ended meanwhile.
        """
        await self._updates.run(params)

    async def stop(self, why: StopReason) -> None:
        """End everything, in order: media, `on_stream_stop`, what it emitted, channels.

        Takes no longer than `stop_timeout_s`. Idempotent, and whole even when the caller gives up
        waiting.
        """
        await asyncio.shield(self._stop(why))

    def _begin(self, params: Mapping[str, Any]) -> None:
        self._reports.tell("start")
        self._reports.updated(params)
        self._media = self._make_media()
        control = Control(
            self._channels.control,
            self._http,
            self._settings.control_silence_s,
            expected=self._channels.keep_alives,
            updates=self._updates,
            reports=self._reports,
        )
        away = None if self._media is None else lambda: self._stage.away
        work = self._reports.repeated(self._settings, away)
        work["caller"] = self._watch_caller(control)
        if self._media is not None:
            self._outlet.frames = self._media.emit
            work["media"] = self._run(self._media)
        self._tasks = [asyncio.create_task(one, name=name) for name, one in work.items()]

    async def _update(self, params: Mapping[str, Any]) -> None:
        limit = self._settings.hook_update_timeout_s
        await call_hook(self._stage.update(params), "on_params_update", limit)
        self._reports.updated(params)
        self._reports.tell("params_update", params=dict(params))

    def _stop(self, why: StopReason) -> asyncio.Task[None]:
        if self._stopping is None:
            # The request that stops it is about no stream.
            with logged_as(self.stream_id):
                _log.info("stream %s ends: %s", self.stream_id, shortened(why.reason))
                self._stopping = asyncio.create_task(self._end(why), name="stop")
            self._stopping.add_done_callback(lambda _: self._ended())
        return self._stopping

    async def _end(self, why: StopReason | None = None) -> None:
        """End what there is; with a reason, and with events, what has begun to work."""
        limit, now = self._settings.stop_timeout_s, asyncio.get_running_loop().time
        began = now()
        try:
            if self._media is not None:
                self._media.interrupt()
            await self._closings.run(
                f"the work of stream {self.stream_id}",
                self._updates.close(),
                cancel_and_wait(*self._tasks),
                timeout_s=limit * _MEDIA_SHARE,
            )
            if self._started:
                await self._stop_hooks(began + limit * _HOOK_SHARE - now())
        finally:
            # Whatever happened: the next stream needs what this one holds.
            last = [] if why is None else self._reports.last(why)
            await self._let_go(began + limit * _CHANNELS_SHARE - now(), last)

    async def _stop_hooks(self, limit_s: float) -> None:
        try:
            await call_hook(self._stage.stop(), "on_stream_stop", limit_s)
        except Exception as error:  # noqa: BLE001 - the author's hook: it must not hold the end up
            _log.error("%s", shortened(str(error)), exc_info=error.__cause__)

    async def _let_go(self, limit_s: float, last: Sequence[Mapping[str, object]]) -> None:
        self._stage.release()
        closings = [self._outlet.close(limit_s, last)]
        if self._source is not None:
            closings.append(self._source.aclose())
        if self._output is not None:
            closings.append(self._output.close(delete=True))
        what = f"the channels of stream {self.stream_id}"
        await self._closings.run(what, *closings, timeout_s=limit_s)
        # These refer to each other: codecs and pictures would stay until the collector comes by.
        self._media = self._outlet.frames = None
        self._tasks.clear()
        self.stats.unwatch()

    def _make_media(self) -> Media | None:
        if self._channels.publish is not None:
            self._output = Output(self._channels.publish, self._http, self.stats)
        if self._channels.subscribe is None:
            return None
        source = TrickleSubscriber(self._channels.subscribe, session=self._http, start=0)
        self._source = source
        if not self._stage.kinds:
            return Relay(source, self._output, self.stats)
        return Transform(
            source, self._output, self._stage, self._settings, self.stats, self._report
        )

    def _report(self, error: HookFailed) -> None:
        self._reports.error(str(error))

    async def _run(self, media: Media) -> None:
        """The media, and its end as others see it; the session itself goes on."""
        try:
            await media.run()
        except TrickleError as error:
            _log.warning("stream %s: the media ended: %s", self.stream_id, error)
            self._reports.error(str(error))
        except Exception as error:  # noqa: BLE001 - a supervisor: the channels must tell
            self._reports.failed("the media", error)
        # Readers who are behind learn here how much there is; the channel is closed for the
        # others after a while, because a closed channel forgets what was not read.
        self._reports.end_of_stream(0 if self._output is None else self._output.segments)
        if self._output is not None:
            await asyncio.sleep(self._settings.output_linger_s)
            await self._output.close(delete=True)

    async def _watch_caller(self, control: Control) -> None:
        """End the session when the caller is gone; nobody else notices."""
        self._stop(StopReason(await self._until_gone(control)))

    async def _until_gone(self, control: Control) -> str:
        reading = asyncio.create_task(control.run(), name="control")
        gone = {asyncio.create_task(self._outlet.wait_gone()): "the events channel is gone"}
        if self._output is not None:
            gone[asyncio.create_task(self._output.wait_gone())] = "the output channel is gone"
        try:
            done, _ = await asyncio.wait({reading, *gone}, return_when=asyncio.FIRST_COMPLETED)
            if reading in done:
                return reading.result()
            return next(reason for task, reason in gone.items() if task in done)
        except TrickleError as error:
            return f"the control channel failed: {error}"
        except Exception as error:  # noqa: BLE001 - a supervisor: nobody reads the channel any more
            self._reports.failed("the control channel", error)
            return "the control channel failed"
        finally:
            await cancel_and_wait(reading, *gone)
