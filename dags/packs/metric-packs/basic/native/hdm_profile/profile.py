"""The profile of one table, from its first row to its statistics."""

from __future__ import annotations

import ctypes
import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hdm_profile import labels, libpq, libsqlite
from hdm_profile.engine import ENGINE, ENGINE_WITH_LOCK, LEVELS, PYTHON
from hdm_profile.failures import NO_MEMORY, ProfileError
from hdm_profile.kinds import DECIMAL, TEXT
from hdm_profile.stats import LAYOUT, Stats, unpacked

MOST_LEVELS = 5_000  # of a column whose `frequencies` are kept
NEVER = 2**63 - 1  # as `future`: no date lies in the future

_SECRET = secrets.token_bytes(32)  # nobody can construct texts whose hashes collide, or guess texts by hashes on disk


class Spec(NamedTuple):
    """A column to profile."""

    kind: int
    wire: int
    future: int = NEVER  # from when on dates lie in the future; days (DATE) or microseconds (DATETIME) since 2000-01-01
    single: bool = False  # FLOAT: values of 32 bits
    decimal: bool = False  # FLOAT: decimals of at most 15 digits, which doubles tell apart


class Profile:
    """The profile of one table.

    Args:
        specs: its columns, in the order of the rows.
        memory: bytes for levels and keys. Beyond it, keys go to an unnamed file in `folder`; texts only as hashes.
        folder: for that file.

    Raises:
        ProfileError: if there is not enough memory for the columns.
    """

    def __init__(self, specs: Sequence[Spec], *, memory: int, folder: str) -> None:
        self._specs = specs
        self._handle = ENGINE.hdm_new(
            len(specs),
            bytes(spec.kind for spec in specs),
            bytes(spec.wire for spec in specs),
            struct.pack(f"{len(specs)}q", *(spec.future for spec in specs)),
            memory,
            folder.encode(),
            _SECRET,
        )
        if not self._handle:
            raise ProfileError(NO_MEMORY)
        self._is_closed = False
        self._stats: list[Stats] | None = None

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle:
            ENGINE.hdm_free(handle)

    def close(self) -> None:
        """Release memory and file. Afterwards only `rows`, `bytes_read` and `stop` can be used."""
        self._is_closed = True
        ENGINE.hdm_close(self._handle)

    @property
    def rows(self) -> int:
        """The rows received so far."""
        return int(ENGINE_WITH_LOCK.hdm_rows(self._handle))

    @property
    def bytes_read(self) -> int:
        """The bytes received so far; of SQLite and of objects, about the size of the values."""
        return int(ENGINE_WITH_LOCK.hdm_bytes(self._handle))

    def stop(self) -> None:
        """Make the thread that fills the profile end soon, with a ProfileError."""
        ENGINE_WITH_LOCK.hdm_stop(self._handle)

    def copy(self, connection: Any) -> None:
        """Read a COPY that a psycopg `pgconn` has begun, to its end. The caller asks for its result afterwards.

        Raises:
            ProfileError: if the rows are malformed, the profile was stopped, or memory or disk is full.
        """
        functions = libpq.functions()
        if functions is not None:
            self._check(ENGINE.hdm_drain_copy(self._filling(), connection.pgconn_ptr, *functions))
            return
        while True:
            length, message = connection.get_copy_data(0)
            if length <= 0:
                return
            self.feed_copy(message)

    def feed_copy(self, chunk: Any) -> None:
        """Add part of what COPY sends, cut off anywhere.

        Raises:
            ProfileError: if `copy` would.
        """
        self._check(ENGINE.hdm_feed_copy(self._filling(), bytes(chunk), len(chunk)))

    def feed_mysql(self, chunk: bytes) -> None:
        """Add part of the packets in which MySQL sends a result's rows, cut off anywhere.

        Raises:
            ProfileError: if `copy` would; with SERVER_ERROR and its `code` if the server ended the rows with an error.
        """
        self._check(ENGINE.hdm_feed_mysql(self._filling(), chunk, len(chunk)))

    def feed_rows(self, rows: list[tuple[Any, ...]]) -> None:
        """Add some rows of integers, floats, texts, bytes and None.

        Raises:
            ProfileError: if `copy` would.
        """
        self._check(ENGINE_WITH_LOCK.hdm_feed_rows(self._filling(), PYTHON, rows))

    def drain_sqlite(self, statement: libsqlite.Statement, seconds: float) -> None:
        """Add all rows of a statement.

        Raises:
            ProfileError: if `copy` would; with SERVER_ERROR and SQLite's `code`, or STOPPED after `seconds`.
        """
        self._check(
            ENGINE.hdm_drain_sqlite(
                self._filling(), statement.functions, statement.connection, statement.handle, seconds
            )
        )

    @property
    def has_ended(self) -> bool:
        """Whether the rows of PostgreSQL or MySQL have reached their end mark."""
        return bool(ENGINE.hdm_ended(self._open()))

    def finish(self) -> list[Stats]:
        """The statistics of every column. No rows can be added afterwards.

        Raises:
            ProfileError: if `copy` would, or if an earlier call did.
        """
        if self._stats is not None:
            return self._stats
        size = LAYOUT.size * len(self._specs)
        buffer = ctypes.create_string_buffer(size)
        self._check(ENGINE.hdm_finish(self._open(), buffer))
        self._stats = unpacked(buffer.raw[:size])
        return self._stats

    def frequencies(self, index: int) -> dict[str, int] | None:
        """The levels of a column as text, with their frequencies, after `finish`.

        Returns: None if there are more than MOST_LEVELS, or too many for `memory`, or if one of them is free text.
        """
        if self._stats is None:
            raise ValueError("call finish first")
        levels, texts = LEVELS(), ctypes.c_void_p()
        count = ENGINE.hdm_levels(
            self._open(), range(len(self._specs))[index], ctypes.byref(levels), ctypes.byref(texts)
        )
        if count < 0 or count > MOST_LEVELS:
            return None
        found: dict[str, int] = {}
        for text, frequency in self._levels(self._specs[index], count, levels, texts.value or 0):
            found[text] = found.get(text, 0) + frequency  # SQLite may hold 1 and '1'
        return found

    def _levels(self, spec: Spec, count: int, levels: Any, texts: int) -> Iterator[tuple[str, int]]:
        if spec.kind in {TEXT, DECIMAL}:
            for i in range(count):
                level = levels[i]
                raw = ctypes.string_at(texts + level.label, level.length)
                yield raw.decode("utf-8", "replace"), level.count
            return
        shown = labels.of(spec.kind, single=spec.single, decimal=spec.decimal)
        for i in range(count):
            yield shown(levels[i].hi), levels[i].count

    def _filling(self) -> Any:
        """The handle, while rows can be added."""
        if self._stats is not None:
            raise ValueError("the profile is finished")
        return self._open()

    def _open(self) -> Any:
        if self._is_closed:
            raise ValueError("the profile is closed")
        return self._handle

    def _check(self, failure: int) -> None:
        if failure:
            raise ProfileError(failure, ENGINE.hdm_code(self._handle))
