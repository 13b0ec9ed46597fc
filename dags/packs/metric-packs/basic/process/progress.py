"""The progress of a run: tables, rows, speed, time left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import hdm
    from hdm_profile import Profile
    from tables import Table

UNKNOWN_BYTES = 1 << 20  # assumed if a size is unknown, as for views
TABLE_BYTES = 1 << 16  # the cost of an empty table
MIN_INTERVAL, MAX_INTERVAL = 1.0, 15.0  # seconds between two reports; long runs report less often
MIN_SHARE = 0.02  # below it, the time left is not reported


class Progress:
    """The progress of one run over its endpoints; threads may share it."""

    def __init__(self, run: hdm.Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._started = self._reported = time.monotonic()
        self._planned: dict[str, int] = {}  # weight of each endpoint's tables, by slug
        self._weights_done: dict[str, int] = {}
        self._endpoints_done = 0
        self._tables = self._tables_done = 0
        self._rows = self._bytes = 0  # of finished profiles
        self._active: dict[int, Profile] = {}  # by thread

    def plan(self, slug: str, tables: Iterable[Table]) -> None:
        """Add an endpoint's tables to the total."""
        with self._lock:
            weights = [_weight(table) for table in tables]
            self._planned[slug] = sum(weights)
            self._tables += len(weights)

    def watch(self, profile: Profile) -> None:
        """Count the rows of this profile, which the calling thread fills now instead of its previous one."""
        self.leave()
        with self._lock:
            self._active[threading.get_ident()] = profile

    def leave(self) -> None:
        """Add the calling thread's profile to the finished ones."""
        with self._lock:
            profile = self._active.pop(threading.get_ident(), None)
            if profile is not None:
                self._rows += profile.rows
                self._bytes += profile.bytes_read

    def table_done(self, slug: str, table: Table) -> None:
        """Count a table as done, whether it was measured or not."""
        with self._lock:
            self._tables_done += 1
            self._weights_done[slug] = self._weights_done.get(slug, 0) + _weight(table)

    def endpoint_done(self, slug: str) -> None:
        """Count an endpoint as done."""
        with self._lock:
            self._endpoints_done += 1
            self._planned.pop(slug, None)

    def report_if_due(self) -> None:
        """Report the progress, unless the last report is too recent."""
        now = time.monotonic()
        with self._lock:
            if now - self._reported < min(max(MIN_INTERVAL, (now - self._started) / 20), MAX_INTERVAL):
                return
            self._reported = now
            share, message = self._share(), self._message(now - self._started)
        self._run.progress(share, message)

    def _share(self) -> float:
        begun = sum(self._weights_done.get(slug, 0) / weight for slug, weight in self._planned.items() if weight)
        return (self._endpoints_done + begun) / max(1, len(self._run.endpoints))

    def _message(self, seconds: float) -> str:
        rows = self._rows + sum(profile.rows for profile in self._active.values())
        read = self._bytes + sum(profile.bytes_read for profile in self._active.values())
        parts = [f"{self._tables_done} of {self._tables} tables", f"{rows:,} rows", f"{read / 1e6 / seconds:.1f} MB/s"]
        if len(self._run.endpoints) > 1:
            parts.insert(0, f"{self._endpoints_done} of {len(self._run.endpoints)} endpoints")
        share = self._share()
        if share >= MIN_SHARE:
            parts.append(f"about {_duration(seconds * (1 - share) / share)} left")
        return ", ".join(parts)


def _weight(table: Table) -> int:
    return TABLE_BYTES + (UNKNOWN_BYTES if table.bytes is None else table.bytes)


def _duration(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004  # up to a minute and a half is shown in seconds
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004  # an hour and a half
