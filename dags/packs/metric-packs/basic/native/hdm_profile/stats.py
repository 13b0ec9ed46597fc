"""The statistics of one column."""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

LAYOUT = struct.Struct("@8Q7d2q7Q5Q")  # `struct hdm_stats` of hdm_profile.h


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
    misfits: int  # SQLite: values that are not of the column's kind; only `classes` counts them
    classes: tuple[int, int, int, int]  # SQLite: integers, reals, texts, blobs


def unpacked(packed: bytes) -> list[Stats]:
    """The statistics that the engine has written, one column after the other."""
    return [_stats(row) for row in LAYOUT.iter_unpack(packed)]


def _stats(row: tuple[Any, ...]) -> Stats:
    values, levels, first, second, third, finite, zeros, negatives = row[:8]
    minimum, maximum, mean, deviation, median, p01, p99 = (None if math.isnan(n) else n for n in row[8:15])
    earliest, latest, future, shortest, longest, characters, empty, trimmed, blanks, misfits, *classes = row[15:]
    has_dates, has_texts = earliest <= latest, longest or empty
    return Stats(
        values=values,
        levels=levels,
        first=first,
        second=second,
        third=third,
        finite=finite,
        zeros=zeros,
        negatives=negatives,
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        deviation=deviation,
        median=median,
        p01=p01,
        p99=p99,
        earliest=earliest if has_dates else None,
        latest=latest if has_dates else None,
        future=future,
        shortest=shortest if has_texts else None,
        longest=longest if has_texts else None,
        mean_length=characters / values if has_texts else None,
        empty=empty,
        trimmed=trimmed,
        blanks=blanks,
        misfits=misfits,
        classes=(classes[0], classes[1], classes[2], classes[3]),
    )
