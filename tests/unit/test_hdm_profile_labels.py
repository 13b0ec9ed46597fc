"""hdm_profile: what a level is called, where it is no plain number or text; and what is no date of the calendar."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import Profile, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import assert_levels, copied, fed, numeric, packets

DAY = 86_400_000_000


def labels(profile: Profile) -> list[str]:
    """The levels of the first column."""
    profile.finish()
    found = profile.frequencies(0)
    assert found is not None
    return sorted(found)


def postgres(spec: Spec, form: str, *values: Any) -> Profile:
    """A column of values of one size."""
    return fed([spec], copied([struct.pack(form, value)] for value in values))


def mysql(spec: Spec, *values: str) -> Profile:
    """A column of texts."""
    return fed([spec], packets([value.encode()] for value in values))


def test_dates_of_postgres_beyond_the_calendar() -> None:
    """Infinity and what lies before Christ are levels; the range is about the years 1 to 9999."""
    days = [2**31 - 1, -(2**31), -730_119, -730_120, -730_485, -2_451_545, 2_921_939, 2_921_940, 2_145_031_948]
    profile = postgres(Spec(hp.DATE, hp.PG_DATE), ">i", *days)
    assert labels(profile) == sorted(
        [
            *("infinity", "-infinity", "0001-01-01", "0001-12-31 BC", "0001-01-01 BC", "4714-11-24 BC"),
            *("9999-12-31", "10000-01-01", "5874897-12-31"),
        ]
    )
    (stats,) = postgres(Spec(hp.DATE, hp.PG_DATE), ">i", *days).finish()
    assert (stats.earliest, stats.latest) == (-730_119, 2_921_939)


@pytest.mark.parametrize(
    ("micros", "label"),
    [
        (2**63 - 1, "infinity"),
        (-(2**63), "-infinity"),
        (2**31 - 1, "2000-01-01 00:35:47.483647"),
        (-(2**31), "1999-12-31 23:24:12.516352"),
        (0, "2000-01-01 00:00:00"),
        (-1, "1999-12-31 23:59:59.999999"),
        (-2_451_545 * DAY, "4714-11-24 00:00:00 BC"),
        (-730_120 * DAY + 500_000, "0001-12-31 00:00:00.5 BC"),
        (2_921_940 * DAY, "10000-01-01 00:00:00"),
        (106_751_983 * DAY + 1, "294277-01-01 00:00:00.000001"),
    ],
)
def test_timestamps_of_postgres(micros: int, label: str) -> None:
    """Also those whose microseconds are infinite as days."""
    assert labels(postgres(Spec(hp.DATETIME, hp.PG_TIMESTAMP), ">q", micros)) == [label]


def test_infinity_lies_in_the_future_where_there_is_one() -> None:
    """And a day from the one on that is the first of the future."""
    for future, found in ((hp.NEVER, 0), (11, 2), (10, 3)):
        days = postgres(Spec(hp.DATE, hp.PG_DATE, future=future), ">i", 9, 10, 11, 2**31 - 1, -(2**31))
        micros = postgres(Spec(hp.DATETIME, hp.PG_TIMESTAMP, future=future), ">q", 9, 10, 11, 2**63 - 1, -(2**63))
        assert [profile.finish()[0].future for profile in (days, micros)] == [found, found]


def test_zero_dates_of_mysql_are_levels_but_no_dates() -> None:
    """The same for dates without a day, and for days that no month has."""
    texts = ["0000-00-00", "2020-00-00", "2020-02-00", "2020-02-30", "0000-01-01", "2020-02-29", "9999-12-31"]
    profile = mysql(Spec(hp.DATE, hp.MY_DATE), *texts, *texts)
    (stats,) = profile.finish()
    assert_levels(stats, texts * 2)
    assert (stats.earliest, stats.latest) == (7364, 2_921_939)
    assert profile.frequencies(0) == dict.fromkeys(texts, 2)
    clocks = [f"{text} 12:30:00" for text in texts] + ["0000-00-00 00:00:00", "2020-02-30 00:00:00.25"]
    profile = mysql(Spec(hp.DATETIME, hp.MY_DATETIME), *clocks, "2020-02-30 00:00:00.250000")
    (stats,) = profile.finish()
    assert stats.earliest == 7364 * DAY + 45_000_000_000
    assert profile.frequencies(0) == dict.fromkeys(clocks, 1) | {"2020-02-30 00:00:00.25": 2}


def test_numbers_of_mysql() -> None:
    """Signs, widths, zeros in front; a bit field of any width."""
    assert labels(mysql(Spec(hp.INTEGER, hp.MY_INTEGER), "-9223372036854775808", "0000", "2155", "0042", "42")) == [
        *("-9223372036854775808", "0", "2155", "42"),
    ]
    assert labels(mysql(Spec(hp.UNSIGNED, hp.MY_UNSIGNED), "18446744073709551615", "7".zfill(200))) == [
        *("18446744073709551615", "7"),
    ]
    assert labels(
        mysql(Spec(hp.TIME, hp.MY_TIME), "-838:59:59", "838:59:59.000001", "-00:00:01", "00:00:00.000000")
    ) == [
        *("-00:00:01", "-838:59:59", "00:00:00", "838:59:59.000001"),
    ]
    profile = fed([Spec(hp.INTEGER, hp.MY_BIT)], packets([[b"\0"], [b"\1"], [b"\0\1"], [b""]]))
    assert labels(profile) == ["0", "1"]


def test_floats_are_shown_as_short_as_can_be() -> None:
    """A float4 by digits of its own; NaN and infinity as a numeric's."""
    values = [0.1, 1e-45, 16_777_216.0, -0.0, math.inf, -math.inf, math.nan]
    single = labels(postgres(Spec(hp.FLOAT, hp.PG_FLOAT4, single=True), ">f", *values))
    double = labels(postgres(Spec(hp.FLOAT, hp.PG_FLOAT8), ">d", *values, 1 / 3))
    assert {"0.1", "1e-45", "16777216", "0"} < set(single)
    assert {"0.1", "1e-45", "16777216", "0", "0.3333333333333333"} < set(double)
    decimals = labels(
        fed([Spec(hp.DECIMAL, hp.PG_NUMERIC)], copied([numeric(Decimal(repr(one)))] for one in values[4:]))
    )
    assert set(single) & set(double) >= set(decimals)


@settings(max_examples=40)
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 15))
def test_decimals_of_15_digits_are_shown_plainly(digits: int, scale: int) -> None:
    """Held as doubles, which tell them apart; of any length they are held apart, and shown alike."""
    value = Decimal(digits).scaleb(-scale)
    text = f"{value:f}"
    text = (text.rstrip("0").rstrip(".") if "." in text else text) if digits else "0"
    for spec in (Spec(hp.FLOAT, hp.PG_NUMERIC, decimal=True), Spec(hp.DECIMAL, hp.PG_NUMERIC)):
        assert labels(fed([spec], copied([[numeric(value)]]))) == [text]


@settings(max_examples=40)
@given(st.integers(1, 10**60), st.integers(-60, 20))
def test_long_decimals_are_shown_plainly(digits: int, exponent: int) -> None:
    """Without zeros at the end."""
    value = Decimal((1, tuple(map(int, str(digits))), exponent))
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    assert labels(fed([Spec(hp.DECIMAL, hp.PG_NUMERIC)], copied([[numeric(value)]]))) == [text]


def test_column_of_many_levels_or_of_free_text_shows_none() -> None:
    """5,000 levels are the most; a text of 51 characters, or with five blanks, is free text. Padding is neither."""
    for count, found in ((5000, 5000), (5001, None), (8193, None)):
        profile = postgres(Spec(hp.INTEGER, hp.PG_INT4), ">i", *range(count))
        profile.finish()
        frequencies = profile.frequencies(0)
        assert (frequencies and len(frequencies)) == found
    for text, shown in (
        *(("ä" * 50, True), ("ä" * 51, False), ("ä    ä", True), ("ä     ä", False), (" " * 60, True)),
        *(("K35.8".ljust(20), True), ("K35.8".rjust(200), True), (("ä" * 51).ljust(60), False)),
        ("K35.8".ljust(513), False),  # too many bytes for a label
    ):
        profile = mysql(Spec(hp.TEXT, hp.MY_TEXT), "a", text, "b")
        profile.finish()
        assert (profile.frequencies(0) is not None) == shown


def test_text_that_is_no_utf8_is_shown_with_replacements() -> None:
    """As a whole it is still a level of its own."""
    profile = fed([Spec(hp.TEXT, hp.MY_TEXT)], packets([[b"\xff"], [b"\xc3\xa4"], [b"a\x80"], [b"\x80" * 600]]))
    (stats,) = profile.finish()
    assert (stats.levels, stats.empty, stats.longest) == (4, 1, 1)
    assert profile.frequencies(0) is None  # too many bytes for a label
    assert labels(fed([Spec(hp.TEXT, hp.MY_TEXT)], packets([[b"\xff"], [b"\xfe"], [b"\xff"]]))) == ["\ufffd"]
