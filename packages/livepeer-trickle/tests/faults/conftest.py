"""A path that fails on purpose, and what must hold after every test: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from livepeer.trickle import Gap, TrickleServer, TrickleSubscriber
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import SegmentTruncated, TrickleError
from livepeer.trickle.testing import FaultProxy

if TYPE_CHECKING:
    from livepeer.trickle import SegmentReader, TricklePublisher
    from livepeer.trickle.events import TrickleEvent

LIMIT_S = 5.0
"""For whatever must happen; only a fault lets it pass."""

SETTLE_S = 2.0
"""Within which what a test has closed must be gone."""

FAILED = pytest.StashKey[bool]()

COUNTED = ("livepeer.trickle.", "aiohttp.client_reqrep", "aiohttp.web_request")
"""Modules whose objects are counted: none may outlive its test."""


@pytest.fixture(scope="session")
def frozen() -> Generator[None]:
    """Leave what is there at the start out of the counting of objects, which it would slow."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _handles() -> Counter[str]:
    return Counter({"task": len(asyncio.all_tasks()), "file or socket": len(os.listdir("/dev/fd"))})


def _objects() -> Counter[str]:
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter(name for name in names if name.startswith(COUNTED))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
async def nothing_left(request: pytest.FixtureRequest, frozen: None) -> AsyncGenerator[None]:
    """No task, socket, file or object more than before, at the latest after `SETTLE_S`.

    A test that failed is not looked at: its traceback holds what it was doing.
    """
    handles, objects = _handles(), _objects()
    yield
    limit = time.monotonic() + SETTLE_S
    while more := (_handles() - handles) or (_objects() - objects):
        if request.node.stash[FAILED]:
            return
        assert time.monotonic() < limit, f"left behind: {dict(more)}; {asyncio.all_tasks()}"
        await asyncio.sleep(0.02)


class Log(logging.Handler):
    """What was logged during a test, by whomever.

    Attributes:
        lines: The messages from `WARNING` on.
        bad: Whatever is an error or brings a stack trace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.bad: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Others keep the record, and with it what its arguments hold on to.
        record.msg, record.args = record.getMessage(), None
        if record.levelno >= logging.WARNING:
            self.lines.append(record.msg)
        if record.levelno >= logging.ERROR or record.exc_info:
            self.bad.append((record.name, record.levelname, f"{record.msg} {record.exc_info}"))
        record.exc_info = None

    def of_both(self) -> str:
        """The messages, one of each side."""
        assert len(self.lines) == 2, self.lines
        return "\n".join(self.lines)

    def one(self) -> str:
        """The only message."""
        assert len(self.lines) == 1, self.lines
        return self.lines[0]


@pytest.fixture(autouse=True)
def log(nothing_left: None) -> Generator[Log]:
    """The log of the test, in which nothing may be an error or bring a stack trace.

    What these tests do is ordinary on a bad network.
    """
    handler, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    assert not handler.bad


class Path:
    """A server with a channel, and a bad way to it.

    Attributes:
        direct: The channel's URL without the proxy.
        url: The channel's URL through the proxy.
    """

    def __init__(self, server: TrickleServer, base: str, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.direct = f"{base}/c"
        self.url = f"{proxy.url}/c"


class Follower:
    """A subscriber that reads on and on, and keeps what it gets.

    Attributes:
        got: The number and the bytes of each segment that came whole.
        partial: The number and the bytes so far of the one that is being read.
        truncated: The numbers of those that were reported as cut.
        events: What `on_event` was told.
        failure: What ended the reading, other than the channel's end.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.partial: tuple[int, bytes] | None = None
        self.truncated: list[int] = []
        self.events: list[TrickleEvent] = []
        self.failure: TrickleError | None = None
        self.subscriber = TrickleSubscriber(url, on_event=self.events.append, **settings)
        self.task = asyncio.create_task(self._read())

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _ in self.got]

    @property
    def gaps(self) -> list[Gap]:
        """What it was told of segments that it missed."""
        return [event for event in self.events if isinstance(event, Gap)]

    @property
    def missed(self) -> set[int]:
        """The numbers of those segments."""
        return {seq for gap in self.gaps for seq in range(gap.seq - gap.missed, gap.seq)}

    async def catch_up(self, publisher: TricklePublisher, body: Callable[[int], bytes]) -> set[int]:
        """Publish on until the reader has what came last; returns the numbers of it.

        A reader that is late goes on at the edge, with what comes next.
        """
        told: set[int] = set()
        for _ in range(20):
            last = publisher.next_seq
            await publisher.write_segment(body(last))
            told.add(last)
            await asyncio.sleep(0.1)
            if last in self.seqs:
                return told
        raise AssertionError(f"{self.seqs[-1]} is the last that was read of {max(told)}")

    async def ended(self) -> None:
        """Wait for the channel's end, for `LIMIT_S` at the most."""
        await asyncio.wait_for(asyncio.shield(self.task), LIMIT_S)

    async def _read(self) -> None:
        try:
            async for segment in self.subscriber:
                await self._read_segment(segment)
        except TrickleError as error:
            self.failure = error

    async def _read_segment(self, segment: SegmentReader) -> None:
        body = b""
        self.partial = segment.seq, body
        try:
            async for chunk in segment:
                body += chunk
                self.partial = segment.seq, body
        except SegmentTruncated:
            self.truncated.append(segment.seq)
        else:
            self.got.append((segment.seq, body))


MakePath: TypeAlias = Callable[..., AbstractAsyncContextManager[Path]]
Follow: TypeAlias = Callable[..., AbstractAsyncContextManager[Follower]]
Until: TypeAlias = Callable[..., Any]


@pytest.fixture
def make_path() -> MakePath:
    """Make a server of these settings with the channel `c`, and a proxy before it."""

    @asynccontextmanager
    async def make(*, proxy_seed: int = 0, **settings: Any) -> AsyncGenerator[Path]:
        server = TrickleServer(**settings)
        server.create_channel("c", "video/MP2T")
        async with server.listening() as base, FaultProxy(base, seed=proxy_seed) as proxy:
            yield Path(server, base, proxy)

    return make


@pytest.fixture
def follow() -> Follow:
    """Follow a channel from segment 0, or with other settings of the subscriber."""

    @asynccontextmanager
    async def start(url: str, **settings: Any) -> AsyncGenerator[Follower]:
        follower = Follower(url, **{"start": 0, **settings})
        try:
            yield follower
        finally:
            await cancel_and_wait(follower.task)
            await follower.subscriber.aclose()

    return start


@pytest.fixture
def until() -> Until:
    """Wait until something holds, for `LIMIT_S` at the most."""

    async def wait(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        async with asyncio.timeout(limit_s):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    return wait
