"""Random programs over real sockets: each subscriber gets what was published, or is told.

`LIVEPEER_EXAMPLES=20` runs twenty times as many programs, from random seeds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from hypothesis import given, note, settings, strategies as st

from livepeer.trickle import (
    Gap,
    SegmentReader,
    SegmentWriter,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
)
from livepeer.trickle.errors import SegmentRejected, SegmentTruncated, TrickleError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from random import Random

    from livepeer.trickle.events import TrickleEvent

EXAMPLES = int(os.environ.get("LIVEPEER_EXAMPLES", "1"))

LIMIT_S = 8.0
"""Nothing that these programs wait for takes so long; what does is silence."""

REFRESH_S = 0.04
EDGE, PREVIOUS = -1, -2
SIZES = (8, 8, 100, 5_000, 70_000, 400_000)


def programs(examples: int) -> Callable[[Callable[[Random], None]], Callable[[], None]]:
    """Run a test with so many sources of chance; its program says what is done, and how often."""

    def decorate(test: Callable[[Random], None]) -> Callable[[], None]:
        # What depends on time does not shrink; so a program is a matter of its seed alone.
        return settings(max_examples=examples * EXAMPLES, derandomize=EXAMPLES == 1, deadline=None)(
            given(st.randoms(use_true_random=True))(test)
        )

    return decorate


async def until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, f"never {what}"
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Subscribe:
    start: int
    slow: bool
    refresh_s: float


@dataclass(frozen=True)
class Let:
    """Slow readers may take so many more chunks."""

    chunks: int


@dataclass(frozen=True)
class Pause:
    """So many turns of the loop, and so long."""

    turns: int
    seconds: float = 0.0


def audience(chance: Random) -> Subscribe | Let | Pause:
    """Something that has to do with readers, or with nobody."""
    match chance.choice(["subscribe", "subscribe", "let", "pause", "pause"]):
        case "subscribe":
            start = chance.choice([PREVIOUS, PREVIOUS, EDGE, 0, 0, 1, 3])
            return Subscribe(start, chance.random() < 0.4, chance.choice([REFRESH_S, 20.0]))
        case "let":
            return Let(chance.randint(1, 9))
        case _:
            return Pause(chance.randint(0, 20), chance.choice([0.0, 0.0, 2 * REFRESH_S]))


@dataclass
class Got:
    """One segment as a subscriber had it."""

    seq: int
    gap: int
    body: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    whole: bool = False


class Follower:
    """A subscriber that reads all it gets, if slow only as fast as it is let."""

    def __init__(self, url: str, how: Subscribe) -> None:
        self.start = how.start
        self.events: list[TrickleEvent] = []
        self.subscriber = TrickleSubscriber(
            url,
            start=how.start,
            retry_s=1.0,
            refresh_s=how.refresh_s,
            on_event=self.events.append,
        )
        self.got: list[Got] = []
        self.slow = how.slow
        self.permits = asyncio.Semaphore(0)
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        async with self.subscriber:
            async for segment in self.subscriber:
                got = Got(segment.seq, segment.gap)
                self.got.append(got)
                await self.read(segment, got)

    async def read(self, segment: SegmentReader, got: Got) -> None:
        try:
            async for chunk in segment:
                got.body += chunk
                if self.slow:
                    await self.permits.acquire()
            got.whole = True
        except SegmentTruncated:
            got.truncated = True

    def check(self) -> None:
        """Contiguous, or it was told; and its counts are right."""
        gaps = [event for event in self.events if isinstance(event, Gap)]
        began_anew = any(event.missed == 0 for event in gaps)
        expected = self.start if self.start >= 0 else None
        for got in self.got:
            assert got.whole != got.truncated
            if expected is not None and got.seq != expected:
                assert got.seq in {event.seq for event in gaps}
                assert got.seq == expected + got.gap or (began_anew and got.gap <= got.seq)
            expected = got.seq + 1
        stats = self.subscriber.stats
        assert stats.segments == len(self.got)
        assert stats.missed == sum(event.missed for event in gaps)
        assert stats.bytes == sum(len(got.body) for got in self.got)


class Stage:
    """A server, a channel on it, and its followers."""

    def __init__(self, server: TrickleServer, base: str) -> None:
        self.server = server
        self.url = f"{base}/channel"
        self.followers: list[Follower] = []
        self.written = 0

    def chunk(self, size: int) -> bytes:
        """Bytes that occur once."""
        self.written += 1
        tag = b"%07d " % self.written
        return (tag * (size // len(tag) + 1))[:size]

    async def do(self, step: Subscribe | Let | Pause) -> None:
        if isinstance(step, Subscribe):
            self.followers.append(Follower(self.url, step))
        elif isinstance(step, Let):
            for follower in self.followers:
                for _ in range(step.chunks):
                    follower.permits.release()
        else:
            for _ in range(step.turns):
                await asyncio.sleep(0)
            if step.seconds:
                await asyncio.sleep(step.seconds)

    async def reach_everybody(self) -> bytes:
        """Publish whole segments until every follower has had one: nobody waits in silence."""
        final = self.chunk(32)
        for follower in self.followers:
            follower.slow = False
            follower.permits.release()

        def reached() -> bool:
            return all(
                follower.task.done() or any(got.body == final for got in follower.got)
                for follower in self.followers
            )

        limit = time.monotonic() + LIMIT_S
        publisher = TricklePublisher(self.url, resume=True, retry_s=1.0)
        try:
            while True:
                with suppress(TrickleError):
                    await publisher.write_segment(final)
                    await asyncio.sleep(0.01)
                if reached():
                    break
                assert time.monotonic() < limit, "a subscriber was left in silence"
        finally:
            await publisher.close()
        return final

    async def finish(self) -> None:
        """Close the channel, and see that everybody ends and nothing is left."""
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(follower.task for follower in self.followers))
        for follower in self.followers:
            follower.check()
        left = self.server.stats
        await until(
            lambda: not self.server.stats.subscribers + self.server.stats.publishers,
            f"rid of all: {left}",
        )


@asynccontextmanager
async def stage(slots: int) -> AsyncGenerator[Stage]:
    server = TrickleServer(autocreate=True, slots=slots)
    async with server.listening() as base:
        made = Stage(server, base)
        server.create_channel("channel", "video/MP2T")
        try:
            yield made
        finally:
            for follower in made.followers:
                follower.task.cancel()
            await asyncio.gather(*(f.task for f in made.followers), return_exceptions=True)


# A publisher that keeps to the rules.


@dataclass(frozen=True)
class Write:
    """A segment in chunks of such sizes; aborted at its end, if it is not `whole`."""

    sizes: list[int]
    whole: bool
    turns: int


@dataclass(frozen=True)
class Restart:
    """The publisher goes away without a word, and another takes its place."""


Fair: TypeAlias = Write | Restart | Subscribe | Let | Pause


def fair(chance: Random) -> list[Fair]:
    steps: list[Fair] = [Subscribe(0, slow=False, refresh_s=REFRESH_S)]
    for _ in range(chance.randint(10, 25)):
        match chance.choice(["write", "write", "write", "restart", "else", "else"]):
            case "write":
                sizes = chance.choices(SIZES, k=chance.randint(0, 4))
                steps.append(Write(sizes, chance.random() < 0.8, chance.choice([0, 0, 1, 5])))
            case "restart" if chance.random() < 0.4:
                steps.append(Restart())
            case _:
                steps.append(audience(chance))
    return steps


@programs(25)
def test_what_was_acknowledged_arrives_whole_or_as_a_gap(chance: Random) -> None:
    slots, steps = chance.choice([2, 3, 5, 5, 8]), fair(chance)
    note(f"{slots} slots, {steps}")
    asyncio.run(play_fair(slots, steps))


async def play_fair(slots: int, steps: list[Fair]) -> None:
    sent: dict[int, bytes] = {}
    acknowledged: set[int] = set()
    async with stage(slots) as on, AsyncExitStack() as stack:
        publisher = await TricklePublisher(on.url, retry_s=1.0).start()
        stack.push_async_callback(publisher.close, delete=False)
        for step in steps:
            if isinstance(step, Write):
                # After an abort without a byte and a restart, the number at the edge has ended.
                with suppress(SegmentRejected):
                    seq = await write(on, await publisher.open_segment(), step, sent)
                    acknowledged.add(seq)
            elif isinstance(step, Restart):
                await publisher.close(delete=False)
                publisher = await TricklePublisher(on.url, resume=True, retry_s=1.0).start()
                stack.push_async_callback(publisher.close, delete=False)
            else:
                await on.do(step)
        await publisher.close(delete=False)
        final = await on.reach_everybody()
        await on.finish()
        for got in (got for follower in on.followers for got in follower.got):
            if got.seq in acknowledged:
                assert got.whole
                assert got.body == sent[got.seq]
            else:
                assert got.body == final or sent.get(got.seq, b"").startswith(got.body)


async def write(on: Stage, segment: SegmentWriter, step: Write, sent: dict[int, bytes]) -> int:
    """The number of the segment, if the server has acknowledged it whole."""
    sent[segment.seq] = b""
    for size in step.sizes:
        chunk = on.chunk(size)
        sent[segment.seq] += chunk
        await segment.write(chunk)
        await on.do(Pause(step.turns))
    if step.whole:
        await segment.close()
        return segment.seq
    await segment.abort()
    raise SegmentRejected("aborted")


# Any publishers.


@dataclass(frozen=True)
class Number:
    """A number, or with `relative` its distance from the edge."""

    value: int
    relative: bool

    def at(self, edge: int) -> int:
        return max(edge + self.value, 0) if self.relative else self.value


@dataclass(frozen=True)
class Post:
    """Connect to a segment, with as many chunks as `sizes`; it stays open."""

    number: Number
    sizes: list[int]
    reset: bool


@dataclass(frozen=True)
class More:
    pick: int
    size: int


@dataclass(frozen=True)
class End:
    """The end of a body, of its connection, or of its segment by somebody else."""

    pick: int
    how: Literal["whole", "cut", "deleted"]


@dataclass(frozen=True)
class Delete:
    number: Number


Foul: TypeAlias = Post | More | End | Delete | Subscribe | Let | Pause


def number(chance: Random) -> Number:
    match chance.choice(["edge", "edge", "edge", "near", "far", "fixed"]):
        case "edge":
            return Number(0, relative=True)
        case "near":
            return Number(chance.randint(-6, 6), relative=True)
        case "far" if chance.random() < 0.3:
            return Number(10**12, relative=False)
        case _:
            return Number(chance.randint(0, 9), relative=False)


def foul(chance: Random) -> list[Foul]:
    steps: list[Foul] = [Subscribe(PREVIOUS, slow=False, refresh_s=REFRESH_S)]
    for _ in range(chance.randint(15, 30)):
        match chance.choice(["post", "post", "more", "end", "else", "else"]):
            case "post":
                sizes = chance.choices(SIZES, k=chance.choice([0, 1, 1, 2]))
                steps.append(Post(number(chance), sizes, reset=chance.random() < 0.1))
            case "more":
                steps.append(More(chance.randint(0, 9), chance.choice(SIZES)))
            case "end" if chance.random() < 0.8:
                steps.append(End(chance.randint(0, 9), chance.choice(["whole", "cut", "deleted"])))
            case "end":
                steps.append(Delete(number(chance)))
            case _:
                steps.append(audience(chance))
    return steps


@programs(25)
def test_no_publisher_corrupts_or_silences_a_subscriber(chance: Random) -> None:
    slots, steps = chance.choice([2, 3, 5, 5, 8]), foul(chance)
    note(f"{slots} slots, {steps}")
    asyncio.run(play_foul(slots, steps))


async def play_foul(slots: int, steps: list[Foul]) -> None:
    async with stage(slots) as on:
        posts = Posts(on)
        try:
            for step in steps:
                if isinstance(step, Post | More | End | Delete):
                    await posts.do(step)
                else:
                    await on.do(step)
            await on.do(Pause(0, REFRESH_S))
            for got in (got for follower in on.followers for got in follower.got):
                assert not got.whole or not got.body or got.seq in posts.ended
            final = await on.reach_everybody()
            posts.cut_all()
            await on.finish()
        finally:
            posts.cut_all()
        for got in (got for follower in on.followers for got in follower.got):
            sent = [*posts.history[got.seq], (on, final)]
            assert is_made_of(sent, bytes(got.body), whole=got.whole)


def is_made_of(sent: list[tuple[object, bytes]], body: bytes, *, whole: bool) -> bool:
    """Whether the body is all that its publishers sent, from the first of each to the body's end.

    Publishers of that number whose segment was another, evicted one are none of its publishers.
    """
    at, strangers, publishers = 0, set[object](), set[object]()
    for publisher, chunk in sent:
        if at == len(body):
            break
        if body.startswith(chunk, at) or (not whole and chunk.startswith(body[at:])):
            at = min(at + len(chunk), len(body))
            publishers.add(publisher)
        else:
            strangers.add(publisher)
    return at == len(body) and not publishers & strangers


class RawPost:
    """One POST on a connection of its own."""

    def __init__(
        self, seq: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.seq = seq
        self.begun = False
        self.writer = writer
        self.answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))

    def cut(self) -> None:
        self.answer.cancel()
        self.writer.transport.abort()


class Posts:
    """Publishers that do as they like; each step is over when the server has seen it."""

    def __init__(self, on: Stage) -> None:
        self.on = on
        self.open: list[RawPost] = []
        self.history: dict[int, list[tuple[object, bytes]]] = defaultdict(list)
        self.ended: set[int] = set()
        """Those that somebody ended, as opposed to those that only had to make room."""

    def cut_all(self) -> None:
        for post in self.open:
            post.cut()

    async def do(self, step: Post | More | End | Delete) -> None:
        if isinstance(step, Delete):
            await self.delete(step.number.at(await self.edge()))
        elif isinstance(step, Post):
            post = await self.connect(step.number.at(await self.edge()), reset=step.reset)
            for size in step.sizes:
                await self.send(post, size)
        elif self.open:
            post = self.open[step.pick % len(self.open)]
            if isinstance(step, More):
                await self.send(post, step.size)
            else:
                await self.end(post, step.how)

    async def edge(self) -> int:
        return int((await self.request("GET", "next")).partition(b"\r\n\r\n")[2])

    async def request(self, method: str, what: int | str) -> bytes:
        reader, writer = await self.dial()
        writer.write(self.head(method, what, "Connection: close"))
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def connect(self, seq: int, *, reset: bool) -> RawPost:
        post = RawPost(seq, *await self.dial())
        extra = ["Lp-Trickle-Reset: 1"] if reset else []
        post.writer.write(self.head("POST", seq, "Transfer-Encoding: chunked", *extra))
        if reset:
            self.ended |= {older for older in self.history if older < seq}
        self.open.append(post)
        await self.settle()
        return post

    async def settle(self) -> None:
        """Until the server has as many publishers as have no answer."""
        stats = self.on.server.stats
        await until(lambda: self.on.server.stats.publishers == self.unanswered, f"even: {stats}")
        for post in [post for post in self.open if post.answer.done()]:
            self.open.remove(post)
            post.cut()

    @property
    def unanswered(self) -> int:
        return sum(not post.answer.done() for post in self.open)

    async def send(self, post: RawPost, size: int) -> None:
        if post not in self.open:
            return
        post.begun = True
        chunk = self.on.chunk(size)
        before = self.on.server.stats.bytes_in
        post.writer.write(b"%x\r\n%b\r\n" % (size, chunk))
        self.history[post.seq].append((post, chunk))
        await until(
            lambda: self.on.server.stats.bytes_in == before + size or post.answer.done(), "taken"
        )
        await self.settle()

    async def end(self, post: RawPost, how: str) -> None:
        if how == "deleted":
            await self.delete(post.seq)
            return
        self.open.remove(post)
        if how == "whole":
            self.ended.add(post.seq)
            post.writer.write(b"0\r\n\r\n")
            async with asyncio.timeout(LIMIT_S):
                assert b" 200 " in await post.answer
        post.cut()
        await self.settle()

    async def delete(self, seq: int) -> None:
        self.ended.add(seq)
        if b" 200 " in await self.request("DELETE", seq):
            waiting = [post for post in self.open if post.seq == seq and not post.begun]
            await until(lambda: all(post.answer.done() for post in waiting), "told")
        await self.settle()

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.on.url)
        return await asyncio.open_connection(parts.hostname, parts.port)

    def head(self, method: str, what: int | str, *headers: str) -> bytes:
        lines = [f"{method} {urlsplit(self.on.url).path}/{what} HTTP/1.1", "Host: x", *headers]
        return "\r\n".join([*lines, "", ""]).encode()
