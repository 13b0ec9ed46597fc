"""What the columns of one row say together: what to ask of a profile, and its answers."""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

DAYS = 14  # event days that are counted
MOST_CELLS = 256  # levels of a code
NO_EVENT = 2**32 - 1


class Plan(NamedTuple):
    """What to compute across columns, which are numbers of specs."""

    first_day: int = 0  # of DAYS event days, in days since 2000-01-01
    event: int | None = None  # of DATE or DATETIME: when a row happened
    pairs: tuple[tuple[int, int], ...] = ()  # dates with dates, numbers with numbers
    codes: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()  # by the levels of each code
    whole: bool = False  # count rows that repeat an earlier one; no column is OPAQUE


class Newest(NamedTuple):
    """One column's values in the rows of the newest event day: `struct hdm_newest`."""

    values: int  # not null
    finite: int  # finite numbers, or texts: mean and deviation are theirs, or those of the texts' lengths
    mean: float | None
    deviation: float | None  # of a sample; None for fewer than two


class Pair(NamedTuple):
    """Two columns of a row: `struct hdm_pair`."""

    both: int  # rows in which both have a value
    greater: int  # rows in which the first one's is greater
    equal: int


class Cell(NamedTuple):
    """One number in the rows with one level of a code: `struct hdm_cell`."""

    values: int  # finite numbers
    mean: float | None

    def plus(self, other: Cell) -> Cell:
        """Both together."""
        if not self.values or not other.values:
            return other if other.values else self
        values = self.values + other.values
        return Cell(values, ((self.mean or 0) * self.values + (other.mean or 0) * other.values) / values)


#: As in hdm_profile.h
NEWEST, PAIR, CELL = struct.Struct("@QQdd"), struct.Struct("@QQQ"), struct.Struct("@Qd")


def number(value: Any) -> float | None:
    """The number; None for NaN."""
    return None if math.isnan(value) else float(value)


def packed(columns: tuple[int, ...]) -> bytes:
    """Numbers of columns, as C reads them."""
    return struct.pack(f"{len(columns)}I", *columns)
