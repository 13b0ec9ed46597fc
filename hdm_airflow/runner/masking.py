"""Masking: removes secrets from every line before any logger sees it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from hdm_airflow.runner import forms
from hdm_airflow.runner.readings import (
    BLANK_NOISE,
    DIGIT_NOISE,
    LEFT_OUT,
    NEVER_READ,
    NOISE,
    Reading,
    has_margins,
    hexadecimal,
    levels,
    quoted_printable,
    readings,
    squeezed,
    uncoloured,
)

MASK = "***"
#: Characters of an escaped or encoded secret per byte of it: `&#x27;`, `%2527`, `\\u0027`, `0x27, `.
_WIDEST = 8
_FEW = 400  # pieces; with more, the pattern that allows noise between their characters takes longer than it saves
#: The beginning of a word, up to a character that is rare in ordinary text; the rarest ones first.
_RARE = tuple(map(re.compile, ("(?s:.*?)[^a-z0-9 .,:;/_=()-]", "(?s:.*?)[^a-z ]")))
_RARE_DIGIT = tuple(map(re.compile, ("(?:..)*?7", "(?:..)*?6", "(?:..)*?[4589]")))
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

_ZERO = "0(?![xX])"  # the digit, which is not the beginning of noise
_NO_DEMAND = (False, False, 0)

Span = tuple[int, int]
#: Whether a form lacks the secret's first or last character, and the secret's length.
_Demand = tuple[bool, bool, int]


class Masker:
    """Finds all secrets in a text, in plain text and in the forms that programs write.

    A secret is found as it is; in base64 at each alignment; in hexadecimal, also with separators; with an escape before
    any of its characters or instead of it; and with quotes, line breaks, indentation, colours or control characters
    between them (see `readings`). Forms that a program invents, such as the secret backwards, are not found, nor are
    encoded forms and single lines of fewer than four characters.

    Airflow's own mask does not suffice: it recompiles for each added secret, and skips short ones and encoded forms.

    Args:
        secrets: in plain text; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if secret}
        #: Secrets that a program may take for a number, and JSON then holds without quotes.
        self.numbers = frozenset(secret for secret in known if _NUMBER.fullmatch(secret))
        #: An escaped or encoded secret is at most this long, in characters.
        self.longest = max((_WIDEST * len(secret.encode("utf-8", "surrogatepass")) for secret in known), default=0)
        self._blanks = any(re.search(r"\S\s+\S", secret) for secret in known)
        #: Mail encodes nothing else.
        self._quotable = any("=" in secret or not (secret.isascii() and secret.isprintable()) for secret in known)
        words: set[str] = set()
        self._demands: dict[str, _Demand] = {}
        for secret in known:
            words |= forms.written(secret)
            for form in forms.read(secret):
                words.add(form)
                if form != secret:
                    self._demand(form, secret)
        for word in {word for secret in known for word in forms.written(secret)}:
            self._demands.pop(word, None)
        self._merge = not all(map(str.isascii, words))
        noise = BLANK_NOISE if self._blanks else NOISE
        self._short = _Index((word for word in words if len(word) < forms.LEAST), forms.LEAST, noise)
        self._words = _Index((word for word in words if len(word) >= forms.LEAST), forms.LEAST, noise)
        digits = {form for secret in known for form in forms.hexadecimal(secret)}
        self._digits = _Index(digits, 2 * forms.LEAST, DIGIT_NOISE, _RARE_DIGIT, re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced by `***`; overlapping secrets become one `***`."""
        pieces: list[str] = []
        done = 0
        for start, end in self.spans(text):
            pieces += text[done:start], MASK
            done = end
        return "".join([*pieces, text[done:]]) if pieces else text

    def spans(self, text: str) -> list[Span]:
        """The parts of a text that hold secrets, in order, without overlaps."""
        if not self.longest:
            return []
        likely = self._words.may_be_in(uncoloured(text))
        plain = self._words.find(text) if likely or "\x1b" in text else []
        spans = [(start, start + len(word)) for start, word in plain if self._fits(word, len(word))]
        spans += [(start, start + len(word)) for start, word in self._short.find(text)]
        seen = [word for _, word in plain]
        for level in chain(levels(text), quoted_printable(text) if self._quotable else ()):
            bytewise = self._merge and not level.text.isascii()  # the bytes of a character may be apart
            if not (bytewise or (likely if level.text == text else self._words.may_be_in(uncoloured(level.text)))):
                continue
            for reading in squeezed(level, blanks=self._blanks):
                found = self._words.find(reading.text)
                if found and [word for _, word in found] != seen:  # else it shows the same ones
                    spans += self._located(reading, found)
        if self._digits.may_be_in(text) or has_margins(text):
            for reading in hexadecimal(text):
                if found := self._digits.find(reading.text):
                    places = reading.places()
                    spans += [places.span(start, start + len(word)) for start, word in found]
        return _united(spans)

    def heads(self, text: str) -> list[tuple[int, int]]:
        """Where a secret may begin that the end of a text cuts off.

        Returns:
            For each, its position in the text, and how many characters of a form of it there are: a byte in
            hexadecimal counts as one.
        """
        if not self.longest:
            return []
        offset = max(0, len(text.rstrip(LEFT_OUT)) - self.longest)
        tail = text[offset:]
        found = []
        for reading, index, width in self._tails(tail):
            if heads := list(index.heads(reading.text)):
                places = reading.places()
                for start, length in heads:
                    place = places.span(start, start + length, before=True)[0]
                    found.append((offset + place, -(-length // width)))
        return found

    def _tails(self, tail: str) -> Iterator[tuple[Reading, _Index, int]]:
        """The readings of a text's end, each with its forms, and the characters that a form has per byte."""
        for reading in readings(tail, blanks=self._blanks):
            yield reading, self._words, 1
        for level in quoted_printable(tail) if self._quotable else ():
            for reading in squeezed(level, blanks=self._blanks):
                yield reading, self._words, 1
        for reading in hexadecimal(tail):
            yield reading, self._digits, 2

    def _demand(self, form: str, secret: str) -> None:
        first, last, least = form[0] != secret[0], form[-1] != secret[-1], len(secret.strip())
        other = self._demands.get(form, (first, last, least))
        self._demands[form] = (first or other[0], last or other[1], min(least, other[2]))

    def _located(self, reading: Reading, found: Sequence[tuple[int, str]]) -> Iterator[Span]:
        places = reading.places()
        for start, word in found:
            before, after, _ = self._demands.get(word, _NO_DEMAND)
            span = places.span(start, start + len(word), before=before, after=after)
            if self._fits(word, span[1] - span[0]):
                yield span

    def _fits(self, word: str, length: int) -> bool:
        """Whether a part of a text may be this form of a secret, which is never shorter than the secret itself.

        So `abcd` is not a form of `a'b"cd`; but a long one is masked even if quotes of the secret are missing.
        """
        return len(word) >= forms.DISTINCT or length >= self._demands.get(word, _NO_DEMAND)[2]


class _Index:
    """Finds any of many words in a text, in a time that hardly grows with their number.

    A pattern finds one piece of each word, chosen to be rare in ordinary text; the rest of the word is then compared.

    Args:
        words: not empty.
        width: characters of a piece; a shorter word is a piece itself.
        noise: a pattern of what `may_be_in` allows between characters.
        rare: finds a rare character in a word.
        flags: of the pattern with noise.
    """

    def __init__(
        self, words: Iterable[str], width: int, noise: str, rare: Sequence[re.Pattern[str]] = _RARE, flags: int = 0
    ) -> None:
        self.width = width
        self._sorted = sorted(words)
        self._pieces: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for word in self._sorted:
            offset = _rarest(word, len(word) - width, rare)
            self._pieces[word[offset : offset + width]].append((word, offset))
        self._widths = sorted({len(piece) for piece in self._pieces})
        self._pattern = (
            re.compile(_trie_pattern(map(re.escape, piece) for piece in self._pieces)) if self._pieces else None
        )
        few = 0 < len(self._pieces) <= _FEW
        self._loose = re.compile(_trie_pattern(_loose(piece, noise) for piece in self._pieces), flags) if few else None
        letters = "".join(sorted({word[0] for word in self._sorted}))
        self._first = re.compile(f"[{re.escape(letters)}]") if letters else None
        self._heads = frozenset(word[:length] for word in self._sorted for length in range(1, width + 1))

    def may_be_in(self, text: str) -> bool:
        """Whether a word may be in the text, with noise between its characters; False is sure."""
        if self._loose is None:
            return bool(self._pieces)
        return self._loose.search(text) is not None

    def find(self, text: str) -> list[tuple[int, str]]:
        """Every place at which a word begins, with the word."""
        found: list[tuple[int, str]] = []
        if self._pattern is None:
            return found
        match = self._pattern.search(text)
        while match is not None:
            start = match.start()
            for width in self._widths:
                for word, offset in self._pieces.get(text[start : start + width], ()):
                    if start >= offset and text.startswith(word, start - offset):
                        found.append((start - offset, word))
            match = self._pattern.search(text, start + 1)
        return found

    def heads(self, text: str) -> Iterator[tuple[int, int]]:
        """Every place at which the rest of the text is the beginning of a longer word, and the rest's length."""
        for match in self._first.finditer(text) if self._first else ():
            start = match.start()
            if text[start : start + self.width] in self._heads:
                rest = text[start:]
                at = bisect_right(self._sorted, rest)  # the first longer word, if any begins with the rest
                if at < len(self._sorted) and self._sorted[at].startswith(rest):
                    yield start, len(rest)


def _united(spans: list[Span]) -> list[Span]:
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start < united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def _rarest(word: str, last: int, rare: Sequence[re.Pattern[str]]) -> int:
    """The offset, at most `last`, of a character that is rare in ordinary text."""
    for pattern in rare if last > 0 else ():
        if match := pattern.match(word, 0, last + 1):
            return match.end() - 1
    return 0


def _loose(piece: str, noise: str) -> list[str]:
    """The characters of a piece, as patterns, each but the last with noise after it.

    A character of a piece is never noise itself: the time would grow with a power of the text's length.
    """
    if NEVER_READ.search(piece):
        return list(map(re.escape, piece))
    between = noise.replace("=?", "") if "=" in piece else noise
    letters = [_ZERO if letter == "0" and noise == DIGIT_NOISE else re.escape(letter) for letter in piece]
    return [*(letter + between for letter in letters[:-1]), letters[-1]]


def _trie_pattern(words: Iterable[Iterable[str]]) -> str:
    """A pattern that matches any of many short words; its time per character hardly grows with their number.

    Args:
        words: each as the patterns of its characters.
    """
    trie: dict[str, dict] = {}  # type: ignore[type-arg]  # a recursive type
    for word in words:
        node = trie
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _pattern_of(trie)


def _pattern_of(node: dict[str, dict]) -> str:  # type: ignore[type-arg]  # the type is recursive
    branches = [letter + _pattern_of(below) for letter, below in sorted(node.items()) if letter]
    if not branches:
        return ""
    if "" in node:
        return f"(?:{'|'.join(branches)})?"
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
