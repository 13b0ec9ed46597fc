"""Printable: nothing invisible stays invisible, and everything visible stays as it is."""

from __future__ import annotations

import pickle
import sys
import unicodedata

import pytest

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.printable import coloured, printable

#: Format characters that are visible: signs around digits, in Arabic, Syriac and Kaithi.
VISIBLE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_exactly_the_characters_that_nobody_sees_are_escaped() -> None:
    """Unicode says which ones are controls, formats, separators and surrogates."""
    wrong = []
    for code in set(range(sys.maxunicode + 1)) - VISIBLE:
        sign = chr(code)
        hidden = unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        shown = printable(sign)
        if not shown.isprintable() if hidden else shown != sign and unicodedata.category(sign) != "Cn":
            wrong.append(hex(code))
    assert not wrong[:20]


@pytest.mark.parametrize("text", ["Grüße 5 µm ✓ 患者 \N{NO-BREAK SPACE}1\u202f000 😀", "", "a b"])
def test_text_in_any_language_stays(text: str) -> None:
    """Only what is invisible is escaped."""
    assert printable(text) == coloured(text) == text


def test_lines_and_tabs_stay_where_lines_are_allowed() -> None:
    """In a name they would look like two names."""
    assert printable("a\n\tb\r", lines=True) == "a\n\tb\\r"
    assert printable("a\n\tb") == "a\\n\\tb"


def test_error_shows_control_characters_and_survives_a_process() -> None:
    """Its texts quote names of files, databases and servers."""
    error = ConfigurationError("no \x1b[2J\u202e", "a\nin: b", "do\x07")
    assert str(error) == "no \\x1b[2J\\u202e\nin: a\\nin: b\ndo: do\\x07"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  # our own
