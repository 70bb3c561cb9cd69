"""How commands end when their output takes nothing, when nothing pays, and without a key file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from livepeer.client.cli._options import WayOptions
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from livepeer.client.testing import FakeGateway, FakeOrchestrator

FULL = "/dev/full"
NO_SPACE = "error: [Errno 28] No space left on device"


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities) as node:
        yield node


@pytest.fixture
async def gateway(node: FakeOrchestrator) -> AsyncIterator[FakeGateway]:
    async with fake_gateway([node]) as gateway:
        yield gateway


@pytest.fixture
def printing(node: FakeOrchestrator, gateway: FakeGateway, tmp_path: Path) -> list[tuple[str, ...]]:
    """Commands that print something, each by code of its own."""
    endpoint = {"stream": False, "request": {"schema": {}}, "response": {"schema": {}}}
    schema = {"name": "x", "endpoints": {"/predict": endpoint}}
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    call = ("call", "echo", "--gateway", gateway.url)
    return [
        call,
        (*call, "--json"),
        ("discover", "--orchestrator", node.url, "--listed"),
        ("token", "echo", "--orchestrator", node.url),
        ("stub", "--schema", str(tmp_path / "schema.json")),
    ]


@pytest.fixture
def gone() -> Iterator[int]:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full() -> Iterator[int]:
    """A file without room."""
    file = os.open(FULL, os.O_WRONLY)
    yield file
    os.close(file)


async def livepeer(
    *arguments: str, stdout: int = asyncio.subprocess.DEVNULL
) -> tuple[int | None, str]:
    # Buffered, as users have it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livepeer.cli", *arguments),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, err.decode()


async def test_a_reader_that_has_enough_is_no_failure(
    printing: list[tuple[str, ...]], gone: int
) -> None:
    ended = await asyncio.gather(*(livepeer(*each, stdout=gone) for each in printing))
    assert ended == [(0, "")] * len(printing)


async def test_an_output_without_room_is_a_failure_of_one_line(
    printing: list[tuple[str, ...]], full: int
) -> None:
    ended = await asyncio.gather(*(livepeer(*each, stdout=full) for each in printing))
    assert ended == [(1, f"{NO_SPACE}\n")] * len(printing)


async def test_a_file_without_room_is_no_mistake_in_the_command(gateway: FakeGateway) -> None:
    call = ("call", "echo", "--gateway", gateway.url, "--output", FULL)
    ended = await asyncio.gather(
        livepeer(*call, "--route", "image"), livepeer(*call, "--route", "events")
    )
    assert ended == [(1, f"{NO_SPACE}: '{FULL}'\n")] * 2


async def test_a_refusal_that_standard_output_does_not_take(
    gateway: FakeGateway, full: int
) -> None:
    call = ("call", "echo", "--gateway", gateway.url, "--route", "invalid", "--json")
    status, err = await livepeer(*call, stdout=full)
    assert status == 1
    (line,) = err.splitlines()
    assert "422" in line


async def test_what_would_pay_is_named(node: FakeOrchestrator) -> None:
    node.capabilities["echo"].price = 10
    status, err = await livepeer("call", "echo", "--orchestrator", node.url)
    assert status == 1
    for words in ("`payments=`", "`signer=`", "--key-file with --max-spend, or --signer"):
        assert words in err


async def test_a_key_file_that_is_missing_is_a_mistake(node: FakeOrchestrator) -> None:
    way = ("--orchestrator", node.url, "--key-file", "/nonexistent")
    ended = await asyncio.gather(livepeer("call", "echo", *way), livepeer("token", "echo", *way))
    assert [status for status, _ in ended] == [2, 2]


def test_options_do_not_show_what_is_secret() -> None:
    options = WayOptions(access_token="top-secret", signer_header=["Authorization: top-secret"])
    assert "secret" not in repr(options)
