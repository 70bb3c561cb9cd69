"""Framing of event streams."""

from __future__ import annotations

import json

import pytest

from livepeer.runner._server import sse


def joined(frame: bytes) -> bytes:
    lines = frame.removesuffix(b"\n\n").split(b"\n")
    assert all(line.startswith(b"data: ") for line in lines)
    return b"\n".join(line.removeprefix(b"data: ") for line in lines)


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_an_item_is_one_line():
    assert sse.event(b'{"i":0}') == b'data: {"i":0}\n\n'


@pytest.mark.parametrize(
    "value", ["[DONE]", "a\\[DONE]b", {"[DONE]": ["[DONE]", "[[DONE]]"]}, "data: [DONE]\n\n"]
)
def test_the_end_marker_stands_in_no_item(value: object):
    frame = sse.event(dumps(value))
    assert b"[DONE]" not in frame
    assert json.loads(joined(frame)) == value


@pytest.mark.parametrize(
    "value",
    [
        list(range(40_000)),
        {f"key {i}": ['é"\\,:{}[]', i, None, True, -1.5e-7] for i in range(4_000)},
        ["x" * 65_000, "y" * 65_000, "[DONE]" * 5_000],
    ],
)
def test_long_json_is_split_between_tokens(value: object):
    frame = sse.event(dumps(value))
    lines = frame.split(b"\n")
    assert len(lines) > 3
    assert max(map(len, lines)) <= sse.MAX_LINE_BYTES
    assert json.loads(joined(frame)) == value


def test_the_longest_line_is_the_relays():
    most = sse.MAX_LINE_BYTES - len('data: ""')
    assert sse.event(dumps("x" * most)).index(b"\n") == sse.MAX_LINE_BYTES == 65_535
    with pytest.raises(sse.UnsplittableItem, match="65529"):
        sse.event(dumps("x" * (most + 1)))


def test_an_error_is_an_event_of_its_own_kind():
    frame = sse.error_event({"detail": "broke at [DONE]\n", "type": "ValueError"})
    assert frame.startswith(b"event: error\ndata: ")
    assert b"[DONE]" not in frame
    assert json.loads(frame.splitlines()[1].removeprefix(b"data: ")) == {
        "detail": "broke at [DONE]\n",
        "type": "ValueError",
    }


def test_an_error_that_no_line_can_hold_is_cut():
    frame = sse.error_event({"detail": "x" * 100_000, "type": "ValueError"})
    assert max(map(len, frame.split(b"\n"))) <= sse.MAX_LINE_BYTES
    told = json.loads(frame.splitlines()[1].removeprefix(b"data: "))
    assert set(told["detail"]) == {"x"}
    assert told["type"] == "ValueError"
