"""Sequence numbers are read as go-livepeer reads them: by the rules of Go's `strconv.Atoi`."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings, strategies as st

from livepeer.trickle._wire import CURRENT, NEXT, parse_header_seq, parse_seq

EXAMPLES = int(os.environ.get("LIVEPEER_EXAMPLES", "1"))
PROFILE = settings(max_examples=300 * EXAMPLES, derandomize=EXAMPLES == 1, deadline=None)

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

ANY_TEXT = st.text()
NEARLY_A_NUMBER = st.text(alphabet="+-0129_ .eExXlL\t\n\u0663\uff11\u00b2", max_size=24)
AROUND_64_BITS = st.builds(
    lambda base, offset: str(base + offset),
    st.sampled_from([0, INT64_MIN, INT64_MAX, 10**18, 10**19, -(10**19), 2**64]),
    st.integers(-3, 3),
)
SIGNED_DIGITS = st.from_regex(r"\A[+-]?0{0,30}[0-9]{0,25}\Z")


def atoi(text: str) -> int | None:
    """Go's rule, digit by digit."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits:
        return None
    value = 0
    for digit in digits:
        if digit not in "0123456789":
            return None
        value = 10 * value + ord(digit) - ord("0")
    value = -value if text[0] == "-" else value
    return value if INT64_MIN <= value <= INT64_MAX else None


@PROFILE
@given(st.one_of(ANY_TEXT, NEARLY_A_NUMBER, AROUND_64_BITS, SIGNED_DIGITS))
@example("1_0")
@example(" 1")
@example("1\n")
@example("\u0661")
@example("+-1")
@example("")
@example("-")
@example("-0")
@example(str(INT64_MAX))
@example(str(INT64_MAX + 1))
@example("0" * 5000 + "1")
@example("1" * 5000)
def test_a_number_is_what_atoi_takes_for_one(text: str) -> None:
    expected = atoi(text)
    if expected != INT64_MIN:
        assert parse_header_seq(text) == expected
    # Numbers that would fell go-livepeer's connection are refused.
    assert parse_seq(text) == (None if expected is None or expected < CURRENT else expected)


@PROFILE
@given(st.integers(INT64_MIN + 1, INT64_MAX), st.integers(0, 40), st.sampled_from(["", "+"]))
def test_every_number_is_read_as_it_was_written(seq: int, zeros: int, plus: str) -> None:
    sign = "-" if seq < 0 else plus
    text = f"{sign}{'0' * zeros}{abs(seq)}"
    assert parse_header_seq(text) == parse_header_seq(str(seq)) == seq
    assert parse_seq(text) == (seq if seq >= CURRENT else None)


@pytest.mark.parametrize("seq", [NEXT, CURRENT])
def test_the_two_words_for_the_edge_are_numbers(seq: int) -> None:
    assert parse_seq(str(seq)) == seq


def test_a_header_that_is_absent_is_no_number() -> None:
    assert parse_header_seq(None) is None
