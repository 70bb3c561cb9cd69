"""Channels come and go: create, query, delete, and what is said of unknown ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .target import Server


async def test_s01_the_type_is_fixed_when_the_channel_is_created(server: Server) -> None:
    channel = server.channel()
    for kind in ("test/first", "test/second"):
        created = await channel.create(kind)
        assert (created.status, created.body) == (200, b"")
    await channel.publish(0, b"x", headers={"Content-Type": "test/third"})
    assert (await channel.get(0)).head["Content-Type"] == "test/first"


async def test_s06_a_first_segment_creates_its_channel(server: Server) -> None:
    channel = server.channel()
    connection = await channel.post(0, headers={"Content-Type": "test/kind"})
    await connection.send_chunk(b"hello")
    await connection.send_last()
    published = await connection.answer()
    assert (published.status, published.trickle, published.body) == (200, {"Seq": "0"}, b"")
    assert published.head["Connection"] is None
    await connection.request("GET", f"{channel.path}/0")
    read = await connection.answer()
    assert (read.status, read.body) == (200, b"hello")
    assert read.trickle == {"Seq": "0", "Latest": "1"}
    assert read.head["Content-Type"] == "test/kind"


async def test_s07_an_unknown_channel_is_404_for_a_reader(server: Server) -> None:
    answer = await server.channel().get(0)
    assert (answer.status, answer.text, answer.trickle) == (404, "Stream not found", {})


async def test_s07_a_refusal_is_text_that_nobody_sniffs(server: Server) -> None:
    answer = await server.channel().get(0)
    assert answer.body == b"Stream not found\n"
    assert answer.head["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.head["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_s08_what_is_no_number_is_refused(server: Server, method: str) -> None:
    channel = server.channel()
    await channel.create()
    answer = await server.ask(method, f"{channel.name}/abc")
    assert (answer.status, answer.text) == (400, "Invalid idx")


async def test_s09_a_publisher_with_no_number_creates_the_channel_all_the_same(
    server: Server,
) -> None:
    channel = server.channel()
    answer = await server.ask("POST", f"{channel.name}/abc", body=b"")
    assert (answer.status, answer.text) == (400, "Invalid idx")
    assert (await channel.get("next")).body == b"0"


async def test_s10_next_is_the_leading_edge(server: Server) -> None:
    channel = server.channel()
    assert (await channel.get("next")).status == 404
    await channel.create()
    for edge in (b"0", b"1"):
        answer = await channel.get("next")
        assert (answer.status, answer.body) == (200, edge)
        assert answer.trickle == {"Latest": edge.decode()}
        await channel.fill(0)
    posted = await server.ask("POST", f"{channel.name}/next", body=b"")
    assert (posted.status, posted.text) == (400, "Invalid idx")


async def test_s11_a_deleted_channel_is_gone(server: Server) -> None:
    channel = server.channel()
    await channel.fill(0)
    deleted = await channel.delete()
    assert (deleted.status, deleted.body) == (200, b"")
    assert (await channel.get(0)).status == 404
    assert (await channel.get("next")).status == 404
    again = await channel.delete()
    assert (again.status, again.text) == (400, "Invalid stream")


async def test_s12_a_segment_is_ended_early(server: Server) -> None:
    channel = server.channel()
    unknown = await channel.delete(0)
    assert (unknown.status, unknown.text) == (404, "Stream not found")
    await channel.fill(0)
    absent = await channel.delete(1)
    assert (absent.status, absent.text) == (400, "Nonexistent segment")
    finished = await channel.delete(0)
    assert (finished.status, finished.body) == (200, b"")
    assert (await channel.get(0)).body == b"0"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "", {"DELETE", "POST"}),
        ("PUT", "/0", {"DELETE", "GET", "HEAD", "POST"}),
    ],
)
async def test_s13_other_methods_are_told_what_is_allowed(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    channel = server.channel()
    await channel.create()
    answer = await server.ask(method, channel.name + path)
    assert answer.status == 405
    assert {each.strip() for each in (answer.head["Allow"] or "").split(",")} == allowed


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_s14_an_empty_number_is_no_segment(server: Server, method: str) -> None:
    channel = server.channel()
    answer = await server.ask(method, f"{channel.name}/", body=b"x" if method == "POST" else None)
    assert answer.status == 404
    assert (await channel.get("next")).status == 404


async def test_s49_a_name_may_hold_an_escaped_slash(server: Server) -> None:
    channel = server.channel()
    escaped = server.channel(f"{channel.name}%2Fpart")
    await escaped.fill(0)
    assert (await escaped.get(0)).body == b"0"
    assert await escaped.next() == 1
    assert (await channel.get("next")).status == 404
    assert (await escaped.delete()).status == 200


async def test_s53_a_channel_created_anew_begins_anew(server: Server) -> None:
    channel = server.channel()
    await channel.create("test/first")
    await channel.fill(0, 1)
    await channel.delete()
    await channel.create("test/second")
    assert await channel.next() == 0
    reader = await channel.waiting_reader(0)
    await channel.fill(0)
    assert (await reader.answer()).head["Content-Type"] == "test/second"


async def test_s57_a_type_that_nobody_named_is_not_made_up(server: Server) -> None:
    channel = server.channel()
    await channel.create()
    await channel.fill(0)
    assert not (await channel.get(0)).head["Content-Type"]
