"""MySQL (8 and later) and MariaDB (10.2 and later)."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pymysql
from tables import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from dialects.dialect import CONNECT_SECONDS, LOCK_SECONDS, Dialect, authorities, number_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hdm

KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), INTEGER),
    **dict.fromkeys(("float", "double"), FLOAT),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "uuid"), TEXT),
    **dict.fromkeys(("datetime", "timestamp"), DATETIME),
    "date": DATE,
    "time": TIME,
}
LONG_TEXTS = frozenset({"tinytext", "text", "mediumtext", "longtext"})
BOOLEAN_TYPES = ("tinyint(1)", "bit(1)")  # a boolean where every value is 0 or 1

TABLES = """
SELECT t.table_name, c.column_name, c.column_type, c.data_type, c.numeric_scale
FROM information_schema.tables t
LEFT JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name
WHERE t.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')
ORDER BY CAST(t.table_name AS BINARY), c.ordinal_position
"""
UNIQUE = """
SELECT table_name, min(column_name), CASE WHEN index_name = 'PRIMARY' THEN 'primary' ELSE 'unique' END
FROM information_schema.statistics
WHERE table_schema = DATABASE() AND non_unique = 0
GROUP BY table_name, index_name HAVING count(*) = 1 AND min(sub_part) IS NULL AND min(column_name) IS NOT NULL
"""
FOREIGN = """
SELECT u.table_name, u.column_name, u.referenced_table_name, u.referenced_column_name,
       (SELECT count(*) FROM information_schema.key_column_usage v
        WHERE v.constraint_schema = u.constraint_schema AND v.constraint_name = u.constraint_name
          AND v.table_name = u.table_name) = 1
FROM information_schema.key_column_usage u
WHERE u.table_schema = DATABASE() AND u.referenced_table_schema = DATABASE()
"""


class MySQL(Dialect):
    """One connection by PyMySQL."""

    def __init__(self, endpoint: hdm.Endpoint, *, ssl_verify: bool) -> None:
        self._connection = pymysql.connect(
            host=endpoint.host or "localhost",
            port=int(endpoint.port or 3306),
            user=endpoint.user,
            password=endpoint.password,
            database=endpoint.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            ssl=_encryption(verify=ssl_verify) if endpoint.ssl else None,
            autocommit=True,
        )
        self._run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("SET SESSION time_zone = '+00:00', lock_wait_timeout = %s", LOCK_SECONDS)

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._run(query, *values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        finally:
            self._connection.rollback()

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def tables(self) -> list[Table]:
        keys, foreign = self._keys()
        found = []
        for table, rows in groupby(self.fetch(TABLES), key=lambda row: row[0]):
            columns = tuple(
                Column(
                    column,
                    _text(declared),
                    _kind(_text(declared), base, scale),
                    base,
                    keys.get((table, column), ""),
                    (table, column) in foreign,
                )
                for _, column, declared, base, scale in rows
                if column is not None  # a broken view has none
            )
            found.append(Table("", table, table, columns))
        return found

    def kinds(self, table: Table) -> dict[str, str]:
        candidates = [c for c in table.columns if c.kind == BOOLEAN]
        if not candidates:
            return {}
        sums = ", ".join(f"sum({self.quote(c.name)} + 0 NOT IN (0, 1))" for c in candidates)
        (row,) = self.fetch(f"SELECT {sums} FROM {self.path(table)}")
        return {c.name: INTEGER for c, others in zip(candidates, row, strict=True) if others}

    def group(self, source: str, column: Column) -> str:
        # Collations call 'A' and 'a' equal, and sort no more than the first bytes of a long text.
        if column.base in LONG_TEXTS:
            return f"sha2({source}, 256)"
        return f"CAST({source} AS BINARY)" if column.kind == TEXT else source

    def shown(self, source: str, column: Column) -> str:
        return f"min({source} + 0)" if column.base == "bit" else f"min({source})"

    def number(self, source: str, column: Column, *, wide: bool) -> str:  # noqa: ARG002 - never overflows
        # A float is shown with 6 digits: as a double it has them all.
        return f"({source} + 0e0)" if column.kind == FLOAT and column.base != "decimal" else f"({source} + 0)"

    def mean(self, number: str) -> str:
        return f"avg({number} + 0e0)"  # the mean of decimals is cut after four more digits

    def variance(self, number: str, source: str) -> str:  # noqa: ARG002 - as the base class has it
        return f"var_samp({number} + 0e0)"

    def instant(self, source: str, column: Column) -> str:  # noqa: ARG002 - timestamps come in the session's zone, UTC
        return f"CASE WHEN {source} >= '0001-01-01' THEN {source} END"

    def truth(self, source: str, column: Column) -> str:  # noqa: ARG002 - as the base class has it
        return f"{source} + 0 = 1"

    def _run(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def _keys(self) -> tuple[dict[tuple[str, str], str], set[tuple[str, str]]]:
        """The constraints of single columns, and the columns that point at another table."""
        keys: dict[tuple[str, str], str] = {}
        pointing = set()
        for table, column, other_table, other_column, single in self.fetch(FOREIGN):
            pointing.add((table, column))
            if single:
                keys[other_table, other_column] = "referenced"
        for table, column, key in sorted(self.fetch(UNIQUE), key=lambda row: row[2], reverse=True):
            keys[table, column] = key  # 'primary' comes after 'unique', and stays
        return keys, pointing


def _encryption(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities())
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _kind(declared: str, base: str, scale: int | None) -> str:
    if declared.startswith(BOOLEAN_TYPES):
        return BOOLEAN
    if base == "decimal":
        return number_kind(scale)
    return KINDS.get(base, OTHER)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
