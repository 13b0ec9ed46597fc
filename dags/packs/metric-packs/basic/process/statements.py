"""The statements of sql/*.sql: blocks that start with `-- name: ...`, with the lists of metrics filled in."""

from __future__ import annotations

import re
from pathlib import Path

import comparisons
import declared
from psycopg import sql

SQL = Path(__file__).with_name("sql")

TABLE_STAGE = ("table", "table_type", "rows_count", "columns_count", "bytes", "last_change", "sample_rows", "seconds")
COLUMN_METRICS = tuple(metric.name for metric in declared.compared(declared.COLUMN))
COLUMN_STAGE = ("table", "column", "sample_rows", *COLUMN_METRICS)
LEVEL_STAGE = ("table", "column", "value", "frequency")

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_METRICS = {
    "insert_tables": declared.compared(declared.TABLE),
    "insert_columns": declared.compared(declared.COLUMN),
    "insert_version": declared.compared(declared.VERSION),
    "insert_database": declared.compared(declared.DATABASE),
}


def read(noun: str) -> dict[str, sql.Composed]:
    """The statements of sql/<noun>.sql by name."""
    _, *parts = _BLOCK.split((SQL / f"{noun}.sql").read_text(encoding="utf-8"))
    lists = {
        "table_stage": comparisons.identifiers(TABLE_STAGE),
        "column_stage": comparisons.identifiers(COLUMN_STAGE),
        "level_stage": comparisons.identifiers(LEVEL_STAGE),
    }
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        metrics = _METRICS.get(name, ())
        composed = sql.SQL(text).format(**lists, names=comparisons.names(metrics), values=comparisons.values(metrics))
        found[name] = composed
    return found


def copy(table: str, columns: tuple[str, ...]) -> sql.Composed:
    """The statement that copies rows into a staging table."""
    return sql.SQL("COPY pg_temp.{} ({}) FROM STDIN").format(sql.Identifier(table), comparisons.identifiers(columns))
