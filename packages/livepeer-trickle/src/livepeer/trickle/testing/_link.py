"""One connection through the fault proxy: a pump each way, and the faults that befall it."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from livepeer.trickle.aio import cancel_and_wait

from ._faults import Answer, Direction, Due, Exchange, Faults
from ._requests import PIECE_BYTES, End, Head, read_pieces, read_raw

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT_S = 10.0
PACES_PER_S = 20
"""In how many steps a throttled direction moves its bytes of one second."""

# On, and for 0 s: the close of such a socket is a reset.
_LINGER_0 = struct.pack("ii", 1, 0)


class Link:
    """One accepted connection, and the one to the target that carries it on."""

    def __init__(
        self,
        faults: Faults,
        target: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        raw: bool,
    ) -> None:
        self.exchange = Exchange()
        self.budget = faults.budget()
        self._faults = faults
        self._target = target
        self._reader = reader
        self._client = writer
        self._server: asyncio.StreamWriter | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._paced_until: dict[Direction, float] = {"up": 0.0, "down": 0.0}
        self._frozen = False
        self._ended_down = False
        self._over = False
        self._raw = raw
        _tighten(writer)
        self._task = asyncio.create_task(self._run(), name="fault proxy link")

    def on_end(self, callback: Callable[[Link], None]) -> None:
        """Call back when the connection is gone on both sides."""
        self._task.add_done_callback(lambda _: callback(self))

    async def ended(self) -> None:
        """Wait until the connection is gone on both sides."""
        await asyncio.wait((self._task,))

    def reset(self) -> None:
        """Reset both sides at once."""
        self._faults.resets += not self._over
        self._stop(reset)

    def close(self) -> None:
        """End both sides as a program does that exits in good order."""
        self._stop(asyncio.StreamWriter.close)

    def freeze(self) -> None:
        """Move no byte any more, and tell nobody."""
        self._frozen = True

    def poke(self) -> None:
        """Let a rule that is new act on a request that is waiting."""
        if self._raw or self.exchange.passed:
            self._fire(self._due(0))

    def _due(self, size: int, direction: Direction = "up") -> Due | None:
        if self._frozen or self._ended_down:
            return None
        return self._faults.first(self.exchange, direction, size)

    def _fire(self, due: Due | None) -> None:
        if due is None or not due.rule.meets(self.exchange):
            return
        due.rule.fired += 1
        match due.rule.action:
            case Answer() as answer:
                self._answer(answer)
            case "reset":
                self.reset()
            case "close":
                self.close()
            case "freeze":
                self.freeze()

    def _answer(self, answer: Answer) -> None:
        self._faults.answers += 1
        self.exchange.answered = True
        self._client.write(answer.encode())
        if self.exchange.passed and self._server is not None:
            # The target must not answer as well.
            for pump in self._pumps:
                pump.cancel()
            reset(self._server)
            self._server = None

    def _stop(self, end: Callable[[asyncio.StreamWriter], None]) -> None:
        self._end_sides(end)
        # A second time would interrupt the cleaning up.
        if not self._over:
            self._over = True
            self._task.cancel()

    def _end_sides(self, end: Callable[[asyncio.StreamWriter], None]) -> None:
        self._frozen = True
        for writer in (self._client, self._server):
            if writer is not None:
                end(writer)

    async def _run(self) -> None:
        try:
            await self._up()
            if self._pumps:
                await asyncio.wait(self._pumps)
        except OSError:
            await self._gate()
            self._end_sides(reset)
        finally:
            self._over = True
            await cancel_and_wait(*self._pumps)
            self._end_sides(asyncio.StreamWriter.close)
            for writer in (self._client, self._server):
                if writer is not None:
                    with suppress(OSError):
                        await writer.wait_closed()

    async def _up(self) -> None:
        async for piece in read_raw(self._reader) if self._raw else read_pieces(self._reader):
            await self._gate()
            match piece:
                case Head():
                    await self._head(piece)
                case End():
                    self._end()
                case bytes():
                    await self._pass("up", piece)
        await self._gate()
        if self._server is not None:
            self._server.write_eof()

    async def _head(self, head: Head) -> None:
        self.exchange = Exchange(head.method, head.path)
        due = self._due(0)
        if due is not None and isinstance(due.rule.action, Answer):
            self._fire(due)
            return
        await self._move("up", head.raw)
        self.exchange.passed = True
        self.poke()

    def _end(self) -> None:
        due = None if self.exchange.answered else self._faults.at_end(self.exchange)
        self.exchange.ended = True
        self._fire(due)

    async def _pass(self, direction: Direction, data: bytes) -> None:
        """Pass a piece of a body on, or of it what the faults let through."""
        await asyncio.sleep(self._faults.delay_s)
        while data:
            await self._gate()
            exchange = self.exchange
            if direction == "up" and exchange.answered:
                return
            piece = data[: self._step(direction)]
            due = self._due(len(piece), direction)
            if due is not None:
                piece = piece[: due.size]
            await self._move(direction, piece)
            exchange.add(direction, len(piece))
            data = data[len(piece) :]
            self._fire(due)
            await self._pace(direction, len(piece))

    async def _pace(self, direction: Direction, size: int) -> None:
        """Hold the direction to its rate; what came too late is made up for by the next step."""
        rate = self._faults.rate.get(direction)
        if rate is None:
            return
        now = asyncio.get_running_loop().time()
        latest = max(self._paced_until[direction], now - 1 / PACES_PER_S)
        self._paced_until[direction] = latest + size / rate
        await asyncio.sleep(max(0.0, self._paced_until[direction] - now))

    def _step(self, direction: Direction) -> int:
        rate = self._faults.rate.get(direction)
        return PIECE_BYTES if rate is None else max(1, int(rate / PACES_PER_S))

    async def _move(self, direction: Direction, data: bytes) -> None:
        if len(data) >= self.budget:
            data = data[: int(self.budget)]
            self.budget = 0
        else:
            self.budget -= len(data)
        writer = self._client if direction == "down" else self._server or await self._connect()
        writer.write(data)
        await writer.drain()
        self._faults.count(direction, len(data))
        if not self.budget:
            self.reset()
        await self._gate()

    async def _gate(self) -> None:
        """Wait while nothing may move; for ever where nothing ever will."""
        await self._faults.flowing.wait()
        if self._frozen:
            await asyncio.Event().wait()

    async def _connect(self) -> asyncio.StreamWriter:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*self._target, limit=PIECE_BYTES)
        _tighten(writer)
        self._server = writer
        pump = asyncio.create_task(self._pump_down(reader), name="fault proxy pump")
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        return writer

    async def _pump_down(self, reader: asyncio.StreamReader) -> None:
        try:
            async for piece in read_raw(reader):
                await self._pass("down", piece)
            await self._gate()
            self._ended_down = True
            self._client.write_eof()
        except OSError:
            await self._gate()
            self._stop(reset)


def _tighten(writer: asyncio.StreamWriter) -> None:
    """Have `drain` wait for every byte, so that what was counted has left."""
    writer.transport.set_write_buffer_limits(high=0)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a system does that knows nothing of it."""
    _linger_0(writer.get_extra_info("socket"))
    writer.transport.abort()


def reset_socket(accepted: socket.socket) -> None:
    """Do the same to a connection that no transport has yet."""
    _linger_0(accepted)
    accepted.close()


def _linger_0(its: socket.socket) -> None:
    # Closed already: nothing to reset.
    with suppress(OSError):
        its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
