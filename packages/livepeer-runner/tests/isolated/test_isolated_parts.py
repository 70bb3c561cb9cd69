"""The parts of which a model process is made, each on its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from livepeer.runner._isolation.backoff import Backoff
from livepeer.runner._isolation.channel import BACKLOG_BYTES, Channel
from livepeer.runner._isolation.codec import NoMessage, to_json
from livepeer.runner._isolation.messages import Failed
from livepeer.runner._live.isolated.arena import SLOT_BYTES, Arena
from livepeer.runner._live.isolated.hangs import Stopwatch
from livepeer.runner._live.isolated.messages import (
    CODEC,
    Data,
    Event,
    Fault,
    Picture,
    Ready,
    Release,
    Reply,
    Result,
    from_fault,
    to_fault,
)
from livepeer.runner.errors import HookFailed, InvalidParams, StageAway
from livepeer.trickle.media.memory import AudioDescription

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIO = AudioDescription(1024, "mono", "s16", 48_000, 1, 2048, 0, (1, 48_000))


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@contextmanager
def two_arenas(slots: int) -> Iterator[tuple[Arena, Arena]]:
    fd = Arena.create(slots)
    try:
        yield Arena(fd, slots), Arena(fd, slots)
    finally:
        os.close(fd)


@contextmanager
def two_channels() -> Iterator[tuple[Channel, Channel]]:
    ours, socket = Channel.pair(CODEC)
    theirs = Channel(socket, CODEC)
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


def test_a_slot_is_taken_again_when_both_have_let_go():
    with two_arenas(2) as (writer, reader):
        first, second = writer.take(), writer.take()
        assert first is not None
        assert second is not None
        assert (first.index, second.index) == (0, 1)
        assert writer.take() is None
        first.memory[:3] = b"abc"
        theirs = reader.adopt(0)
        assert theirs.memory[:3] == b"abc"
        assert len(theirs.memory) == SLOT_BYTES
        del theirs
        assert writer.take() is None, "the writer still holds it"
        del first
        again = writer.take()
        assert again is not None
        assert again.index == 0
        del again
        assert writer.take() is None, "the reader still holds it"
        writer.give_up(0)
        assert writer.take() is not None
        assert reader.held == 2
        with pytest.raises(IndexError):
            reader.adopt(2)


def test_what_lies_in_a_slot_outlives_the_arena():
    with two_arenas(1) as (writer, reader):
        lease = writer.take()
        assert lease is not None
        lease.memory[:1] = b"x"
        memory = reader.adopt(0).memory
    del writer, reader, lease
    assert memory[:1] == b"x"


def test_the_memory_goes_with_its_last_lease_and_not_with_the_arena():
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))

    before = open_files()
    with two_arenas(2) as (writer, reader):
        lease = writer.take()
        assert lease is not None
        reader.close()
        writer.close()
        lease.memory[:1] = b"x"
        assert writer.take() is None
        with pytest.raises(IndexError):
            reader.adopt(2)
        writer.give_up(0)
        assert writer.take() is None
        del lease
        assert open_files() == before + 1, "that of the arenas' caller"


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_fork_lets_go_of_nothing():
    script = """
import os
from livepeer.runner._live.isolated.arena import Arena
fd = Arena.create(1)
writer, reader = Arena(fd, 1), Arena(fd, 1)
lease = writer.take()
theirs = reader.adopt(0)
child = os.fork()
if not child:
    del lease, theirs
    os._exit(0)
os.waitpid(child, 0)
assert reader.held == 1
del theirs
assert reader.held == 0
assert writer.take() is None
del lease
assert writer.take() is not None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="no seals elsewhere")
def test_nobody_can_take_the_memory_away():
    fd = Arena.create(1)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def test_messages_arrive_in_order_from_many_threads():
    with two_channels() as (ours, theirs):
        threads = [
            threading.Thread(
                target=lambda who=who: [
                    ours.send(Event(who, b"%d" % n + b"." * 20_000)) for n in range(200)
                ]
            )
            for who in range(3)
        ]
        for thread in threads:
            thread.start()
        seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for _ in range(600):
            message = theirs.receive()
            assert isinstance(message, Event)
            seen[message.stage].append(int(message.body.rstrip(b".")))
        assert all(numbers == list(range(200)) for numbers in seen.values())
        for thread in threads:
            thread.join()
        ours.end()
        assert theirs.receive() is None


def test_sending_to_one_who_does_not_read_neither_waits_nor_fills_memory():
    with two_channels() as (ours, theirs):
        began = time.monotonic()
        body = b"x" * 60_000
        sent = sum(ours.send(Data(0, body), droppable=True) for _ in range(400))
        assert time.monotonic() - began < 5
        assert BACKLOG_BYTES // 60_100 <= sent < 250
        assert ours.send(Release(7)), "what must not be lost is kept"
        received = 0
        while not isinstance(message := theirs.receive(), Release):
            assert isinstance(message, Data)
            received += 1
        assert received == sent
        assert message.stage == 7


def test_a_peer_that_is_gone_is_no_error():
    with two_channels() as (ours, theirs):
        theirs.end()
        assert ours.receive() is None
        assert not ours.send(Release(1)) or not ours.send(Release(1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        bytes(range(200, 240)),
        pickle.dumps(Release(1)),
        b'["Release",1]',
        CODEC.encode(Release(1))[:-1],
        CODEC.encode(Release(1)) + b"\x00",
    ],
    ids=["empty", "number", "noise", "pickle", "json", "cut", "more"],
)
def test_only_messages_are_read(data: bytes):
    with pytest.raises(NoMessage, match="is no message"):
        CODEC.decode(data)


def test_what_is_no_message_is_no_end_of_messages():
    ours, socket = Channel.pair(CODEC)
    socket.sendall((5).to_bytes(4, "big") + b"noise" + (2**31).to_bytes(4, "big"))
    for _ in range(2):
        with pytest.raises(NoMessage, match="is no message"):
            ours.receive()
    ours.close()
    socket.close()


@pytest.mark.parametrize(
    "message",
    [
        Result(1, 7, True, None),  # type: ignore[arg-type]
        Result("1", [], True, None),  # type: ignore[arg-type]
        Result(1, [(0, (320, 180))], True, None),  # type: ignore[list-item]
        Result(1, [Picture(0, AUDIO)], True, None),  # type: ignore[arg-type]
        Event(0, 5),  # type: ignore[arg-type]
        Ready("video", 1),  # type: ignore[arg-type]
        Failed(None),  # type: ignore[arg-type]
        Reply(1, ("hook", "text", [])),  # type: ignore[arg-type]
        Reply(1, Fault("params", "text", [{"loc": 5}], "")),  # type: ignore[list-item]
    ],
)
def test_a_message_with_fields_of_other_types_is_none(message):
    with pytest.raises(NoMessage, match="is no message"):
        CODEC.decode(CODEC.encode(message))


@pytest.mark.parametrize("value", [2**70, "\ud83d", {"deep": [1.5, None]}])
def test_values_cross_as_they_are(value: object):
    assert json.loads(to_json({"value": value})) == {"value": value}


def test_what_cannot_be_sent_is_said_before_anything_is():
    with pytest.raises(ValueError, match="nested too deeply"):
        to_json({"value": nested(200_000)})
    with two_channels() as (ours, _), pytest.raises(ValueError, match="surrogates"):
        ours.send(Failed("\ud83d"))


def test_exceptions_come_over_as_they_are():
    refused = InvalidParams("no", [{"loc": ("level",), "msg": "m", "type": "t"}])
    again = from_fault(to_fault(refused))
    assert isinstance(again, InvalidParams)
    assert again.errors == refused.errors
    failed = HookFailed("setup() raised")
    failed.__cause__ = ValueError("because")
    again = from_fault(to_fault(failed))
    assert isinstance(again, HookFailed)
    assert "ValueError: because" in str(again.__cause__)
    assert isinstance(from_fault(to_fault(StageAway("gone"))), StageAway)
    odd = to_fault(InvalidParams("no \ud83d", [{"loc": (object, 1), "msg": "\udc80"}]))
    assert isinstance(from_fault(odd), InvalidParams)
    assert CODEC.decode(CODEC.encode(Reply(3, odd))) == Reply(3, odd)
    fault = Fault("hook", "text", [], "")
    assert CODEC.decode(CODEC.encode(Reply(3, fault))) == Reply(3, fault)


def test_the_wait_grows_only_where_one_failure_follows_another():
    backoff = Backoff(0.5)
    assert [backoff.next(3.0), backoff.next(3.0), backoff.next(3.0)] == [0.0, 0.5, 1.0]
    assert backoff.next(60.0) == 0.0
    assert backoff.next(1.0) == 0.5
    failing = Backoff(0.5)
    assert [failing.next(None) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    for _ in range(5000):
        assert failing.next(None) == 10.0


def test_a_frame_is_not_blamed_for_the_time_of_other_hooks():
    watch = Stopwatch(10.0)
    assert not watch.overdue(0.0, 9.9)
    assert watch.overdue(0.0, 10.1)
    watch.begin(1, 2.0)
    watch.begin(2, 3.0)
    watch.end(1, 40.0)
    assert not watch.overdue(0.0, 60.0), "a model is loaded"
    watch.end(2, 62.0)
    watch.end(2, 65.0)
    assert not watch.overdue(0.0, 69.9)
    assert watch.overdue(0.0, 70.1)
    assert not watch.overdue(61.0, 71.9)
    assert watch.overdue(61.0, 72.1)


def test_hooks_that_run_again_and_again_excuse_a_frame_for_as_long_as_its_limit():
    watch = Stopwatch(10.0)
    overdue_at = None
    for step in range(10_000):
        now = step / 100
        watch.begin(step, now)
        if watch.overdue(0.0, now):
            overdue_at = now
            break
        watch.end(step, now + 0.0099)
    assert overdue_at is not None
    assert 19.0 < overdue_at < 20.1
