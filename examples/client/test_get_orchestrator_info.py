"""get_orchestrator_info: all prices, and those that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._local.network import LocalNetwork

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_prices_are_told(network: Callable, run: Callable) -> None:
    local = LocalNetwork(charge=True)
    async with network("text_reversal", "TextReversal", local=local, capability_price=10) as url:
        everything = await run("get_orchestrator_info", "--orchestrator", url)
        asked = await run(
            *("get_orchestrator_info", "--caps", "byoc/text-reversal"),
            *("--caps", "llm/small,text-to-image/fast", "--orchestrator", url),
        )
        nobody = await run("get_orchestrator_info", "--caps", "byoc/none", "--orchestrator", url)
        wrong = await run("get_orchestrator_info", "--orchestrator", url, "--caps", "llm")

    assert (everything.status, everything.err) == (0, "")
    assert f"orchestrator {url}\naddress      0x" in everything.out
    assert "byoc/text-reversal: 10 wei for 1 second(s)\n" in everything.out
    assert asked.status == 0
    assert asked.out.endswith("\nbyoc/text-reversal: 10 wei for 1 second(s)\n")
    assert "asked for    byoc/none: no price told" in nobody.out
    assert "`pipeline/model`, not 'llm'" in wrong.error


async def test_what_is_free_is_told_so(network: Callable, run: Callable) -> None:
    async with network("text_reversal", "TextReversal") as url:
        asked = await run(
            "get_orchestrator_info", "--caps", "byoc/text-reversal", "--orchestrator", url
        )
    assert asked.status == 0
    assert asked.out.endswith("\nbyoc/text-reversal: 0 wei for 1 second(s)\n")
