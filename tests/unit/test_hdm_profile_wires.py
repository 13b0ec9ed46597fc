"""hdm_profile: every type that PostgreSQL and MySQL send, as levels with their texts."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import hdm_profile as hp
import pytest
from hdm_profile import Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import assert_levels, copied, fed, packet, packets

EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # the metrics hold UTC without a zone
MICROSECOND = dt.timedelta(microseconds=1)
DAY = 86_400_000_000


class Wire(NamedTuple):
    """How values travel, and how they are shown."""

    spec: Spec
    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    show: Callable[[Any], str]


def packed(form: str) -> Callable[[Any], bytes]:
    """Big endian, as PostgreSQL sends."""
    return struct.Struct(">" + form).pack


def micros(value: dt.datetime) -> int:
    """Since 2000."""
    return (value - EPOCH) // MICROSECOND


def clock(value: int) -> str:
    """A span of microseconds."""
    seconds, part = divmod(abs(value), 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" + (f".{part:06d}" if part else "")
    return ("-" if value < 0 else "") + (text.rstrip("0") if part else text)


def moment(value: dt.datetime) -> str:
    """A date with its time."""
    return f"{value.date().isoformat()} {clock(micros(value) % DAY)}"


CHARACTERS = "aAäß€😀\0\n\x7f\x80\u07ff\u0800\uffff\U0010ffff"
TEXTS = st.text(CHARACTERS, max_size=50) | st.text(" ", max_size=4)
DATES = st.dates()
MOMENTS = st.datetimes()
POSTGRES = {
    "bool": Wire(Spec(hp.INTEGER, hp.PG_BOOL), st.booleans(), packed("?"), lambda one: str(int(one))),
    "int2": Wire(Spec(hp.INTEGER, hp.PG_INT2), st.integers(-(2**15), 2**15 - 1), packed("h"), str),
    "int4": Wire(Spec(hp.INTEGER, hp.PG_INT4), st.integers(-(2**31), 2**31 - 1), packed("i"), str),
    "int8": Wire(Spec(hp.INTEGER, hp.PG_INT8), st.integers(-(2**63), 2**63 - 1), packed("q"), str),
    "oid": Wire(Spec(hp.INTEGER, hp.PG_OID), st.integers(0, 2**32 - 1), packed("I"), str),
    "text": Wire(Spec(hp.TEXT, hp.PG_TEXT), TEXTS, str.encode, str),
    "uuid": Wire(Spec(hp.TEXT, hp.PG_UUID), st.uuids(), lambda one: one.bytes, str),
    "date": Wire(
        Spec(hp.DATE, hp.PG_DATE), DATES, lambda one: packed("i")((one - EPOCH.date()).days), dt.date.isoformat
    ),
    "timestamp": Wire(Spec(hp.DATETIME, hp.PG_TIMESTAMP), MOMENTS, lambda one: packed("q")(micros(one)), moment),
    "time": Wire(Spec(hp.TIME, hp.PG_TIME), st.integers(0, DAY), packed("q"), clock),
}
MYSQL = {
    "integer": Wire(
        Spec(hp.INTEGER, hp.MY_INTEGER), st.integers(-(2**63), 2**63 - 1), lambda one: str(one).encode(), str
    ),
    "unsigned": Wire(Spec(hp.UNSIGNED, hp.MY_UNSIGNED), st.integers(0, 2**64 - 1), lambda one: str(one).encode(), str),
    "bit": Wire(Spec(hp.UNSIGNED, hp.MY_BIT), st.integers(0, 2**64 - 1), packed("Q"), str),
    "year": Wire(Spec(hp.INTEGER, hp.MY_INTEGER), st.integers(0, 2155), lambda one: f"{one:04d}".encode(), str),
    "text": Wire(Spec(hp.TEXT, hp.MY_TEXT), TEXTS, str.encode, str),
    "date": Wire(Spec(hp.DATE, hp.MY_DATE), DATES, lambda one: one.isoformat().encode(), dt.date.isoformat),
    "datetime": Wire(Spec(hp.DATETIME, hp.MY_DATETIME), MOMENTS, lambda one: one.isoformat(" ").encode(), moment),
    "time": Wire(
        Spec(hp.TIME, hp.MY_TIME),
        st.integers(-839 * 3600 * 10**6, 839 * 3600 * 10**6),
        lambda one: clock(one).encode(),
        clock,
    ),
}
WIRES = {
    **{f"postgres {name}": (copied, wire) for name, wire in POSTGRES.items()},
    **{f"mysql {name}": (packets, wire) for name, wire in MYSQL.items()},
}


@pytest.mark.parametrize("name", WIRES)
@settings(max_examples=12)
@given(st.data())
def test_levels_are_counted_and_shown(name: str, data: st.DataObject) -> None:
    """With nulls between them, and a second column whose values are not looked at; chunks are cut anywhere."""
    stream, wire = WIRES[name]
    some = data.draw(st.lists(wire.values, min_size=1, max_size=6))
    values = data.draw(st.lists(st.none() | st.sampled_from(some), max_size=12))
    rows = [[None if one is None else wire.encode(one), None if one is None else b"\xfb\xff"] for one in values]
    cuts = data.draw(st.lists(st.integers(0), max_size=10))
    opaque = Spec(hp.OPAQUE, hp.PG_OPAQUE)
    profile = fed([wire.spec, opaque], stream(rows), cuts)
    first, second = profile.finish()
    assert profile.rows == len(values)
    assert_levels(first, values)
    assert (second.values, second.levels) == (sum(bool(row[1]) for row in rows), 0)
    assert profile.frequencies(0) == Counter(wire.show(one) for one in values if one is not None)
    assert profile.frequencies(1) is None
    if wire.spec.kind in {hp.DATE, hp.DATETIME}:
        _assert_span(first, [one for one in values if one is not None])


def _assert_span(stats: hp.Stats, values: list[Any]) -> None:
    start = EPOCH if values and isinstance(values[0], dt.datetime) else EPOCH.date()
    unit = MICROSECOND if start == EPOCH else dt.timedelta(1)
    expected = [(one - start) // unit for one in (min(values), max(values))] if values else [None, None]
    assert [stats.earliest, stats.latest] == expected


@settings(max_examples=40)
@given(
    st.lists(st.text(CHARACTERS + "  ", max_size=40) | st.text(" ab", max_size=80), max_size=8),
    st.sampled_from(["postgres", "mysql"]),
)
def test_texts_are_measured_in_characters(values: list[str], server: str) -> None:
    """Whatever bytes they take; blanks are U+0020 alone, and at the ends padding. Free text has no levels."""
    rows = [[one.encode()] for one in values]
    if server == "postgres":
        profile = fed([Spec(hp.TEXT, hp.PG_TEXT)], copied(rows))
    else:
        profile = fed([Spec(hp.TEXT, hp.MY_TEXT)], packets(rows))
    (stats,) = profile.finish()
    lengths = [len(one) for one in values]
    assert_levels(stats, values)
    assert stats.shortest == min(lengths, default=None)
    assert stats.longest == max(lengths, default=None)
    assert stats.mean_length == (sum(lengths) / len(lengths) if lengths else None)
    assert stats.empty == lengths.count(0)
    trimmed = [one.strip(" ") for one in values]
    assert stats.trimmed == max(map(len, trimmed), default=0)
    assert stats.blanks == max((one.count(" ") for one in trimmed), default=0)
    free = any(len(one) > 50 or one.count(" ") > 4 for one in trimmed)
    assert profile.frequencies(0) == (None if free else Counter(values))


def test_padding_of_char_is_no_text() -> None:
    """PostgreSQL's char(5): what SQL does not compare is no part of its length."""
    profile = fed([Spec(hp.TEXT, hp.PG_BPCHAR)], copied([[b"ab   "], [b"ab"], [b"     "], [b" a "]]))
    (stats,) = profile.finish()
    assert (stats.shortest, stats.longest, stats.blanks, stats.empty) == (0, 2, 0, 1)
    assert profile.frequencies(0) == {"ab": 2, "": 1, " a": 1}


def test_times_with_a_zone_are_levels_by_time_and_zone() -> None:
    """Zones come as seconds west of Greenwich."""
    values = [(36_000_000_000, -7200), (36_000_000_000, 0), (DAY, 19_800), (36_000_000_000, -7200), (1, 1)]
    profile = fed([Spec(hp.TEXT, hp.PG_TIMETZ)], copied([struct.pack(">qi", *value)] for value in values))
    assert_levels(profile.finish()[0], values)
    assert profile.frequencies(0) == {
        "10:00:00+02": 2,
        "10:00:00+00": 1,
        "24:00:00-05:30": 1,
        "00:00:00.000001-00:00:01": 1,
    }


def test_row_of_more_than_one_packet() -> None:
    """MySQL cuts it after 16 MB less a byte, also where nothing is left for the next packet."""
    texts = [b"x" * 17_000_000, b"y" * (0xFFFFFF - 4), b"z" * (0xFFFFFF + 5), b"end"]
    stream = packets([[text] for text in texts])
    assert len(packet(b"\xfd" + texts[1] + b"...")) == 0xFFFFFF + 8
    profile = fed([Spec(hp.TEXT, hp.MY_TEXT)], stream, range(0, len(stream), 7_000_001))
    (stats,) = profile.finish()
    assert (stats.values, stats.levels, stats.longest, stats.shortest) == (4, 4, len(texts[0]), 3)


def test_uuid_is_one_level_however_it_came() -> None:
    """Its text is the one that PostgreSQL shows."""
    one = uuid.UUID("00ff1234-5678-9abc-def0-0123456789ab")
    profile = fed([Spec(hp.TEXT, hp.PG_UUID)], copied([[one.bytes]] * 3))
    (stats,) = profile.finish()
    assert (stats.longest, stats.shortest, stats.blanks) == (36, 36, 0)
    assert profile.frequencies(0) == {str(one): 3}
