"""byoc_write_text: more lines than an orchestrator holds, all of them there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_every_line_comes_out(network: Callable, run: Callable) -> None:
    texts = [f"line {number} \N{GREEK SMALL LETTER MU}" for number in range(12)]
    async with network("passthrough", "Passthrough") as url:
        ended = await run("byoc_write_text", "--orchestrator", url, *texts)

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == texts
