"""Deadlines: on time, of one's own only, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from livepeer.client._net.deadlines import Deadline, Deadlines

LOOK_S = 0.05


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines(look_s=LOOK_S)


async def _passed(deadlines: Deadlines, delay_s: float) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError), Deadline(deadlines, delay_s):
        await asyncio.sleep(10)
    return loop.time() - begun


@pytest.mark.parametrize("delay_s", [0.0, LOOK_S, 2 * LOOK_S, 2.5 * LOOK_S, 6 * LOOK_S])
async def test_it_ends_what_lasts_too_long_and_not_before(
    deadlines: Deadlines, delay_s: float
) -> None:
    assert delay_s <= await _passed(deadlines, delay_s) + 0.001 < delay_s + 1


async def test_each_has_its_own(deadlines: Deadlines) -> None:
    delays = [0.5, 0.2, 0.35, 0.2, 0.05]
    passed = await asyncio.gather(*(_passed(deadlines, delay) for delay in delays))
    for delay, took in zip(delays, passed, strict=True):
        assert delay <= took + 0.001 < delay + 0.15, passed


async def test_what_is_over_in_time_is_left_alone(deadlines: Deadlines) -> None:
    with Deadline(deadlines, 3 * LOOK_S):
        await asyncio.sleep(0)
    await asyncio.sleep(5 * LOOK_S)


async def test_what_is_over_while_it_is_armed_is_left_alone(deadlines: Deadlines) -> None:
    with Deadline(deadlines, 4 * LOOK_S):
        await asyncio.sleep(3.2 * LOOK_S)
    await asyncio.sleep(3 * LOOK_S)


async def test_none_is_never(deadlines: Deadlines) -> None:
    with Deadline(deadlines, None):
        await asyncio.sleep(4 * LOOK_S)


async def test_an_error_inside_goes_through(deadlines: Deadlines) -> None:
    with pytest.raises(ValueError, match="inside"), Deadline(deadlines, 60):
        raise ValueError("inside")


async def test_a_task_that_is_cancelled_is_cancelled(deadlines: Deadlines) -> None:
    task = asyncio.create_task(_passed(deadlines, 60))
    await asyncio.sleep(LOOK_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_that_stood_still_ends_it_late_but_ends_it(deadlines: Deadlines) -> None:
    lasts = asyncio.create_task(_passed(deadlines, 3 * LOOK_S))
    await asyncio.sleep(0)
    until = time.monotonic() + 6 * LOOK_S
    while time.monotonic() < until:
        pass
    assert 6 * LOOK_S <= await lasts + 0.001 < 5


async def test_nothing_is_kept_when_all_are_over() -> None:
    deadlines = Deadlines(look_s=LOOK_S)
    for _ in range(100):
        with Deadline(deadlines, 60):
            pass
    gone = weakref.ref(deadlines)
    del deadlines
    await asyncio.sleep(3 * LOOK_S)
    gc.collect()
    assert gone() is None, "a timer goes on though nothing is under way"
