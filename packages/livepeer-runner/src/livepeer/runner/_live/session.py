"""One session: its channels, its media, its hooks, and the order in which they end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from livepeer.runner._live.output import Output
from livepeer.runner._live.relay import Relay
from livepeer.runner._live.stats import SessionStats
from livepeer.runner._live.status import StreamStatus, now_ms
from livepeer.runner._live.transform import Media, Transform
from livepeer.runner._logs import logged_as
from livepeer.runner.errors import HookFailed, InvalidParams, StageAway
from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.channels import KEEP_ALIVE, decode_message
from livepeer.trickle.errors import MessageError, SegmentError, TrickleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from livepeer.runner._live.outlet import ChannelOutlet
    from livepeer.runner._live.stage import Stage
    from livepeer.runner._network.sessions import Channels
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)


class Session:
    """A stream that runs, from `start` to `stop`.

    It ends by `stop`, or by itself when its control channel ends, when that falls silent after
    the gateway has sent keep-alives on it, or when the events channel is gone: the network does
    not tell a runner that the caller of a free stream has vanished (go-livepeer
    `byoc/stream_orchestrator.go` has no such call). Never because the media pauses.

    Args:
        stream_id: The network's name for it.
        channels: Its trickle channels.
        stage: The author's hooks.
        outlet: Publishes events and data.
        http: The session for trickle.
        settings: Intervals and policies.
        name: The pipeline's.
        ended: Called once when the session has ended by itself.
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
        ended: Callable[[], None],
    ) -> None:
        self.stream_id = stream_id
        self.stats = SessionStats()
        self._status = StreamStatus(name, self.stats)
        self._channels = channels
        self._stage = stage
        self._outlet = outlet
        self._http = http
        self._settings = settings
        self._ended = ended
        self._media: Media | None = None
        self._output: Output | None = None
        self._source: TrickleSubscriber | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._watch: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self, params: Mapping[str, Any]) -> None:
        """Run `on_stream_start`, then begin to work.

        Raises:
            InvalidParams: The parameters do not fit.
            HookFailed: The hook raised, or took too long.
            StageAway: The model is gone.
        """
        limit = self._settings.hook_start_timeout_s
        try:
            async with asyncio.timeout(limit):
                await self._stage.start(params)
        except TimeoutError as error:
            await self._let_go()
            raise HookFailed(f"on_stream_start() took longer than {limit:g} s") from error
        except BaseException:
            await self._let_go()
            raise
        self._outlet.emit_event(self._event("start"))
        self._status.updated(params)
        self._media = self._make_media()
        self._tasks = [
            asyncio.create_task(self._heartbeats(), name="heartbeats"),
            asyncio.create_task(self._statistics(), name="statistics"),
        ]
        if self._settings.stats_log_interval_s:
            self._tasks.append(asyncio.create_task(self._log_lines(), name="log"))
        if self._media is not None:
            self._outlet.frames = self._media.emit
            self._tasks.append(asyncio.create_task(self._run(self._media), name="media"))
        self._watch = asyncio.create_task(self._watch_caller(), name="caller")

    async def update(self, params: Mapping[str, Any]) -> None:
        """Put parameters in force.

        Raises:
            InvalidParams: They do not fit; the old ones stay.
            HookFailed: `on_params_update` raised, or took too long.
            StageAway: The model is gone.
        """
        limit = self._settings.hook_update_timeout_s
        try:
            async with asyncio.timeout(limit):
                await self._stage.update(params)
        except TimeoutError as error:
            raise HookFailed(f"on_params_update() took longer than {limit:g} s") from error
        self._status.updated(params)
        self._outlet.emit_event(self._event("params_update", params=dict(params)))

    async def stop(self, reason: str) -> None:
        """End everything, in order: media, `on_stream_stop`, what it emitted, channels.

        Idempotent, and whole even when the caller gives up waiting.
        """
        if self._stopping is None:
            # The request that stops it is about no stream.
            with logged_as(self.stream_id):
                self._stopping = asyncio.create_task(self._stop(reason), name="stop")
        await asyncio.shield(self._stopping)

    async def _stop(self, reason: str) -> None:
        _log.info("stream %s ends: %s", self.stream_id, reason)
        if self._media is not None:
            self._media.interrupt()
        await self._cancel(*self._tasks)
        if asyncio.current_task() is not self._watch:
            await self._cancel(self._watch)
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await self._stage.stop()
        except TimeoutError:
            _log.error("on_stream_stop() took longer than %g s", self._settings.stop_timeout_s)
        except HookFailed as error:
            _log.error("%s", error, exc_info=error.__cause__)
        self._outlet.emit_event(self._event("stats", **self._counts()))
        self._outlet.emit_event(self._event("stop", reason=reason))
        await self._let_go()

    async def _cancel(self, *tasks: asyncio.Task[None] | None) -> None:
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await cancel_and_wait(*tasks)
        except TimeoutError:
            _log.error("stream %s: a hook did not return in time", self.stream_id)

    async def _let_go(self) -> None:
        self._stage.release()
        if self._source is not None:
            await self._source.aclose()
        if self._output is not None:
            await self._output.close(delete=True)
        await self._outlet.close(self._settings.stop_timeout_s)

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

    async def _run(self, media: Media) -> None:
        """The media, and its end as others see it; the session itself goes on."""
        try:
            await media.run()
        except TrickleError as error:
            _log.warning("stream %s: the media ended: %s", self.stream_id, error)
            self._tell_error(str(error))
        except Exception as error:  # noqa: BLE001 - a supervisor: the channels must tell
            _log.error("stream %s: the media failed", self.stream_id, exc_info=error)
            self._tell_error(f"the media failed: {type(error).__name__}: {error}")
        # Readers who are behind learn here how much there is; the channel is closed for the
        # others after a while, because a closed channel forgets what was not read.
        segments = 0 if self._output is None else self._output.segments
        self._outlet.emit_event(self._event("end_of_stream", segments=segments, **self._counts()))
        if self._output is not None:
            await asyncio.sleep(self._settings.output_linger_s)
            await self._output.close(delete=True)

    def _report(self, error: HookFailed) -> None:
        self._tell_error(str(error))

    def _tell_error(self, message: str, **fields: object) -> None:
        self._status.failed(message)
        self._outlet.emit_event(self._event("error", message=message, **fields))

    async def _heartbeats(self) -> None:
        while True:
            self._outlet.emit_event(self._event("heartbeat"))
            if self._media is not None:
                status = self._status.fields(self._stage.away)
                self._outlet.emit_event(self._event("status", **status))
            await asyncio.sleep(self._settings.heartbeat_interval_s)

    async def _statistics(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stats_interval_s)
            self._outlet.emit_event(self._event("stats", **self._counts()))

    async def _log_lines(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stats_log_interval_s)
            self.stats.messages_dropped = self._outlet.dropped
            _log.info("%s", self.stats.line())

    def _counts(self) -> dict[str, object]:
        self.stats.messages_dropped = self._outlet.dropped
        return self.stats.snapshot()

    def _event(self, type_: str, **fields: object) -> dict[str, object]:
        return {
            "type": type_,
            "stream_id": self.stream_id,
            "timestamp": now_ms(),
            **fields,
        }

    async def _watch_caller(self) -> None:
        """Apply what the control channel brings, and end the session when the caller is gone."""
        reason = "the control channel failed"
        control = asyncio.create_task(self._read_control(), name="control")
        gone = asyncio.create_task(self._outlet.wait_gone(), name="events gone")
        try:
            done, _ = await asyncio.wait({control, gone}, return_when=asyncio.FIRST_COMPLETED)
            reason = control.result() if control in done else "the events channel is gone"
        except TrickleError as error:
            reason = f"the control channel failed: {error}"
        finally:
            await cancel_and_wait(control, gone)
            # Whatever happened: nobody else notices that the caller is gone.
            if self._stopping is None and not self._cancelled():
                self._stopping = asyncio.create_task(self._stop(reason), name="stop")
            if self._stopping is not None:
                self._stopping.add_done_callback(lambda _: self._ended())

    @staticmethod
    def _cancelled() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _read_control(self) -> str:
        """Until the channel ends or falls silent; why the session is over.

        Only a gateway that sends keep-alives can fall silent; a caller who is its own need not.
        """
        expected = self._channels.keep_alives
        silence_s = self._settings.control_silence_s if expected else None
        subscriber = TrickleSubscriber(self._channels.control, start=0, session=self._http)
        updates: set[asyncio.Task[None]] = set()
        try:
            async with subscriber:
                while True:
                    async with asyncio.timeout(silence_s):
                        segment = await anext(subscriber, None)
                        if segment is None:
                            return "the control channel ended"
                        try:
                            body = await segment.read()
                        except (SegmentError, MessageError) as error:
                            self._refuse(error)
                            continue
                    if _is_keep_alive(body):
                        silence_s = self._settings.control_silence_s
                        continue
                    # Not awaited: a hook that takes long must not be mistaken for silence. The
                    # author's thread keeps them in order.
                    update = asyncio.create_task(self._control(body), name="update")
                    updates.add(update)
                    update.add_done_callback(updates.discard)
        except TimeoutError:
            return f"the control channel was silent for {silence_s or 0:g} s"
        finally:
            await cancel_and_wait(*updates)

    async def _control(self, body: bytes) -> None:
        """One document: parameters, as an update by the route would bring them."""
        if not body:
            return
        try:
            await self.update(decode_message(body))
        except (MessageError, HookFailed, InvalidParams, StageAway) as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        _log.warning("an update by the control channel was refused: %s", error)
        faults = {"errors": error.errors} if isinstance(error, InvalidParams) else {}
        self._tell_error(str(error), **faults)


def _is_keep_alive(body: bytes) -> bool:
    try:
        return bool(body) and decode_message(body) == KEEP_ALIVE
    except MessageError:
        return False
