"""CPU and latency of a live loop, as ratios to a bare PyAV loop of the same run.

    uv run python benchmarks/live_loop.py [--loops 4] [--runs 3]

The clip goes through a trickle server and publisher in a process of their own, at its own pace;
the process that is measured runs a session's media as a runner does: subscribe, decode, an
identity hook, encode, publish. The floor decodes and encodes the same bytes with PyAV alone, with
the same encoder options and without any network. CPU is that of the process under test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import av
from aiohttp import web

from livepeer.client.media import MediaSource
from livepeer.runner import LivePipeline
from livepeer.runner._live.author import AuthorThread
from livepeer.runner._live.output import Output
from livepeer.runner._live.stage import InProcessStage
from livepeer.runner._live.stats import SessionStats
from livepeer.runner._live.transform import Transform
from livepeer.runner.settings import load_settings
from livepeer.trickle import TricklePublisher, TrickleServer, TrickleSubscriber, trickle_session
from livepeer.trickle.media import AccessUnit, BytePipe, MediaReader, Segmenter
from livepeer.trickle.testing import serve

CLIP = Path(__file__).parents[1] / "examples" / "assets" / "bigbuckbunny.mp4"
TICKS = 90_000


class Identity(LivePipeline):
    """Touches every frame and changes none."""

    def process_video(self, frame):
        return frame


class Nowhere:
    """Takes events that nobody reads."""

    def emit_event(self, message):
        del message

    def emit_data(self, message):
        del message


def units(loops: int):
    """The pictures of the clip, several times in a row."""
    with MediaSource(CLIP) as source:
        once = [unit for unit in source if unit.kind == "video"]
    length = once[-1].pts - once[0].pts + TICKS // 25
    for n in range(loops):
        for unit in once:
            yield AccessUnit(
                "video", unit.data, unit.pts + n * length, unit.dts + n * length, unit.key
            )


async def peer(loops: int) -> None:
    """The other side: server, publisher at the clip's pace, and the reader of the output."""
    server, app = TrickleServer(), web.Application()
    server.add_routes(app, "/t")
    server.create_channel("in")
    server.create_channel("out")
    sent: dict[int, float] = {}
    latencies: list[float] = []

    def measure(pipe: BytePipe) -> None:
        for item in MediaReader(pipe):
            if isinstance(item, AccessUnit) and item.pts in sent:
                latencies.append(time.monotonic() - sent.pop(item.pts))

    async def receive(url: str) -> None:
        pipe = BytePipe()
        thread = threading.Thread(target=measure, args=(pipe,))
        thread.start()
        async for segment in TrickleSubscriber(url, start=0):
            async for chunk in segment:
                await pipe.write(chunk)
        pipe.close()
        await asyncio.to_thread(thread.join)

    async with serve(app) as base:
        print(base, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        receiving = asyncio.create_task(receive(base + "/t/out"))
        segmenter, segment = Segmenter({"video": "h264"}), None
        begin, first = time.monotonic(), None
        publisher = TricklePublisher(base + "/t/in")
        for unit in units(loops):
            first = unit.dts if first is None else first
            await asyncio.sleep(max(0.0, begin + (unit.dts - first) / TICKS - time.monotonic()))
            piece = segmenter.add(unit)
            if piece.starts:
                if segment is not None:
                    await segment.close()
                segment = await publisher.open_segment()
            sent[unit.pts] = time.monotonic()
            await segment.write(piece.data)
        await segment.close()
        await asyncio.sleep(1)
        await publisher.close()
        await receiving
        latencies.sort()
        report = {
            "median": statistics.median(latencies) * 1000,
            "p99": latencies[int(len(latencies) * 0.99)] * 1000,
            "frames": len(latencies),
        }
        print(json.dumps(report), flush=True)


async def ours(base: str, go: subprocess.Popen[str]) -> tuple[float, int]:
    """CPU seconds and frames of our loop."""
    settings, stats = load_settings(live_policy="wait"), SessionStats()
    pipeline, author = Identity(), AuthorThread("benchmark")
    async with trickle_session() as http:
        output = Output(base + "/t/out", http, stats)
        source = TrickleSubscriber(base + "/t/in", session=http, start=0)
        stage = InProcessStage(pipeline, author, Nowhere())
        loop = Transform(source, output, stage, settings, stats, report=print)
        begin = time.process_time()
        go.stdin.write("go\n")
        go.stdin.flush()
        await loop.run()
        used = time.process_time() - begin
        await output.close(delete=True)
        await source.aclose()
    author.close(1.0)
    return used, stats.video_out


def floor(loops: int) -> tuple[float, int]:
    """CPU seconds and frames of decoding and encoding alone."""
    segmenter = Segmenter({"video": "h264"})
    stream = bytearray(b"".join(segmenter.add(unit).data for unit in units(loops)))

    class Bytes:
        def read(self, size: int) -> bytes:
            chunk = bytes(stream[:size])
            del stream[:size]
            return chunk

    frames = 0
    begin = time.process_time()
    with av.open(Bytes(), format="mpegts") as container:
        source = container.streams.video[0]
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
        encoder.time_base, encoder.thread_count = source.time_base, 1
        encoder.options = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "g": "25"}
        for packet in container.demux(source):
            for frame in packet.decode():
                frame.pict_type = 0
                for coded in encoder.encode(frame):
                    frames += bool(len(bytes(coded)))
        for coded in encoder.encode(None):
            frames += bool(coded.size)
    return time.process_time() - begin, frames


def main() -> None:
    """Run both, several times in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        asyncio.run(peer(options.loops))
        return
    ratios, ours_ms, floor_ms, medians, late = [], [], [], [], []
    for _ in range(options.runs):
        used, count = floor(options.loops)
        command = [sys.executable, __file__, "--peer", "--loops", str(options.loops)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                own, frames = asyncio.run(ours(process.stdout.readline().strip(), process))
                latency = json.loads(process.stdout.readline())
            finally:
                with suppress(ProcessLookupError):
                    process.terminate()
        assert frames == count == latency["frames"], (frames, count, latency)
        floor_ms.append(used / count * 1000)
        ours_ms.append(own / frames * 1000)
        ratios.append(ours_ms[-1] / floor_ms[-1])
        medians.append(latency["median"])
        late.append(latency["p99"])
    print(f"floor   {statistics.median(floor_ms):6.2f} ms of CPU a frame")
    print(f"ours    {statistics.median(ours_ms):6.2f} ms of CPU a frame")
    print(f"ratio   {statistics.median(ratios):6.2f} (ours : floor, pair by pair)")
    print(
        f"latency {statistics.median(medians):6.1f} ms median, {statistics.median(late):.1f} ms p99"
    )


if __name__ == "__main__":
    main()
