"""SQLite: any column may hold anything, so what it holds is asked for and not taken from its declaration."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from dialects.dialect import LOCK_SECONDS, Dialect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hdm

# The first word found in the declared type says what its author meant.
MEANT = (
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
WHOLE = re.compile(r"\(\s*\d+\s*(,\s*0\s*)?\)")  # NUMERIC(10), NUMERIC(10, 0)
DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
CLOCK = "[0-9][0-9]:[0-9][0-9]*"
# Whether a value is what the column's author meant.
FITS = {
    BOOLEAN: "typeof({0}) = 'integer' AND {0} IN (0, 1)",
    DATE: "typeof({0}) = 'text' AND {0} GLOB '" + DAY + "' AND date({0}) = {0}",
    DATETIME: "typeof({0}) = 'text' AND datetime({0}) IS NOT NULL AND date(substr({0}, 1, 10)) = substr({0}, 1, 10)"
    " AND ({0} GLOB '" + DAY + "' OR {0} GLOB '" + DAY + "[ T]" + CLOCK + "')",
    TIME: "typeof({0}) = 'text' AND {0} GLOB '" + CLOCK + "' AND time({0}) IS NOT NULL",
}


class SQLite(Dialect):
    """One connection by the standard library, to a file that must be there, for reading only."""

    placeholder = "?"

    def __init__(self, endpoint: hdm.Endpoint, *, ssl_verify: bool) -> None:  # noqa: ARG002 - a file has no encryption
        uri = Path(endpoint.host).absolute().as_uri() + "?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=LOCK_SECONDS)
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def tables(self) -> list[Table]:
        rows = self.fetch("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        names = [str(name) for (name,) in rows if not name.startswith("sqlite_")]
        pointing, pointed = self._foreign_keys(names)
        return [Table("", name, name, tuple(self._columns(name, pointing, pointed))) for name in names]

    def kinds(self, table: Table) -> dict[str, str]:
        found = {}
        for start in range(0, len(table.columns), 100):
            columns = table.columns[start : start + 100]
            counts = ", ".join(self._storage(column) for column in columns)
            (row,) = self.fetch(f"SELECT {counts} FROM {self.path(table)}")
            for number, column in enumerate(columns):
                found[column.name] = _kind(column, *(value or 0 for value in row[number * 5 : number * 5 + 5]))
        return found

    def group(self, source: str, column: Column) -> str:
        # Text '1' and number 1 of one column stay apart, and so do 'a' and 'A' of a NOCASE column.
        return f"{source} COLLATE BINARY" if column.kind == TEXT else source

    def number(self, source: str, column: Column, *, wide: bool) -> str:  # noqa: ARG002 - never raises
        if column.kind == INTEGER:
            return source
        return f"CASE WHEN {source} > -9e999 AND {source} < 9e999 THEN {source} END"

    def variance(self, number: str, source: str) -> str:
        mean = f"(SELECT avg({number}) FROM {source})"
        return f"sum(({number} - {mean}) * ({number} - {mean})) / (count({number}) - 1)"

    def length(self, text: str) -> str:
        return f"length({text})"

    def instant(self, source: str, column: Column) -> str:
        return source if column.kind == DATE else f"strftime('%Y-%m-%d %H:%M:%f', {source})"

    def truth(self, source: str, column: Column) -> str:  # noqa: ARG002 - as the base class has it
        return f"{source} = 1"

    def future(self, source: str, column: Column) -> str:
        return f"{self.instant(source, column)} >= ?"

    def _storage(self, column: Column) -> str:
        name = self.quote(column.name)
        of_type = ", ".join(f"sum(typeof({name}) = '{kind}')" for kind in ("integer", "real", "text", "blob"))
        fits = FITS[column.kind].format(name) if column.kind in FITS else "0"
        return f"{of_type}, sum({fits})"

    def _columns(self, table: str, pointing: set[str], pointed: set[tuple[str, str]]) -> Iterator[Column]:
        try:
            rows = self.fetch("SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", table)
        except sqlite3.Error:
            return  # a broken view has no columns; measuring it will say so
        unique = self._unique_columns(table)
        primary = [name for name, _, pk in rows if pk]
        for name, declared, _ in rows:
            key = "referenced" if (table.lower(), name.lower()) in pointed else ""
            key = "unique" if name in unique else key
            key = "primary" if primary == [name] else key
            foreign = f"{table}.{name}".lower() in pointing
            yield Column(name, declared, _meant(declared), declared.upper(), key, foreign)

    def _unique_columns(self, table: str) -> set[str]:
        query = """SELECT min(c.name) FROM pragma_index_list(?) i, pragma_index_info(i.name) c
                   WHERE i."unique" = 1 AND i.partial = 0 GROUP BY i.name
                   HAVING count(*) = 1 AND min(c.name) IS NOT NULL"""
        return {name for (name,) in self.fetch(query, table)}

    def _foreign_keys(self, tables: list[str]) -> tuple[set[str], set[tuple[str, str]]]:
        """The columns that point at another table, and the (table, column) that one alone points at."""
        pointing, pointed = set(), set()
        for table in tables:
            try:
                rows = self.fetch('SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?)', table)
            except sqlite3.Error:
                continue
            pointing |= {f"{table}.{column}".lower() for _, column, _, _ in rows}
            numbers = [row[0] for row in rows]
            for number, _, other, column in rows:
                if numbers.count(number) == 1 and column is not None:  # None: its primary key, known as such
                    pointed.add((other.lower(), column.lower()))
        return pointing, pointed


def _meant(declared: str) -> str:
    upper = declared.upper()
    kind = next((kind for word, kind in MEANT if word in upper), OTHER)
    return INTEGER if kind == FLOAT and WHOLE.search(upper) else kind


def _kind(column: Column, integers: int, reals: int, texts: int, blobs: int, fitting: int) -> str:
    """What a column is, by the storage classes of its values; without values it is what was meant."""
    values = integers + reals + texts + blobs
    if values == 0:
        return column.kind
    if blobs:
        return OTHER
    if column.kind in FITS and fitting == values:
        return column.kind
    if texts:
        return TEXT
    return FLOAT if reals or column.kind == FLOAT else INTEGER
