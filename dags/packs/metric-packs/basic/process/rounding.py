"""Rounding of values from the data: numbers to significant digits, dates to the first of a month or year."""

from __future__ import annotations

import datetime as dt
import math

EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # metrics hold UTC without a zone


def finite(value: float | None) -> float | None:
    """The value as a double; None if it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def significant(value: float | None, digits: int | None) -> float | None:
    """The value rounded to this many significant digits; unchanged if `digits` is None."""
    if value is None or not math.isfinite(value):
        return None
    return float(value) if digits is None else float(f"{float(value):.{digits - 1}e}")


def moment(count: int | None, *, days: bool) -> dt.datetime | None:
    """The naive UTC datetime `count` days or microseconds after 2000-01-01."""
    if count is None:
        return None
    return EPOCH + (dt.timedelta(days=count) if days else dt.timedelta(microseconds=count))


def first_of(when: dt.datetime | None, unit: str) -> dt.datetime | None:
    """The start of the "month" or "year" of the moment; the moment itself if the unit is ""."""
    if when is None or not unit:
        return when
    month = when.month if unit == "month" else 1
    return when.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
