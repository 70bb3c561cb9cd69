"""The event grammar, and what a job's events mean, on captured bytes."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from livepeer.client import InvalidAnswer, PaymentRequiredError, RunnerError, StreamCut
from livepeer.client._answers.items import MAX_BLANK_LINES, DataReader, ItemReader, item_value
from livepeer.client._wire.sse import SSEEvent, SSEParser


def events(*chunks: bytes) -> list[SSEEvent]:
    parser = SSEParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def data(*chunks: bytes) -> list[str]:
    return [event.data for event in events(*chunks)]


def test_fields_comments_and_line_ends() -> None:
    text = (
        b"\xef\xbb\xbf: comment\r\ndata: a\r\ndata:b\rdata\ndata:  c\n\n"
        b"event: kind\nid: 7\nretry: 10\nunknown: x\ndata: {}\n\n"
        b"event: lost\n\n"
        b"id: a\0b\ndata: last\n\n"
    )
    assert events(text) == [
        SSEEvent(data="a\nb\n\n c"),
        SSEEvent(data="{}", event="kind", id="7"),
        SSEEvent(data="last", id="7"),
    ]


def test_an_event_without_its_blank_line_is_not_one() -> None:
    assert data(b"data: a\n\ndata: b\n") == ["a"]


def test_a_line_end_may_be_cut_in_two() -> None:
    assert data(b"data: a\r", b"\n\r", b"\ndata: b\r", b"\r") == ["a", "b"]


def test_a_line_ends_at_its_carriage_return_at_once() -> None:
    parser = SSEParser()
    assert [event.data for event in parser.feed(b"data: a\r\r")] == ["a"]


TEXT = "data: ä漢😀\r\n\r\nevent: x\ndata: 1\ndata: 2\n\n: c\n\ndata: end\n\n".encode()


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    chunks = [TEXT[a:b] for a, b in pairwise(edges)]
    assert events(*chunks) == events(TEXT)
    assert len(events(TEXT)) == 3


@pytest.mark.parametrize("text", [b"data: " + b"x" * 200, b"data: xxxx\n" * 40])
def test_an_event_has_a_limit(text: bytes) -> None:
    parser = SSEParser(max_event_bytes=100)
    with pytest.raises(InvalidAnswer, match="100 bytes"):
        list(parser.feed(text))


def test_many_events_are_no_large_one() -> None:
    parser = SSEParser(max_event_bytes=100)
    assert len(list(parser.feed(b"data: xxxx\n\n" * 40))) == 40


def read(text: bytes, *, through_gateway: bool = False, cut: int = 1) -> list[object]:
    """The items of a whole stream, read in small pieces, and nothing after its end."""
    reader = ItemReader(url="http://node", through_gateway=through_gateway)
    items: list[object] = []
    for start in range(0, len(text), cut):
        items += map(item_value, reader.feed(text[start : start + cut]))
        if reader.done:
            return items
    reader.end()
    return items


ITEMS = [{"i": 0}, {"i": 1}, {"i": 2}]


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_what_the_orchestrator_sends(vectors: dict[str, Any], cut: int) -> None:
    sent = vectors["sse_transcripts"]["orchestrator_sends_prefix"].encode()
    assert read(sent + b"\n" * 5000, cut=cut) == ITEMS


@pytest.mark.parametrize("cut", [1, 7, 10_000])
@pytest.mark.parametrize(
    "transcript", ["gateway_sends_one_orchestrator", "gateway_sends_two_orchestrators"]
)
def test_what_the_gateway_sends(vectors: dict[str, Any], transcript: str, cut: int) -> None:
    sent = vectors["sse_transcripts"][transcript].encode()
    assert read(sent, through_gateway=True, cut=cut) == ITEMS


def test_what_the_runner_sends_needs_no_relay(vectors: dict[str, Any]) -> None:
    assert read(vectors["sse_transcripts"]["runner_sends"].encode()) == ITEMS


def test_used_up_credit(vectors: dict[str, Any]) -> None:
    with pytest.raises(PaymentRequiredError):
        read(vectors["sse_transcripts"]["insufficient_balance_tail"].encode())


def test_a_balance_of_the_runners_own_is_an_item() -> None:
    own = b'data: {"balance": 1.000}\n\n'
    relayed = own + b'data: {"i":1}\n\n' + own + b'data: {"balance": 0.000}\n\n\ndata: [DONE]\n\n'
    assert read(relayed) == [{"balance": 1.0}, {"i": 1}, {"balance": 1.0}]


def test_the_runners_error_ends_the_stream_after_its_items() -> None:
    reader = ItemReader(url="http://node")
    stream = reader.feed(b'data: 1\n\nevent: error\ndata: {"detail": "broke"}\n\ndata: [DONE]\n\n')
    assert next(stream) == "1"
    with pytest.raises(RunnerError, match="broke") as caught:
        next(stream)
    assert caught.value.detail == "broke"
    assert caught.value.url == "http://node"


@pytest.mark.parametrize("text", [b"", b"data: 1\n\n", b"data: [DONE", b"data: 1\n\ndata: 2"])
def test_a_stream_that_just_ends_was_cut(text: bytes) -> None:
    with pytest.raises(StreamCut, match="without"):
        read(text)


def test_the_flood_after_an_unannounced_end_is_recognised() -> None:
    reader = ItemReader(url="http://node")
    assert list(reader.feed(b"data: 1\n\n")) == ["1"]
    with pytest.raises(StreamCut):
        list(reader.feed(b"\n" * (MAX_BLANK_LINES + 1)))


def test_the_marker_inside_an_item_ends_a_stream_at_a_gateway_only() -> None:
    text = b'data: {"t":"say [DONE] now"}\n'
    relayed = b'data: {"balance": 0.000}\n\n\n' + text + b'\ndata: {"i":9}\n\n'
    ended = b'data: {"balance": 0.000}\n\n\ndata: [DONE]\n\n'
    assert read(relayed + ended) == [{"t": "say [DONE] now"}, {"i": 9}]
    reader = ItemReader(url="http://node", through_gateway=True)
    stream = reader.feed(relayed)
    assert next(stream) == '{"t":"say [DONE] now"}'
    with pytest.raises(StreamCut, match="gateway"):
        next(stream)


def test_an_item_over_several_lines_is_one() -> None:
    assert read(b'data: {"a":\ndata: [1,\ndata: 2]}\n\ndata: [DONE]\n\n') == [{"a": [1, 2]}]


def test_an_item_that_is_no_json_is_text() -> None:
    assert read(b"data: hello\n\ndata: [DONE]\n\n") == ["hello"]


def test_the_end_of_a_gateways_data(vectors: dict[str, Any]) -> None:
    end = vectors["sse_transcripts"]["gateway_data_sse_end_literal"].encode()
    reader = DataReader(url="http://node")
    assert list(reader.feed(b'data: {"n":1}\n\n' + end)) == [{"n": 1}]
    with pytest.raises(InvalidAnswer):
        list(reader.feed(b"\n\ndata: 5\n\n"))


def test_items_that_a_gateway_repeats_without_end_are_given_and_not_kept() -> None:
    reader = DataReader(url="http://node")
    flood = b'data: {"n":1}\n\n' * 100
    tracemalloc.start()
    try:
        for _ in range(50):
            assert list(reader.feed(flood)) == [{"n": 1}] * 100
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * len(flood)
