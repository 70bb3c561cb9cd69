"""`livepeer call`, run as users run it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from livepeer.client.cli.call import call
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.testing import FakeGateway, FakeOrchestrator


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities) as node:
        yield node


@pytest.fixture
async def gateway(node: FakeOrchestrator) -> AsyncIterator[FakeGateway]:
    # Most go this way: a signer's library takes a second to load, and two where machines are busy.
    async with fake_gateway([node]) as gateway:
        yield gateway


async def livepeer(*arguments: str, stdin: str = "") -> tuple[int | None, str, str]:
    status, out, err = await livepeer_bytes(*arguments, stdin=stdin)
    return status, out.decode(), err


async def livepeer_bytes(*arguments: str, stdin: str = "") -> tuple[int | None, bytes, str]:
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
    return process.returncode, out, err.decode()


async def test_a_plain_answer_is_one_line(node: FakeOrchestrator) -> None:
    status, out, err = await livepeer("echo", '{"a": "é"}', "--orchestrator", node.url)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert json.loads(line) == {"path": "/predict", "got": '{"a":"\\u00e9"}'}


async def test_a_stream_is_a_line_for_each_item(gateway: FakeGateway) -> None:
    status, out, err = await livepeer(
        "echo", "{}", "--gateway", gateway.url, "--route", "events", "--timeout", "30"
    )
    assert (status, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [{"i": 0}, {"i": 1}, {"i": 2}]


async def test_the_payload_from_a_file_and_from_standard_input(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text("[1]", encoding="utf-8")
    answers = await asyncio.gather(
        livepeer("echo", f"@{file}", "--gateway", gateway.url),
        livepeer("echo", "-", "--gateway", gateway.url, stdin="[2]"),
    )
    assert [status for status, _, _ in answers] == [0, 0]
    assert [json.loads(out)["got"] for _, out, _ in answers] == ["[1]", "[2]"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("echo", "{", "--gateway", "http://127.0.0.1:9"), 2, "no JSON"),
        (("echo", "@/nonexistent", "--gateway", "http://127.0.0.1:9"), 2, "/nonexistent"),
        (("echo", "{}"), 2, "--gateway URL"),
        (
            ("echo", "--gateway", "http://127.0.0.1:9", "--max-spend", "1"),
            2,
            "--gateway and --max-spend exclude each other",
        ),
        (("echo", "-f", "a", "--gateway", "http://127.0.0.1:9"), 2, "NAME=@FILE"),
        (("echo", "-f", "a=@/nonexistent", "--gateway", "http://127.0.0.1:9"), 2, "/nonexistent"),
        (("echo", "[1]", "-f", "a=b", "--gateway", "http://127.0.0.1:9"), 2, "an object"),
        (("echo", "--content-type", "a/b", "--gateway", "http://127.0.0.1:9"), 2, "--body"),
        (("echo", "{}", "--gateway", "localhost:9"), 2, "http://"),
        (("echo", "{}", "--gateway", "http://127.0.0.1:9", "--route", "a?b"), 2, "route"),
        (("echo", "{}", "--gateway", "http://127.0.0.1:9"), 1, "refused"),
        (("echo", "{}", "--orchestrator", "http://127.0.0.1:9"), 1, "refused"),
    ],
)
def test_mistakes_and_failures_are_one_line(
    arguments: tuple[str, ...], status: int, words: str
) -> None:
    app = typer.Typer()
    app.command()(call)
    ran = CliRunner().invoke(app, arguments)
    assert (ran.exit_code, ran.stdout) == (status, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line


async def test_a_runners_refusal_is_one_line(gateway: FakeGateway) -> None:
    status, out, err = await livepeer("echo", "{}", "--gateway", gateway.url, "--route", "invalid")
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert "422" in line
    assert "Field required" in line


async def test_bytes_go_to_a_file_or_to_a_pipe(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "out.png"
    way = ("echo", "--route", "image", "--gateway", gateway.url)
    piped, written, refused = await asyncio.gather(
        livepeer_bytes(*way),
        livepeer(*way, "--output", str(file)),
        livepeer(*way, "--json"),
    )
    assert piped == (0, b"\x89PNG\r\n", "")
    assert written == (0, "", f"{file}: text/plain, 6 bytes\n")
    assert file.read_bytes() == b"\x89PNG\r\n"
    assert refused[0] == 2
    assert "--output FILE" in json.loads(refused[1])["error"]["message"]


async def test_a_form_and_a_file_as_it_is(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from a file", encoding="utf-8")
    form, raw = await asyncio.gather(
        livepeer(
            *("echo", '{"level": 9}', "-f", f"file=@{tmp_path / 'a.txt'}", "-f", "name=Ada"),
            *("--gateway", gateway.url),
        ),
        livepeer("echo", "--body", str(tmp_path / "a.txt"), "--gateway", gateway.url),
    )
    assert (form[0], form[2]) == (0, "")
    got = json.loads(form[1])["got"]
    for part in ('filename="a.txt"', "from a file", 'name="name"', "Ada", 'name="level"'):
        assert part in got
    assert json.loads(raw[1])["got"] == "from a file"


async def test_objects_for_programs(gateway: FakeGateway, node: FakeOrchestrator) -> None:
    answer, items, busy = await asyncio.gather(
        livepeer("echo", "--json", "--gateway", gateway.url),
        livepeer("echo", "--json", "--route", "events", "--gateway", gateway.url),
        livepeer("echo", "--json", "--route", "busy", "--gateway", gateway.url),
    )
    assert (answer[0], answer[2]) == (0, "")
    told = json.loads(answer[1])
    assert told["answer"] == {"path": "/predict", "got": "{}"}
    assert told["orchestrator"] == node.url
    lines = [json.loads(line) for line in items[1].splitlines()]
    assert lines[:3] == [{"item": {"i": n}} for n in range(3)]
    assert lines[3]["end"] is True
    assert busy[0] == 1
    error = json.loads(busy[1])["error"]
    assert (error["type"], error["retryable"]) == ("NoOrchestrator", True)
    assert json.loads(busy[1])["paid"] == told["paid"] == 0


async def test_what_a_call_cost_is_told(
    capabilities: dict[str, FakeCapability], tmp_path: Path
) -> None:
    key = tmp_path / "key.txt"
    key.write_text("5c" * 32)
    capabilities["echo"].price = 10
    async with fake_orchestrator(capabilities, ticket_value=100) as node:
        common = ("echo", "--orchestrator", node.url, "--key-file", str(key), "--max-spend", "5000")
        text, answer, failed = await asyncio.gather(
            livepeer(*common),
            livepeer(*common, "--json"),
            livepeer(*common, "--json", "--route", "busy"),
        )
    paid = sorted(json.loads(out)["paid"] for _, out, _ in (answer, failed))
    assert (text[0], answer[0], failed[0]) == (0, 0, 1)
    assert (answer[2], failed[2]) == ("", "")
    told = re.fullmatch(r"paid: (\d+) wei\n", text[2])
    assert told is not None
    # All of one key, so that one may find the credit of another.
    assert int(told[1]) + sum(paid) in range(600, 5000)
    assert "error" in json.loads(failed[1])


async def test_what_nobody_reads_and_what_nobody_can(gateway: FakeGateway, tmp_path: Path) -> None:
    way = f"{sys.executable} -m livepeer.cli call echo --gateway {gateway.url}"
    events = tmp_path / "events"
    events.write_text("old", encoding="utf-8")

    async def shell(line: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_shell(line, stderr=asyncio.subprocess.PIPE)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, err.decode()

    closed, full, cut = await asyncio.gather(
        shell(f"{way} >&-"),
        shell(f"{way} >/dev/full"),
        shell(f"{way} --route events/cut --output {events}"),
    )
    assert closed == (0, "")
    assert full[0] == 1
    assert len(full[1].splitlines()) == 1
    assert cut[0] == 1
    assert events.read_text(encoding="utf-8") == "old"
    assert [each for each in os.listdir(tmp_path) if "events" in each] == ["events"]
