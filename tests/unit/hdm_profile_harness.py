"""Streams of rows as PostgreSQL and MySQL send them, and what Python computes from the same values."""

from __future__ import annotations

import math
import re
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hdm_profile import Profile, Spec, Stats

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">II", 0, 0)
PLENTY = 1 << 29  # bytes
LARGEST = 0xFFFFFF  # of a MySQL packet

Row = Sequence["bytes | None"]


def copied(rows: Iterable[Row]) -> bytes:
    """What COPY ... TO STDOUT (FORMAT binary) sends."""
    parts = [SIGNATURE]
    for row in rows:
        parts.append(struct.pack(">H", len(row)))
        parts += [b"\xff" * 4 if value is None else struct.pack(">I", len(value)) + value for value in row]
    return b"".join(parts) + b"\xff\xff"


def numeric(value: Decimal) -> bytes:
    """PostgreSQL's numeric: groups of four digits; zeros at the end stay, as a scale may ask for."""
    if not value.is_finite():
        sign = 0xC000 if value.is_nan() else 0xF000 if value < 0 else 0xD000
        return struct.pack(">hhHh", 0, 0, sign, 0)
    negative, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits))) * 10 ** (exponent % 4)
    text = str(whole) if whole else ""
    text = text.zfill(-(-len(text) // 4) * 4)
    groups = [int(text[i : i + 4]) for i in range(0, len(text), 4)]
    weight = len(groups) - 1 + exponent // 4 if groups else 0
    head = struct.pack(">HhHH", len(groups), weight, 0x4000 if negative else 0, max(0, -exponent))
    return head + struct.pack(f">{len(groups)}H", *groups)


def packet(body: bytes) -> bytes:
    """MySQL's packet, or several where it is long."""
    parts: list[bytes | memoryview] = []
    for number, start in enumerate(range(0, len(body) + 1, LARGEST)):
        part = memoryview(body)[start : start + LARGEST]
        parts += [struct.pack("<I", len(part))[:3], bytes([number & 255]), part]
    return b"".join(parts)


EOF = packet(b"\xfe\0\0\2\0")


def packets(rows: Iterable[Row], end: bytes = EOF) -> bytes:
    """The rows of a result in MySQL's text protocol."""
    return b"".join(packet(b"".join(map(_field, row))) for row in rows) + end


def _field(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    length = len(value)
    if length < 0xFB:
        return bytes([length]) + value
    if length < 1 << 16:
        return b"\xfc" + struct.pack("<H", length) + value
    if length < 1 << 24:
        return b"\xfd" + struct.pack("<I", length)[:3] + value
    return b"\xfe" + struct.pack("<Q", length) + value


def profile(*specs: Spec, memory: int = PLENTY, folder: str | None = None) -> Profile:
    """A profile of columns to come."""
    return Profile(specs, memory=memory, folder=folder or tempfile.gettempdir())


def fed(specs: Sequence[Spec], stream: bytes, cuts: Iterable[int] = (), memory: int = PLENTY) -> Profile:
    """A profile that has got a stream in parts; of MySQL unless it begins as COPY does."""
    one = profile(*specs, memory=memory)
    feed = one.feed_copy if stream.startswith(SIGNATURE) else one.feed_mysql
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        feed(stream[start:end])
    assert one.has_ended
    assert one.bytes_read == len(stream)
    return one


def assert_levels(stats: Stats, values: Iterable[Any]) -> None:
    """As many values and levels as Python counts; the values stand for themselves, as far as they are equal."""
    counts = Counter(value for value in values if value is not None)
    ranked = [*sorted(counts.values(), reverse=True), 0, 0, 0]
    assert stats.values == counts.total()
    assert stats.levels == len(counts)
    assert [stats.first, stats.second, stats.third] == ranked[:3]


def assert_numbers(stats: Stats, values: Iterable[float | Decimal]) -> None:
    """What follows from finite numbers, by fractions: nothing is rounded until the end."""
    exact = sorted(value if isinstance(value, int) else Fraction(value) for value in values)
    count = len(exact)
    assert stats.finite == count
    assert stats.zeros == sum(value == 0 for value in exact)
    assert stats.negatives == sum(value < 0 for value in exact)
    percentiles = {name: int(name[1:]) / 100 for name in stats._fields if re.fullmatch(r"p\d\d", name)}
    if not count:
        names = ("minimum", "maximum", "mean", "deviation", "median", *percentiles)
        assert {name: getattr(stats, name) for name in names} == dict.fromkeys(names)
        return
    assert stats.minimum == float(exact[0])
    assert stats.maximum == float(exact[-1])
    largest = float(max(map(abs, exact)))
    total = Fraction(sum(exact))
    assert stats.mean == pytest.approx(float(total / count), rel=1e-14, abs=1e-15 * largest + 5e-324)
    for name, share in (percentiles | {"median": 0.5}).items():
        assert getattr(stats, name) == pytest.approx(quantile(exact, share), rel=1e-14, abs=1e-15 * largest + 5e-324)
    if count == 1:
        assert stats.deviation is None
    elif largest < 1e150:
        variance = (sum(value * value for value in exact) - total * total / count) / (count - 1)
        assert stats.deviation == pytest.approx(root(variance), rel=1e-9, abs=1e-12 * largest)


def quantile(ordered: Sequence[Fraction | int], share: float) -> float:
    """As SQL's percentile_cont."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (Fraction(place) - below))


def root(square: Fraction) -> float:
    """Of a fraction that may lie beyond a double."""
    shift = 1200
    return float(Fraction(math.isqrt(square.numerator * 4**shift // square.denominator), 2**shift)) if square else 0.0
