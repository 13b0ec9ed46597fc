"""Readings: a text without its escapes, quotes and line breaks, and the place of each character in the original.

A program that prints a secret may escape any character of it, break it over lines, or colour it. Each reading undoes
one kind of this, so that the secret, read in the same way, is found again.
"""

from __future__ import annotations

import html
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hdm_airflow.printable import HIDDEN

#: Each level of escapes within escapes, such as JSON within JSON, is one more pass.
_PASSES = 4
_SIGNS = "\\'\"`^$%"  # written before a character, around it, or doubled
_CONTROLS = "".join(map(chr, range(0x20))).replace("\t", "") + "\x7f"
_NAMED = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(
    r"\\(?:([\\abefnrtvE])|x([0-9A-Fa-f]{1,2})|x\{([0-9A-Fa-f]{1,6})\}"
    r"|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|U([0-9A-Fa-f]{8})|([0-3]?[0-7]{1,2}))"
    r"|%u([0-9A-Fa-f]{4})|%([0-9A-Fa-f]{2})"
    r"|(&(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
)
_OCTAL, _ENTITY = 7, 10  # groups of _ESCAPE; the others between 1 and 10 are hexadecimal
_OF_BYTES = (2, _OCTAL, 9)
_ASCII = 0x80  # characters
_BYTE = "[\x80-\xbf\udc80-\udcbf]"  # one that follows the first byte of a character; undecodable bytes are surrogates
#: A line of a dump: its offset, then the cells, then what `xxd`, `hexdump -C` or `od -t x1z` show next to them.
_DUMPED = re.compile(r"(?m)^[ \t]*[0-9a-fA-F]{6,16}(?::(.*?)  .*|([ \t].*))$")
_CHARACTERS = re.compile(r"   (.)|  (\\.)| ([0-7]{3})")  # of `od -c` and `od -b`
_BYTES = re.compile(
    f"[\ud800-\udbff][\udc00-\udfff]|[\xc2-\xdf\udcc2-\udcdf]{_BYTE}|[\xe0-\xef\udce0-\udcef]{_BYTE}{{2}}"
    f"|[\xf0-\xf4\udcf0-\udcf4]{_BYTE}{{3}}|[\udc80-\udcff]"
)
_PAIR = re.compile("[\xc2-\xf4][\x80-\xbf]")
_SOFT_BREAK = re.compile(r"=(?=[\r\n])")
_QUOTED = re.compile("=([0-9A-F]{2})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INDENT = re.compile(rb"[\r\n][ \t]+")
_WIDE = re.compile(f"[{HIDDEN}]+")


@dataclass(frozen=True)
class _Stage:
    """One way to rewrite a text."""

    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str] = lambda _match: ""
    quick: Callable[[str], str] | None = None  # the same, faster

    def __call__(self, text: str) -> str:
        return self.quick(text) if self.quick else self.pattern.sub(self.replace, text)


@dataclass
class _Edits:
    """What one stage replaced: positions in the new text and in the old one, in order."""

    new_start: list[int] = field(default_factory=list)
    new_end: list[int] = field(default_factory=list)
    old_start: list[int] = field(default_factory=list)
    old_end: list[int] = field(default_factory=list)

    def start(self, position: int) -> int:
        """The place in the old text at which a character of the new text begins."""
        edit = bisect_right(self.new_start, position) - 1
        if edit < 0:
            return position
        if position < self.new_end[edit]:
            return self.old_start[edit]
        return self.old_end[edit] + position - self.new_end[edit]

    def end(self, position: int) -> int:
        """The place in the old text at which the character before `position` ends; what was removed after it is not."""
        edit = bisect_right(self.new_start, position - 1) - 1
        if edit < 0:
            return position
        if position <= self.new_end[edit]:
            return self.old_end[edit]
        return self.old_end[edit] + position - self.new_end[edit]


@dataclass(frozen=True)
class Reading:
    """One reading of a text."""

    text: str
    original: str
    stages: tuple[_Stage, ...]

    def then(self, stage: _Stage) -> Reading:
        """The reading, rewritten once more."""
        return Reading(stage(self.text), self.original, (*self.stages, stage))

    def places(self) -> Places:
        """The place of each of its characters in the original; slow."""
        text, chain = self.original, []
        for stage in self.stages:
            edits, done, length = _Edits(), 0, 0
            pieces: list[str] = []
            for match in stage.pattern.finditer(text):
                start, end = match.span()
                new = stage.replace(match)
                pieces += text[done:start], new
                length += start - done
                edits.new_start.append(length)
                length += len(new)
                edits.new_end.append(length)
                edits.old_start.append(start)
                edits.old_end.append(end)
                done = end
            text = "".join([*pieces, text[done:]])
            chain.append(edits)
        return Places(text, self.original, tuple(reversed(chain)))


@dataclass(frozen=True)
class Places:
    """Where the characters of a reading are in the original."""

    text: str
    original: str
    _chain: tuple[_Edits, ...]  # last stage first

    def span(self, start: int, end: int, *, before: bool = False, after: bool = False) -> tuple[int, int]:
        """The part of the original that reads as text[start:end].

        Args:
            start: in the reading.
            end: in the reading, exclusive; start < end.
            before: also take what was removed before it, in the same line.
            after: also take what was removed after it, in the same line.
        """
        first, last = start, end
        for edits in self._chain:
            first, last = edits.start(first), edits.end(last)
        if before:
            reach = self._end(start) if start else 0
            first = min(first, max(reach, self.original.rfind("\n", 0, first) + 1))
        if after:
            reach = self._start(end) if end < len(self.text) else len(self.original)
            line = self.original.find("\n", last)
            last = max(last, min(reach, line) if line >= 0 else reach)
        return first, last

    def _start(self, position: int) -> int:
        for edits in self._chain:
            position = edits.start(position)
        return position

    def _end(self, position: int) -> int:
        for edits in self._chain:
            position = edits.end(position)
        return position


def readings(text: str, *, blanks: bool = False) -> Iterator[Reading]:
    """The readings of a text that differ from it: without escapes before characters, and with escapes decoded.

    Args:
        text: the original. Undecodable bytes in it may be surrogates, as `surrogateescape` leaves them.
        blanks: also read it without blanks, for secrets that contain some.
    """
    for level in levels(text):
        yield from squeezed(level, blanks=blanks)


def levels(text: str) -> Iterator[Reading]:
    """The text itself, and with one level of escapes decoded after the other; first without a dump's margins."""
    current = Reading(text, text, ())
    if "\b" in text:
        yield current.then(_OVERSTRIKE)
    if has_margins(text):
        yield current.then(_FRAME)
    for _ in range(_PASSES):
        yield current
        if not (("\\" in current.text or "%" in current.text or "&" in current.text) and _ESCAPE.search(current.text)):
            return
        current = current.then(_DECODE)
    yield current


def quoted_printable(text: str) -> Iterator[Reading]:
    """A text that mail encodes, decoded; nothing if it is certainly not."""
    if _QUOTED.search(text):
        yield Reading(_QUOTED_PRINTABLE(text), text, (_QUOTED_PRINTABLE,))


def squeezed(level: Reading, *, blanks: bool) -> Iterator[Reading]:
    """A level without escapes before characters, line breaks, indentation, quotes and control characters."""
    if "\x1b" in level.text:
        level = level.then(_COLOURS)
    # `=` before a line break belongs to the break, in quoted-printable, or to the secret
    for stage in (_SQUEEZE, _SQUEEZE_BREAKS) if _SOFT_BREAK.search(level.text) else (_SQUEEZE,):
        short = level.then(stage)
        if not short.text.isascii():
            short = short.then(_MERGE)
        if short.text != level.original:
            yield short
        if blanks:
            yield short.then(_BLANKS)


def uncoloured(text: str) -> str:
    """A text without colours and titles."""
    return _COLOURS(text) if "\x1b" in text else text


def hexadecimal(text: str) -> Iterator[Reading]:
    """The hexadecimal digits of a text, in small letters, without separators; in dumps, also without the margins."""
    yield Reading(_HEXADECIMAL(text), text, (_SMALL, _PREFIX, _HEXADECIMAL))
    if has_margins(text):
        framed = (_FRAME, _SMALL, _PREFIX, _HEXADECIMAL)
        yield Reading(_HEXADECIMAL(_FRAME(text)), text, framed)


def has_margins(text: str) -> bool:
    """Whether a text may be a dump of several lines, each with its offset."""
    return "0000" in text and _DUMPED.search(text) is not None


def _cells(match: re.Match[str]) -> str:
    """The bytes of a line of a dump: as characters, or as hexadecimal digits."""
    if match[1] is not None:
        return match[1]
    cells = match[2]
    margins = [cells.find(f" {first}") for first, last in ("||", "><") if cells.endswith(last)]
    cells = cells[: min((start for start in margins if 0 <= start < len(cells) - 2), default=None)].rstrip()
    if re.fullmatch(f"(?:{_CHARACTERS.pattern})+", cells):
        return _CHARACTERS.sub(lambda cell: cell[1] or _DECODE(cell[2] or f"\\{cell[3]}"), cells)
    words = cells.split()
    if all(re.fullmatch("[0-9a-fA-F]{4}", word) for word in words):  # two bytes, the last one first
        return "".join(f"{word[2:]}{word[:2]}" for word in words)
    if all(re.fullmatch("[01]?[0-7]{5}", word) for word in words):
        return "".join(int(word, 8).to_bytes(2, "little").hex() for word in words)
    return cells


def _decoded(match: re.Match[str]) -> str:
    group, code = match.lastindex or 0, match[match.lastindex or 0]
    if group == 1:
        return _NAMED.get(code, code)
    if group == _ENTITY:
        return html.unescape(code)
    number = int(code, 8 if group == _OCTAL else 16)
    if number >= _ASCII and group in _OF_BYTES:
        number += 0xDC00  # a byte, as `surrogateescape` has it
    return chr(number) if number <= sys.maxunicode else match[0]


def _merged(match: re.Match[str]) -> str:
    """The character of these bytes."""
    if "\ud800" <= match[0][0] <= "\udbff":  # a pair, as JSON writes it
        return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    raw = bytes(ord(letter) & 0xFF for letter in match[0])
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _merge(text: str) -> str:
    if text.isascii() or not (_PAIR.search(text) or _SURROGATE.search(text)):
        return text
    return _BYTES.sub(_merged, text)


def _squeeze(text: str) -> str:
    return _squeeze_breaks(_SOFT_BREAK.sub("", text))


def _squeeze_breaks(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    if any(blank in raw for blank in (b"\n ", b"\n\t", b"\r ", b"\r\t")):
        raw = _INDENT.sub(b"", raw)
    text = raw.translate(None, (_SIGNS + _CONTROLS).encode("ascii")).decode("utf-8", "surrogatepass")
    return text if text.isascii() else _WIDE.sub("", text)


_OTHERS = bytes(code for code in range(128) if not chr(code).isalnum()) + b"xX"
_LOWER = bytes(range(128)).lower() + bytes(range(128, 256))


def _hexadecimal(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    if b"0x" in raw or b"0X" in raw:
        raw = raw.replace(b"0x", b"").replace(b"0X", b"")
    return raw.translate(_LOWER, _OTHERS).decode("utf-8", "surrogatepass")


_MERGE = _Stage(_BYTES, _merged, _merge)
_DECODE = _Stage(_ESCAPE, _decoded)
_SQUEEZE = _Stage(re.compile(f"=?[\r\n][ \t]*|[{re.escape(_SIGNS + _CONTROLS)}{HIDDEN}]"), quick=_squeeze)
_SQUEEZE_BREAKS = _Stage(re.compile(_SQUEEZE.pattern.pattern.removeprefix("=?")), quick=_squeeze_breaks)
_QUOTED_PRINTABLE = _Stage(_QUOTED, lambda match: chr(code if (code := int(match[1], 16)) < _ASCII else code + 0xDC00))
_COLOURS = _Stage(re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"))  # and titles
#: What a reading leaves out between two characters of a secret (colours apart), as a pattern; with blanks; and between
#: two bytes. There is only one way to match a text: with two, the time would double with each character.
_NOT_BREAKS = re.escape((_SIGNS + _CONTROLS).replace("\r", "").replace("\n", "")) + HIDDEN
NOISE = rf"(?:=?[\r\n][ \t]*|[{_NOT_BREAKS}])*"
BLANK_NOISE = rf"(?:=?[\r\n]|[ \t{_NOT_BREAKS}])*"
DIGIT_NOISE = "(?:[^0-9A-Za-z]|0(?=[xX])|[xX])*"
#: A character that no reading has without blanks: a word with it is found only as it is.
NEVER_READ = re.compile(f"[ \t{re.escape(_SIGNS + _CONTROLS)}{HIDDEN}]")
#: What a reading leaves out.
LEFT_OUT = _SIGNS + _CONTROLS + " \t="
_OVERSTRIKE = _Stage(re.compile("(?:[^\n]\b)+(.)"), lambda match: match[1])  # bold and underlined, as for `less`
_BLANKS = _Stage(re.compile("[ \t]+"))
_FRAME = _Stage(_DUMPED, _cells)
_SMALL = _Stage(re.compile("[A-Z]"), lambda match: match[0].lower())
_PREFIX = _Stage(re.compile("0[xX]"))
_HEXADECIMAL = _Stage(re.compile(r"[\x00-/:-@\[-`{-\x7fxX]+"), quick=_hexadecimal)
