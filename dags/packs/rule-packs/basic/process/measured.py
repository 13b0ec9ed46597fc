"""Measured: what there is of some tables on the judged date, and what the metric pack could not measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import transfer
from kinds import GONE, NO_METRICS
from psycopg import sql
from usable_dates import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import returned

# An older metric pack has no such metric. A row as JSON would show that, too, but takes longer than all the rest
HAS = """
SELECT to_regclass(%(relation)s) IS NOT NULL, EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass(%(relation)s) AND attname = 'schema_change' AND NOT attisdropped)"""
THERE = """
SELECT "table", {name}, coalesce(({change} = 'dropped')::int, 0) FROM {relation}
WHERE endpoint = {slug} AND "date" = {date} AND "table" = ANY({tables}::text[])"""


class Measured(NamedTuple):
    """What there is on the judged date."""

    tables: frozenset[str]
    columns: frozenset[tuple[str, str]]
    dropped: frozenset[tuple[str, str]]  # tables (column '') and columns that the date says were dropped
    incomplete: tuple[str, ...]  # what the metric pack could not measure

    @classmethod
    def read(cls, night: returned.Night, tables: Sequence[str], incomplete: Sequence[str]) -> Measured:
        """What there is of some tables."""
        there: set[tuple[str, str]] = set()
        dropped: set[tuple[str, str]] = set()
        schema: dict[str, Any] = {"table": pl.String, "column": pl.String, "is_dropped": pl.Int8}
        for relation, name in (("metric_basic", '"column"'), ("metric_basic_table", "''")):
            has: Any = night.base.execute(HAS, {"relation": relation}).fetchone()
            is_there, has_changes = has
            if not is_there:
                continue
            query = sql.SQL(THERE).format(
                name=sql.SQL(name),
                change=sql.Identifier("schema_change") if has_changes else sql.SQL("NULL::text"),
                relation=sql.Identifier(relation),
                slug=sql.Literal(night.slug),
                date=sql.Literal(night.date),
                tables=sql.Literal(list(tables)),
            )
            for table, column, is_dropped in transfer.read(night.base, query, schema).iter_rows():
                (dropped if is_dropped else there).add((table, column))
        columns = frozenset(there)
        return cls(frozenset(table for table, _ in there), columns, frozenset(dropped), tuple(incomplete))

    def is_incomplete(self, table: str, column: str) -> bool:
        """Whether the object, or a part of it, was not measured."""
        if not self.incomplete:
            return False
        if not table or ALL in self.incomplete:
            return True
        names = {table, f"{table}.{column}"} if column else {table}
        own = any(name in names or name.endswith(tuple(f".{one}" for one in names)) for name in self.incomplete)
        return own or (
            not column and any(f".{name}".rpartition(".")[0].endswith(f".{table}") for name in self.incomplete)
        )

    def absent(self, table: str, column: str) -> str:
        """Why an object has no metrics: GONE, NO_METRICS, or "" if it has some."""
        if (table, column) in self.dropped or (table, "") in self.dropped:
            return GONE
        if table in self.tables and (not column or all((table, one) in self.columns for one in column.split(", "))):
            return ""
        return NO_METRICS if self.incomplete else GONE
