"""Report: what a pack reports, as JSON lines that it appends to a file while it runs."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hdm_airflow.printable import printable
from hdm_airflow.runner.masking import Masker

Status = Literal["ok", "partial", "failed", "skipped"]
_STATUSES = ("ok", "partial", "failed", "skipped")
#: Bytes; a longer line is invalid.
LINE_LIMIT = 1 << 20
#: Bytes; the rest of a longer report is not read.
REPORT_LIMIT = 1 << 26
#: Stands for all objects in `incomplete`.
EVERYTHING = "*"
_CHUNK = 1 << 12  # bytes between two looks at the clock; all may be line ends
_STEP = 0.05  # seconds per call: a pack that writes faster than we read must not stop the clock
_CHUNKS = 1 << 10  # per call
_PROBLEMS = 20  # further ones are only counted
_MESSAGE_LIMIT = 1_000  # characters
_MASKED = 1 << 14  # characters of a text that are searched for secrets; no message is shown to their end
_STARTS = (b"{", b"\xef")  # first bytes of a valid line: an object, perhaps after a byte order mark


@dataclass(frozen=True, kw_only=True)
class Report:
    """A pack's last report on one endpoint."""

    status: Status
    message: str = ""
    metrics: int | None = None
    alerts: int | None = None
    incomplete: tuple[str, ...] = ()  # names of objects; EVERYTHING: all
    version: str | None = None  # of the database, as the pack read it from there


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress as reported by the pack."""

    share: float  # 0-1
    message: str = ""


@dataclass
class Reports:
    """Everything read so far."""

    endpoints: dict[str, Report] = field(default_factory=dict)  # slug -> last report
    progress: Progress | None = None
    problems: list[str] = field(default_factory=list)  # the first invalid lines, and what is wrong with them
    dropped: int = 0  # number of further invalid lines

    @property
    def silent(self) -> bool:
        """Whether the pack reported nothing on any endpoint, not even an invalid line."""
        return not (self.endpoints or self.problems)

    @property
    def warnings(self) -> list[str]:
        """What is wrong with invalid lines, for the log."""
        more = [f"... and {self.dropped} more bad report lines"] if self.dropped else []
        return [f"warning: {problem}" for problem in self.problems] + more


class ReportReader:
    """Reads the report file as it grows. Invalid lines are counted and named, never fatal.

    Args:
        path: the report file; created empty, with mode 0600.
        slugs: the endpoints of this run.
        mask: removes the secrets from every text, before its white space is collapsed.
    """

    def __init__(self, path: Path, slugs: frozenset[str], mask: Masker) -> None:
        self.path = path
        self.slugs = slugs
        self.mask = mask
        self.reports = Reports()
        self._full = self._overlong = False
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._begin()

    def poll(self) -> Reports:
        """Read what was written since the last call, for a short time."""
        self._read_step()
        return self.reports

    def close(self, *, go_on: Callable[[], bool] = lambda: True) -> Reports:
        """Read the rest, including a last line without a line end, and close the file.

        If the file is not read to its end, an unread line may withdraw a report: then no endpoint counts as reported
        ok.

        Args:
            go_on: called several times a second; whether there is time for more. An error from it ends the reading.
        """
        ended = False
        try:
            while not (ended := self._read_step()) and go_on():
                pass
        finally:  # an error from `go_on` also leaves lines unread
            if not ended:
                self._cut("there was no time to read the report to its end")
            elif self._rest or self._overlong:
                self._end_of_line(b"")
            os.close(self._descriptor)
        return self.reports

    def _read_step(self) -> bool:
        """Read for a short time; return whether the end was reached."""
        enough = time.monotonic() + _STEP
        for _ in range(_CHUNKS):
            if not self._read_chunk() and not self._follow():
                return True
            if time.monotonic() > enough:
                break
        return False

    def _read_chunk(self) -> bool:
        """Read a piece; return whether there was something to read."""
        if self._full:
            return False
        chunk = os.pread(self._descriptor, _CHUNK, self._position)
        if chunk and self._position >= REPORT_LIMIT:
            self._full = True
            self._cut(f"the report is longer than {REPORT_LIMIT:,} bytes; the rest is not read")
            return False
        self._position += len(chunk)
        *lines, rest = chunk.split(b"\n")
        if lines:
            self._end_of_line(lines[0])
            for line in lines[1:]:
                self._take_line(line)
        self._grow(rest)
        return bool(chunk)

    def _begin(self) -> None:
        self._position, self._line, self._rest = 0, 0, bytearray()
        self._overlong = self._full = False

    def _follow(self) -> bool:
        """Start again if the pack rewrote the file or replaced it with another one; return whether it did."""
        known = os.fstat(self._descriptor)
        if known.st_size < self._position:
            self._begin()
            self._problem("the pack rewrote the report file; it is read again from its start")
            return True
        try:
            other = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # removed or unreadable: keep what was read
            return False
        found = os.fstat(other)
        if not stat.S_ISREG(found.st_mode) or os.path.samestat(known, found):
            os.close(other)
            return False
        os.close(self._descriptor)
        self._descriptor = other
        self._begin()
        self._problem("the pack replaced the report file; it is read again from its start")
        return True

    def _cut(self, reason: str) -> None:
        """Note that the rest is not read. It may withdraw any report, so none counts until it is repeated."""
        self._problem(reason)
        for slug, report in self.reports.endpoints.items():
            self.reports.endpoints[slug] = replace(report, status="failed", message=reason)

    def _grow(self, piece: bytes) -> None:
        if self._overlong:
            return
        self._rest += piece
        if len(self._rest) > LINE_LIMIT:
            self._rest, self._overlong = bytearray(), True

    def _end_of_line(self, piece: bytes) -> None:
        self._grow(piece)
        line, overlong = self._rest, self._overlong
        self._rest, self._overlong = bytearray(), False
        if overlong:
            self._line += 1
            self._problem(f"the line is longer than {LINE_LIMIT:,} bytes")
        else:
            self._take_line(line)

    def _take_line(self, line: bytes | bytearray) -> None:
        self._line += 1
        start = line.lstrip()[:1]
        if not start:
            return
        if start not in _STARTS and len(self.reports.problems) >= _PROBLEMS:  # certainly invalid, and only counted
            self.reports.dropped += 1
            return
        try:
            self._take_value(json.loads(line.decode("utf-8-sig")))
        except (ValueError, RecursionError):
            self._problem("the line is not JSON")

    def _take_value(self, value: object) -> None:
        if not isinstance(value, dict):
            self._problem("the line is not a JSON object")
        elif "endpoint" in value:
            self._take_endpoint(value)
        elif "progress" in value:
            self._take_progress(value)
        else:
            self._problem("the line has neither endpoint nor progress")

    def _take_endpoint(self, value: dict[str, Any]) -> None:
        slug, status = value["endpoint"], value.get("status")
        if not isinstance(slug, str) or slug not in self.slugs:
            self._problem("the endpoint is not part of this run")
            return
        if status not in _STATUSES:
            self._problem(f"the status is not one of {', '.join(_STATUSES)}")
            return
        incomplete = value.get("incomplete")
        names = self._names(incomplete) if isinstance(incomplete, list) else ()
        self.reports.endpoints[slug] = Report(
            status=status,
            message=self._text(value.get("message")),
            metrics=_count(value.get("metrics")),
            alerts=_count(value.get("alerts")),
            incomplete=names,
            version=self._text(value.get("version"))[:64] or None,
        )

    def _take_progress(self, value: dict[str, Any]) -> None:
        share = value["progress"]
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            self._problem("progress is not a number from 0 to 1")
        else:
            self.reports.progress = Progress(share=float(share), message=self._text(value.get("message")))

    def _names(self, values: list[object]) -> tuple[str, ...]:
        """The names as they are, for they are compared; EVERYTHING too if the ledger must hold another form of one.

        They are searched for secrets all at once, because a line may hold 300,000.
        """
        texts = [text for text in map(_plain, values) if text and not text.isspace()]
        together = "\n".join(texts)
        clean = self.mask(together) == together
        names = [self._name(text, clean=clean) for text in texts]
        return tuple(name for name in names if name) + ((EVERYTHING,) if names != texts else ())

    def _name(self, text: str, *, clean: bool) -> str:
        fits = len(text) <= _MESSAGE_LIMIT and printable(text) == text
        return text if fits and (clean or self.mask(text) == text) else self._text(text)

    def _text(self, value: object) -> str:
        """The value as one masked line; a text of a megabyte is cut first, and loses what the cut may have spared."""
        text = _plain(value)
        room = _MASKED + self.mask.longest
        masked = self.mask(text[:room])
        return _one_line(masked if len(text) <= room else masked[: max(0, len(masked) - self.mask.longest)])

    def _problem(self, reason: str) -> None:
        if len(self.reports.problems) < _PROBLEMS:
            self.reports.problems.append(f"report line {self._line}: {reason}")
        else:
            self.reports.dropped += 1


def _plain(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    """The text as one line that databases store and terminals show: without control characters."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return printable(" ".join(text.split()))[:_MESSAGE_LIMIT]


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if is_count else None  # type: ignore[return-value]  # narrowed in two steps
