"""Levels as text, with one spelling per value: 12, 0.5, 2020-02-29, 2020-02-29 10:30:00, 10:30:00."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from hdm_profile.kinds import DATE, DATETIME, FLOAT, INTEGER, TIME, UNSIGNED

# Added to the packed year, month and day of a level that looks like a date but is not: see hdm_profile.h.
NO_DATES, NO_DATETIMES = -(1 << 40), -(1 << 62)

_SIGN = 1 << 63
_DAY = 86_400_000_000  # microseconds
_EPOCH = 730_120  # 2000-01-01 as a day of the calendar, whose first day is 0001-01-01
_MOST_PACKED = 10_000 * 512  # year * 512 + month * 32 + day
_INFINITE_DAYS = {2**31 - 1: "infinity", -(2**31): "-infinity"}
_INFINITE_MICROS = {2**63 - 1: "infinity", -(2**63): "-infinity"}
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def of(kind: int, *, single: bool = False, decimal: bool = False) -> Callable[[int], str]:
    """The function that turns keys of a kind (INTEGER, UNSIGNED, FLOAT, DATE, DATETIME, TIME) into texts.

    Args:
        kind: of the column.
        single: FLOAT: the values have 32 bits.
        decimal: FLOAT: the values are decimals of at most 15 digits.
    """
    if kind == FLOAT:
        return _single if single else _decimal if decimal else _double
    shown: dict[int, Callable[[int], str]] = {
        INTEGER: _integer,
        UNSIGNED: str,
        DATE: _date,
        DATETIME: _datetime,
        TIME: _time,
    }
    return shown[kind]


def _integer(key: int) -> str:
    return str(key - _SIGN)


def _value(key: int) -> float:
    bits = key & ~_SIGN if key & _SIGN else ~key & (2**64 - 1)
    return float(struct.unpack("d", struct.pack("Q", bits))[0])


def _double(key: int) -> str:
    return _shortest(repr(_value(key)))


def _shortest(text: str) -> str:
    """Drops a fraction of zero, as numerics are spelled."""
    return _NOT_FINITE.get(text, text.removesuffix(".0"))


def _single(key: int) -> str:
    value = _value(key)
    if not math.isfinite(value):
        return _double(key)
    packed = struct.pack("f", value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == packed:
            break
    return _shortest(repr(float(text)))


def _decimal(key: int) -> str:
    text = f"{_value(key):.15g}"
    if "e" in text:
        text = f"{_value(key):.15f}".rstrip("0").rstrip(".")
    return _NOT_FINITE.get(text, text)


def _date(key: int) -> str:
    days = key - _SIGN
    if days in _INFINITE_DAYS:
        return _INFINITE_DAYS[days]
    if 0 <= days - NO_DATES < _MOST_PACKED:
        return _no_date(days - NO_DATES)
    # Days of the proleptic Gregorian calendar. Source: Hinnant, civil_from_days.
    era, of_era = divmod(days + _EPOCH + 305, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    day, month = of_year - (153 * shifted + 2) // 5 + 1, shifted + 3 if shifted < 10 else shifted - 9  # noqa: PLR2004  # the constants of the algorithm
    year += era * 400 + (month <= 2)  # noqa: PLR2004  # the constants of the algorithm
    return f"{year:04d}-{month:02d}-{day:02d}" if year > 0 else f"{1 - year:04d}-{month:02d}-{day:02d} BC"


def _datetime(key: int) -> str:
    micros = key - _SIGN
    if micros in _INFINITE_MICROS:
        return _INFINITE_MICROS[micros]
    if 0 <= micros - NO_DATETIMES < _MOST_PACKED * _DAY:
        packed, clock = divmod(micros - NO_DATETIMES, _DAY)
        return f"{_no_date(packed)} {_clock(clock)}"
    days, clock = divmod(micros, _DAY)
    date, _, era = _date(days + _SIGN).partition(" ")
    return " ".join(filter(None, [date, _clock(clock), era]))


def _no_date(packed: int) -> str:
    return f"{packed >> 9:04d}-{packed >> 5 & 15:02d}-{packed & 31:02d}"


def _time(key: int) -> str:
    micros = key - _SIGN
    return f"-{_clock(-micros)}" if micros < 0 else _clock(micros)


def _clock(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest:06d}".rstrip("0") if rest else text
