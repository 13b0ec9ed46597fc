"""PostgreSQL: catalogue queries on pg_catalog, which also lists what the account may not read."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import psycopg
from tables import BOOLEAN, DATE, DATES, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from dialects.dialect import CONNECT_SECONDS, LOCK_SECONDS, Dialect, OverflowInDatabaseError, authorities, number_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hdm

LARGEST_DOUBLE = "1.7976931348623157e308"

KINDS = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), INTEGER),
    **dict.fromkeys(("float4", "float8"), FLOAT),
    **dict.fromkeys(("text", "varchar", "bpchar", "char", "name", "citext", "uuid"), TEXT),
    **dict.fromkeys(("timestamp", "timestamptz"), DATETIME),
    **dict.fromkeys(("time", "timetz"), TIME),
    "date": DATE,
    "bool": BOOLEAN,
}

# Partitions are part of their parent; what an extension brought is not the hospital's. One row per column and
# constraint; the kinds of constraints are numbered so that the greatest counts.
TABLES = """
WITH RECURSIVE base AS (
    SELECT oid AS origin, typname, typtype, typbasetype FROM pg_catalog.pg_type
    UNION ALL
    SELECT base.origin, t.typname, t.typtype, t.typbasetype
    FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd'
), keys (relation, number, rank, is_foreign) AS (
    SELECT conrelid, conkey[1], CASE contype WHEN 'p' THEN 3 ELSE 2 END, false
    FROM pg_catalog.pg_constraint WHERE contype IN ('p', 'u') AND cardinality(conkey) = 1
    UNION ALL
    SELECT indrelid, indkey[0], 2, false FROM pg_catalog.pg_index
    WHERE indisunique AND indisvalid AND indnatts = 1 AND indpred IS NULL AND indkey[0] > 0
    UNION ALL
    SELECT confrelid, confkey[1], 1, false
    FROM pg_catalog.pg_constraint WHERE contype = 'f' AND cardinality(confkey) = 1
    UNION ALL
    SELECT conrelid, unnest(conkey), 0, true FROM pg_catalog.pg_constraint WHERE contype = 'f'
)
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typtype = 'e',
       CASE WHEN b.typname = 'numeric' AND a.atttypmod >= 4 THEN (((a.atttypmod - 4) & 2047) # 1024) - 1024 END,
       coalesce(k.rank, 0), coalesce(k.is_foreign, false)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN base b ON b.origin = a.atttypid AND b.typtype <> 'd'
LEFT JOIN keys k ON k.relation = c.oid AND k.number = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname, a.attnum
"""
KEYS = ("", "referenced", "unique", "primary")


class Postgres(Dialect):
    """One connection by psycopg."""

    default_schema = "public"

    def __init__(self, endpoint: hdm.Endpoint, *, ssl_verify: bool) -> None:
        # Every parameter is given: the libpq variables of this process name the HDM base.
        options: dict[str, Any] = {"sslmode": "prefer"}
        if endpoint.ssl:
            options = {"sslmode": "verify-full", "sslrootcert": authorities() or "system"}
        if endpoint.ssl and not ssl_verify:
            options = {"sslmode": "require"}
        self._connection = psycopg.connect(
            host=endpoint.host or "localhost",
            port=endpoint.port or "5432",
            dbname=endpoint.database,
            user=endpoint.user,
            password=endpoint.password or None,
            connect_timeout=CONNECT_SECONDS,
            application_name="hdm basic",
            client_encoding="UTF8",
            **options,
        )
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            # The query's identifiers went through `quote`; psycopg asks for a literal.
            return self._connection.execute(query.encode(), values).fetchall()
        except psycopg.errors.NumericValueOutOfRange as error:
            raise OverflowInDatabaseError from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            self.fetch(
                "SELECT set_config('lock_timeout', %s, true), set_config('TimeZone', 'UTC', true)", f"{LOCK_SECONDS}s"
            )
            yield

    def close(self) -> None:
        self._connection.close()

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    def tables(self) -> list[Table]:
        found = []
        for (schema, name), rows in groupby(self.fetch(TABLES), key=lambda row: row[:2]):
            columns: dict[str, Column] = {}
            for _, _, column, declared, base, is_enum, scale, rank, foreign in rows:
                if column is None:  # a table without columns
                    continue
                before = columns.get(column)  # one row per constraint of the column
                key = KEYS[rank]
                if before is not None:
                    key = max(key, before.key_constraint, key=KEYS.index)
                    foreign = foreign or before.foreign  # noqa: PLW2901 - of all constraints so far
                columns[column] = Column(column, declared, _kind(base, is_enum, scale), base or "", key, foreign)
            found.append(Table(schema, name, self.label(schema, name), tuple(columns.values())))
        return found

    def group(self, source: str, column: Column) -> str:
        # Not every collation tells all texts apart.
        return f'{source}::text COLLATE "C"' if column.kind == TEXT else source

    def shown(self, source: str, column: Column) -> str:
        # As text, since infinity, 24:00 and years before Christ are no Python dates.
        return f"{source}::text" if column.kind in DATES or column.kind == TIME else self.group(source, column)

    def text(self, source: str, column: Column) -> str:  # noqa: ARG002 - as the base class has it
        return f"{source}::text"

    def number(self, source: str, column: Column, *, wide: bool) -> str:
        if column.kind == INTEGER:
            return source
        if column.base == "numeric":
            finite, value = f"abs({source}) <= {LARGEST_DOUBLE}", source
        else:
            finite = f"{source} > '-Infinity' AND {source} < 'Infinity'"
            # By way of text, since the direct cast keeps 15 digits only.
            value = f"{source}::float8::text::numeric" if wide else f"{source}::float8"
        return f"CASE WHEN {finite} THEN {value} END"

    def instant(self, source: str, column: Column) -> str:
        value = f"{source} AT TIME ZONE 'UTC'" if column.base == "timestamptz" else source
        return f"CASE WHEN {source} >= '0001-01-01' AND {source} < '10000-01-01' THEN {value} END"

    def truth(self, source: str, column: Column) -> str:  # noqa: ARG002 - as the base class has it
        return source

    def future(self, source: str, column: Column) -> str:  # noqa: ARG002 - as the base class has it
        return f"{source} >= %s::timestamp"


def _kind(base: str | None, is_enum: bool, scale: int | None) -> str:
    if is_enum:
        return TEXT
    if base == "numeric":
        return number_kind(scale)
    return KINDS.get(base or "", OTHER)
