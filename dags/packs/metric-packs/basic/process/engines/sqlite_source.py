"""The source of SQLite's rows: SQLite's own library or, if it cannot be found, Python's module."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from hdm_profile import libsqlite

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from hdm_profile import Profile

FETCH_ROWS = 500  # rows that Python fetches at once
CHECK_STEPS = 20_000  # of SQLite's virtual machine, between two checks of the time limit


class Source:
    """One state of a file, for several queries.

    Args:
        path: of an existing database.
        lock_seconds: how long to wait for a lock.
    """

    def __init__(self, path: Path, lock_seconds: float) -> None:
        self._library: libsqlite.Connection | None = None
        self._python: sqlite3.Connection | None = None
        if libsqlite.library() is not None:
            self._library = libsqlite.Connection(path, lock_seconds)
            self._library.execute("BEGIN")
        else:
            uri = path.as_uri() + "?mode=ro"
            self._python = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=lock_seconds)
            # SQLite accepts texts that are not valid UTF-8; Python's module would raise an error.
            self._python.text_factory = lambda raw: raw.decode("utf-8", "replace")
            self._python.execute("BEGIN")

    def __enter__(self) -> Source:  # noqa: PYI034  # typing.Self came with 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in (self._library, self._python):
            if connection is not None:
                connection.close()

    def fill(self, profile: Profile, query: str, seconds: float) -> None:
        """Hand a query's rows to a profile.

        Raises: ProfileError, or libsqlite.LibraryError or sqlite3.Error if the query fails.
        """
        if self._library is not None:
            with self._library.prepare(query) as statement:
                profile.drain_sqlite(statement, seconds)
        if self._python is not None:
            end = time.monotonic() + seconds
            self._python.set_progress_handler(lambda: time.monotonic() > end, CHECK_STEPS)
            cursor = self._python.execute(query)
            while rows := cursor.fetchmany(FETCH_ROWS):
                profile.feed_rows(rows)
