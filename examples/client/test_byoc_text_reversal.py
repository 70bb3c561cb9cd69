"""byoc_text_reversal, and that a stream is stopped also when something went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_texts_come_back_reversed_also_after_a_run_that_failed(
    network: Callable, run: Callable
) -> None:
    # The runner has room for one stream: what the first run leaves behind would keep others out.
    async with network("live_text_reversal", "LiveTextReversal") as url:
        refused = await run("byoc_text_reversal", "--orchestrator", url, "good", "x" * 5001)
        ended = await run("byoc_text_reversal", "--orchestrator", url, "stressed", "no lemon")

    assert refused.out == "doog\n"
    assert "text: String should have at most 5000 characters" in refused.error
    assert (ended.status, ended.out, ended.err) == (0, "desserts\nnomel on\n", "")


async def test_a_capability_that_nobody_offers_is_told_in_a_line(
    network: Callable, run: Callable
) -> None:
    async with network("live_text_reversal", "LiveTextReversal") as url:
        ended = await run("byoc_text_reversal", "--orchestrator", url, "--capability", "none", "a")

    assert "capability 'none' is not offered" in ended.error
