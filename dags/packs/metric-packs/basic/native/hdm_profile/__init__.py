"""Exact statistics of the columns of a table whose rows pass by once, in bounded memory.

    profile = Profile([Spec(INTEGER, PG_INT8), Spec(TEXT, PG_TEXT)], memory=1 << 29, folder=tempfile.gettempdir())
    profile.copy(connection.pgconn)     # what COPY ... TO STDOUT (FORMAT binary) sends
    for stats in profile.finish():
        ...

The work is done by the C library beside this file, without Python's lock. One profile belongs to one thread; only
`rows`, `bytes_read` and `stop` are for others, too.
"""

from __future__ import annotations

import ctypes
import math
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hdm_profile import labels, libpq, libsqlite

# What a column holds: the numbers of profile.h.
OPAQUE, INTEGER, UNSIGNED, FLOAT, DECIMAL, TEXT, DATE, DATETIME, TIME = range(9)
# How PostgreSQL sends it: the numbers of postgres.c.
PG_OPAQUE, PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_OID, PG_FLOAT4, PG_FLOAT8, PG_NUMERIC = range(9)
PG_TEXT, PG_BPCHAR, PG_UUID, PG_DATE, PG_TIMESTAMP, PG_TIME, PG_TIMETZ = range(9, 16)
# How MySQL sends it (mysql.c), and what SQLite is to hold (variant.c).
MY_OPAQUE, MY_INTEGER, MY_UNSIGNED, MY_FLOAT, MY_DECIMAL, MY_TEXT, MY_BIT, MY_DATE, MY_DATETIME, MY_TIME = range(10)
ANY_OPAQUE, ANY_INTEGER, ANY_FLOAT, ANY_TEXT, ANY_DATE, ANY_DATETIME, ANY_TIME = range(7)

MOST_LEVELS = 5_000  # of a column whose frequencies can be asked for
NEVER = 2**63 - 1  # no date lies in the future

FINE, NO_MEMORY, NO_DISK, MALFORMED, STOPPED, SERVER_ERROR = range(6)
_REASONS = {
    NO_MEMORY: "there is no memory left for it",
    NO_DISK: "the folder for temporary files is full or cannot be written",
    MALFORMED: "the server sent what is no row of this table",
    STOPPED: "it was stopped",
}


class ProfileError(Exception):
    """A table could not be read to its end; the message holds no value."""

    def __init__(self, failure: int, code: int = 0) -> None:
        super().__init__(_REASONS.get(failure) or f"the server ended it with error {code}")
        self.failure = failure
        self.code = code  # SERVER_ERROR: its number


class Spec(NamedTuple):
    """One column to come."""

    kind: int
    wire: int
    future: int = NEVER  # dates: days, datetimes: microseconds since 2000-01-01, from which on they lie in the future
    single: bool = False  # FLOAT: of 32 bits
    decimal: bool = False  # FLOAT: decimals of at most 15 digits, which a double tells apart


class Stats(NamedTuple):
    """What is known of one column. Lengths are characters, blanks are U+0020."""

    values: int  # not null
    levels: int  # distinct values; 0 for OPAQUE
    first: int  # frequency of the most frequent value, of the second, of the third; 0: there is none
    second: int
    third: int
    finite: int  # numbers: neither NaN nor infinite, nor beyond a double; the following are about these
    zeros: int
    negatives: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    deviation: float | None  # of a sample; None below two values
    median: float | None  # like p01 and p99 interpolated, as SQL's percentile_cont
    p01: float | None
    p99: float | None
    earliest: int | None  # days (DATE) or microseconds (DATETIME) since 2000-01-01, within the years 1 to 9999
    latest: int | None
    future: int
    shortest: int | None
    longest: int | None
    mean_length: float | None
    empty: int
    blanks: int  # the most blanks in one value
    misfits: int  # SQLite: values that are not of the column's kind, and counted in `classes` only
    classes: tuple[int, int, int, int]  # SQLite: integers, reals, texts, blobs


class _Slot(ctypes.Structure):
    _fields_ = (
        ("hi", ctypes.c_uint64),
        ("lo", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("label", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


class _Live(ctypes.Structure):
    """The beginning of a profile."""

    _fields_ = (("rows", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("stop", ctypes.c_uint32))


_LIBRARY = Path(__file__).with_name("_engine.so")
_STATS = struct.Struct("@8Q7d2q6Q5Q")
_SLOT = ctypes.POINTER(_Slot)
_HANDLE = ctypes.POINTER(_Live)


def _load() -> ctypes.CDLL:
    engine = ctypes.CDLL(str(_LIBRARY))
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "hdm_new": (_HANDLE, [ctypes.c_uint32, *[ctypes.c_void_p] * 4, ctypes.c_uint64, *[ctypes.c_char_p] * 2]),
        "hdm_close": (None, [_HANDLE]),
        "hdm_free": (None, [_HANDLE]),
        "hdm_finish": (ctypes.c_uint32, [_HANDLE, ctypes.c_void_p]),
        "hdm_levels": (ctypes.c_int64, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]),
        "hdm_feed_copy": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_copy": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3]),
        "hdm_feed_mysql": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_sqlite": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3, ctypes.c_double]),
        "hdm_ended": (ctypes.c_int, [_HANDLE]),
        "hdm_code": (ctypes.c_uint32, [_HANDLE]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(engine, name)
        function.restype, function.argtypes = result, arguments
    return engine


_ENGINE = _load()
_ENGINE_WITH_LOCK = ctypes.PyDLL(str(_LIBRARY))
_ENGINE_WITH_LOCK.hdm_feed_rows.restype = ctypes.c_uint32
_ENGINE_WITH_LOCK.hdm_feed_rows.argtypes = [_HANDLE, ctypes.c_void_p, ctypes.py_object]


def _python() -> Any:
    """The functions and objects of Python that python.c needs, in the order of its `struct python`."""
    functions = (
        *("PyList_Size", "PyList_GetItem", "PyTuple_GetItem", "PyObject_Type", "Py_DecRef"),
        *("PyLong_AsLongLong", "PyFloat_AsDouble", "PyUnicode_AsUTF8AndSize"),
    )
    addresses = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in functions]
    return struct.pack("12P", *addresses, *map(id, (None, int, float, str)))


_PYTHON = _python()
_SECRET = secrets.token_bytes(32)  # nobody can make texts whose hashes collide, and hashes on disk tell nothing


class Profile:
    """One table whose rows are about to come.

    Args:
        specs: its columns, in the order of the rows.
        memory: bytes for keys that are many; beyond that they go to an unnamed file in `folder`, texts as hashes.
        folder: for that file.
    """

    def __init__(self, specs: Sequence[Spec], *, memory: int, folder: str) -> None:
        self._specs = specs
        hashed = [spec.kind in {TEXT, DECIMAL} for spec in specs]
        self._handle = _ENGINE.hdm_new(
            len(specs),
            bytes(spec.kind for spec in specs),
            bytes(spec.wire for spec in specs),
            bytes(1 + two for two in hashed),
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
            _ENGINE.hdm_free(handle)

    def close(self) -> None:
        """Give back its memory and its file; only `rows` and `bytes_read` can be asked for afterwards."""
        self._is_closed = True
        _ENGINE.hdm_close(self._handle)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return int(self._handle.contents.rows)

    @property
    def bytes_read(self) -> int:
        """Bytes so far, as they came over the wire."""
        return int(self._handle.contents.bytes)

    def stop(self) -> None:
        """Let the thread that reads end with a ProfileError at the next row."""
        self._handle.contents.stop = 1

    def copy(self, connection: Any) -> None:
        """Read a COPY that a psycopg `pgconn` has begun, to its end. Its result is still to be asked for.

        Raises: ProfileError.
        """
        functions = libpq.functions()
        if functions is not None:
            self._check(_ENGINE.hdm_drain_copy(self._filling(), connection.pgconn_ptr, *functions))
            return
        while True:
            length, message = connection.get_copy_data(0)
            if length <= 0:
                return
            self.feed_copy(message)
            if self._handle.contents.stop:
                raise ProfileError(STOPPED)

    def feed_copy(self, chunk: Any) -> None:
        """Take a part of what COPY sends, cut anywhere."""
        self._check(_ENGINE.hdm_feed_copy(self._filling(), bytes(chunk), len(chunk)))

    def feed_mysql(self, chunk: bytes) -> None:
        """Take a part of the packets in which MySQL sends a result's rows, cut anywhere.

        Raises: ProfileError; with SERVER_ERROR and its `code` where the server ended the rows with an error.
        """
        self._check(_ENGINE.hdm_feed_mysql(self._filling(), chunk, len(chunk)))

    def feed_rows(self, rows: list[tuple[Any, ...]]) -> None:
        """Take some rows of integers, floats, texts, bytes and None.

        Raises: ProfileError.
        """
        self._check(_ENGINE_WITH_LOCK.hdm_feed_rows(self._filling(), _PYTHON, rows))

    def drain_sqlite(self, statement: libsqlite.Statement, seconds: float) -> None:
        """Take all rows of a statement.

        Raises: ProfileError; with SERVER_ERROR and SQLite's `code`, or STOPPED when it took longer.
        """
        self._check(
            _ENGINE.hdm_drain_sqlite(
                self._filling(), statement.functions, statement.connection, statement.handle, seconds
            )
        )

    @property
    def has_ended(self) -> bool:
        """Whether PostgreSQL's or MySQL's rows have come to their end mark."""
        return bool(_ENGINE.hdm_ended(self._open()))

    def finish(self) -> list[Stats]:
        """The statistics of every column; no row can come afterwards.

        Raises: ProfileError.
        """
        if self._stats is not None:
            return self._stats
        buffer = ctypes.create_string_buffer(_STATS.size * len(self._specs))
        self._check(_ENGINE.hdm_finish(self._open(), buffer))
        self._stats = [_stats(row) for row in _STATS.iter_unpack(buffer.raw[: _STATS.size * len(self._specs)])]
        return self._stats

    def frequencies(self, index: int) -> dict[str, int] | None:
        """After `finish`: a column's levels as text, with their frequencies.

        Returns: None when there are more than MOST_LEVELS of them, or one of them is free text.
        """
        if self._stats is None:
            raise ValueError("finish comes first")
        slots, texts = _SLOT(), ctypes.c_void_p()
        count = _ENGINE.hdm_levels(
            self._open(), range(len(self._specs))[index], ctypes.byref(slots), ctypes.byref(texts)
        )
        if count < 0 or count > MOST_LEVELS:
            return None
        found: dict[str, int] = {}
        for text, frequency in self._levels(self._specs[index], count, slots, texts.value or 0):
            found[text] = found.get(text, 0) + frequency  # SQLite may hold 1 and '1'
        return found

    def _levels(self, spec: Spec, count: int, slots: Any, texts: int) -> Iterator[tuple[str, int]]:
        if spec.kind in {TEXT, DECIMAL}:
            for i in range(count):
                slot = slots[i]
                raw = ctypes.string_at(texts + slot.label, slot.length)
                yield raw.decode("utf-8", "replace"), slot.count
            return
        shown = labels.of(spec.kind, single=spec.single, decimal=spec.decimal)
        for i in range(count):
            yield shown(slots[i].hi), slots[i].count

    def _filling(self) -> Any:
        """The handle, as long as rows may come."""
        if self._stats is not None:
            raise ValueError("the profile is finished")
        return self._open()

    def _open(self) -> Any:
        if self._is_closed:
            raise ValueError("the profile is closed")
        return self._handle

    def _check(self, failure: int) -> None:
        if failure:
            raise ProfileError(failure, _ENGINE.hdm_code(self._handle))


def _stats(row: tuple[Any, ...]) -> Stats:
    values, levels, first, second, third, finite, zeros, negatives = row[:8]
    minimum, maximum, mean, deviation, median, p01, p99 = (None if math.isnan(n) else n for n in row[8:15])
    earliest, latest, future, shortest, longest, characters, empty, blanks, misfits, *classes = row[15:]
    has_dates, has_texts = earliest <= latest, longest or empty
    return Stats(
        values=values,
        levels=levels,
        first=first,
        second=second,
        third=third,
        finite=finite,
        zeros=zeros,
        negatives=negatives,
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        deviation=deviation,
        median=median,
        p01=p01,
        p99=p99,
        earliest=earliest if has_dates else None,
        latest=latest if has_dates else None,
        future=future,
        shortest=shortest if has_texts else None,
        longest=longest if has_texts else None,
        mean_length=characters / values if has_texts else None,
        empty=empty,
        blanks=blanks,
        misfits=misfits,
        classes=(classes[0], classes[1], classes[2], classes[3]),
    )
