"""The statistics of one column."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class Stats(NamedTuple):
    """The statistics of one column. Lengths are in characters; blanks are U+0020."""

    values: int  # not null
    levels: int  # distinct values; 0 for OPAQUE
    first: int  # frequencies of the three most frequent values; 0: there is none
    second: int
    third: int
    finite: int  # numbers that are neither NaN nor infinite nor beyond a double; the next nine fields are about these
    zeros: int
    negatives: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    deviation: float | None  # of a sample; None for fewer than two values
    median: float | None  # interpolated, as are p01 and p99, like SQL's percentile_cont
    p01: float | None
    p99: float | None
    earliest: int | None  # days (DATE) or microseconds (DATETIME) since 2000-01-01, within the years 1 to 9999
    latest: int | None
    future: int
    shortest: int | None
    longest: int | None
    mean_length: float | None
    empty: int
    trimmed: int  # the length of the longest value without the blanks at its ends
    blanks: int  # the largest number of blanks within one value, without those at its ends
    edge_blanks: int  # texts that begin or end with a blank of any kind
    uppers: int  # texts with letters, all of them upper case
    lowers: int
    mojibakes: int  # texts that show a broken encoding
    placeholders: int  # texts that stand for a missing value
    fractions: int  # numbers with digits after the point
    places: int | None  # the most such digits that a number needs; None without finite numbers
    midnights: int  # datetimes of the years 1 to 9999 at midnight
    clocks: int  # those at another time of day
    hour: float | None  # mean hour of day of `clocks`, 0 to 24
    misfits: int  # SQLite: values that are not of the column's kind; only `classes` counts them
    classes: tuple[int, int, int, int]  # SQLite: integers, reals, texts, blobs


_NAMES = tuple("characters" if name == "mean_length" else name for name in Stats._fields[:-1])  # `classes` are four
_DOUBLES = frozenset(name for name in _NAMES if "float" in str(Stats.__annotations__.get(name)))
_VALUES, _FINITE, _PLACES, _EARLIEST, _LATEST, _SHORTEST, _LONGEST, _MEAN_LENGTH, _EMPTY = map(
    Stats._fields.index,
    ("values", "finite", "places", "earliest", "latest", "shortest", "longest", "mean_length", "empty"),
)
_SIGNED = frozenset({"earliest", "latest"})
#: `struct hdm_stats` of hdm_profile.h
LAYOUT = struct.Struct(
    "@" + "".join("d" if name in _DOUBLES else "q" if name in _SIGNED else "Q" for name in _NAMES) + "4Q"
)


def unpacked(packed: bytes) -> list[Stats]:
    """The statistics that the engine has written, one column after the other."""
    return [_stats(row) for row in LAYOUT.iter_unpack(packed)]


def _stats(row: tuple[Any, ...]) -> Stats:
    found: list[Any] = [None if value != value else value for value in row[:-4]]  # noqa: PLR0124  # only NaN does
    if found[_LONGEST] or found[_EMPTY]:
        found[_MEAN_LENGTH] /= found[_VALUES]  # of characters
    else:
        found[_SHORTEST] = found[_LONGEST] = found[_MEAN_LENGTH] = None
    if not found[_FINITE]:
        found[_PLACES] = None
    if found[_EARLIEST] > found[_LATEST]:
        found[_EARLIEST] = found[_LATEST] = None
    return Stats._make((*found, row[-4:]))
