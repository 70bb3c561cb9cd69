"""A bad network path on purpose: a proxy on loopback whose faults a test sets."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from livepeer.trickle.aio import cancel_and_wait

from ._faults import Answer, Direction, Faults, How, Rule
from ._link import Link, reset_socket
from ._requests import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

BACKLOG = 128

DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """What went through a `FaultProxy` so far, and what befell it.

    Attributes:
        connections: Connections accepted.
        open: Of these, how many are open now.
        bytes_up: Bytes passed on to the target.
        bytes_down: Bytes passed on to the clients.
        resets: Connections that were reset on purpose.
        answers: Requests that the proxy answered itself.
    """

    connections: int
    open: int
    bytes_up: int
    bytes_down: int
    resets: int
    answers: int


class FaultProxy:
    """A TCP proxy on a free loopback port whose faults a test sets as it goes.

    An async context manager. It passes everything on until it is told otherwise. Faults can be set
    at any moment. "Up" is from the client to the target, "down" the way back. Nothing is buffered
    but what the sockets hold and one piece of 64 KiB each way.

    For `http` it knows where requests begin and end, also on a connection that is kept alive, so
    that a rule can pick one by `method` and by `path`, a shell pattern such as `*/7`; either left
    out fits all. For `https` it sees bytes only: a connection counts as one request, and `answer`
    is not to be had.

    Args:
        target_url: What it stands in front of.
        seed: Of the random faults.

    Attributes:
        url: `target_url` with the proxy's own host and port.
    """

    def __init__(self, target_url: str, *, seed: int = 0) -> None:
        parts = urlsplit(target_url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"not an http or https URL: {target_url!r}")
        self._parts = parts
        self._raw = parts.scheme == "https"
        self._target = parts.hostname, parts.port or (443 if self._raw else 80)
        self._faults = Faults(random.Random(seed))
        self._faults.flowing.set()
        # In the order of their opening, which the random faults follow.
        self._links: dict[Link, None] = {}
        self._arriving: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.url = ""

    @property
    def stats(self) -> ProxyStats:
        """The counts at this moment."""
        faults = self._faults
        return ProxyStats(
            connections=faults.connections,
            open=len(self._links),
            bytes_up=faults.bytes_up,
            bytes_down=faults.bytes_down,
            resets=faults.resets,
            answers=faults.answers,
        )

    async def __aenter__(self) -> Self:
        await self.up()
        self.url = self._parts._replace(netloc=f"127.0.0.1:{self._port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    def reset(self, *, method: str | None = None, path: str | None = None) -> int:
        """Reset the connections that are open now; returns how many.

        With `method` or `path`, those whose latest request fits.
        """
        links = self._picked(method, path)
        for link in links:
            link.reset()
        return len(links)

    def freeze(self, *, method: str | None = None, path: str | None = None) -> int:
        """Make the connections half-open that are open now; returns how many.

        They stay, and never move a byte again, nor does either side learn that the other left.
        New ones are passed on. With `method` or `path`, those whose latest request fits.
        """
        links = self._picked(method, path)
        for link in links:
            link.freeze()
        return len(links)

    def cut(
        self,
        *,
        up: int | None = None,
        down: int | None = None,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        how: How = "reset",
    ) -> Rule:
        """Cut a connection in the middle of a request, or of its answer.

        Acts on requests to come, and on those under way as their next byte comes.

        Args:
            up: After so many bytes of the request's body, as they are on the wire; 0 is between
                head and body.
            down: After so many bytes of the answer, its head with them; 0 is when it has been
                given and none of it has arrived.
            method: The requests that are meant.
            path: The requests that are meant.
            times: After so many the rule is spent; None for never.
            how: Reset; closed as by a program that exits; or frozen, as by `freeze`.

        Raises:
            ValueError: Not exactly one of `up` and `down` is given.
        """
        if (up is None) == (down is None):
            raise ValueError("give `up` or `down`")
        direction: Direction = "down" if up is None else "up"
        return self._add(Rule(method, path, direction, down if up is None else up, how, times))

    def answer(
        self,
        status: int,
        *,
        after: int | None = 0,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Rule:
        """Answer a request instead of the target, which sees it cut.

        Acts on requests to come, and on those under way that nothing was answered to. The
        connection to the client is kept; the rest of the request goes nowhere.

        Args:
            status: The status of the answer.
            after: How many bytes of the request's body are passed on first; None for all. With 0 a
                request to come does not reach the target at all.
            method: The requests that are meant.
            path: The requests that are meant.
            times: After so many the rule is spent; None for never.
            headers: More headers of the answer.
            body: Its body.

        Raises:
            ValueError: The target is behind TLS.
        """
        if self._raw:
            raise ValueError("requests within TLS cannot be answered")
        action = Answer(status, headers or {}, body)
        return self._add(Rule(method, path, "up", after, action, times))

    def stall(self) -> None:
        """Keep every connection, take new ones, and move no byte until `resume`."""
        self._faults.flowing.clear()

    def resume(self) -> None:
        """Go on where `stall` stopped."""
        self._faults.flowing.set()

    @contextmanager
    def stalled(self) -> Generator[None]:
        """A context in which no byte moves."""
        self.stall()
        try:
            yield
        finally:
            self.resume()

    async def down(self) -> None:
        """Reset what is open and refuse new connections, until `up`."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await cancel_and_wait(*self._arriving)
        links = tuple(self._links)
        self.reset()
        for link in links:
            await link.ended()

    async def up(self) -> None:
        """Take connections again, on the same port."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self._port), backlog=BACKLOG)
            self._listener.setblocking(False)
            self._port = self._listener.getsockname()[1]
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    @asynccontextmanager
    async def away(self) -> AsyncGenerator[None]:
        """A context in which the path is not there."""
        await self.down()
        try:
            yield
        finally:
            await self.up()

    def throttle(self, bytes_per_s: float | None, *, direction: Direction | None = None) -> None:
        """Let each connection pass so many bytes a second, each way or one; None for no limit."""
        for each in DIRECTIONS if direction is None else (direction,):
            if bytes_per_s is None:
                self._faults.rate.pop(each, None)
            else:
                self._faults.rate[each] = bytes_per_s

    def delay(self, seconds: float) -> None:
        """Hold each piece of a body, of up to 64 KiB, back for so long."""
        self._faults.delay_s = seconds

    def random_resets(self, mean_bytes: float | None) -> None:
        """Reset each connection after a random number of bytes, each way together; None ends it.

        The numbers come from `seed`, one for each connection in the order of their opening, with
        `mean_bytes` as their mean (exponential: a byte is as likely to be the last as any other).
        """
        self._faults.reset_every = mean_bytes or 0.0
        for link in self._links:
            link.budget = self._faults.budget()

    def clear(self) -> None:
        """Take back every fault but `down`; connections that are frozen stay so."""
        self._faults.rules.clear()
        self.throttle(None)
        self.delay(0)
        self.random_resets(None)
        self.resume()

    def _picked(self, method: str | None, path: str | None) -> list[Link]:
        return [link for link in self._links if link.exchange.matches(method, path)]

    def _add(self, rule: Rule) -> Rule:
        self._faults.rules = [old for old in self._faults.rules if not old.spent] + [rule]
        for link in tuple(self._links):
            link.poke()
        return rule

    def _accept(self, listener: socket.socket) -> None:
        # Not with asyncio's own server: it loses a connection that comes in as it closes.
        with suppress(BlockingIOError, ConnectionAbortedError):
            accepted, _ = listener.accept()
            task = asyncio.create_task(self._welcome(accepted), name="fault proxy accept")
            self._arriving.add(task)
            task.add_done_callback(lambda task: self._arrived(task, accepted))

    def _arrived(self, task: asyncio.Task[None], accepted: socket.socket) -> None:
        self._arriving.discard(task)
        if task.cancelled():
            reset_socket(accepted)

    async def _welcome(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted, limit=PIECE_BYTES)
        self._faults.connections += 1
        link = Link(self._faults, self._target, reader, writer, raw=self._raw)
        self._links[link] = None
        link.on_end(self._links.pop)
