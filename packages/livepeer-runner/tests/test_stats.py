"""What a session counts, and what it tells of it."""

from __future__ import annotations

import json
import threading
import time

from livepeer.runner._live.stats import SessionStats
from livepeer.runner._metrics import BOUNDS_S, LiveMetrics


def test_a_snapshot_is_json_and_names_what_was_counted():
    stats = SessionStats()
    stats.video_in, stats.video_out, stats.segments_in, stats.last_segment_in = 9, 6, 2, 1
    stats.drop("slow", 2)
    stats.drop("late")
    stats.drop("slow")
    stats.watch_depth("frames", lambda: 5)
    told = stats.snapshot()
    assert json.loads(json.dumps(told)) == told
    assert (told["video_in"], told["video_out"], told["video_dropped"]) == (9, 6, 4)
    assert (told["segments_in"], told["last_segment_in"], told["gaps"]) == (2, 1, 0)
    assert told["dropped"] == stats.dropped == {"slow": 3, "late": 1}
    assert told["queues"] == {"frames": 5}


def test_times_are_told_in_milliseconds_once_there_are_some():
    stats = SessionStats()
    assert not {"latency_ms", "decode_ms", "hook_ms", "encode_ms"} & set(stats.snapshot())
    for n in range(100):
        stats.latency(n / 1000)
    stats.took("decode", 0.002)
    for seconds in (0.001, 0.004, 0.5):
        stats.took("hook", seconds)
    told = stats.snapshot()
    assert told["latency_ms"] == {"median": 50.0, "p99": 99.0}
    assert (told["decode_ms"], told["hook_ms"]) == (2.0, 4.0)
    assert "encode_ms" not in told


def test_quantiles_follow_the_last_frames():
    stats = SessionStats()
    for _ in range(1000):
        stats.latency(0.9)
    for _ in range(512):
        stats.latency(0.01)
    assert stats.snapshot()["latency_ms"] == {"median": 10.0, "p99": 10.0}


def test_rates_are_of_the_time_since_the_last_snapshot():
    stats = SessionStats()
    stats.video_in = 1000
    time.sleep(0.12)
    earliest = time.monotonic()
    stats.snapshot()
    latest = time.monotonic()
    stats.video_in += 30
    stats.video_out += 20
    time.sleep(0.2)
    shortest = time.monotonic() - latest
    told = stats.snapshot()
    longest = time.monotonic() - earliest
    assert 30 / longest - 0.1 <= told["fps_in"] <= 30 / shortest + 0.1
    assert 20 / longest - 0.1 <= told["fps_out"] <= 20 / shortest + 0.1
    # The last snapshot of a session follows another at once: a rate of no time is no rate.
    assert stats.snapshot()["fps_in"] == told["fps_in"]


def test_snapshots_and_lines_have_rates_of_their_own():
    stats = SessionStats()
    stats.video_in = stats.video_out = 40
    time.sleep(0.2)
    stats.snapshot()
    assert stats.snapshot()["fps_in"] > 0
    rate = stats.line().split("video ")[1].split("/s in")[0]
    assert 0 < float(rate) <= 200


def test_a_line_tells_of_the_interval_alone():
    stats = SessionStats()
    stats.video_in = stats.video_out = stats.segments_in = 5
    stats.drop("slow", 3)
    stats.gaps = 2
    stats.took("hook", 0.25)
    stats.latency(0.5)
    first = stats.line()
    assert "segments 5 in, 0 out" in first
    assert "dropped 3 slow" in first
    assert "gaps 2" in first
    assert "latency 500.0 ms (p99 500.0)" in first
    assert "hook 250.0 ms" in first
    assert "audio" not in first
    time.sleep(0.11)
    stats.segments_in = 6
    stats.audio_in = 1
    second = stats.line()
    assert "segments 1 in" in second
    assert "video 0.0/s in" in second
    assert "audio" in second
    assert "dropped" not in second
    assert "gaps" not in second
    assert "\n" not in second


def test_a_line_at_once_after_another_knows_a_new_reason():
    stats = SessionStats()
    stats.line()
    stats.drop("away")
    assert "segments" in stats.line()


def test_nothing_is_lost_between_threads():
    stats = SessionStats()
    each, threads = 20_000, 4

    def work() -> None:
        for _ in range(each):
            stats.took("hook", 0.01)
            stats.drop("slow")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    hook = stats.totals().durations["hook"]
    assert sum(hook.counts) == hook.counts[BOUNDS_S.index(0.01)] == each * threads
    assert stats.dropped == {"slow": each * threads}


def test_what_a_session_counted_outlives_it():
    metrics, first, second = LiveMetrics(capacity=2), SessionStats(), SessionStats()
    metrics.add(first)
    metrics.add(second)
    first.video_in, second.video_in = 10, 5
    first.took("hook", 0.003)
    first.drop("slow")
    second.watch_depth("frames", lambda: 2)
    first.watch_depth("frames", lambda: 3)
    running = metrics.read()
    metrics.remove(first)
    metrics.remove(first)
    ended = metrics.read()
    assert (running.sessions, running.ended, running.depths) == (2, 0, {"frames": 5})
    assert (ended.sessions, ended.ended, ended.depths) == (1, 1, {"frames": 2})
    assert ended.started == 2
    assert ended.totals == running.totals
    assert ended.totals.counts["video_in"] == 15
    assert ended.totals.durations["hook"].sum_s == 0.003
    second.video_in += 1
    assert metrics.read().totals.counts["video_in"] == 16


def test_a_session_that_did_not_begin_is_not_an_ended_one():
    metrics = LiveMetrics(capacity=1)
    metrics.remove(SessionStats())
    metrics.refused("hook")
    metrics.restarted()
    reading = metrics.read()
    assert (reading.started, reading.ended, reading.restarts) == (0, 0, 1)
    assert reading.refused == {"capacity": 0, "exists": 0, "params": 0, "hook": 1, "away": 0}
