"""The hooks of one session, in the model process of the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from livepeer.runner._isolation.codec import to_json
from livepeer.runner._live.isolated.messages import Release, Start, Stop, Update
from livepeer.runner._live.stage import Answer
from livepeer.runner.errors import StageAway

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from livepeer.runner._live.isolated.link import Link
    from livepeer.runner._live.stage import Frame
    from livepeer.runner._stream import Stream
    from livepeer.trickle.media import Kind


class Home(Protocol):
    """What a stage needs of its host."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the author processes."""
        ...

    @property
    def frames_in_flight(self) -> int:
        """How many answers may be open at a time."""
        ...

    @property
    def link(self) -> Link | None:
        """The process that can be used now."""
        ...

    @property
    def message(self) -> str | None:
        """Why there is none."""
        ...

    def forget(self, number: int) -> None:
        """A session is over."""
        ...


class IsolatedStage:
    """A stage whose hooks survive their process: they go on in the next one.

    Args:
        home: Where processes come from.
        number: The session's, among those of this runner.
        stream: The session.
    """

    def __init__(self, home: Home, number: int, stream: Stream) -> None:
        self.number = number
        self.stream = stream
        self._home = home
        self._link: Link | None = None
        self._params: dict[str, JsonValue] = {}
        self._updating = 0
        self._started = False
        self._released = False

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the class, or the instance, overrides."""
        return self._home.kinds

    @property
    def frames_in_flight(self) -> int:
        """What the class says."""
        return self._home.frames_in_flight

    @property
    def away(self) -> str | None:
        """While there is no process, or none in which this session has been started."""
        link = self._link
        if link is None or link.lost:
            return "restarting" if self._started else "loading"
        return "reloading" if self._updating else None

    @property
    def wants_restart(self) -> bool:
        """Whether it runs, and has to be started in the next process."""
        return self._started and not self._released

    async def start(self, params: Mapping[str, JsonValue]) -> None:
        """Validate, then run `on_stream_start`."""
        link = self._home.link
        if link is None:
            raise StageAway(self._home.message or "the model is being loaded")
        await self._start(link, dict(params))
        self._started = True

    async def restart(self, link: Link) -> None:
        """Start in another process, with the parameters that were accepted last."""
        await self._start(link, self._params)
        if self._released:  # meanwhile, and the process did not know it yet
            link.send(Release(self.number))

    async def update(self, params: Mapping[str, JsonValue]) -> None:
        """Validate, then run `on_params_update`, between two frames."""
        link = self._current()
        sent = dict(params)
        self._updating += 1
        try:
            await link.request(lambda number: Update(number, self.number, to_json(sent)))
        finally:
            self._updating -= 1
        self._accept({**self._params, **sent})

    async def stop(self) -> None:
        """Run `on_stream_stop`; it has nothing to end where the process is gone."""
        link, self._started = self._link, False
        if link is None or link.lost:
            return
        try:
            await link.request(lambda number: Stop(number, self.number))
        except StageAway:
            return

    def submit(self, frame: Frame) -> Answer:
        """Run `process_video` or `process_audio`."""
        try:
            link = self._current()
        except StageAway as error:
            answer = Answer(frame)
            answer.finish(error)
            return answer
        return link.submit(self.number, frame)

    def interrupt(self) -> None:
        """Finish every open answer at once; the hook itself goes on until it returns."""
        if self._link is not None:
            self._link.interrupt(self.number)

    def release(self) -> None:
        """The session is over."""
        if self._released:
            return
        self._released = True
        self._started = False
        self._home.forget(self.number)
        link = self._link or self._home.link
        if link is not None:
            link.send(Release(self.number))

    def _current(self) -> Link:
        link = self._link
        if link is None or link.lost:
            raise StageAway(self._home.message or "the model process is gone")
        return link

    async def _start(self, link: Link, params: dict[str, JsonValue]) -> None:
        stream_id = self.stream.id
        await link.request(lambda number: Start(number, self.number, stream_id, to_json(params)))
        self._accept(params)
        self._link = link

    def _accept(self, params: dict[str, JsonValue]) -> None:
        self._params = params
        self.stream.params = dict(params)
