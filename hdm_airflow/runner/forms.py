"""Forms: the texts that programs write for a secret."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from hdm_airflow.runner.readings import readings

#: Shorter pieces of an encoded secret reveal nothing, and masking them would blank ordinary text. In characters.
LEAST = 4
#: Shorter secrets, and their forms without quotes, occur in ordinary text by chance. In characters.
DISTINCT = 8
_DELIMITER = re.compile("[:@/]")  # the characters that SQLAlchemy 1.4 quotes
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u([0-9a-f]{4})")
_MARKUP = re.compile("[<>&]")  # characters that Go's JSON also quotes
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")  # in a shell
_EXPANDED = re.compile(r'["$`\\]')  # by a shell, inside double quotes


def written(secret: str) -> set[str]:
    """The forms in which a text has the secret: itself, its lines, in base64, in hexadecimal, and in Latin-1.

    Of a secret that readings reduce to less than LEAST characters, also the forms that common libraries write.
    """
    raw = _raw(secret)
    # also single lines: a log splits a secret of several lines
    encoded = {*secret.splitlines(), _in_latin(secret), *_base64_forms(raw)}
    if len(raw) < LEAST:
        encoded |= {raw.hex(), raw.hex().upper()}
    if len(_bare(secret)) < LEAST:
        encoded |= {*_in_urls(secret, raw), *_in_programs(secret, raw), *_in_shells(secret)}
    return {secret} | {form for form in encoded if len(form) >= LEAST}


def read(secret: str) -> set[str]:
    """The forms that readings of a text have: the secret, read in the same way, in each of its levels of escapes."""
    found = {_bare(secret), *(reading.text for reading in readings(secret, blanks=True))}
    found |= {form.replace(" ", "+") for form in found}  # in a form of a web page
    return {form for form in map(str.strip, found) if len(form) >= LEAST}


def hexadecimal(secret: str) -> set[str]:
    """The secret's bytes as hexadecimal digits, in UTF-8 and Latin-1; none if it is short."""
    found = {_raw(secret).hex(), secret.encode("latin-1", "ignore").hex()}
    return {form for form in found if len(form) >= 2 * LEAST}


def _bare(secret: str) -> str:
    """The secret as the first reading has it."""
    return next((reading.text for reading in readings(secret)), secret).strip()


def _raw(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def _in_urls(secret: str, raw: bytes) -> set[str]:
    """As Python and JavaScript libraries and SQLAlchemy 2 and 1.4 quote it, in upper and lower case."""
    forms = {quote_plus(raw), *(quote(raw, safe=safe) for safe in ("/", "", "!'()*", ";,/?:@&=+$#!'()*", " +"))}
    forms.add(_DELIMITER.sub(lambda match: f"%{ord(match[0]):X}", secret))
    return forms | {_PERCENT.sub(lambda match: match[0].lower(), form) for form in forms}


def _in_programs(secret: str, raw: bytes) -> set[str]:
    """As string literals of Python, SQL and JSON (including PHP's and Go's), and as JSON within JSON."""
    inner = {_in_json(secret), _in_json(secret, ascii_only=False), repr(secret)[1:-1], ascii(secret)[1:-1]}
    outer = {_in_json(form) for form in inner} | {_in_json(form, ascii_only=False) for form in inner}
    inner |= {_UNICODE.sub(lambda match: f"\\u{match[1].upper()}", form) for form in inner}
    inner.add(_MARKUP.sub(lambda match: f"\\u{ord(match[0]):04x}", _in_json(secret, ascii_only=False)))
    inner |= {form.replace("/", "\\/") for form in inner}
    return inner | outer | {repr(raw)[2:-1], secret.replace("'", "''")}


def _in_shells(secret: str) -> set[str]:
    """As `set -x`, Python and `printf %q` write it, and inside double quotes."""
    single = {secret.replace("'", "'\\''"), shlex.quote(secret).strip("'")}
    return {*single, _SPECIAL.sub(r"\\\g<0>", secret), _EXPANDED.sub(r"\\\g<0>", secret)}


def _in_json(text: str, *, ascii_only: bool = True) -> str:
    """The text as the inside of a JSON string."""
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _in_latin(secret: str) -> str:
    """The text that a log reads as UTF-8 if a program, for example in Perl, prints Latin-1; '' if it cannot."""
    try:
        return secret.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return ""


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The base64 characters that depend on raw alone inside a longer text, for each of the three alignments."""
    for offset in range(3):
        padded = bytes(offset) + raw
        first = (offset * 8 + 5) // 6  # earlier characters also depend on the text before the secret
        last = len(padded) * 8 // 6  # characters from here on also depend on the text after it
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded).decode("ascii")[first:last]
