"""The statements of sql/*.sql: blocks that start with `-- name: ...`, with the lists of metrics filled in."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import comparisons
import declared
from psycopg import sql

SQL = Path(__file__).with_name("sql")

ROW_METRICS = ("event_column", "newest_day", "newest_rows", "duplicate_rows")  # of tables: fields of rows.TableRows
TABLE_STAGE = (
    *("table", "table_type", "rows_count", "columns_count", "bytes", "last_change", "sample_rows", "seconds"),
    *ROW_METRICS,
)
COLUMN_METRICS = tuple(metric.name for metric in declared.measured(declared.COLUMN))
COLUMN_STAGE = ("table", "column", "sample_rows", *COLUMN_METRICS)
LEVEL_STAGE = ("table", "column", "value", "frequency")
DAY_STAGE = ("table", "column", "first_day", "rows_counts")
PAIR_STAGE = ("table", "column", "other_column", "both_count", "greater_count", "equal_count")
NUMBER_STAGE = ("table", "column", "level_column", "value", "values_count", "mean_num")
KEY_STAGE = (
    *("table", "column", "parent_table", "parent_column", "declared"),
    *("values_count", "orphans", "parents", "parents_covered"),
)

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_METRICS = {
    "insert_tables": declared.measured(declared.TABLE),
    "insert_columns": declared.measured(declared.COLUMN),
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
        "day_stage": comparisons.identifiers(DAY_STAGE),
        "pair_stage": comparisons.identifiers(PAIR_STAGE),
        "number_stage": comparisons.identifiers(NUMBER_STAGE),
        "key_stage": comparisons.identifiers(KEY_STAGE),
    }
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        metrics = _METRICS.get(name, ())
        composed = sql.SQL(text).format(**lists, names=comparisons.names(metrics), values=comparisons.values(metrics))
        found[name] = composed
    return found


@lru_cache
def copy(table: str, columns: tuple[str, ...]) -> bytes:
    """The statement that copies rows into a staging table."""
    statement = sql.SQL("COPY pg_temp.{} ({}) FROM STDIN")
    return statement.format(sql.Identifier(table), comparisons.identifiers(columns)).as_bytes(None)
