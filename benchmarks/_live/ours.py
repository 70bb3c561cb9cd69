"""Our loop: `python -m _live.ours BASE`; it says what it used for how many pictures."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from _face.roles import cpu_seconds, say
from livepeer.runner import LivePipeline
from livepeer.runner._live.author import AuthorThread
from livepeer.runner._live.output import Output
from livepeer.runner._live.stage import InProcessStage
from livepeer.runner._live.stats import SessionStats
from livepeer.runner._live.transform import Transform
from livepeer.runner.settings import load_settings
from livepeer.trickle import TrickleSubscriber, trickle_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.runner.errors import HookFailed
    from livepeer.trickle.media import VideoFrame


class Identity(LivePipeline):
    """Touches every picture and changes none."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        """The same picture."""
        return frame


class Nowhere:
    """Takes events and data that nobody reads."""

    def emit_event(self, message: Mapping[str, object]) -> None:
        """An event."""

    def emit_data(self, message: Mapping[str, object]) -> None:
        """A line of data."""


async def loop(base: str) -> None:
    """Run one session's media as a runner does: subscribe, decode, a hook, encode, publish."""
    settings, stats = load_settings(live_policy="wait"), SessionStats()
    author = AuthorThread("author")
    failures: list[HookFailed] = []
    async with trickle_session() as http:
        output = Output(f"{base}/out", http, stats)
        async with TrickleSubscriber(f"{base}/in", session=http, start=0) as source:
            stage = InProcessStage(Identity(), author, Nowhere())
            media = Transform(source, output, stage, settings, stats, failures.append)
            before = cpu_seconds()
            say({"ready": True})
            await media.run()
            used = cpu_seconds() - before
        await output.close(delete=True)
    author.close(1.0)
    if failures:
        raise failures[0]
    say({"cpu": used, "pictures": stats.video_out})


def main() -> None:
    """Run the loop through the server at a base URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    asyncio.run(loop(parser.parse_args().base))


if __name__ == "__main__":
    main()
