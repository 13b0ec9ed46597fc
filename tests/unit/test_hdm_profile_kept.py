"""hdm_profile: the distinct values that are kept of a column, and which of them another column lacks."""

from __future__ import annotations

from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import Kept, Spec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import packets, profile

NUMBER, WORD, REAL = Spec(hp.INTEGER, hp.ANY_INTEGER), Spec(hp.TEXT, hp.ANY_TEXT), Spec(hp.FLOAT, hp.ANY_FLOAT)
NUMBERS = st.lists(st.none() | st.integers(-3, 300) | st.integers(-(2**63), 2**63 - 1), max_size=50)
WORDS = st.lists(st.none() | st.sampled_from(["", "a", "A", "a ", "á"]) | st.text(max_size=4), max_size=50)


def kept(spec: Spec, values: list[Any], most: int = 1 << 20, memory: int = 1 << 20) -> Kept | None:
    """What a profile keeps of a column of these values."""
    one = profile(spec, memory=memory)
    one.keep(0, most)
    one.feed_rows([(value,) for value in values])
    one.finish()
    return one.kept(0)


def missing(spec: Spec, child: list[Any], parent: list[Any]) -> int | None:
    """How many distinct values of the child the parent lacks."""
    mine, theirs = kept(spec, child), kept(spec, parent)
    assert mine is not None
    assert theirs is not None
    return mine.missing_from(theirs)


@given(NUMBERS, NUMBERS)
def test_numbers_are_looked_up(child: list[Any], parent: list[Any]) -> None:
    """From the smallest to the greatest of 64 bits."""
    assert missing(NUMBER, child, parent) == len(set(child) - set(parent) - {None})
    assert missing(NUMBER, child, [*parent, *child]) == 0
    mine, theirs = kept(NUMBER, child), kept(NUMBER, parent)
    assert mine is not None
    assert theirs is not None
    without = sorted(set(child) - set(parent) - {None})
    assert mine.numbers_missing_from(theirs, 60) == without
    assert mine.numbers_missing_from(theirs, len(without)) == without
    assert not without or mine.numbers_missing_from(theirs, len(without) - 1) is None


@given(WORDS, WORDS)
def test_texts_are_looked_up(child: list[Any], parent: list[Any]) -> None:
    """Byte by byte."""
    child, parent = ([None if v is None else v.replace("\0", "") for v in some] for some in (child, parent))
    assert missing(WORD, child, parent) == len(set(child) - set(parent) - {None})


@pytest.mark.parametrize(
    ("spec", "value", "distinct", "times"),
    [(NUMBER, lambda i: i - 10**6, 400_000, 3), (WORD, lambda i: f"n{i}", 30_000, 12)],
)
def test_values_are_kept_of_a_column_that_does_not_fit_into_memory(
    spec: Spec, value: Any, distinct: int, times: int
) -> None:
    """Its keys were sorted in a file; those that are kept need less than an eighth of the memory."""
    parent = kept(spec, [value(i) for i in range(distinct)] * times, most=1 << 20, memory=4 << 20)
    child = kept(spec, [value(i) for i in range(-15, distinct, 10)])
    assert parent is not None
    assert child is not None
    assert child.missing_from(parent) == 2  # -15 and -5
    assert parent.missing_from(child) == distinct - distinct // 10


def test_dense_numbers_take_a_byte() -> None:
    """So millions of them can be kept; the first one takes what its distance from the smallest takes."""
    found = kept(NUMBER, list(range(100_000)))
    assert found is not None
    assert len(found.keys) < 100_000 + 10


def test_what_is_not_asked_for_or_does_not_fit_is_not_kept() -> None:
    """Nor is what has no keys of its own."""
    assert kept(NUMBER, list(range(0, 10**6, 1000)), most=100) is None
    assert kept(WORD, ["a", "b"], most=31) is None
    assert kept(REAL, [1.5]) is None
    assert kept(WORD, [str(i) for i in range(1000)], memory=8 * 16_384) is not None  # doubled from 1 KB to 16 KB
    assert kept(WORD, [str(i) for i in range(1000)], memory=8 * 16_383) is None
    one = profile(NUMBER)
    one.feed_rows([(1,)])
    one.finish()
    assert one.kept(0) is None
    numbers, words = kept(NUMBER, [1]), kept(WORD, ["1"])
    assert numbers is not None
    assert words is not None
    assert words.missing_from(numbers) is None


def test_unsigned_numbers_are_those_of_a_signed_column() -> None:
    """Unless they are too great for one."""
    unsigned = profile(Spec(hp.UNSIGNED, hp.MY_UNSIGNED))
    unsigned.keep(0, 100)
    unsigned.feed_mysql(packets([[b"5"], [b"0"]]))
    unsigned.finish()
    found, signed = unsigned.kept(0), kept(NUMBER, [5, 0, -1])
    assert found is not None
    assert signed is not None
    assert found.missing_from(signed) == 0
    assert signed.missing_from(found) == 1
    great = profile(Spec(hp.UNSIGNED, hp.MY_UNSIGNED))
    great.keep(0, 100)
    great.feed_mysql(packets([[b"9223372036854775808"]]))
    great.finish()
    assert great.kept(0) is None
