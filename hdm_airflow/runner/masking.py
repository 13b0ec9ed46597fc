"""Masking: secrets are taken out of every line before any logger sees it."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
#: Shorter pieces of an encoded secret would blank ordinary text, and reveal nothing.
_LEAST_PIECE = 4
_DELIMITER = re.compile("[:@/]")  # what SQLAlchemy 1.4 quotes
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u([0-9a-f]{4})")
_MARKUP = re.compile("[<>&]")  # what Go's JSON quotes, too
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")  # to a shell
_EXPANDED = re.compile(r'["$`\\]')  # by a shell, between double quotes


class Masker:
    """One compiled pattern over all secrets, each as it is and as programs write it.

    That is: base64 and hex; quoted for URLs; as Python, SQL, JSON, JSON within JSON and a shell write it; its bytes as
    Python writes them; in Latin-1, read as UTF-8. What a program makes of it by itself, such as its letters backwards,
    is not known, nor are encoded forms and lines of less than four letters.

    Airflow's own mask cannot serve: it recompiles at each added secret, skips short ones and encoded forms.

    Args:
        secrets: plain secrets; empty ones are left out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self.longest = max(map(len, forms), default=0)  # characters
        self._pattern = _compiled(forms) if forms else None

    def __call__(self, text: str) -> str:
        """The text with every secret replaced by `***`; secrets that overlap give one."""
        if self._pattern is None:
            return text
        pieces: list[str] = []
        done = position = 0
        while (match := self._pattern.search(text, position)) is not None:
            start, end = match.span()
            if start >= done:
                pieces += text[done:start], MASK
            done = max(done, end)
            position = start + 1  # not end: another secret may begin inside this one
        return "".join([*pieces, text[done:]])


def _forms(secret: str) -> Iterable[str]:
    yield secret
    raw = secret.encode("utf-8", "surrogatepass")
    encoded = {*secret.splitlines(), *_in_urls(secret, raw), *_in_programs(secret, raw), *_in_shells(secret)}
    encoded |= {_in_latin(secret), raw.hex(), raw.hex().upper(), *_base64_forms(raw)}
    yield from (form for form in encoded if len(form) >= _LEAST_PIECE)  # lines: a log takes a secret apart


def _in_urls(secret: str, raw: bytes) -> set[str]:
    """As libraries of Python and JavaScript, SQLAlchemy 2 and 1.4 quote it; in capital letters and small ones."""
    forms = {quote_plus(raw), *(quote(raw, safe=safe) for safe in ("/", "", "!'()*", ";,/?:@&=+$#!'()*", " +"))}
    forms.add(_DELIMITER.sub(lambda match: f"%{ord(match[0]):X}", secret))
    return forms | {_PERCENT.sub(lambda match: match[0].lower(), form) for form in forms}


def _in_programs(secret: str, raw: bytes) -> set[str]:
    """As texts in Python, SQL and JSON, the JSON of PHP and Go included, and as JSON within JSON."""
    inner = {_in_json(secret), _in_json(secret, ascii_only=False), repr(secret)[1:-1], ascii(secret)[1:-1]}
    outer = {_in_json(form) for form in inner} | {_in_json(form, ascii_only=False) for form in inner}
    inner |= {_UNICODE.sub(lambda match: f"\\u{match[1].upper()}", form) for form in inner}
    inner.add(_MARKUP.sub(lambda match: f"\\u{ord(match[0]):04x}", _in_json(secret, ascii_only=False)))
    inner |= {form.replace("/", "\\/") for form in inner}
    return inner | outer | {repr(raw)[2:-1], secret.replace("'", "''")}


def _in_shells(secret: str) -> set[str]:
    """As `set -x`, Python and `printf %q` write it, and between double quotes."""
    single = {secret.replace("'", "'\\''"), shlex.quote(secret).strip("'")}
    return {*single, _SPECIAL.sub(r"\\\g<0>", secret), _EXPANDED.sub(r"\\\g<0>", secret)}


def _in_json(text: str, *, ascii_only: bool = True) -> str:
    """Text inside a string of JSON."""
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _in_latin(secret: str) -> str:
    """What is read as UTF-8 where a program, such as one in Perl, prints Latin-1; '' where it cannot."""
    try:
        return secret.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return ""


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The letters that raw surely contributes to base64 of a longer text, for each of the three alignments."""
    for offset in range(3):
        padded = bytes(offset) + raw
        first = (offset * 8 + 5) // 6  # letters before this one also depend on what stands before the secret
        last = len(padded) * 8 // 6  # letters from here on also depend on what stands after it
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded).decode("ascii")[first:last]


def _compiled(words: set[str]) -> re.Pattern[str]:
    try:
        return re.compile(_trie_pattern(words))
    except RecursionError:  # hundreds of secrets of which each begins with the one before it
        return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


def _trie_pattern(words: Iterable[str]) -> str:
    """One pattern that matches the longest of many words; the time per letter does not grow with their number."""
    trie: dict[str, dict] = {}  # type: ignore[type-arg]  # a tree of itself
    for word in words:
        node = trie
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _pattern_of(trie)


def _pattern_of(node: dict[str, dict]) -> str:  # type: ignore[type-arg]
    run = ""
    while len(node) == 1 and "" not in node:  # a chain of single letters: no group, no recursion
        letter, node = next(iter(node.items()))
        run += re.escape(letter)
    branches = [re.escape(letter) + _pattern_of(below) for letter, below in sorted(node.items()) if letter]
    if not branches:
        return run
    optional = "?" if "" in node else ""
    return f"{run}(?:{'|'.join(branches)}){optional}"
