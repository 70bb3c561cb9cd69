"""Stream a clip to `live_transcribe` behind an orchestrator, and print the lines that come back."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.client import Client
from livepeer.client.media import MediaSource, Recorder, Transfer

if TYPE_CHECKING:
    from livepeer.client import BYOCJob


async def main(orchestrator: str, clip: str) -> None:
    """Send the clip at its own pace; what comes back is read meanwhile, until the stream ends."""
    async with Client(orchestrators=[orchestrator]) as client:
        job = await client.start_stream("live-transcribe", params={"window_s": 5})
        reading = asyncio.create_task(read(job))
        async with job:
            with MediaSource(Path(clip)) as source, Recorder(None) as recorder:
                await Transfer(job, source).run(recorder)
        await reading


async def read(job: BYOCJob) -> None:
    """Print each line."""
    async for line in job.data():
        print(json.dumps(line), flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: caller.py ORCHESTRATOR CLIP")
    asyncio.run(main(*sys.argv[1:]))
