"""Calls and generators in model processes."""

from __future__ import annotations

import asyncio

import pytest

from livepeer.runner.errors import AtCapacity, InputError, InvalidParams, InvalidResult


async def test_each_process_has_a_model_and_capacity_is_all_of_them(lab):
    async with lab("Works", workers=2, concurrency=2) as it:
        pids = await asyncio.gather(*(it.ask("pid", 300) for _ in range(4)))
        assert sorted(pids) == sorted(it.pids * 2)
        assert it.notes == ["setup", "setup"]
        it.hold("working")
        busy = [asyncio.create_task(it.ask("held")) for _ in range(4)]
        await it.until(lambda: it.notes.count("held") == 4)
        with pytest.raises(AtCapacity):
            await it.ask()
        it.let_go("working")
        await asyncio.gather(*busy)
    assert it.notes.count("teardown") == 2


async def test_what_is_wrong_comes_over_as_what_it_is(lab):
    async with lab("Works", workers=1) as it:
        with pytest.raises(InvalidParams) as refused:
            await it.send({"do": "pid", "n": "many"})
        assert refused.value.errors[0]["type"] == "int_parsing"
        with pytest.raises(Exception, match="no half") as failed:
            await it.ask("fails")
        assert type(failed.value).__name__ == "Own"
        assert "in fails" in str(failed.value.__cause__)
        with pytest.raises(InputError, match="I am a teapot") as unwilling:
            await it.ask("refuses")
        assert type(unwilling.value).__name__ == "Unwilling"
        assert unwilling.value.status == 418
        with pytest.raises(KeyError) as key:
            await it.ask("key")
        assert str(key.value) == "'name'"
        with pytest.raises(RuntimeError, match="SystemExit"):
            await it.ask("exits")
        with pytest.raises(RuntimeError, match="BaseExceptionGroup"):
            await it.ask("groups")
        with pytest.raises(InputError, match="too large") as judged:
            await it.ask("judges")
        assert judged.value.status == 418, "the author has said what it is"
        assert it.caller.reports()[0].restarts == 0


async def test_large_bodies_cross_and_too_large_answers_are_refused(lab):
    async with lab("Works", workers=1) as it:
        assert len(await it.ask("large", 20_000_000)) == 20_000_000
        with pytest.raises(InvalidResult, match="make it smaller"):
            await it.ask("large", 130 * 1024 * 1024)
        assert await it.ask() == it.pids[0]


async def test_the_request_is_known_there(lab, capfd):
    async with lab("Works", workers=1, log_format="text") as it:
        assert await it.ask("asked", request_id="abc-1") == "abc-1"
    assert "author: [abc-1] at work" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["Counts", "CountsAsync"])
async def test_items_come_as_they_are_made(lab, name):
    async with lab(name, workers=1) as it:
        got = [item async for item in it.items(n=5000)]
        assert got == list(range(5000))
        it.hold("working")
        items = it.items(n=3)
        async with asyncio.timeout(20):
            assert await anext(items) == 0
        it.let_go("working")
        assert [item async for item in items] == [1, 2]


@pytest.mark.parametrize("name", ["Counts", "CountsAsync"])
async def test_an_error_comes_after_the_items_before_it(lab, name):
    async with lab(name, workers=1) as it:
        items = it.items(n=10, fail_at=3)
        assert [await anext(items), await anext(items), await anext(items)] == [0, 1, 2]
        with pytest.raises(Exception, match="half way") as failed:
            await anext(items)
        assert type(failed.value).__name__ == "Own"


@pytest.mark.parametrize("name", ["Counts", "CountsAsync"])
async def test_a_caller_who_leaves_closes_the_generator(lab, name):
    async with lab(name, workers=1) as it:
        it.hold("working")
        items = it.items(n=1000)
        assert await anext(items) == 0
        await items.aclose()
        assert it.notes[-1] == "closed", "closing waits for it"
        assert it.notes.count("closed") == 1
        assert "item 2" not in it.notes
        assert it.caller.reports()[0].busy == 0


@pytest.mark.parametrize("name", ["Counts", "CountsAsync"])
async def test_a_slow_reader_holds_the_generator_up(lab, name):
    async with lab(name, workers=1) as it:
        items = it.items(n=5000)
        assert await anext(items) == 0
        await asyncio.sleep(0.5)
        assert len(it.notes) < 300
        await items.aclose()


async def test_sync_work_can_ask_whether_it_is_cancelled(lab):
    async with lab("Works", workers=1) as it:
        call = asyncio.create_task(it.ask("asks"))
        await it.until(lambda: "asks" in it.notes)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert it.notes[-1] == "cancelled"
        assert it.caller.reports()[0].busy == 0


async def test_async_work_is_cancelled(lab):
    async with lab("Waits", workers=1) as it:
        call = asyncio.create_task(it.send({"n": 60}))
        await it.until(lambda: "waits" in it.notes)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert it.notes[-1] == "cancelled"
        assert await it.send({"n": 0}) == 0


async def test_a_place_is_taken_until_the_work_has_ended(lab):
    async with lab("Works", workers=1) as it:
        it.hold("working")
        call = asyncio.create_task(it.ask("held"))
        await it.until(lambda: "held" in it.notes)
        call.cancel()
        await asyncio.sleep(0.05)
        with pytest.raises(AtCapacity):
            await it.ask()
        it.let_go("working")
        await asyncio.wait({call})
        assert await it.ask() == it.pids[0]
