"""`livepeer call`, run as users run it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.testing import FakeOrchestrator


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities) as node:
        yield node


async def livepeer(*arguments: str, stdin: str = "") -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "livepeer.cli",
        "call",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode, out.decode(), err.decode()


async def test_a_plain_answer_is_one_line(node: FakeOrchestrator) -> None:
    status, out, err = await livepeer("echo", '{"a": "é"}', "--orchestrator", node.url)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert json.loads(line) == {"path": "/predict", "got": '{"a":"\\u00e9"}'}


async def test_a_stream_is_a_line_for_each_item(node: FakeOrchestrator) -> None:
    async with fake_gateway([node]) as gateway:
        status, out, err = await livepeer(
            "echo", "{}", "--gateway", gateway.url, "--route", "events", "--timeout", "30"
        )
    assert (status, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [{"i": 0}, {"i": 1}, {"i": 2}]


async def test_the_payload_from_a_file_and_from_standard_input(
    node: FakeOrchestrator, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text("[1]", encoding="utf-8")
    answers = await asyncio.gather(
        livepeer("echo", f"@{file}", "--orchestrator", node.url),
        livepeer("echo", "-", "--orchestrator", node.url, stdin="[2]"),
    )
    assert [status for status, _, _ in answers] == [0, 0]
    assert [json.loads(out)["got"] for _, out, _ in answers] == ["[1]", "[2]"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("echo", "{", "--gateway", "http://127.0.0.1:9"), 2, "no JSON"),
        (("echo", "@/nonexistent", "--gateway", "http://127.0.0.1:9"), 2, "/nonexistent"),
        (("echo", "{}"), 2, "gateway"),
        (("echo", "{}", "--gateway", "localhost:9"), 2, "http://"),
        (("echo", "{}", "--gateway", "http://127.0.0.1:9", "--route", "a?b"), 2, "route"),
        (("echo", "{}", "--gateway", "http://127.0.0.1:9"), 1, "refused"),
        (("echo", "{}", "--orchestrator", "http://127.0.0.1:9"), 1, "refused"),
    ],
)
async def test_mistakes_and_failures_are_one_line(
    arguments: tuple[str, ...], status: int, words: str
) -> None:
    returned, out, err = await livepeer(*arguments)
    assert (returned, out) == (status, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert words in line


async def test_a_runners_refusal_is_one_line(node: FakeOrchestrator) -> None:
    status, out, err = await livepeer(
        "echo", "{}", "--orchestrator", node.url, "--route", "invalid"
    )
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert "422" in line
    assert "Field required" in line
