"""text_reversal over HTTP, and as a plain object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ACUTE = "\N{COMBINING ACUTE ACCENT}"
COUPLE = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"


async def call(example: ModuleType, body: dict[str, str]) -> tuple[int, dict[str, object]]:
    """One request to a server of its own; the status and the answer."""
    async with (
        serve(example.TextReversal) as server,
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/predict", json=body) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("body", "text", "parts"),
    [
        ({"text": "stressed"}, "desserts", 8),
        ({"text": "one two  three", "by": "word"}, "three two one", 3),
        ({"text": ""}, "", 0),
        ({"text": f"cafe{ACUTE} {COUPLE}!"}, f"!{COUPLE} e{ACUTE}fac", 7),
    ],
)
async def test_the_text_comes_back_turned_around(
    load: Callable[[str], ModuleType], body: dict[str, str], text: str, parts: int
) -> None:
    assert await call(load("text_reversal"), body) == (200, {"text": text, "parts": parts})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "a", "by": "line"}, "by"),
        ({"text": "a", "language": "en"}, "language"),
        ({"text": "a" * 100_001}, "text"),
    ],
)
async def test_a_wrong_call_is_told_which_field(
    load: Callable[[str], ModuleType], body: dict[str, str], field: str
) -> None:
    status, answer = await call(load("text_reversal"), body)
    assert status == 422
    faults = answer["detail"]
    assert isinstance(faults, list)
    assert [fault["loc"] for fault in faults] == [["body", field]]


async def test_the_class_works_without_a_server(load: Callable[[str], ModuleType]) -> None:
    example = load("text_reversal")
    assert await example.TextReversal().predict("ab") == example.Reversed(text="ba", parts=2)
