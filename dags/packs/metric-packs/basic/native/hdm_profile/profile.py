"""The profile of one table, from its first row to its statistics."""

from __future__ import annotations

import ctypes
import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hdm_profile import across, labels, libpq, libsqlite
from hdm_profile.across import Cell, Newest, Pair, Plan
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


class Kept(NamedTuple):
    """The distinct values of a column, in a form of which only `missing_from` knows."""

    is_text: bool
    keys: bytes

    def missing_from(self, parent: Kept) -> int | None:
        """How many of these values the parent does not have; texts are equal if their bytes are. None: incomparable."""
        return None if self.is_text != parent.is_text else self._missing(parent, None, 0)

    def numbers_missing_from(self, parent: Kept, most: int) -> list[int] | None:
        """Those of these numbers that the parent does not have. None: texts, or more than `most`."""
        if self.is_text or parent.is_text:
            return None
        first = (ctypes.c_int64 * most)()
        count = self._missing(parent, first, most)
        return list(first[:count]) if count <= most else None

    def _missing(self, parent: Kept, first: Any, room: int) -> int:
        mine, theirs = self.keys, parent.keys
        return int(ENGINE.hdm_missing(theirs, len(theirs), mine, len(mine), self.is_text, first, room))


class Profile:
    """The profile of one table.

    Args:
        specs: its columns, in the order of the rows.
        memory: bytes for levels and keys. Beyond it, keys go to an unnamed file in `folder`; texts only as hashes.
        folder: for that file.
        plan: what to compute across columns.

    Raises:
        ProfileError: if there is not enough memory for the columns.
    """

    def __init__(self, specs: Sequence[Spec], *, memory: int, folder: str, plan: Plan | None = None) -> None:
        self._specs = specs
        self._plan = plan
        self._handle = ENGINE.hdm_new(
            len(specs),
            bytes([spec.kind for spec in specs]),
            bytes([spec.wire for spec in specs]),
            struct.pack(f"{len(specs)}q", *[spec.future for spec in specs]),
            memory,
            folder.encode(),
            _SECRET,
        )
        if not self._handle:
            raise ProfileError(NO_MEMORY)
        self._is_closed = False
        self._stats: list[Stats] | None = None
        self.to_keep: set[int] = set()  # the columns that `keep` was called for
        if plan is not None:
            self._prepare(plan)

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

    def keep(self, index: int, most: int) -> None:
        """Keep the distinct values of a column of whole numbers or texts, unless they need more bytes than `most`.

        Those of all columns together take at most an eighth of `memory`, in addition to it.
        """
        ENGINE.hdm_keep(self._filling(), range(len(self._specs))[index], most)
        self.to_keep.add(index)

    def kept(self, index: int) -> Kept | None:
        """The distinct values of a column, after `finish`. None if they were not kept."""
        if self._stats is None:
            raise ValueError("call finish first")
        if index not in self.to_keep:
            return None
        keys = ctypes.c_void_p()
        length = ENGINE.hdm_kept(self._open(), range(len(self._specs))[index], ctypes.byref(keys))
        if length < 0:
            return None
        return Kept(self._specs[index].kind == TEXT, ctypes.string_at(keys, length) if length else b"")

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

    @property
    def has_plan(self) -> bool:
        """Whether it computes anything across columns."""
        return self._plan is not None

    def days(self) -> tuple[list[int], int | None, list[Newest]]:
        """The rows of each event day, the number of the newest that has any, and every column's values on it.

        Returns: zeros, None and no columns if the plan has no event column.
        """
        self._planned()
        days = (ctypes.c_uint64 * across.DAYS)()
        newest = ctypes.create_string_buffer(across.NEWEST.size * len(self._specs))
        found = ENGINE.hdm_days(self._open(), days, newest)
        rows = across.NEWEST.iter_unpack(newest.raw[: across.NEWEST.size * len(self._specs)])
        columns = [Newest(*row[:2], *map(across.number, row[2:])) for row in rows] if found >= 0 else []
        return list(days), found if found >= 0 else None, columns

    def pairs(self) -> list[Pair]:
        """The pairs of the plan, in its order."""
        size = across.PAIR.size * len(self._planned().pairs)
        buffer = ctypes.create_string_buffer(size)
        ENGINE.hdm_pairs(self._open(), buffer)
        return [Pair(*row) for row in across.PAIR.iter_unpack(buffer.raw[:size])]

    def cells(self, code: int) -> dict[str | None, tuple[Cell, ...]] | None:
        """The numbers of the plan by the levels of a code of the plan, as text; None is the key of rows without a code.

        Returns: None if the code has more than MOST_CELLS levels, or if one of them is free text.
        """
        plan = self._planned()
        column, width = plan.codes[code], len(plan.numbers)
        levels, texts = LEVELS(), ctypes.c_void_p()
        buffer = ctypes.create_string_buffer(across.CELL.size * (across.MOST_CELLS + 1) * width)
        count = ENGINE.hdm_cells(self._open(), code, buffer)
        if count < 0 or count != ENGINE.hdm_levels(self._open(), column, ctypes.byref(levels), ctypes.byref(texts)):
            return None
        raw = ctypes.string_at(buffer, across.CELL.size * (count + 1) * width)
        cells = [Cell(values, across.number(mean)) for values, mean in across.CELL.iter_unpack(raw)]
        found: dict[str | None, tuple[Cell, ...]] = {None: tuple(cells[count * width :])}
        for i, (text, _) in enumerate(self._levels(self._specs[column], count, levels, texts.value or 0)):
            row = tuple(cells[i * width : (i + 1) * width])
            if text in found:  # SQLite may hold 1 and '1'
                row = tuple(one.plus(other) for one, other in zip(found[text], row, strict=True))
            found[text] = row
        return found

    @property
    def repeats(self) -> int:
        """The rows that repeat an earlier one; 0 if the plan does not ask for them."""
        self._planned()
        return int(ENGINE.hdm_repeats(self._open()))

    def _prepare(self, plan: Plan) -> None:
        pairs = tuple(column for pair in plan.pairs for column in pair)
        event = across.NO_EVENT if plan.event is None else plan.event
        columns = (*(len(plan.pairs), across.packed(pairs)), *(len(plan.codes), across.packed(plan.codes)))
        numbers = (len(plan.numbers), across.packed(plan.numbers))
        self._check(ENGINE.hdm_plan(self._handle, event, plan.first_day, plan.whole, *columns, *numbers))

    def _planned(self) -> Plan:
        """The plan, once its answers are there."""
        if self._stats is None or self._plan is None:
            raise ValueError("there is no plan, or finish has not been called")
        return self._plan

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
