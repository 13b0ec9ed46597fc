"""Report: what a pack reports, as JSON lines that it appends to a file while it runs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hdm_airflow.printable import printable

Status = Literal["ok", "partial", "failed", "skipped"]
_STATUSES = ("ok", "partial", "failed", "skipped")
#: Bytes; a longer line is invalid.
LINE_LIMIT = 1 << 20
#: Bytes; the rest of a longer report is not read.
REPORT_LIMIT = 1 << 26
_CHUNK = 1 << 16
_CHUNKS = 64  # per call: a pack that writes faster than we read must not stop the clock
_PROBLEMS = 20  # further ones are only counted
_MESSAGE_LIMIT = 1_000  # characters


@dataclass(frozen=True, kw_only=True)
class Report:
    """A pack's last report on one endpoint."""

    status: Status
    message: str = ""
    metrics: int | None = None
    alerts: int | None = None
    incomplete: tuple[str, ...] = ()
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


class ReportReader:
    """Reads the report file as it grows. Invalid lines are counted and named, never fatal.

    Args:
        path: the report file; created empty, with mode 0600.
        slugs: the endpoints of this run.
        mask: removes the secrets from every text, before it is cut or its white space is collapsed.
    """

    def __init__(self, path: Path, slugs: frozenset[str], mask: Callable[[str], str]) -> None:
        self.path = path
        self.slugs = slugs
        self.mask = mask
        self.reports = Reports()
        self._full = self._overlong = False
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._begin()

    def poll(self) -> Reports:
        """Read what was written since the last call."""
        self._follow()
        for _ in range(_CHUNKS):
            if not self._read_chunk():
                break
        return self.reports

    def close(self) -> Reports:
        """Read the rest, including a last line without a line end, and close the file."""
        try:
            self._follow()
            while self._read_chunk():
                pass
            if self._rest or self._overlong:
                self._end_of_line(b"")
        finally:
            os.close(self._descriptor)
        return self.reports

    def _read_chunk(self) -> bool:
        """Read a piece; return whether there was more to read."""
        if self._position >= REPORT_LIMIT:
            if not self._full:
                self._full = True
                self._problem(f"the report is longer than {REPORT_LIMIT:,} bytes; the rest is not read")
            return False
        chunk = os.pread(self._descriptor, _CHUNK, self._position)
        self._position += len(chunk)
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._end_of_line(line)
        self._grow(rest)
        return bool(chunk)

    def _begin(self) -> None:
        self._position, self._line, self._rest = 0, 0, b""
        self._overlong = self._full = False

    def _follow(self) -> None:
        """Start again if the pack rewrote the file or replaced it with another one."""
        known = os.fstat(self._descriptor)
        try:
            other = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # removed or unreadable: keep what was read
            other = self._descriptor
        found = os.fstat(other)
        if stat.S_ISREG(found.st_mode) and not os.path.samestat(known, found):
            os.close(self._descriptor)
            self._descriptor = other
            self._begin()
            self._problem("the pack replaced the report file; it is read again from its start")
        elif other != self._descriptor:
            os.close(other)
        if os.fstat(self._descriptor).st_size < self._position:
            self._begin()
            self._problem("the pack rewrote the report file; it is read again from its start")

    def _grow(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) > LINE_LIMIT:
            self._rest, self._overlong = b"", True

    def _end_of_line(self, piece: bytes) -> None:
        self._grow(piece)
        line, overlong = self._rest, self._overlong
        self._rest, self._overlong = b"", False
        self._line += 1
        if overlong:
            self._problem(f"the line is longer than {LINE_LIMIT:,} bytes")
        elif line.strip():
            self._take(line)

    def _take(self, line: bytes) -> None:
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
        names = tuple(self._text(name) for name in incomplete) if isinstance(incomplete, list) else ()
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

    def _text(self, value: object) -> str:
        """The value as one masked line that databases store and terminals show: without control characters."""
        if value is None:
            return ""
        text = self.mask(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
        return printable(" ".join(text.split()))[:_MESSAGE_LIMIT]

    def _problem(self, reason: str) -> None:
        if len(self.reports.problems) < _PROBLEMS:
            self.reports.problems.append(f"report line {self._line}: {reason}")
        else:
            self.reports.dropped += 1


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if is_count else None  # type: ignore[return-value]  # narrowed in two steps
