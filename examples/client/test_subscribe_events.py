"""subscribe_events, until enough came and until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_events_are_lines_of_json_until_ctrl_c(
    network: Callable, begin: Callable, run: Callable
) -> None:
    async with network("live_text_reversal", "LiveTextReversal") as url:
        arguments = ("subscribe_events", "--orchestrator", url, "live-text-reversal")
        process = await begin(*arguments)
        try:
            async with asyncio.timeout(20):
                first = json.loads(await process.stdout.readline())
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        # There is room for one stream, so that the first must be gone.
        ended = await run(*arguments, "--count", "4")

    assert first["type"] == "start"
    assert (process.returncode, err) == (130, b"")
    assert (ended.status, ended.err) == (0, "")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert len(events) == 4
    assert events[0]["type"] == "start"
    assert "status" in {event["type"] for event in events}
    assert events[0]["stream_id"] != first["stream_id"]
