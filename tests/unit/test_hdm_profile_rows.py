"""hdm_profile: rows of Python's objects, any of which may be of any class, as SQLite holds them."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import Profile, ProfileError, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import assert_levels, assert_numbers, profile

ANYTHING = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-2, 2)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "1", "1.5", "aä", "2020-01-01", "2020-01-01 10:00:00", "10:00:00", "2020-13-30", "25:00", "x y"]
    )
    | st.sampled_from([b"", b"1"])
)
DAY = 86_400_000_000


def taken(kind: int, wire: int, values: list[Any], pieces: int = 3) -> Profile:
    """A profile of a column that is taken for this kind, in several lists; the second holds anything."""
    one = profile(Spec(kind, wire), Spec(hp.OPAQUE, hp.ANY_OPAQUE))
    size = max(1, len(values) // pieces)
    for start in range(0, len(values), size):
        one.feed_rows([(value, value) for value in values[start : start + size]])
    assert one.rows == len(values)
    return one


def classes(values: list[Any]) -> tuple[int, int, int, int]:
    """Integers, reals, texts, blobs."""
    counts = Counter(map(type, values))
    return counts[int], counts[float], counts[str], counts[bytes]


@settings(max_examples=40)
@given(st.lists(ANYTHING, max_size=20))
def test_integers_and_reals_among_anything(values: list[Any]) -> None:
    """What a column was not taken for is a misfit, and counts nowhere else."""
    for kind, wire, fitting in ((hp.INTEGER, hp.ANY_INTEGER, int), (hp.FLOAT, hp.ANY_FLOAT, (int, float))):
        stats, any_stats = taken(kind, wire, values).finish()
        numbers = [value for value in values if isinstance(value, fitting)]
        doubles = [float(value) for value in numbers]
        assert_levels(stats, numbers if kind == hp.INTEGER else doubles)
        assert_numbers(stats, [value for value in doubles if abs(value) < float("inf")])
        present = [value for value in values if value is not None]
        assert (stats.misfits, stats.classes) == (len(present) - len(numbers), classes(values))
        assert (any_stats.values, any_stats.misfits, any_stats.classes) == (len(present), 0, classes(values))


@settings(max_examples=40)
@given(st.lists(ANYTHING, max_size=20))
def test_texts_among_numbers(values: list[Any]) -> None:
    """1 and '1' are two levels, as for SQL, that are called the same."""
    values = [value for value in values if not isinstance(value, float) or value in {-1.5, 0.5, 1e300}]
    one = taken(hp.TEXT, hp.ANY_TEXT, values)
    stats = one.finish()[0]
    fitting = [value for value in values if isinstance(value, (int, float, str))]
    assert_levels(stats, [(type(value), value) for value in fitting])
    assert stats.misfits == classes(values)[3]
    assert one.frequencies(0) == Counter(map(str, fitting))


def test_reals_among_texts_are_shown_as_sqlite_does() -> None:
    """And a whole real is the integer that it equals."""
    values = ["text", 0.1, 1 / 3, 1.0, 1, 2.5, -0.5]
    one = taken(hp.TEXT, hp.ANY_TEXT, values)
    assert one.finish()[0].levels == 6
    found = one.frequencies(0)
    assert found is not None
    assert {"0.1", "2.5", "-0.5", "text"} < set(found)
    assert "0.10000000000000001" not in found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2020-02-29", "2020-02-29T00:00:00+00:00"),
        ("2020-02-29 10:30", "2020-02-29T10:30:00+00:00"),
        ("2020-02-29T10:30:15.250", "2020-02-29T10:30:15.250000+00:00"),
        ("2020-02-29 10:30:15Z", "2020-02-29T10:30:15+00:00"),
        ("2020-02-29 23:30:15 -02:15", "2020-03-01T01:45:15+00:00"),
        ("0001-01-01 00:00:00", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31 23:59:60.5+00:30", "2016-12-31T23:30:00.500000+00:00"),
        ("2020-02-29 24:00", "2020-03-01T00:00:00+00:00"),
        ("2020-02-29 24:00:00.000+01", "2020-02-29T23:00:00+00:00"),
        ("2020-02-29T10:30:15.123456789Z", "2020-02-29T10:30:15.123457+00:00"),
        ("2020-02-29 23:59:59.9999995", "2020-03-01T00:00:00+00:00"),
        ("2020-02-29 10:30:15.1234564999999", "2020-02-29T10:30:15.123456+00:00"),
        ("2020-02-29 10:30+0530", "2020-02-29T05:00:00+00:00"),
        ("2020-02-29 10:30-05", "2020-02-29T15:30:00+00:00"),
        ("2020-02-29t10:30+05:30:15", "2020-02-29T04:59:45+00:00"),
        ("2020-02-29 10:30 UTC", "2020-02-29T10:30:00+00:00"),
        ("2020-02-29 10:30gmt", "2020-02-29T10:30:00+00:00"),
        ("  2020-02-29 10:30   ", "2020-02-29T10:30:00+00:00"),
        *[(text, None) for text in ("2020-13-01", "2020-12-32", "2020-1-1", "", " ", "2020-00-00 24:00", "now")],
        *[
            (text, None)
            for text in ("2020-01-01 24:00:01", "2020-01-01 24:00:60", "2020-01-01 23:59:61", "12020-01-01")
        ],
        *[(text, None) for text in ("2020-01-01 25:00", "2020-01-01 10:60", "2020-01-01 10:00:61", "2020-01-01 10")],
        *[
            (text, None)
            for text in ("2020-01-01 10:00:00.", "2020-01-01 10:00+2", "2020-01-01x", "2020-01-01 10:00 UT")
        ],
        *[
            (f"2020-01-01 10:00{zone}", None)
            for zone in ("+16", "+0560", "+05:", "+053", "+05:30:", "Z1", "+", "+05 30")
        ],
    ],
)
def test_moments_in_texts(text: str, value: str | None) -> None:
    """In UTC; what is none is a misfit. Second 60, 24:00 and nanoseconds are read as PostgreSQL does."""
    stats, _ = taken(hp.DATETIME, hp.ANY_DATETIME, [text]).finish()
    expected = None
    if value:
        start = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)
        expected = (dt.datetime.fromisoformat(value) - start) // dt.timedelta(microseconds=1)
    assert (stats.earliest, stats.misfits) == (expected, int(expected is None))


@pytest.mark.parametrize("text", ["0000-00-00", "2020-02-30", "1900-02-29", "0000-01-01", "2020-00-10", "9999-12-00"])
def test_dates_that_no_calendar_has_are_levels_but_no_dates(text: str) -> None:
    """As from MySQL: one of them does not turn a column of dates into texts."""
    for kind, wire, one in ((hp.DATE, hp.ANY_DATE, text), (hp.DATETIME, hp.ANY_DATETIME, f"{text} 10:00:00")):
        found = taken(kind, wire, [one, one])
        stats, _ = found.finish()
        assert (stats.values, stats.levels, stats.misfits) == (2, 1, 0)
        assert (stats.earliest, stats.latest, stats.future) == (None, None, 0)
        assert found.frequencies(0) == {one: 2}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *[("24:00", "24:00:00"), ("23:59:60", "24:00:00"), ("23:59:59.9999999", "24:00:00"), (" 10:00 ", "10:00:00")],
        *[("10:00:60", "10:01:00"), ("24:00:01", None), ("-01:00", None), ("10:00:00+02", None), ("25:00", None)],
    ],
)
def test_times_in_texts(text: str, label: str | None) -> None:
    """Midnight at the end of a day is a time, as for PostgreSQL."""
    one = taken(hp.TIME, hp.ANY_TIME, [text])
    stats, _ = one.finish()
    assert stats.misfits == int(label is None)
    assert one.frequencies(0) == ({label: 1} if label else {})


@settings(max_examples=40)
@given(st.lists(ANYTHING | st.dates().map(dt.date.isoformat) | st.times().map(dt.time.isoformat), max_size=12))
def test_dates_and_times_in_texts(values: list[Any]) -> None:
    """Anything else is a misfit."""
    for kind, wire, read in ((hp.DATE, hp.ANY_DATE, dt.date), (hp.TIME, hp.ANY_TIME, dt.time)):
        fitting = [value for value in values if isinstance(value, str) and _fits(value, read)]
        one = taken(kind, wire, values)
        stats = one.finish()[0]
        assert_levels(stats, fitting)
        assert stats.misfits == len([value for value in values if value is not None]) - len(fitting)
        found = one.frequencies(0)
        assert found is not None
        assert {read.fromisoformat(_padded(text)) for text in found} == {read.fromisoformat(one) for one in fitting}


def _fits(text: str, read: type[dt.date | dt.time]) -> bool:
    try:
        read.fromisoformat(text)
    except ValueError:
        return False
    return bool(text)


def _padded(text: str) -> str:
    return text + "0" * (15 - len(text)) if "." in text else text  # Python 3.10 knows 3 and 6 digits


@pytest.mark.parametrize("rows", [[()], [[1]], [(2**63,)], [("\ud800",)], [(1,), ()], "text"])
def test_what_are_no_rows_is_told(rows: Any) -> None:
    """By Python's own error or by ours; it is not left behind for whoever calls Python next."""
    one = profile(Spec(hp.INTEGER, hp.ANY_INTEGER))
    with pytest.raises((ProfileError, IndexError, OverflowError, SystemError, UnicodeEncodeError)):
        one.feed_rows(rows)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
