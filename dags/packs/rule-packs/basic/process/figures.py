"""Figures: how numbers are written, in messages and in the columns beside them. Never with an exponent."""

from __future__ import annotations

import math

FOUR_DIGITS = 1000


def figure(value: float) -> str:
    """A number for a reader: 1,234,567, 0.01235, 37.6."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= FOUR_DIGITS or value == round(value) else _short(value, 4)


def plain(value: float) -> str:
    """The same number for a program: without separators, and with more digits: 1234567, 0.0123457."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= FOUR_DIGITS and value == round(value) else _short(value, 6)


def _short(value: float, digits: int) -> str:
    """So many significant digits, of which the last ones are left out if they are zeros."""
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0) if value else 0
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(number: int, one: str, several: str = "") -> str:
    """A number of things: `1 alert`, `1,002 alerts`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
