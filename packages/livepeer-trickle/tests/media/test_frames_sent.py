"""Frames that are handed on to an encoder: what is published is what was there at that moment."""

from __future__ import annotations

import gc
import queue
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from livepeer.trickle.media import AudioEncoder, AudioFrame, VideoEncoder, VideoFrame
from livepeer.trickle.media.memory import describe, pack, unpack

from .streams import picture

MILLISECONDS = Fraction(1, 1000)


def still(level=77, *, pts=12345, private=False):
    raw = av.VideoFrame(160, 96, "yuv420p")
    for plane in raw.planes:
        memoryview(plane)[:] = bytes([level]) * plane.buffer_size
    raw.pts, raw.time_base = pts, MILLISECONDS
    return VideoFrame(
        raw,
        sample_aspect_ratio=Fraction(4, 3),
        frame_rate=Fraction(25),
        private=private,
    )


def sound(pts=500):
    raw = av.AudioFrame("fltp", "stereo", 1024)
    for plane in raw.planes:
        memoryview(plane)[:] = bytes(plane.buffer_size)
    raw.sample_rate, raw.pts, raw.time_base = 48_000, pts, MILLISECONDS
    return AudioFrame(raw)


def level(frame):
    return int(np.frombuffer(memoryview(frame.raw.planes[0]), np.uint8)[0])


@pytest.mark.parametrize("private", [False, True])
def test_a_write_after_a_frame_was_sent_is_not_published(private):
    frame = still(private=private)
    sent = frame.sent()
    assert sent is not frame
    assert sent.raw is frame.raw
    frame.planes[0][:] = 200
    frame.pts += 40
    assert (level(sent), level(frame)) == (77, 200)
    assert (sent.pts, sent.time_base) == (12345, MILLISECONDS)
    assert (sent.sample_aspect_ratio, sent.frame_rate) == (Fraction(4, 3), Fraction(25))
    again = frame.sent()
    assert (level(again), again.pts) == (200, 12385)
    assert level(sent) == 77


def test_a_write_before_a_frame_is_sent_is_published_and_so_is_one_into_an_older_array():
    frame = still()
    luma = frame.planes[0]
    luma[:] = 90
    sent = frame.sent()
    assert level(sent) == 90
    luma[:] = 91
    assert level(sent) == 91
    assert not np.shares_memory(frame.planes[0], luma)


def test_the_time_is_fixed_or_that_of_another_frame():
    frame, other = still(), picture_frame(7)
    sent = frame.sent(at=other)
    frame.raw.pts = 1
    assert (sent.pts, sent.time_base) == (other.pts, other.time_base)
    assert (frame.pts, frame.time) == (12345, 12.345)
    heard = sound().sent(at=sound(pts=900))
    assert heard.time == 0.9


def picture_frame(number):
    return VideoFrame(picture(number, pts=number * 3600))


def test_one_picture_that_is_sent_twice_is_never_one_frame_of_two_encoders():
    frame, heard = still(), sound()
    assert frame.sent().raw is not frame.sent().raw
    assert level(frame.sent()) == 77
    assert heard.sent().raw is not heard.sent().raw
    assert np.array_equal(heard.sent().to_ndarray(), heard.to_ndarray())


def test_encoders_leave_frames_as_they_were():
    frame, heard = still(), sound()
    before = (frame.raw.pict_type, frame.raw.pts, frame.raw.time_base)
    VideoEncoder().encode(picture_frame(0))
    assert VideoEncoder().encode(frame)
    encoder = AudioEncoder()
    assert encoder.encode(heard) + encoder.flush()
    assert (frame.raw.pict_type, frame.raw.pts, frame.raw.time_base) == before
    assert (frame.pts, frame.time_base) == (12345, MILLISECONDS)
    assert (heard.pts, heard.time_base) == (500, MILLISECONDS)
    assert (heard.raw.pts, heard.raw.time_base) == (500, MILLISECONDS)


def test_what_is_sent_in_place_is_recognised_until_something_is_written():
    memory = memoryview(bytearray(describe(still()).size))
    frame, over = unpack(pack(still(), memory), memory)
    assert over
    frame.planes[0][:] = 11
    assert memory[0] == 11
    sent = frame.sent()
    assert sent.raw is frame.raw
    frame.planes[0][:] = 22
    assert memory[0] == 11
    assert sent.raw is not frame.raw
    assert (describe(sent).pts, describe(sent).rate) == (12345, (25, 1))


def test_arrays_keep_their_memory_when_somebody_else_refers_to_the_frame():
    frame = still()
    luma = frame.planes[0]
    graph = av.filter.Graph()
    source = graph.add_buffer(width=160, height=96, format=frame.raw.format, time_base=MILLISECONDS)
    sink = graph.add("buffersink")
    source.link_to(sink)
    graph.configure()
    graph.push(frame.raw)
    # With the graph's hold the frame used to be copied in place, and the graph had the only one.
    assert np.shares_memory(frame.planes[0], luma)
    del graph, source, sink
    gc.collect()
    others = [still(85) for _ in range(20)]
    assert (luma == 77).all()
    frame.planes[0][:] = 5
    assert (luma == 5).all()
    del others


def test_arrays_outlive_their_frame_and_another_frame_over_the_same_picture():
    raw = still().raw
    first = VideoFrame(raw).planes[0]
    second = VideoFrame(raw).planes[0]
    first[:], second[:] = 1, 2
    del raw
    gc.collect()
    others = [still(85) for _ in range(20)]
    assert (first == 1).all()
    assert (second == 2).all()
    del others


def test_arrays_keep_their_memory_while_another_thread_encodes():
    frames: queue.SimpleQueue[VideoFrame | None] = queue.SimpleQueue()
    encoder = VideoEncoder()

    def encode():
        while (frame := frames.get()) is not None:
            encoder.encode(frame)

    thread = threading.Thread(target=encode)
    thread.start()
    for number in range(60):
        frame = still(number, pts=number * 40)
        luma = frame.planes[0]
        frames.put(frame)
        assert np.shares_memory(frame.planes[0], luma)
    frames.put(None)
    thread.join()
