"""Orchestrators, processes of their own, that are killed over what they do for a caller."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.client import (
    BYOCJobRequest,
    Client,
    ClientError,
    EndReason,
    LocalSigner,
    NodeUnreachable,
    NoOrchestrator,
    Reconnected,
    StreamLost,
    TicketPayments,
    start_byoc_job,
)
from livepeer.client.media import FramePublisher, MediaSource, Progress, Recorder, Transfer, frames
from livepeer.trickle.media import TIME_BASE, VideoFrame

from . import measure
from .command import CLIP

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from livepeer.client import BYOCJob
    from livepeer.client.options import ClientOptions

LIMIT_S = 20.0
KNOWN_S = 3.0
"""After so long, at the latest, a caller knows that an orchestrator died."""
CLIP_FRAMES = 132
PRICES = (0, 10)


class Node:
    """A local network that can be killed; see `callers_node.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""

    async def said(self, count: int) -> list[str]:
        """The next words that it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            lines = [await self._process.stdout.readline() for _ in range(count)]
        return [line.decode().strip() for line in lines]

    async def kill(self) -> None:
        """Kill it, unless it is dead."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def _node(*arguments: str) -> AsyncGenerator[Node]:
    program = Path(__file__).with_name("callers_node.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), *arguments), stdout=asyncio.subprocess.PIPE
    )
    node = Node(process)
    try:
        yield node
    finally:
        await node.kill()


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Node, Node]]:
    """One whose runners hang, and one whose do not."""
    async with _node("hang") as one, _node() as two:
        for node in (one, two):
            (node.url,) = await node.said(1)
        yield one, two


def _options(*nodes: Node) -> ClientOptions:
    """A client's: of these orchestrators, in this order, and with a key that pays."""
    key = LocalSigner.ephemeral()
    urls = [node.url for node in nodes]
    return {"orchestrators": urls, "signer": key, "payments": TicketPayments(key)}


def _gray(price: int) -> BYOCJobRequest:
    return BYOCJobRequest(
        capability=f"gray-{price}", enable_video_ingress=True, enable_video_egress=True
    )


async def _letters(client: Client, price: int, hang_at: int, came: list[object]) -> None:
    payload = {"word": "abc", "hang_at": hang_at}
    async for item in client.call_events(f"words-{price}", payload, route="letters"):
        came.append(item)


class Asked:
    """A call, an event stream, another of which the first event comes, and the start of a stream.

    Args:
        client: Who asks.
        price: Of what is asked for.
    """

    def __init__(self, client: Client, price: int) -> None:
        self._letters, self.cut = list[object](), list[object]()
        self._call = asyncio.create_task(client.call(f"words-{price}", {"word": "abc"}))
        self._events = asyncio.create_task(_letters(client, price, 0, self._letters))
        self._cut = asyncio.create_task(_letters(client, price, 1, self.cut))
        self._start = asyncio.create_task(client.start(_gray(price), params={"slow": True}))

    async def check(self, dead: Node, living: Node) -> None:
        """All is answered, less what the caller had a part of already."""
        assert await self._call == "abc"
        await self._events
        assert self._letters == ["a", "b", "c"]
        job = await self._start
        assert job.session.node_url == living.url
        await job.stop()
        with pytest.raises(ClientError, match=dead.url):
            await self._cut
        assert self.cut == ["a"]


async def test_another_one_answers_what_was_asked_of_the_dead(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    async with Client(**_options(one, two)) as client, asyncio.timeout(2 * LIMIT_S):
        asked = [Asked(client, price) for price in PRICES]
        assert sorted(await one.said(8)) == sorted(["predict", "letters", "letters", "start"] * 2)
        while not all(each.cut for each in asked):  # noqa: ASYNC110 - two lists are waited for
            await asyncio.sleep(0.01)
        await one.kill()
        for each in asked:
            await each.check(one, two)
        assert sorted(await two.said(6)) == sorted(["predict", "letters", "start"] * 2)
        await two.kill()
        for price in PRICES:
            for attempt in (
                client.call(f"words-{price}", {"word": "abc"}),
                _letters(client, price, 0, []),
                client.start(_gray(price)),
            ):
                with pytest.raises(NoOrchestrator) as failed:
                    await attempt
                assert [type(cause) for cause in failed.value.causes] == [NodeUnreachable] * 2
                assert all(node.url in str(failed.value) for node in nodes)


async def _put_in(job: BYOCJob) -> None:
    """The pictures of the clip, each when it is due."""
    async with FramePublisher(job, realtime=True) as publisher:
        with av.open(CLIP) as container:
            for picture in container.decode(video=0):
                await publisher.write(picture)


async def test_the_clip_goes_on_at_another_one(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    told = list[Reconnected]()
    times = list[float]()
    both = _options(one, two)
    going = start_byoc_job(_gray(10), reconnect=True, on_reconnect=told.append, **both)
    async with (
        await start_byoc_job(_gray(0), **both) as staying,
        await going as job,
        asyncio.timeout(2 * LIMIT_S),
        asyncio.TaskGroup() as tasks,
    ):
        assert staying.session.node_url == job.session.node_url == one.url
        tasks.create_task(_put_in(job))
        async for frame in frames(job):
            assert isinstance(frame, VideoFrame)
            assert all(abs(plane.astype(int) - 128).max() <= 2 for plane in frame.planes[1:])
            times.append(frame.pts / TIME_BASE.denominator)
            if len(times) == CLIP_FRAMES // 4:
                killed = time.monotonic()
                await one.kill()
                end = await staying.ended()
                assert time.monotonic() - killed < KNOWN_S
                assert end.reason is EndReason.ORCHESTRATOR
                with pytest.raises(StreamLost):
                    await staying.update({})
        (again,) = job.reconnects
        assert told == [again]
        assert (again.from_url, again.to_url) == (one.url, two.url)
        assert again.end.reason is EndReason.ORCHESTRATOR
        # From its last sign of life, which came before it was killed.
        assert 0 < again.gap_s < KNOWN_S + 1
    # Each picture at its own time and none twice; after the gap all to the end.
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx((CLIP_FRAMES - 1) * 0.04)
    assert np.allclose(np.diff(times[-5:]), 0.04)
    assert len(times) < CLIP_FRAMES


async def test_the_coded_clip_goes_on_at_another_one(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    one, two = nodes
    told = list[Reconnected]()
    coming, target = asyncio.Event(), tmp_path / "out.mp4"

    def look(progress: Progress) -> None:
        if progress.frames_out >= CLIP_FRAMES // 4:
            coming.set()

    job = await start_byoc_job(
        _gray(0), reconnect=True, on_reconnect=told.append, **_options(one, two)
    )
    first = job.session
    async with job, asyncio.timeout(2 * LIMIT_S):
        with MediaSource(CLIP) as source, Recorder(target) as recorder:
            moving = asyncio.create_task(Transfer(job, source, on_progress=look).run(recorder))
            await coming.wait()
            await one.kill()
            async with asyncio.timeout(KNOWN_S):
                assert (await first.ended()).reason is EndReason.ORCHESTRATOR
            summary = await moving
            assert recorder.finish()
    (gap,), (again,) = summary.reconnects, job.reconnects
    assert told == [again]
    assert (gap.from_url, gap.to_url, gap.reason) == (one.url, two.url, again.end.text)
    assert 0 < gap.gap_s == again.gap_s < KNOWN_S + 1
    assert summary.frames_in == CLIP_FRAMES
    # What comes out decodes, gray, to the end of the clip, and lacks what was on its way.
    given, taken = measure.video(CLIP), measure.video(target)
    assert given is not None
    assert taken is not None
    assert taken.chroma_error <= 2
    assert CLIP_FRAMES // 4 < len(taken.times) == summary.frames_out < CLIP_FRAMES
    assert taken.times == sorted(set(taken.times))
    assert taken.times[-1] == pytest.approx(given.times[-1], abs=0.001)
    assert np.allclose(np.diff(taken.times[-5:]), 0.04, atol=0.001)
    assert measure.audio(target) is not None
