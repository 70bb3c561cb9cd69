"""Frames there and back: what hooks in a model process get and give is exact."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from livepeer.runner._live.isolated.arena import Arena, Lease
from livepeer.runner.errors import HookFailed, InvalidParams
from livepeer.runner.frames import AudioFrame, VideoFrame, as_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from livepeer.runner._live.isolated.stage import IsolatedStage
    from livepeer.runner._live.stage import Answer

    Picture = Callable[..., VideoFrame]
    Sound = Callable[[int], AudioFrame]


def pixels(frame: VideoFrame | AudioFrame) -> list[NDArray[np.uint8]]:
    assert isinstance(frame, VideoFrame)
    return [
        np.frombuffer(memoryview(plane), np.uint8)
        .reshape(-1, plane.line_size)[: plane.height, : plane.width]
        .copy()
        for plane in frame.raw.planes
    ]


def everything(answer: Answer) -> list[VideoFrame | AudioFrame]:
    frames: list[VideoFrame | AudioFrame] = []
    while (frame := answer.get(10)) is not None:
        frames.append(frame)
    return frames


async def ask(
    stage: IsolatedStage, frame: VideoFrame | AudioFrame
) -> list[VideoFrame | AudioFrame]:
    return await asyncio.to_thread(everything, stage.submit(frame))


def assert_like(frame: VideoFrame | AudioFrame, source: VideoFrame) -> None:
    assert isinstance(frame, VideoFrame)
    assert (frame.width, frame.height, frame.format) == (
        *(source.width, source.height),
        source.format,
    )
    assert (frame.pts, frame.time_base) == (source.pts, source.time_base)
    assert frame.sample_aspect_ratio == source.sample_aspect_ratio
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        assert getattr(frame.raw, name) == getattr(source.raw, name), name


@pytest.mark.parametrize(
    ("size", "format"),
    [
        ((1280, 720), "yuv420p"),
        ((642, 362), "yuvj420p"),
        ((33, 17), "yuv420p"),
        ((100, 50), "rgb24"),
        ((64, 32), "yuv444p"),
    ],
)
async def test_pictures_come_back_exact(lab, picture: Picture, size, format):
    async with lab("Changes", capability_capacity=2) as it:
        same, _ = await it.start("a", do="same")
        changed, _ = await it.start("b", do="in_place")
        for n in range(4):
            source = picture(n, *size, format)
            before = pixels(source)
            (back,) = await ask(same, source)
            assert_like(back, source)
            for expected, got in zip(before, pixels(back), strict=True):
                np.testing.assert_array_equal(got, expected)
            (inverse,) = await ask(changed, source)
            assert_like(inverse, source)
            for expected, got in zip(before, pixels(inverse), strict=True):
                np.testing.assert_array_equal(got, 255 - expected)
            # The author wrote into a frame of their own.
            for expected, got in zip(before, pixels(source), strict=True):
                np.testing.assert_array_equal(got, expected)


async def test_a_picture_may_grow_and_shrink(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="in_place")
        for n, size in enumerate([(64, 36), (1920, 1080), (320, 180), (3840, 2160), (64, 36)]):
            source = picture(n, *size)
            (back,) = await ask(stage, source)
            assert_like(back, source)
            np.testing.assert_array_equal(pixels(back)[0], 255 - pixels(source)[0])


async def test_sound_comes_back_exact(lab, sound: Sound):
    async with lab("Changes", capability_capacity=2) as it:
        same, _ = await it.start("a", do="same")
        half, _ = await it.start("b", do="half")
        for n in range(20):
            source = sound(n)
            for stage, factor in ((same, 1.0), (half, 0.5)):
                (back,) = await ask(stage, source)
                assert isinstance(back, AudioFrame)
                assert (back.pts, back.time_base) == (source.pts, source.time_base)
                assert (back.sample_rate, back.layout, back.format) == (44_100, "stereo", "fltp")
                np.testing.assert_array_equal(
                    back.to_ndarray(), source.to_ndarray() * np.float32(factor)
                )


async def test_hooks_answer_in_every_form(lab, picture: Picture):
    async with lab("Changes", capability_capacity=4) as it:
        source = picture(7)
        array, _ = await it.start("array", do="array")
        (back,) = await ask(array, source)
        assert isinstance(back, VideoFrame)
        (here,) = as_frames(255 - source.to_ndarray("rgb24"), source)
        assert isinstance(here, VideoFrame)
        assert_like(back, here)
        np.testing.assert_array_equal(pixels(back)[0], pixels(here)[0])
        nothing, _ = await it.start("nothing", do="nothing")
        assert await ask(nothing, source) == []

        fails, _ = await it.start("fails", do="fails")
        with pytest.raises(
            HookFailed, match=r"process_video\(\) raised ValueError: no luck"
        ) as got:
            await ask(fails, source)
        assert "models.py" in str(got.value.__cause__)
        assert fails.away is None

        twice, _ = await it.start("twice", do="twice")
        began, answer = time.monotonic(), twice.submit(source)
        first = await asyncio.to_thread(answer.get, 10)
        early = time.monotonic() - began
        second = await asyncio.to_thread(answer.get, 10)
        assert time.monotonic() - began >= 0.3
        assert early < 0.3, "the first result waited for the second"
        assert first is not None
        assert second is not None
        assert (first.pts, second.pts) == (7, 8)
        assert await asyncio.to_thread(answer.get, 10) is None


async def test_results_that_have_to_wait_for_room_hold_nobody_up(lab, picture: Picture):
    async with lab("Changes", capability_capacity=2) as it:
        many, _ = await it.start("a", do="many")
        same, _ = await it.start("b", do="same")
        answer = many.submit(picture(0))
        async with asyncio.timeout(5):
            (back,) = await ask(same, picture(1))  # its hook runs after the other's
        assert_like(back, picture(1))
        assert not answer.done
        for n in range(260):
            frame = await asyncio.to_thread(answer.get, 10)
            assert frame is not None
            assert frame.pts == n
            assert abs(pixels(frame)[0][0, 0] - (16 + n % 256 * 219 / 255)) <= 1
        assert await asyncio.to_thread(answer.get, 10) is None


@pytest.mark.parametrize(("do", "copied"), [("same", 0), ("in_place", 0), ("array", 5)])
async def test_a_picture_that_is_answered_where_it_lies_is_not_copied(
    lab, picture: Picture, monkeypatch: pytest.MonkeyPatch, do: str, copied: int
):
    adopted: list[int] = []
    adopt = Arena.adopt

    def counted(arena: Arena, index: int) -> Lease:
        adopted.append(index)
        return adopt(arena, index)

    monkeypatch.setattr(Arena, "adopt", counted)  # of this process, where results come in
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do=do)
        for n in range(5):
            assert len(await ask(stage, picture(n))) == 1
    assert len(adopted) == copied


async def test_what_is_written_after_an_answer_is_in_the_next(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="again")
        first, second = await ask(stage, picture(1))
        assert (pixels(first)[0].mean(), pixels(second)[0].mean()) == (10, 200)


async def test_a_picture_that_was_put_in_the_place_of_the_first_is_sent(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="another")
        (back,) = await ask(stage, picture(1))
        assert isinstance(back, VideoFrame)
        assert (back.width, back.height, pixels(back)[0].mean()) == (64, 36, 77)


async def test_a_frame_whose_results_are_early_takes_no_room_from_the_one_before(
    lab, picture: Picture
):
    async with lab("Overtakes", capability_capacity=2) as it:
        stage, _ = await it.start("a", do="overtakes")
        other, _ = await it.start("b", do="same")
        slow, many = stage.submit(picture(0)), stage.submit(picture(1))
        async with asyncio.timeout(5):
            assert len(await asyncio.to_thread(everything, slow)) == 1
            assert len(await ask(other, picture(2))) == 1
        for n in range(260):
            frame = await asyncio.to_thread(many.get, 10)
            assert frame is not None
            assert frame.pts == 1 + n
        assert await asyncio.to_thread(many.get, 10) is None


async def test_a_time_may_be_any_whole_number_and_nothing_else(lab, picture: Picture):
    async with lab("Changes", capability_capacity=2) as it:
        odd, _ = await it.start("a", do="odd_time")
        (back,) = await ask(odd, picture(1))
        assert back.pts == 6
        none, _ = await it.start("b", do="no_time")
        for pts, said in ((1, "more than 64 bits"), (2, "float")):
            with pytest.raises(HookFailed, match=said):
                await ask(none, picture(pts))
        assert it.host.restarts == 0


@pytest.mark.parametrize(("do", "said"), [("upside_down", "upside down"), ("circle", "round")])
async def test_results_that_fail_leave_their_room_to_others(
    lab, picture: Picture, do: str, said: str
):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do=do)
        for n in range(140):  # more than there is room for
            with pytest.raises(HookFailed, match=said):
                await ask(stage, picture(n, 64, 36))
        await stage.update({"do": "array"})
        assert len(await ask(stage, picture(1))) == 1
        assert it.host.restarts == 0


async def test_an_async_generator_sends_each_frame_at_once(lab, picture: Picture):
    async with lab("Yields") as it:
        stage, _ = await it.start("a")
        answer = stage.submit(picture(1))
        assert await asyncio.to_thread(answer.get, 10) is not None
        assert not answer.done
        gray = await asyncio.to_thread(answer.get, 10)
        assert isinstance(gray, VideoFrame)
        assert gray.format == "gray"
        np.testing.assert_array_equal(pixels(gray)[0], pixels(picture(1))[0])
        assert await asyncio.to_thread(answer.get, 10) is None


async def test_calls_that_overtake_each_other_keep_their_own_answers(lab, picture: Picture):
    async with lab("Reorders") as it:
        stage, _ = await it.start("a")
        assert stage.frames_in_flight == 2
        for n in range(0, 6, 2):
            answers = [stage.submit(picture(n)), stage.submit(picture(n + 1))]
            backs = [await asyncio.to_thread(everything, answer) for answer in answers]
            for offset, (back,) in enumerate(backs):
                assert_like(back, picture(n + offset))
                np.testing.assert_array_equal(pixels(back)[0], pixels(picture(n + offset))[0])


async def test_frames_that_the_author_keeps_stay_as_they_were(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="older")
        for n in range(150):
            (back,) = await ask(stage, picture(n))
            expected = picture(max(0, n - 69))
            # Time does not go back: a picture that is older than the last has its source's.
            assert back.pts == n
            back.pts = expected.pts
            assert_like(back, expected)
            np.testing.assert_array_equal(pixels(back)[0], pixels(expected)[0])


async def test_what_hooks_emit_reaches_the_stream(lab, picture: Picture):
    async with lab("Changes", capability_capacity=2) as it:
        stage, sent = await it.start("a", do="later")
        other, other_sent = await it.start("b", do="same")
        for n in range(3):
            assert await ask(stage, picture(n)) == []
        await sent.until(lambda: bool(sent.data))
        assert [frame.pts for frame in sent.frames] == [0, 1, 2]
        for n, frame in enumerate(sent.frames):
            np.testing.assert_array_equal(pixels(frame)[2], pixels(picture(n))[2])
        assert sent.events == [{"said": "emitted"}]
        assert sent.data == [{"n": 3}]
        await stage.stop()
        stage.release()
        await sent.until(lambda: len(sent.events) == 2)
        assert sent.events[-1] == {"said": "stopped"}
        await ask(other, picture(1))
        assert not other_sent.events
        assert "stop a" in it.notes


async def test_parameters_are_checked_in_the_model_process(lab, picture: Picture):
    async with lab("Typed", capability_capacity=2) as it:
        stage, _ = await it.start("a", level=5)
        (back,) = await ask(stage, picture(1))
        assert set(pixels(back)[0].flat) == {5}
        with pytest.raises(InvalidParams) as refused:
            await stage.update({"level": "much"})
        assert refused.value.errors[0]["loc"] == ("level",)
        assert stage.away is None
        update = asyncio.create_task(stage.update({"level": 6}))
        await asyncio.sleep(0.1)
        assert stage.away == "reloading"
        await update
        assert stage.away is None
        (back,) = await ask(stage, picture(2))
        assert set(pixels(back)[0].flat) == {6}
        with pytest.raises(InvalidParams):
            await it.start("b", level="none")
        with pytest.raises(HookFailed, match="unlucky"):
            await it.start("c", level=13)


async def test_nobody_waits_for_a_stream_that_was_interrupted(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="twice")
        answers = [stage.submit(picture(n)) for n in range(3)]
        stage.interrupt()
        assert all(answer.done for answer in answers)
