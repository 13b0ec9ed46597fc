"""Output: what a program prints, split into lines, masked, and logged up to a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from hdm_airflow.printable import coloured
from hdm_airflow.runner.masking import MASK, Masker, Span

LINE_LIMIT = 1 << 15  # bytes; the rest of a longer line is dropped, and the log says so
_SURE = 4  # characters of a secret's beginning: lines that end with so many wait for the next ones
_HALF = 8  # characters; if nothing follows, so many of a secret are masked
_HELD = 1 << 16  # characters that may wait; more are only blanks, breaks or quotes


class Output:
    """Logs the lines of one program; masks blocks of whole lines at once, which is faster than line by line.

    A secret may continue in the next line, which has not been read yet. So lines that end with the beginning of one
    wait until more output comes or the output ends; of any other line, a few characters are kept to compare.

    Args:
        log: called with each masked line, without its line end.
        mask: removes the secrets.
        limit: bytes that the log takes; the rest is counted and dropped. None for no limit.
    """

    def __init__(self, log: Callable[[str], None], mask: Masker, limit: int | None) -> None:
        self._log, self._mask = log, mask
        self._limit = limit
        self._room = math.inf if limit is None else limit  # bytes that may still be logged
        self._refused = 0  # bytes beyond the limit
        self._rest = b""  # the line without an end so far
        self._dropped = 0  # bytes of it beyond LINE_LIMIT
        self._kept = ""  # the end of the lines so far, if a secret may begin in it
        self._logged = 0  # how many characters of it the log has already got

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; they may end in the middle of a line, or be empty."""
        if not chunk:
            return
        if self._room < 0:
            self._refused += len(chunk)
            return
        self._room -= len(chunk)
        if self._room < 0:
            self._flush()
            self._log(f"the output is truncated here: the limit is {self._limit:,} bytes (limits.output)")
            self._refused += len(chunk)
            return
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._grow(chunk)
            return
        first, _, others = head.partition(b"\n")
        if self._dropped or len(self._rest) + len(first) > LINE_LIMIT:
            self._grow(first)
            self._end_line()
            if others or b"\n" in head:
                self._take(others)
        else:
            rest, self._rest = self._rest, b""
            self._take(rest + head)
        self._grow(tail)

    def refuse(self, reason: str) -> None:
        """Drop and count what follows; the log says why."""
        if self._room >= 0:
            self._room = -1
            self._log(f"the output is truncated here: {reason}")

    def close(self) -> None:
        """Log a last line without a line end, and how much was dropped."""
        self._flush()
        if self._refused:
            self._log(f"{self._refused:,} bytes of output were dropped")

    def _grow(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._rest)
        self._rest += piece[:room]
        self._dropped += max(0, len(piece) - room)

    def _flush(self) -> None:
        if self._rest or self._dropped:
            self._end_line()
        self._release(_HALF)

    def _end_line(self) -> None:
        if self._dropped:
            self._put(self._shortened())
        else:
            rest, self._rest = self._rest, b""
            self._take(rest)

    def _shortened(self) -> str:
        """What is kept, and the part of a too long line that is logged."""
        text = self._kept + self._rest.decode("utf-8", "surrogateescape")
        masked = _masked(text, self._mask.spans(text), self._logged, len(text))
        dropped, self._rest, self._dropped, self._kept, self._logged = self._dropped, b"", 0, "", 0
        before, newline, line = masked.rpartition("\n")
        # the cut may be inside a secret: drop what could be its beginning
        line = line[: max(0, len(line) - self._mask.longest)]
        return f"{before}{newline}{line} ... [{dropped:,} bytes of this line dropped]\n"

    def _take(self, block: bytes) -> None:
        """Log lines, except the last ones if a secret may begin in them that the next lines continue."""
        text = f"{self._kept}{block.decode('utf-8', 'surrogateescape')}\n"
        spans, heads = self._mask.spans(text), self._mask.heads(text)
        sure = min((start for start, length in heads if length >= _SURE), default=len(text))
        end = text.rfind("\n", 0, sure) + 1 if sure < len(text) else len(text)
        keep = min((end, *(start for start, _ in heads)))
        for start, stop in reversed(spans):
            if start < end < stop:
                end = text.rfind("\n", 0, start) + 1
            if start < keep < stop or end < keep:
                keep = min(start, end)
        end = max(end, self._logged)
        self._put(_masked(text, spans, self._logged, end))
        self._kept, self._logged = text[keep:], end - keep
        if len(self._kept) > _HELD:
            self._release(_SURE)

    def _release(self, least: int) -> None:
        """Log what is kept; mask the beginning of a secret if it has so many characters."""
        text, logged, self._kept, self._logged = self._kept, self._logged, "", 0
        if logged < len(text):
            halves = [(start, len(text) - 1) for start, length in self._mask.heads(text) if length >= least]
            self._put(_masked(text, [*self._mask.spans(text), *halves], logged, len(text)))

    def _put(self, text: str) -> None:
        """Log whole lines."""
        if not text:
            return
        if not text.isascii():
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        lines = text[:-1].split("\n")
        if "".join(lines).isprintable():
            for line in lines:
                self._log(line)
        else:
            for line in lines:
                self._log(coloured(line.rstrip("\r")))


def _masked(text: str, spans: Iterable[Span], begin: int, end: int) -> str:
    """text[begin:end] without secrets; a secret of several lines leaves as many."""
    pieces: list[str] = []
    done = begin
    for start, stop in sorted(spans):
        start, stop = max(start, done), min(stop, end)  # noqa: PLW2901  # only this part of it is logged now
        if start < stop:
            lines = text[start:stop].split("\n")
            pieces += text[done:start], "\n".join(MASK if line.strip() else line for line in lines)
            done = stop
    return "".join([*pieces, text[done:end]])
