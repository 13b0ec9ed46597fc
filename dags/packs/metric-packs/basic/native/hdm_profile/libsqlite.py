"""The functions of the SQLite that Python has loaded, so that rows need not become Python objects."""

from __future__ import annotations

import ctypes
import struct
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

_READ_ONLY, _BY_URI, _OWN_THREAD = 0x1, 0x40, 0x8000  # SQLITE_OPEN_READONLY, _URI, _NOMUTEX
#: The functions in `struct hdm_sqlite` of hdm_profile.h, in its order.
FUNCTIONS = (
    *("sqlite3_step", "sqlite3_column_type", "sqlite3_column_int64", "sqlite3_column_double"),
    *("sqlite3_column_text", "sqlite3_column_bytes", "sqlite3_progress_handler"),
)


class LibraryError(Exception):
    """SQLite reported an error. Its text is left out, since it may quote the database."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.sqlite_errorname = f"SQLite {code}"


@cache
def library() -> ctypes.CDLL | None:
    """The SQLite that Python's own module has loaded; None if it is built into Python and cannot be reached.

    No other SQLite will do: two of them in one process release each other's locks.
    """
    for path in _candidates():
        try:
            found = ctypes.CDLL(path)
            found.sqlite3_open_v2, found.sqlite3_prepare_v2, found.sqlite3_progress_handler  # noqa: B018  # raises AttributeError if one is missing
        except (OSError, AttributeError):
            continue
        return found
    return None


class Connection:
    """A read-only connection to a file, for one thread.

    Args:
        path: an existing database.
        seconds: how long to wait for a lock.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        found = library()
        if found is None:
            raise LibraryError(0)
        self._library, self._handle = found, ctypes.c_void_p()
        uri = f"file:{quote(str(path))}?mode=ro".encode()
        try:
            self._check(
                found.sqlite3_open_v2(uri, ctypes.byref(self._handle), _READ_ONLY | _BY_URI | _OWN_THREAD, None)
            )
            found.sqlite3_busy_timeout(self._handle, int(seconds * 1000))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. Its statements must be closed already."""
        handle, self._handle = self._handle, ctypes.c_void_p()
        self._library.sqlite3_close_v2(handle)

    def execute(self, query: str) -> None:
        """Run a statement that returns no rows, such as BEGIN."""
        self._check(self._library.sqlite3_exec(self._handle, query.encode(), None, None, None))

    def prepare(self, query: str) -> Statement:
        """A statement whose rows a profile can read."""
        handle, text = ctypes.c_void_p(), query.encode()
        self._check(self._library.sqlite3_prepare_v2(self._handle, text, len(text), ctypes.byref(handle), None))
        return Statement(self._library, self._handle, handle)

    def _check(self, code: int) -> None:
        if code:
            raise LibraryError(code)


class Statement:
    """A prepared statement."""

    def __init__(self, functions: ctypes.CDLL, connection: Any, handle: Any) -> None:
        self._library, self.connection, self.handle = functions, connection, handle
        self.functions = _addresses()

    def __enter__(self) -> Statement:  # noqa: PYI034  # typing.Self came with 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.sqlite3_finalize(self.handle)


@cache
def _addresses() -> bytes:
    """A `struct hdm_sqlite`."""
    found = [ctypes.cast(getattr(library(), name), ctypes.c_void_p).value for name in FUNCTIONS]
    return struct.pack(f"{len(found)}P", *found)


def _candidates() -> list[str]:
    import _sqlite3

    found = [str(getattr(_sqlite3, "__file__", "") or "")]
    maps = Path("/proc/self/maps")
    if maps.exists():
        lines = maps.read_text("utf-8", "replace").splitlines()
        found += sorted({line.split()[-1] for line in lines if "/libsqlite3" in line})
    return [path for path in found if path]
