"""Output: what a program prints, split into lines, masked, and logged up to a limit."""

from __future__ import annotations

import math
from collections.abc import Callable

from hdm_airflow.runner.masking import Masker

LINE_LIMIT = 1 << 15  # bytes; the rest of a longer line is dropped, and the log says so


class Output:
    """Logs the lines of one program; masks blocks of whole lines at once, which is faster than line by line.

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

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; they may end in the middle of a line, or be empty."""
        if not chunk:
            return
        if self._room < 0:
            self._refused += len(chunk)
            return
        self._room -= len(chunk)
        if self._room < 0:
            self._log(f"the output is truncated here: the limit is {self._limit:,} bytes (limits.output)")
            self._refused += len(chunk)
            return
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._grow(chunk)
            return
        first, _, others = head.partition(b"\n")
        self._grow(first)
        self._flush()
        if others or b"\n" in head:
            self._emit(others)
        self._grow(tail)

    def close(self) -> None:
        """Log a last line without a line end, and how much was dropped."""
        if self._rest or self._dropped:
            self._flush()
        if self._refused:
            self._log(f"{self._refused:,} bytes of output were dropped")

    def _grow(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._rest)
        self._rest += piece[:room]
        self._dropped += max(0, len(piece) - room)

    def _flush(self) -> None:
        if self._dropped:
            self._log(self._shortened())  # not bound to a name: the logger makes enough copies of a long text
        else:
            rest, self._rest = self._rest, b""
            self._emit(rest)

    def _shortened(self) -> str:
        """The part of a too long line that is logged."""
        text = self._mask(self._rest.decode("utf-8", "replace"))
        dropped, self._rest, self._dropped = self._dropped, b"", 0
        # the cut may be inside a secret: drop what could be its beginning
        return f"{text[: max(0, len(text) - self._mask.longest)]} ... [{dropped:,} bytes of this line dropped]"

    def _emit(self, block: bytes) -> None:
        for line in self._mask(block.decode("utf-8", "replace")).split("\n"):
            self._log(line.rstrip("\r"))
