"""hdm_profile: numbers, against Python's fractions."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hdm_profile import (
    DECIMAL,
    FLOAT,
    INTEGER,
    MY_DECIMAL,
    MY_FLOAT,
    PG_FLOAT4,
    PG_FLOAT8,
    PG_INT8,
    PG_NUMERIC,
    Spec,
    Stats,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import assert_levels, assert_numbers, copied, fed, numeric, packets

CUTS = st.lists(st.integers(0), max_size=8)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.decimals(
    min_value=Decimal("-1e40"), max_value=Decimal("1e40"), allow_nan=False, allow_infinity=False
)


def integers(values: list[int], memory: int = 1 << 29) -> Stats:
    """The statistics of a bigint column."""
    rows = [[struct.pack(">q", value)] for value in values]
    return fed([Spec(INTEGER, PG_INT8)], copied(rows), memory=memory).finish()[0]


def floats(values: list[float]) -> Stats:
    """The statistics of a column of doubles."""
    return fed([Spec(FLOAT, PG_FLOAT8)], copied([struct.pack(">d", value)] for value in values)).finish()[0]


@settings(max_examples=40)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=25))
def test_integers(values: list[int]) -> None:
    """Levels are told apart beyond 2^53, where doubles are not."""
    stats = integers(values)
    assert_levels(stats, values)
    assert_numbers(stats, [float(value) for value in values])


@settings(max_examples=40)
@given(st.lists(st.floats() | st.sampled_from([0.0, -0.0, 0.5, math.nan, math.inf, -math.inf]), max_size=25), CUTS)
@example([1e-200, 3e-200], [])
@example([-1.7e308, 1.7e308], [])
@example([5e-324, 1e-323], [])
def test_floats(values: list[float], cuts: list[int]) -> None:
    """NaN is one level, as in PostgreSQL; -0.0 is 0.0; neither NaN nor the infinite enters a mean."""
    stream = copied([struct.pack(">d", value)] for value in values)
    stats = fed([Spec(FLOAT, PG_FLOAT8)], stream, cuts).finish()[0]
    assert_levels(stats, ["nan" if math.isnan(value) else value for value in values])
    assert_numbers(stats, [value for value in values if math.isfinite(value)])


@settings(max_examples=40)
@given(st.lists(st.floats(width=32), max_size=15))
def test_single_floats(values: list[float]) -> None:
    """A float4 is the double that it equals."""
    stats = fed([Spec(FLOAT, PG_FLOAT4)], copied([struct.pack(">f", value)] for value in values)).finish()[0]
    assert_levels(stats, ["nan" if math.isnan(value) else value for value in values])
    assert_numbers(stats, [value for value in values if math.isfinite(value)])


@pytest.mark.parametrize("middle", [10**6, 10**12, 10**15, 1_700_000_000_000_000, 4 * 10**15])
def test_deviation_of_large_numbers_that_lie_close(middle: int) -> None:
    """Identifiers, or microseconds since 1970: the mean must not be rounded before squares are taken about it."""
    for values in ([middle] * 3 + [middle + 1] * 7, [middle + i for i in range(900) for _ in range(1 + i % 3)]):
        stats = integers(values)
        shifted = integers([value - middle for value in values])
        assert stats.deviation == pytest.approx(shifted.deviation, rel=1e-6)
        assert stats.mean == pytest.approx(sum(values) / len(values), rel=1e-15)


@pytest.mark.parametrize("count", [1, 2, 3, 100, 101, 102, 5000, 5001, 20_000])
def test_percentiles_lie_between_neighbours(count: int) -> None:
    """Whatever the levels are kept in; 101 values hit the percentiles exactly."""
    values = [value * value % 65_537 for value in range(count)]
    assert_numbers(integers(values), values)


@settings(max_examples=50)
@given(st.lists(DECIMALS, max_size=15), CUTS)
def test_decimals_of_postgres(values: list[Decimal], cuts: list[int]) -> None:
    """Equal whatever their scale; decimals that share their nearest double are levels apart."""
    stats = fed([Spec(DECIMAL, PG_NUMERIC)], copied([numeric(value)] for value in values), cuts).finish()[0]
    assert_levels(stats, values)
    assert_numbers(stats, [float(value) for value in values])


@settings(max_examples=50)
@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=5).filter(lambda one: len(f"{one:f}") < 67),
        max_size=15,
    )
)
def test_decimals_of_mysql(values: list[Decimal]) -> None:
    """As texts of at most 65 digits."""
    rows = [[f"{value:f}".encode()] for value in values]
    for kind in (DECIMAL, FLOAT):
        stats = fed([Spec(kind, MY_DECIMAL)], packets(rows)).finish()[0]
        assert_levels(stats, values if kind == DECIMAL else map(float, values))
        assert_numbers(stats, [float(value) for value in values])


@settings(max_examples=40)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=15))
def test_doubles_of_mysql(values: list[float]) -> None:
    """As texts, with or without an exponent."""
    rows = [[repr(value).encode()] for value in values]
    stats = fed([Spec(FLOAT, MY_FLOAT)], packets(rows)).finish()[0]
    assert_levels(stats, values)
    assert_numbers(stats, values)


def test_decimals_are_equal_whatever_their_scale() -> None:
    """1 = 1.0 = 1.00, 100 = 1e2, and zero has no sign."""
    same = [["1", "1.0", "1.00000000", "01"], ["100", "1e2", "100.000"], ["0", "0.00", "-0.0"], ["-12000000", "-1.2e7"]]
    values = [Decimal(text) for texts in same for text in texts]
    one = fed([Spec(DECIMAL, PG_NUMERIC)], copied([numeric(value)] for value in values))
    assert_levels(one.finish()[0], values)
    assert one.frequencies(0) == {"1": 4, "100": 3, "0": 3, "-12000000": 2}
    one = fed([Spec(DECIMAL, MY_DECIMAL)], packets([f"{value:f}".encode()] for value in values))
    assert_levels(one.finish()[0], values)
    assert one.frequencies(0) == {"1": 4, "100": 3, "0": 3, "-12000000": 2}


def test_decimals_beyond_a_double() -> None:
    """They are levels, but not finite; those that differ in their last digit only share minimum and maximum."""
    values = [Decimal("1e400"), Decimal("-1e400"), Decimal("1e4000"), Decimal("NaN"), Decimal("Infinity")]
    twins = [Decimal("12345678901234567890.1"), Decimal("12345678901234567890.2"), Decimal("12345678901234567890.2")]
    every = [*values, *twins]
    stats = fed([Spec(DECIMAL, PG_NUMERIC)], copied([numeric(value)] for value in every)).finish()[0]
    assert_levels(stats, map(str, every))
    assert_numbers(stats, [float(value) for value in twins])


@settings(max_examples=40)
@given(st.integers(1, 10**900), st.integers(-1200, 300), st.booleans())
@example(9007199254740993, 0, False)  # between two doubles
@example(9007199254740993 * 10**850 + 1, -850, True)
@example((2**53 + 1) * 10**820 + 1, -820, False)  # the digit that breaks the tie comes after 800 others
def test_long_numeric_has_its_nearest_double(digits: int, exponent: int, negative: bool) -> None:
    """However many digits it has."""
    value = Decimal((int(negative), tuple(map(int, str(digits))), exponent))
    nearest = float(value)
    stats = fed([Spec(FLOAT, PG_NUMERIC)], copied([[numeric(value)]])).finish()[0]
    assert stats.finite == math.isfinite(nearest)
    if stats.finite:
        assert stats.minimum == nearest
