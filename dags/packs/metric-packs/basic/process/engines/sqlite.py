"""SQLite: any column may hold anything, so it is read by its declared type, and reread if the values differ."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hdm_profile as hp
from foreign_keys import Pair, Reference
from hdm_profile import Spec, Stats
from tables import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from engines.engine import DAY, Contents, Engine, Reading
from engines.sqlite_source import CHECK_STEPS, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import hdm
    from foreign_keys import ForeignKey
    from plans import RowPlan
    from settings import Settings

# Word in the declared type -> kind of the column; the first match applies.
DECLARED_KINDS = (
    ("BOOL", BOOLEAN),
    ("DATETIME", DATETIME),
    ("TIMESTAMP", DATETIME),
    ("DATE", DATE),
    ("TIME", TIME),
    ("INT", INTEGER),
    ("CHAR", TEXT),
    ("CLOB", TEXT),
    ("TEXT", TEXT),
    ("UUID", TEXT),
    ("REAL", FLOAT),
    ("FLOA", FLOAT),
    ("DOUB", FLOAT),
    ("NUM", FLOAT),
    ("DEC", FLOAT),
)
REALS = ("REAL", "FLOA", "DOUB")  # SQLite converts whole numbers in such columns to reals
WHOLE = re.compile(r"\(\s*\d+\s*(,\s*0\s*)?\)")  # NUMERIC(10), NUMERIC(10, 0)
# Kind of the column -> kind in the profile, permitted values.
KINDS = {
    INTEGER: (hp.INTEGER, hp.ANY_INTEGER),
    BOOLEAN: (hp.INTEGER, hp.ANY_INTEGER),
    FLOAT: (hp.FLOAT, hp.ANY_FLOAT),
    TEXT: (hp.TEXT, hp.ANY_TEXT),
    DATE: (hp.DATE, hp.ANY_DATE),
    DATETIME: (hp.DATETIME, hp.ANY_DATETIME),
    TIME: (hp.TIME, hp.ANY_TIME),
    OTHER: (hp.OPAQUE, hp.ANY_OPAQUE),
}

UNIQUE_PARTS = """SELECT i.name, c.name FROM pragma_index_list(?) i, pragma_index_info(i.name) c
                  WHERE i."unique" = 1 AND i.partial = 0"""
HEADER = b"SQLite format 3\0"  # of every database that has content

WIDTHS = {DATETIME: 1, FLOAT: 1, TEXT: 2, OTHER: 3}  # the more values a kind permits, the wider; 0 for the others

Found = tuple[Column, Stats, hp.Profile, int]  # a column as it was read, its statistics, and where its levels are


class SQLite(Engine):
    """A read-only connection to an existing file, through the standard library."""

    mark, percent = "?", "%"

    def __init__(self, endpoint: hdm.Endpoint, settings: Settings) -> None:
        self._path = Path(endpoint.host).absolute()
        _check(self._path)
        self._connection = sqlite3.connect(
            self._path.as_uri() + "?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=settings.lock_seconds,
            check_same_thread=False,  # one thread at a time: first to list the tables, then to read them
        )
        self._lock_seconds = settings.lock_seconds
        self._source: Source | None = None  # while a snapshot is open
        self._statement_seconds = float(settings.statement_seconds)
        self._end = 0.0
        self._is_closed = False
        try:
            self.fetch("SELECT count(*) FROM sqlite_master")
        except BaseException:
            self._connection.close()
            raise

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def limit_statements(self, seconds: float | None) -> None:
        self._end = time.monotonic() + min(self._statement_seconds, seconds or self._statement_seconds)

    def close(self) -> None:
        self._connection.close()
        self._is_closed = True

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def tables(self) -> list[Table]:
        rows = self.fetch("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        types = {str(name): str(kind) for name, kind in rows if not name.startswith("sqlite_")}
        foreign, referenced = self._foreign_keys(list(types))
        return [
            Table(
                "",
                name,
                name,
                tuple(self._columns(name, foreign, referenced)),
                type=kind,
                has_key=self._has_key(name),
            )
            for name, kind in types.items()
        ]

    def references(self) -> list[Reference]:
        tables = self.tables()
        names = {table.name.lower(): table for table in tables}  # SQLite ignores the case of ASCII letters
        found = []
        for table in tables:
            rows = self._references(table.name)
            for _, group in groupby(rows, key=lambda row: row[0]):
                parts = list(group)
                parent = names.get(parts[0][2].lower())
                if parent is not None:
                    found += _reference(table, parent, [(column, to) for _, column, _, to in parts], self._primary)
        return found

    def paired(self, column: Column, parent: Column, kind: str) -> Pair | None:
        return _pair(column.name, parent.name) if super().paired(column, parent, kind) else None

    def count_values(self, key: ForeignKey) -> tuple[int, int, int]:
        with self._limited():
            return super().count_values(key)

    def count_orphans(self, key: ForeignKey, values: Sequence[int]) -> int:
        with self._limited():
            return super().count_orphans(key, values)

    def count_parents(self, key: ForeignKey) -> int:
        with self._limited():
            return super().count_parents(key)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Interrupt queries that take longer than `limit_statements` permits."""
        end = self._end
        self._connection.set_progress_handler(lambda: time.monotonic() > end, CHECK_STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._source is not None:  # already in a snapshot
            yield
            return
        with Source(self._path, self._lock_seconds) as source:
            self._source = source
            try:
                yield
            finally:
                self._source = None

    def count(self, table: Table) -> int:
        assert self._source is not None, "counted in a snapshot"  # noqa: S101  # for the type checker
        profile = hp.Profile([Spec(hp.OPAQUE, hp.ANY_OPAQUE)], memory=0, folder="")
        self._source.fill(profile, f"SELECT 1 FROM {self.path(table)}", self._end - time.monotonic())
        return profile.rows

    def stream(self, table: Table, reading: Reading, share: float | None) -> Contents:
        with self.snapshot():
            kinds = {column.name: column for column in table.columns}
            plan = reading.plan(table, table.columns, share)
            found = self._read(table, list(table.columns), reading, plan, share)
            by_name: dict[str, Found] = {one[0].name: one for one in found.columns}
            across, wrong = found.across, _corrected(found.columns)
            while wrong:
                kinds |= wrong
                plan = reading.plan(table, list(kinds.values()), share)
                # The others are right, unless rows are compared as a whole, the sample has other rows, or the newest
                # rows are others: those of another event column, or of the same one, read as another type.
                is_all = share is not None or plan.whole or plan.event != across.event or plan.event in wrong
                reread = [one for name, one in kinds.items() if is_all or name in wrong or name in plan.compared]
                found = self._read(table, reread, reading, plan, share)
                by_name |= {one[0].name: one for one in found.columns}
                across = found.across if is_all else found.across.including(across)
                wrong = {name: one for name, one in _corrected(found.columns).items() if _is_wider(one, kinds[name])}
        return Contents(found.rows, [by_name[column.name] for column in table.columns], across)

    def _read(
        self, table: Table, columns: list[Column], reading: Reading, plan: RowPlan, share: float | None
    ) -> Contents:
        assert self._source is not None, "read in a snapshot"  # noqa: S101  # for the type checker
        plan = plan.part(columns)
        specs = [_spec(column, reading) for column in columns]
        selected = ", ".join(self.quote(column.name) for column in columns) or "NULL"
        sampling = f" WHERE abs(random() / 9223372036854775807.0) < {share!r}" if share is not None else ""
        numbered = plan.numbered(columns, reading.first_day)
        profile = reading.profile(specs or [Spec(hp.OPAQUE, hp.ANY_OPAQUE)], numbered)
        self._source.fill(profile, f"SELECT {selected} FROM {self.path(table)}{sampling}", self._end - time.monotonic())
        return Contents.of(columns, profile, plan)

    def _columns(self, table: str, foreign: set[str], referenced: set[tuple[str, str]]) -> Iterator[Column]:
        try:
            rows = self.fetch('SELECT name, type, pk, "notnull" FROM pragma_table_xinfo(?) WHERE hidden <> 1', table)
        except sqlite3.Error:
            return  # a broken view has no columns; measuring it reports the error
        unique = self._unique_columns(table)
        primary = [name for name, _, pk, _ in rows if pk]
        for name, declared, _, required in rows:
            key = "referenced" if (table.lower(), name.lower()) in referenced else ""
            key = "unique" if name in unique else key
            key = "primary" if primary == [name] else key
            is_foreign = f"{table}.{name}".lower() in foreign
            kind = _declared_kind(declared)
            yield Column(name, declared, kind, declared.upper(), key, is_foreign, required=bool(required))

    def _has_key(self, table: str) -> bool:
        """Whether a key without nulls tells its rows apart; SQLite allows nulls in most primary keys."""
        try:
            columns = self.fetch('SELECT name, type, pk, "notnull" FROM pragma_table_xinfo(?)', table)
            parts = self.fetch(UNIQUE_PARTS, table)
        except sqlite3.Error:
            return False
        primary = [str(declared).upper() for _, declared, pk, _ in columns if pk]
        if primary == ["INTEGER"]:
            return True
        required = {name for name, *_, is_required in columns if is_required}
        by_index = {index: [part for one, part in parts if one == index] for index, _ in parts}
        return any(required.issuperset(names) for names in by_index.values())

    def _unique_columns(self, table: str) -> set[str]:
        query = """SELECT min(c.name) FROM pragma_index_list(?) i, pragma_index_info(i.name) c
                   WHERE i."unique" = 1 AND i.partial = 0 GROUP BY i.name
                   HAVING count(*) = 1 AND min(c.name) IS NOT NULL"""
        return {name for (name,) in self.fetch(query, table)}

    def _references(self, table: str) -> list[tuple[Any, ...]]:
        """The foreign keys of a table: number, column, other table, its column (None: its primary key)."""
        query = 'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
        try:
            return self.fetch(query, table)
        except sqlite3.Error:
            return []  # a broken view

    def _primary(self, table: str) -> list[str]:
        """The columns of a table's primary key."""
        rows = self.fetch("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", table)
        return [name for (name,) in rows]

    def _foreign_keys(self, tables: list[str]) -> tuple[set[str], set[tuple[str, str]]]:
        """The columns that reference another table, and each (table, column) that a single column references."""
        foreign, referenced = set(), set()
        for table in tables:
            rows = self._references(table)
            foreign |= {f"{table}.{column}".lower() for _, column, _, _ in rows}
            numbers = [row[0] for row in rows]
            for number, _, other, column in rows:
                if numbers.count(number) == 1 and column is not None:  # None: the primary key, already known
                    referenced.add((other.lower(), column.lower()))
        return foreign, referenced


def _pair(column: str, parent_column: str) -> Pair:
    # A column may be compared as text or as number, with or without case: as the parent is declared. Groups are finer.
    return Pair(column, parent_column, collation=" COLLATE BINARY", is_alike=False)


def _reference(
    table: Table, parent: Table, columns: list[tuple[str, str | None]], primary: Callable[[str], list[str]]
) -> list[Reference]:
    """The foreign key of these columns, or none: SQLite permits keys of columns that do not exist."""
    theirs = [to for _, to in columns if to is not None] or primary(parent.name)  # without names: the primary key
    ours = {column.name.lower(): column.name for column in table.columns}
    others = {column.name.lower(): column.name for column in parent.columns}
    if len(theirs) != len(columns) or not {name.lower() for name in theirs} <= set(others):
        return []
    pairs = [_pair(ours[column.lower()], others[to.lower()]) for (column, _), to in zip(columns, theirs, strict=True)]
    return [Reference(("", table.name), ("", parent.name), tuple(pairs))]


def _check(path: Path) -> None:
    """Fail with a reason that SQLite does not give. It opens an empty file, and would wait at a pipe forever.

    Raises: OSError.
    """
    reason = ""
    if not os.path.lexists(path):
        reason = "it does not exist, or the sandbox of packs hides it"
    elif path.is_dir():
        reason = "it is a folder"
    elif not path.is_file():
        reason = "it is not a regular file" if path.exists() else "it is a link to a file that does not exist"
    elif not os.access(path, os.R_OK):
        reason = "this account may not read it"
    else:
        with path.open("rb") as file:
            start = file.read(len(HEADER))
        if start != HEADER:
            reason = "it is not a SQLite database, or it is encrypted" if start else "it has 0 bytes"
    if reason:
        raise OSError(f"unable to open {path}: {reason}")


def _declared_kind(declared: str) -> str:
    upper = declared.upper()
    kind = next((kind for word, kind in DECLARED_KINDS if word in upper), OTHER)
    return INTEGER if kind == FLOAT and WHOLE.search(upper) else kind


def _spec(column: Column, reading: Reading) -> Spec:
    kind, wire = KINDS[column.kind]
    if column.kind == FLOAT and not any(word in column.base for word in REALS):
        kind = hp.DECIMAL  # keeps whole numbers of up to 64 bits exact
    return Spec(kind, wire, future=reading.tomorrow * (DAY if kind == hp.DATETIME else 1))


def _corrected(found: list[Found]) -> dict[str, Column]:
    """The columns whose values contradict their kind, with the kind that fits the values."""
    kinds = {column.name: (column, _kind(column, stats)) for column, stats, _, _ in found}
    return {name: replace(column, kind=kind) for name, (column, kind) in kinds.items() if kind != column.kind}


def _is_wider(column: Column, former: Column) -> bool:
    """Whether the column's kind permits all values of the former kind, and more.

    Rereading never narrows a kind: another sample could widen it again, endlessly.
    """
    return WIDTHS.get(column.kind, 0) > WIDTHS.get(former.kind, 0)


def _kind(column: Column, stats: Stats) -> str:
    """The column's kind by the storage classes of its values; without values, its declared kind."""
    integers, reals, texts, blobs = stats.classes
    if integers + reals + texts + blobs == 0:
        return column.kind
    if blobs:
        return OTHER
    if column.kind in {BOOLEAN, DATE, DATETIME, TIME} and not stats.misfits:
        return column.kind
    if column.kind == DATE and texts and not integers and not reals:
        return DATETIME  # dates with a time of day; if they are not dates, rereading finds out
    if texts:
        return TEXT
    return FLOAT if reals or column.kind == FLOAT else INTEGER
