"""MySQL (8 and later) and MariaDB (10.2 and later): PyMySQL connects and queries, C code counts the rows."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import hdm_profile as hp
import pymysql
from foreign_keys import Pair, Reference
from hdm_profile import Spec
from tables import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from engines.engine import CONNECT_SECONDS, DAY, MAX_EXACT_DIGITS, Contents, Engine, Reading, ca_file
from engines.mysql_connection import CLEAR_TEXT_PLUGINS, FATAL, MySQLConnection, refuse_clear_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hdm
    from settings import Settings

_WHOLE = (INTEGER, hp.INTEGER, hp.MY_INTEGER)
_TEXT = (TEXT, hp.TEXT, hp.MY_TEXT)
# Type -> kind of the column, kind in the profile, wire format.
TYPES = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), _WHOLE),
    "float": (FLOAT, hp.FLOAT, hp.MY_SINGLE),
    "double": (FLOAT, hp.FLOAT, hp.MY_FLOAT),
    "decimal": (FLOAT, hp.DECIMAL, hp.MY_DECIMAL),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "uuid"), _TEXT),
    **dict.fromkeys(("datetime", "timestamp"), (DATETIME, hp.DATETIME, hp.MY_DATETIME)),
    "date": (DATE, hp.DATE, hp.MY_DATE),
    "time": (TIME, hp.TIME, hp.MY_TIME),
}
UNKNOWN = (OTHER, hp.OPAQUE, hp.MY_OPAQUE)
BOOLEAN_TYPES = ("tinyint(1)", "bit(1)")  # booleans if every value is 0 or 1

TABLES = """
SELECT t.table_name, CASE WHEN t.table_type = 'VIEW' THEN 'view' ELSE 'table' END, t.data_length + t.index_length,
       t.update_time, c.column_name, c.column_type, c.data_type, c.numeric_precision, c.numeric_scale,
       c.column_comment LIKE '%hdm:identifying%', find_in_set('select', c.privileges) > 0, c.is_nullable = 'NO'
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
UNIQUE_PARTS = """
SELECT table_name, index_name, column_name IS NULL OR nullable = 'YES'
FROM information_schema.statistics WHERE table_schema = DATABASE() AND non_unique = 0
"""
FOREIGN = """
SELECT u.table_name, u.column_name, u.referenced_table_name, u.referenced_column_name,
       (SELECT count(*) FROM information_schema.key_column_usage v
        WHERE v.constraint_schema = u.constraint_schema AND v.constraint_name = u.constraint_name
          AND v.table_name = u.table_name) = 1
FROM information_schema.key_column_usage u
WHERE u.table_schema = DATABASE() AND u.referenced_table_schema = DATABASE()
"""
REFERENCES = """
SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage
WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE()
ORDER BY CAST(table_name AS BINARY), CAST(constraint_name AS BINARY), ordinal_position
"""
JSON_COLUMNS = """
SELECT table_name, constraint_name FROM information_schema.check_constraints
WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json|_valid(%' ESCAPE '|'
"""


class MySQL(Engine):
    """A connection through PyMySQL."""

    def __init__(self, endpoint: hdm.Endpoint, settings: Settings) -> None:
        self._connection = MySQLConnection(
            host=endpoint.host or "localhost",
            port=int(endpoint.port or 3306),
            user=endpoint.user,
            password=(endpoint.password or "").encode(),  # PyMySQL would send text as Latin-1
            database=endpoint.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS,  # without it, a silent server would block forever
            ssl=_encryption(verify=settings.ssl_verify) if endpoint.ssl else None,
            auth_plugin_map={} if endpoint.ssl else dict.fromkeys(CLEAR_TEXT_PLUGINS, refuse_clear_text),
            autocommit=True,  # each statement sees one state of the database
        )
        self._is_mariadb = "mariadb" in self._connection.server_version.lower()
        self._statement_seconds = float(settings.statement_seconds)
        self._limit = 0.0
        self.fetch("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self.fetch("SET SESSION time_zone = '+00:00', lock_wait_timeout = %s", settings.lock_seconds)
        self.limit_statements(None)
        self._connection.wait_without_limit()

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return list(cursor.fetchall())
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in FATAL:
                self.close()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.fetch("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        finally:
            if self._connection.open:
                self._connection.rollback()

    def limit_statements(self, seconds: float | None) -> None:
        limit = min(self._statement_seconds, seconds or self._statement_seconds)
        if limit == self._limit:
            return
        if self._is_mariadb:
            self.fetch("SET SESSION max_statement_time = %s", max(limit, 0.001))
        else:
            self.fetch("SET SESSION max_execution_time = %s", max(1, round(limit * 1000)))
        self._limit = limit

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()

    @property
    def is_closed(self) -> bool:
        return not self._connection.open

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def tables(self) -> list[Table]:
        keys, foreign = self._keys()
        keyed = self._keyed()
        json_columns = self._json_columns()
        found = []
        for name, group in groupby(self.fetch(TABLES), key=lambda row: row[0]):
            rows = list(group)
            _, kind, size, changed, *_ = rows[0]
            columns = tuple(
                Column(
                    column,
                    _text(declared),
                    OTHER if (name, column) in json_columns else _kind(_text(declared), base, scale),
                    "json" if (name, column) in json_columns else _base(_text(declared), base, precision),
                    keys.get((name, column), ""),
                    (name, column) in foreign,
                    identifying=bool(identifying),
                    readable=bool(readable),
                    required=bool(required),
                )
                for *_, column, declared, base, precision, scale, identifying, readable, required in rows
                if column is not None  # a broken view has none
            )
            found.append(
                Table(name=name, schema="", label=name, columns=columns, type=kind)
                if kind == "view"
                else Table("", name, name, columns, "table", size, changed, has_key=name in keyed)
            )
        return found

    def stream(self, table: Table, reading: Reading, share: float | None) -> Contents:
        specs = [_spec(column, reading) for column in table.columns]
        selected = ", ".join(map(self._selected, table.columns, specs)) or "NULL"
        sampling = f" WHERE rand() < {share!r}" if share is not None else ""
        plan = reading.plan(table, table.columns, share)
        numbered = plan.numbered(table.columns, reading.first_day)
        profile = reading.profile(specs or [Spec(hp.OPAQUE, hp.MY_OPAQUE)], numbered)
        self._connection.drain(f"SELECT {selected} FROM {self.path(table)}{sampling}", profile)
        return Contents.of(table.columns, profile, plan)

    def references(self) -> list[Reference]:
        found = []
        for (table, _), group in groupby(self.fetch(REFERENCES), key=lambda row: row[:2]):
            rows = list(group)
            pairs = tuple(Pair(column, parent_column) for *_, column, _, parent_column in rows)
            found.append(Reference(("", table), ("", rows[0][3]), pairs))
        return found

    def _selected(self, column: Column, spec: Spec) -> str:
        name = self.quote(column.name)
        if spec.kind == hp.OPAQUE:
            return f"IF({name} IS NULL, NULL, 1)"
        if spec.wire == hp.MY_SINGLE:
            return f"{name} + 0e0"  # MySQL sends 6 digits of a float, but all of a double
        return name

    def _json_columns(self) -> set[tuple[str, str]]:
        """MariaDB's JSON columns: texts with a check constraint of the same name."""
        if not self._is_mariadb:
            return set()
        return set(self.fetch(JSON_COLUMNS))

    def _keyed(self) -> set[str]:
        """The tables with a primary key or unique constraint of columns without nulls."""
        parts = self.fetch(UNIQUE_PARTS)
        loose = {(table, index) for table, index, may_be_null in parts if may_be_null}
        return {table for table, index, _ in parts if (table, index) not in loose}

    def _keys(self) -> tuple[dict[tuple[str, str], str], set[tuple[str, str]]]:
        """The key constraints on single columns, and the columns that reference another table."""
        keys: dict[tuple[str, str], str] = {}
        foreign_columns = set()
        for table, column, other_table, other_column, single in self.fetch(FOREIGN):
            foreign_columns.add((table, column))
            if single:
                keys[other_table, other_column] = "referenced"
        for table, column, key in sorted(self.fetch(UNIQUE), key=lambda row: row[2], reverse=True):
            keys[table, column] = key  # 'primary' comes after 'unique' and replaces it
        return keys, foreign_columns


def _encryption(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file())
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _kind(declared: str, base: str, scale: int | None) -> str:
    if declared.startswith(BOOLEAN_TYPES):
        return BOOLEAN
    if base == "decimal" and scale == 0:
        return INTEGER
    return TYPES.get(base, UNKNOWN)[0]


def _base(declared: str, base: str, precision: int | None) -> str:
    """The type as in TYPES; `small decimal` for decimals of few digits, `... unsigned` for unsigned whole numbers."""
    if base == "decimal" and precision is not None and precision <= MAX_EXACT_DIGITS:
        return "small decimal"
    return f"{base} unsigned" if base in TYPES and TYPES[base] == _WHOLE and "unsigned" in declared else base


def _spec(column: Column, reading: Reading) -> Spec:
    base, _, unsigned = column.base.partition(" ")
    if column.base == "small decimal":
        return Spec(hp.FLOAT, hp.MY_DECIMAL, decimal=True)
    if column.kind == BOOLEAN and base == "bit":
        return Spec(hp.INTEGER, hp.MY_BIT)
    if unsigned == "unsigned" and base == "bigint":
        return Spec(hp.UNSIGNED, hp.MY_UNSIGNED)
    _, kind, wire = TYPES.get(base, UNKNOWN)
    future = reading.tomorrow * (DAY if kind == hp.DATETIME else 1)
    return Spec(kind, wire, future=future, single=base == "float")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
