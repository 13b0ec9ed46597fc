"""The Store of metric pack basic, imported the way the pack imports it, and nights of made-up metrics for it."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base, Row
from tests.pack_modules import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SLUG = "ward:postgres:db.example:5432:reader:false"
Columns = dict[str, dict[str, Any]]  # column name -> metrics


pack = load(
    (
        *("patterns", "privacy", "tables", "rounding", "declared", "levels", "comparisons", "statements"),
        *("events", "plans", "rows", "store"),
    )
)


def column(data_type: str = "integer", value_counts: int | None = 10, **metrics: Any) -> dict[str, Any]:
    """The metrics of one column: 10 values, all different, unless stated otherwise."""
    kind = {"integer": "integer", "double precision": "float", "date": "date"}.get(data_type, "text")
    known = {"data_type": data_type, "infered_data_type": kind, "key_constraint": "", "is_key": False}
    return {**known, "value_counts": value_counts, "na_values": 0, "levels_count": value_counts} | metrics


def table(label: str, columns: Mapping[str, Mapping[str, Any]], **more: Any) -> Any:
    """A table that has these columns."""
    declared = [(name, metrics["data_type"]) for name, metrics in columns.items()]
    return pack.tables.Table(
        "", label, label, tuple(pack.tables.Column(name, kind, kind, kind) for name, kind in declared), **more
    )


def measured(label: str, columns: Columns, **more: Any) -> Any:
    """A table as it was measured; keywords are the fields of MeasuredTable."""
    fields = {"table": table(label, columns), "rows": 10, "sample_rows": None, "levels": {}, "seconds": 0.5} | more
    return pack.store.MeasuredTable(columns=columns, **fields)


@dataclass
class Nights:
    """Writes nights of one endpoint to a base."""

    base: Base
    database: str = "ward"
    slug: str = SLUG

    def open(self, date: str, run_id: str = "", version: str = "1.0") -> Any:
        """A Store for that date; without run_id every night is a run of its own."""
        endpoint = SimpleNamespace(slug=self.slug, database=self.database)
        return pack.store.Store(endpoint, dt.date.fromisoformat(date), version, run_id or f"run of {date}")

    def write(
        self,
        date: str,
        found: Mapping[str, Columns] | list[Any],
        also: Mapping[str, Columns] | None = None,
        unreadable: tuple[str, ...] = (),
        **options: Any,
    ) -> int:
        """One whole night.

        Args:
            date: the metric date.
            found: what was measured: columns by table, or what `measured` makes.
            also: tables that are there and were not measured.
            unreadable: their labels where they were to be measured.
            options: as for `open`.
        """
        tables = found if isinstance(found, list) else [measured(label, columns) for label, columns in found.items()]
        existing = [one.table for one in tables] + [table(*item) for item in (also or {}).items()]
        with self.open(date, **options) as store:
            for one in tables:
                store.add(one)
            return store.complete(existing, unreadable)

    def changes(self, date: str) -> dict[tuple[str, str], tuple[str, str | None]]:
        """What changed about columns: schema_change and renamed_from, where there is any."""
        rows = self.base.metrics(date).items()
        return {place: (row["schema_change"], row["renamed_from"]) for place, row in rows if row["schema_change"]}

    def tables(self, date: str) -> dict[str, Row]:
        """The rows of metric_basic_table of one date."""
        rows = self.base.rows('SELECT * FROM metric_basic_table WHERE "date" = %s', date)
        return {row["table"]: row for row in rows}

    def level(self, name: str, date: str) -> Row:
        """The one row of metric_basic_version, or metric_basic_database, of one date."""
        (row,) = self.base.rows(f'SELECT * FROM metric_basic_{name} WHERE "date" = %s', date)
        return row


@contextmanager
def nights(base: Base) -> Iterator[Nights]:
    """The libpq variables of this process name the base, as they do for a pack."""
    server = base.database.server
    variables = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": base.database.name,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield Nights(base)
