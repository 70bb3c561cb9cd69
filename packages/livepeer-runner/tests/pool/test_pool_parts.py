"""The parts of a pool that need no process."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import HTTPException

from livepeer.runner._isolation.codec import NoMessage
from livepeer.runner._server.gate import Gate
from livepeer.runner._server.memory import MemoryWatch
from livepeer.runner._server.pool.faults import Fault, from_fault, to_fault
from livepeer.runner._server.pool.gpus import deal, visible
from livepeer.runner._server.pool.messages import CODEC, Cancel, End, max_message_bytes
from livepeer.runner.errors import AtCapacity, InvalidParams, OutOfMemory


@pytest.mark.parametrize(
    ("devices", "workers", "shares"),
    [
        (["0", "1", "2", "3"], 2, ["0,2", "1,3"]),
        (["0", "1"], 2, ["0", "1"]),
        (["0", "1", "2"], 2, ["0,2", "1"]),
        (["0", "1"], 5, ["0", "1", "0", "1", "0"]),
        (["GPU-a"], 2, ["GPU-a", "GPU-a"]),
    ],
)
def test_gpus_are_dealt_out_in_turns(devices, workers, shares):
    dealt = [deal(devices, number, workers) for number in range(workers)]
    assert dealt == [{"CUDA_VISIBLE_DEVICES": share} for share in shares]


def test_no_gpu_changes_nothing():
    assert deal([], 0, 2) == {}
    assert visible({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert visible({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_the_environment_says_which_gpus_there_are():
    assert visible({"CUDA_VISIBLE_DEVICES": "3, 1"}) == ["3", "1"]
    assert visible({"CUDA_VISIBLE_DEVICES": "2,-1,3"}) == ["2"]


def test_exceptions_of_ours_and_of_the_framework_keep_what_they_have():
    capacity = from_fault(to_fault(AtCapacity("busy", retry_after_s=7)))
    assert isinstance(capacity, AtCapacity)
    assert type(capacity).__name__ == "AtCapacity"
    assert (str(capacity), capacity.retry_after_s) == ("busy", 7)
    invalid = from_fault(to_fault(InvalidParams("no", [{"loc": ("body", 1), "msg": "m"}])))
    assert isinstance(invalid, InvalidParams)
    assert invalid.errors == [{"loc": ["body", 1], "msg": "m"}]
    memory = from_fault(to_fault(OutOfMemory("no room")))
    assert isinstance(memory, OutOfMemory)
    assert isinstance(from_fault(to_fault(UnicodeDecodeError("a", b"", 0, 1, "b"))), ValueError)
    http = from_fault(to_fault(HTTPException(402, {"pay": "first"}, {"X-Price": "1"})))
    assert isinstance(http, HTTPException)
    assert (http.status_code, http.detail, http.headers) == (
        402,
        {"pay": "first"},
        {"X-Price": "1"},
    )


def test_only_exceptions_that_are_known_are_made():
    for module, name in [
        ("subprocess", "CalledProcessError"),
        ("builtins", "SystemExit"),
        ("builtins", "StopIteration"),
        ("builtins", "print"),
        ("builtins", "ExceptionGroup"),
        ("livepeer.runner.settings", "Settings"),
    ]:
        error = from_fault(Fault(name, [(module, name)], "text", {}, ""))
        assert type(error).__bases__ == (Exception,)
        assert type(error).__name__ == name
        assert str(error) == "text"


class Odd(Exception):
    """Nothing of it can be asked without trouble."""

    def __str__(self) -> str:
        raise ValueError("no text")


def test_the_oddest_exception_comes_over():
    odd = Odd()
    odd.__dict__.update({"half \ud83d": "\ud83d", "big": 2**80, "own": odd, "n": 3, "data": b"x"})
    error = from_fault(to_fault(odd))
    assert type(error).__name__ == "Odd"
    assert "its text cannot be had" in str(error)
    assert vars(error)["n"] == 3


async def test_a_gate_lets_in_as_many_as_there_are_places_for():
    gate = Gate(slots=0, queue=2)
    gate.offer(0)
    with pytest.raises(AtCapacity, match="no model process is ready"):
        gate.check()
    gate.offer(2)
    slots = [await gate.enter(), await gate.enter()]
    waiting = [asyncio.create_task(gate.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    gate.offer(1)
    assert gate.load == (2, 2, 1)
    slots[0].leave()
    await asyncio.sleep(0)
    assert gate.load == (1, 2, 1), "its place is gone"
    waiting[0].cancel()
    slots[1].leave()
    waiting[1].cancel()  # let in, and cancelled before it could know
    await asyncio.wait(waiting)
    assert gate.load == (0, 0, 1)
    slot = await gate.enter()
    waiter = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    gate.offer(2)
    (await waiter).leave()
    gate.offer(1)
    waiter = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    gate.offer(0)
    with pytest.raises(AtCapacity, match="no model process is ready"):
        await waiter
    slot.leave()
    gate.offer(1)
    (await gate.enter()).leave()
    assert gate.load == (0, 0, 1)


def test_memory_that_did_not_suffice_is_no_error_for_ever():
    now = [0.0]
    watch = MemoryWatch(2, lasts_s=60, clock=lambda: now[0])
    watch.ran_out()
    assert watch.message is None
    watch.ran_out()
    assert "the last 2 calls" in str(watch.message)
    now[0] = 60.0
    assert watch.message is None, "somebody may try again"
    watch.ran_out()
    assert "the last 3 calls" in str(watch.message)
    watch.sufficed()
    assert watch.message is None


def test_what_is_no_message_is_refused():
    assert CODEC.decode(CODEC.encode(Cancel(3))) == Cancel(3)
    for wrong in (Cancel("3"), End(1, "text", "", None), End(1, None, "", ("a", 1))):  # type: ignore[arg-type]
        with pytest.raises(NoMessage):
            CODEC.decode(CODEC.encode(wrong))


def test_a_message_has_room_for_the_largest_body():
    assert max_message_bytes(1) == 128 * 1024 * 1024
    assert max_message_bytes(1024**3) == 1024**3 + 1024**2
