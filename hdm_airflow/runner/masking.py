"""Masking: removes secrets from every line before any logger sees it."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
#: Shorter pieces of an encoded secret reveal nothing, and masking them would blank ordinary text. In characters.
_LEAST_PIECE = 4
_DELIMITER = re.compile("[:@/]")  # the characters that SQLAlchemy 1.4 quotes
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u([0-9a-f]{4})")
_MARKUP = re.compile("[<>&]")  # characters that Go's JSON also quotes
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")  # in a shell
_EXPANDED = re.compile(r'["$`\\]')  # by a shell, inside double quotes


class Masker:
    """One compiled pattern for all secrets, each in plain text and in the forms that programs write.

    The forms are: base64 and hex; quoted for URLs; as Python, SQL, JSON, JSON within JSON and a shell quote it; its
    bytes as Python prints them; Latin-1 read as UTF-8. Forms that a program invents, such as the secret backwards, are
    not masked, nor are encoded forms and single lines of fewer than four characters.

    Airflow's own mask does not suffice: it recompiles for each added secret, and skips short ones and encoded forms.

    Args:
        secrets: in plain text; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self.longest = max(map(len, forms), default=0)  # characters
        self._pattern = _compiled(forms) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced by `***`; overlapping secrets become one `***`."""
        if self._pattern is None:
            return text
        pieces: list[str] = []
        done = position = 0
        while (match := self._pattern.search(text, position)) is not None:
            start, end = match.span()
            if start >= done:
                pieces += text[done:start], MASK
            done = max(done, end)
            position = start + 1  # not end: another secret may start inside this one
        return "".join([*pieces, text[done:]])


def _forms(secret: str) -> Iterable[str]:
    yield secret
    raw = secret.encode("utf-8", "surrogatepass")
    # single lines, too: a log splits a secret of several lines
    encoded = {*secret.splitlines(), *_in_urls(secret, raw), *_in_programs(secret, raw), *_in_shells(secret)}
    encoded |= {_in_latin(secret), raw.hex(), raw.hex().upper(), *_base64_forms(raw)}
    yield from (form for form in encoded if len(form) >= _LEAST_PIECE)


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


def _compiled(words: set[str]) -> re.Pattern[str]:
    try:
        return re.compile(_trie_pattern(words))
    except RecursionError:  # hundreds of secrets, each starting with the previous one
        return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


def _trie_pattern(words: Iterable[str]) -> str:
    """A pattern that matches the longest of many words; its time per character does not grow with their number."""
    trie: dict[str, dict] = {}  # type: ignore[type-arg]  # a recursive type
    for word in words:
        node = trie
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _pattern_of(trie)


def _pattern_of(node: dict[str, dict]) -> str:  # type: ignore[type-arg]  # the type is recursive
    run = ""
    while len(node) == 1 and "" not in node:  # a chain without branches: no group, no recursion
        letter, node = next(iter(node.items()))
        run += re.escape(letter)
    branches = [re.escape(letter) + _pattern_of(below) for letter, below in sorted(node.items()) if letter]
    if not branches:
        return run
    optional = "?" if "" in node else ""
    return f"{run}(?:{'|'.join(branches)}){optional}"
