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


class Masker:
    """One compiled pattern over all secrets, each as it is, in base64 and URL-quoted.

    Airflow's own mask cannot serve: it recompiles at each added secret, skips short ones and encoded forms.

    Args:
        secrets: plain secrets; empty ones are left out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self.longest = max(map(len, forms), default=0)  # characters
        self._pattern = re.compile(_trie_pattern(forms)) if forms else None

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
    pieces = [line for line in secret.splitlines() if len(line) >= _LEAST_PIECE]
    yield from pieces  # a secret of several lines is printed line by line
    raw = secret.encode("utf-8", "surrogatepass")
    quoted = [quote(raw), quote(raw, safe=""), quote_plus(raw)]
    in_code = [repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    in_shell = [secret.replace("'", "'\\''"), shlex.quote(secret).strip("'")]  # as `set -x` and as Python writes it
    for text in (*quoted, *in_code, *in_shell, raw.hex()):
        if len(text) >= _LEAST_PIECE:
            yield text
    yield from (form for form in _base64_forms(raw) if len(form) >= _LEAST_PIECE)


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The letters that raw surely contributes to base64 of a longer text, for each of the three alignments."""
    for offset in range(3):
        padded = bytes(offset) + raw
        first = (offset * 8 + 5) // 6  # letters before this one also depend on what stands before the secret
        last = len(padded) * 8 // 6  # letters from here on also depend on what stands after it
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded).decode("ascii")[first:last]


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
