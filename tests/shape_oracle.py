"""The shape of texts and numbers as plain Python sees it: the oracle for the C code of metric pack basic.

The SQL oracle uses the same characters and words, in expressions of its own.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Unicode's White_Space, the zero width space and the byte order mark.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200C))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
#: Of Latin, Greek and Cyrillic; letters of titlecase are in both.
LETTERS = [*map(chr, range(0x530)), *map(chr, range(0x1E00, 0x1F00))]
UPPERS = "".join(c for c in LETTERS if c.isupper() or c.istitle())
LOWERS = "".join(c for c in LETTERS if c.islower() or (c.istitle() and not c.isupper()))

#: What CP1252 makes of bytes from 0x80 to 0x9f, and which of these follow a capital letter in sound texts, or any one.
_CP1252 = bytes(b for b in range(0x80, 0xA0) if b not in {0x81, 0x8D, 0x8F, 0x90, 0x9D}).decode("cp1252")
_SYMBOLS = "".join(c for c in _CP1252 if c not in "’”…—›")  # noqa: RUF001  # these very characters
_ODD = "".join(c for c in _SYMBOLS if c not in "ŠšŽžŒœ‘“–‹")  # noqa: RUF001  # these very characters
MOJIBAKE = (
    "\ufffd",
    "[\x80-\x84\x86-\x9f]",
    f"Ã[\x80-\xbf{_SYMBOLS}]",
    "Â[\x80-\xbf]",
    f"[âÄÅÎÏÐÑ][{_ODD}]",
)

WORDS = (
    *("#n/a", "(null)", "<null>", "\\n", "desconocido", "dummy", "inconnu", "inconnue", "k. a.", "k.a."),
    *("keine angabe", "missing", "n.a.", "n/a", "n/c", "n/d", "n/r", "na", "nan", "neant", "nil", "non renseigne"),
    *("non renseigné", "none", "not applicable", "not available", "not specified", "null", "néant", "onbekend"),
    *("sconosciuto", "tba", "tbd", "test", "todo", "unbekannt", "undefined", "unk", "unknown", "unspecified"),
)
REPEATED = r"-+|\?+|\.+|\*+|_+|[xX]{2,}"

MOST_PLACES, MOST_DIGITS = 15, 15  # of a double


def has_edge_blank(text: str) -> bool:
    """Whether a blank begins or ends it."""
    return text.strip(BLANKS) != text


def is_upper(text: str) -> bool:
    """Whether it has letters, all of them upper case."""
    return any(c in UPPERS for c in text) and not any(c in LOWERS for c in text)


def is_lower(text: str) -> bool:
    """Whether it has letters, all of them lower case."""
    return any(c in LOWERS for c in text) and not any(c in UPPERS for c in text)


def is_mojibake(text: str) -> bool:
    """Whether it looks like UTF-8 that was read as Latin-1 or CP1252."""
    return re.search("|".join(MOJIBAKE), text) is not None


def is_placeholder(text: str) -> bool:
    """Whether it stands for a missing value."""
    word = text.strip(BLANKS)
    return word.translate(_SMALL) in WORDS or re.fullmatch(REPEATED, word) is not None


_SMALL = {ord(c): c.lower() for c in UPPERS if c < "\x80" or c == "É"}


def of_texts(texts: Iterable[str]) -> dict[str, int]:
    """The metrics of texts."""
    found = list(texts)
    return {
        "edge_blank_count": sum(map(has_edge_blank, found)),
        "upper_count": sum(map(is_upper, found)),
        "lower_count": sum(map(is_lower, found)),
        "mojibake_count": sum(map(is_mojibake, found)),
        "placeholder_count": sum(map(is_placeholder, found)),
    }


def places(number: float | Decimal) -> int:
    """The digits after the point that a finite number needs."""
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    _, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    while exponent < 0 and digits[-1] == 0 and any(digits):
        digits, exponent = digits[:-1], exponent + 1
    needed = max(0, -exponent) if any(digits) else 0
    if isinstance(number, Decimal):
        return needed
    return needed if not needed or (needed <= MOST_PLACES and len(digits) <= MOST_DIGITS) else MOST_PLACES


def of_numbers(numbers: Iterable[float | Decimal]) -> dict[str, int | None]:
    """The metrics of finite floats and decimals."""
    found = list(map(places, numbers))
    return {"fraction_count": sum(map(bool, found)), "decimals_max": max(found, default=None)}


def of_datetimes(moments: Iterable[dt.datetime]) -> dict[str, Any]:
    """The metrics of datetimes, without suppression."""
    clocks = [moment - moment.replace(hour=0, minute=0, second=0, microsecond=0) for moment in moments]
    hours = [clock / dt.timedelta(hours=1) for clock in clocks if clock]
    return {
        "midnight_count": len(clocks) - len(hours),
        "hour_mean": math.fsum(hours) / len(hours) if hours else None,
    }
