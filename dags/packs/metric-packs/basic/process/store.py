"""The HDM base: one endpoint's rows of one metric date.

A table's rows are replaced in one transaction, which several small tables share. What concerns all tables (what is
gone, levels 0 and 1) is one more, the last: before it the date is not complete.

An empty connection string: the libpq variables of this process name the base.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import statements
from comparisons import COLUMN_METRICS
from statements import COLUMN_STAGE, LEVEL_STAGE, TABLE_STAGE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    import hdm
    from metrics import Values
    from psycopg import sql
    from tables import Table
    from typing_extensions import Self

TABLES = (
    *("metric_basic", "metric_basic_levels", "metric_basic_table", "metric_basic_version", "metric_basic_database"),
    "metric_basic_known",
)

# A transaction costs as much as some hundred rows; whoever is killed loses a second's work at most.
MAX_PENDING_ROWS = 2_000
MAX_PENDING_SECONDS = 1.0

# What is wrong with the rows, not with the base: a text that it cannot hold, a name too long for an index.
REFUSALS = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class MeasuredTable:
    """What was found in one table."""

    table: Table
    rows: int  # of the whole table
    sample_rows: int | None  # how many of them were read at random; None: all
    columns: dict[str, Values]  # column name -> metrics: COLUMN_METRICS, those that it has
    levels: dict[str, dict[str, int]]  # column name -> level -> frequency: what may be stored
    seconds: float  # that it took


def check() -> None:
    """Raise a psycopg.Error when the base cannot be reached or lacks the pack's tables."""
    with psycopg.connect() as base:
        for table in TABLES:
            base.execute(f"SELECT FROM {table} LIMIT 0".encode())


class Store:
    """One endpoint and metric date, for one thread.

    Args:
        endpoint: whose rows they are.
        date: the metric date.
        version: the dbversion of the endpoint.
        run_id: attempts with the same one go on where the last one stopped.

    Raises: psycopg.Error, here and in every method.
    """

    def __init__(self, endpoint: hdm.Endpoint, date: dt.date, version: str, run_id: str) -> None:
        self._values: dict[str, Any] = {
            "endpoint": endpoint.slug,
            "database": endpoint.database,
            "dbversion": version,
            "date": date,
            "run_id": run_id,
        }
        self._sql = statements.read("store") | statements.read("drift")
        self.refused: dict[str, psycopg.Error] = {}  # tables that the base did not take
        self._pending: list[MeasuredTable] = []
        self._pending_rows = 0
        self._pending_since = 0.0
        self._is_withdrawn = False
        self._base = psycopg.connect(autocommit=True, keepalives_idle=60)  # a long table, and a firewall
        try:
            self._base.execute(self._sql["settings"])
            self._base.execute(self._sql["stages"])
            state = self._base.execute(self._sql["state"], self._values).fetchone()
            assert state is not None, "it always answers"  # noqa: S101
            self.has_history, self._has_rows, self._is_complete = state  # the first: of earlier dates
            self._values["has_history"] = self.has_history
        except BaseException:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is pending, unless something has failed; close the connection."""
        try:
            if kind is None:
                self.flush()
        finally:
            self._base.close()

    def finished(self) -> dict[str, int]:
        """The tables that an earlier attempt of this run has finished, with how many columns it has measured.

        None of them when that attempt had completed the endpoint: then it is repeated, and everything is measured anew.
        """
        if self._is_complete:
            return {}
        return dict(self._base.execute(self._sql["finished"], self._values).fetchall())

    def add(self, measured: MeasuredTable) -> None:
        """Take one table's rows; once 2,000 are pending, or the first has waited a second, this writes them."""
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append(measured)
        self._pending_rows += 1 + len(measured.columns) + sum(map(len, measured.levels.values()))
        self.flush_due()

    def flush_due(self) -> None:
        """Write what is pending if it is much, or has waited long enough."""
        if self._pending_rows >= MAX_PENDING_ROWS or time.monotonic() - self._pending_since >= MAX_PENDING_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending, in one transaction; what the base refuses is left out, and is in `refused` then."""
        batch, self._pending, self._pending_rows = self._pending, [], 0
        if not batch:
            return
        try:
            self._write(batch)
        except REFUSALS as error:
            if len(batch) == 1:
                self.refused[batch[0].table.label] = error
                return
            for measured in batch:
                self._pending = [measured]
                self.flush()

    def complete(self, existing: Iterable[Table], unreadable: Iterable[str], unreadable_columns: int = 0) -> int:
        """Write what is pending, and then, in the last transaction, what concerns all tables.

        Args:
            existing: all tables there are with all their columns, also those that were not chosen: they are not gone.
            unreadable: labels of the chosen tables that were not measured: nothing is known of their columns.
            unreadable_columns: how many columns of the others were not.

        Returns: the number of rows of metric_basic of the date, those of dropped columns included.
        """
        self.flush()
        missing = sorted({*unreadable, *self.refused})
        self._values |= {"unreadable": missing, "unreadable_count": len(missing) + unreadable_columns}
        storable = (table for table in existing if table.label not in self.refused)  # their names may be why
        places = [(table.label, name) for table in storable for name in _names(table)]
        with self._base.transaction():
            self._withdraw()
            self._stage("staged_existing", ("table", "column"), places)
            if self._has_rows:
                self._run("sweep_levels", "sweep_columns", "sweep_tables", "reset_columns", "reset_tables")
            if self.has_history:
                self._run("drop_columns", "drop_tables", "rename_columns", "rename_tables", "count_changes")
            self._run("record_known", "insert_version", "insert_database")
            row = self._base.execute(self._sql["count"], self._values).fetchone()
        return row[0] if row else 0

    def _write(self, batch: list[MeasuredTable]) -> None:
        levels = [row for measured in batch for row in _level_rows(measured)]
        with self._base.transaction():
            self._withdraw()
            self._stage("staged_table", TABLE_STAGE, [_table_row(measured) for measured in batch])
            self._stage("staged_column", COLUMN_STAGE, [row for measured in batch for row in _column_rows(measured)])
            self._stage("staged_level", LEVEL_STAGE, levels)
            self._run(*["clear"] * self._has_rows, "insert_tables", "insert_columns")
            self._run(*["insert_levels"] * bool(levels))
        self._is_withdrawn = True

    def _withdraw(self) -> None:
        """Before the first change: take back that the date is complete."""
        if self._is_withdrawn:
            return
        self._run("withdraw_version", "withdraw_database")
        if self._is_complete:
            self._run("restart_run")

    def _run(self, *names: str) -> None:
        for name in names:
            self._base.execute(self._sql[name], self._values)

    def _stage(self, table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        if not rows:
            return
        statement: sql.Composed = statements.copy(table, columns)
        with self._base.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def _table_row(measured: MeasuredTable) -> Row:
    table = measured.table
    return (
        *(table.label, table.type, measured.rows, len(table.columns), table.bytes),
        *(table.last_change, measured.sample_rows, measured.seconds),
    )


def _column_rows(measured: MeasuredTable) -> Iterator[Row]:
    for column, values in measured.columns.items():
        yield measured.table.label, column, measured.sample_rows, *map(values.get, COLUMN_METRICS)


def _level_rows(measured: MeasuredTable) -> Iterator[Row]:
    for column, levels in measured.levels.items():
        for value, frequency in levels.items():
            yield measured.table.label, column, value, frequency


def _names(table: Table) -> list[str | None]:
    """The names of its columns that an index can hold; a table without any is there, too."""
    return [column.name for column in table.columns if column.has_short_name] or [None]
