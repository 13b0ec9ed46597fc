"""The HDM base: one endpoint's rows of one metric date.

One transaction replaces a table's rows; several small tables share a transaction. The last transaction writes what
concerns all tables (dropped objects, levels 0 and 1): until then the date is incomplete.

Connections need no parameters: the libpq variables of this process point to the base.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import statements
from events import LastNight
from key_store import KeyStore
from rows import TableRows
from statements import (
    COLUMN_METRICS,
    COLUMN_STAGE,
    DAY_STAGE,
    LEVEL_STAGE,
    NUMBER_STAGE,
    PAIR_STAGE,
    ROW_METRICS,
    TABLE_STAGE,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    import hdm
    from metrics import Values
    from tables import Table
    from typing_extensions import Self

TABLES = (
    *("metric_basic", "metric_basic_levels", "metric_basic_table", "metric_basic_version", "metric_basic_database"),
    *("metric_basic_known", "metric_basic_metric"),
    *("metric_basic_day", "metric_basic_pair", "metric_basic_number_by_level"),
    "metric_basic_foreign_key",
)

# A transaction costs as much as a few hundred rows. A run that is killed loses at most a second's work.
MAX_PENDING_ROWS = 2_000
MAX_PENDING_SECONDS = 1.0

# Errors of the rows, not of the base: a text that it cannot store, a name too long for an index.
REFUSALS = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class MeasuredTable:
    """The metrics of one table."""

    table: Table
    rows: int  # of the whole table
    sample_rows: int | None  # size of the random sample; None: all rows were read
    columns: dict[str, Values]  # column name -> its metrics, some of COLUMN_METRICS
    levels: dict[str, dict[str, int]]  # column name -> level -> frequency; only levels that may be stored
    seconds: float  # time that reading it took
    across: TableRows = field(default_factory=TableRows)


def check() -> None:
    """Raise a psycopg.Error if the base cannot be reached or lacks the pack's tables."""
    with psycopg.connect() as base:
        for table in TABLES:
            base.execute(f"SELECT FROM {table} LIMIT 0".encode())


class Store:
    """Writes the rows of one endpoint and metric date. Only one thread may use it.

    Args:
        endpoint: the endpoint that was measured.
        date: the metric date.
        version: the dbversion of the endpoint.
        run_id: an attempt with the same one resumes where the last one stopped.

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
        self._rendered: dict[str, bytes] = {}  # the same, as they are sent
        self.refused: dict[str, psycopg.Error] = {}  # tables that the base refused, by label
        self._pending: list[MeasuredTable] = []
        self._pending_rows = 0
        self._pending_since = 0.0
        self._is_withdrawn = False
        self._base = psycopg.connect(autocommit=True, keepalives_idle=60)  # or a firewall cuts it while idle
        try:
            self._base.execute(self._sql["settings"])
            self._base.execute(self._sql["stages"])
            state = self._base.execute(self._sql["state"], self._values).fetchone()
            assert state is not None, "it always answers"  # noqa: S101  # for the type checker
            self.has_history, self._has_rows, self._is_complete = state  # has_history: of earlier dates
            self._values["has_history"] = self.has_history
            self.keys = KeyStore(self._base, self._values)
        except BaseException:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write pending rows, unless there was an exception; close the connection."""
        try:
            if kind is None:
                self.flush()
        finally:
            self._base.close()

    def finished(self) -> dict[str, int]:
        """The tables that an earlier attempt of this run measured, with the number of columns measured.

        Empty if that attempt completed the endpoint: repeating it measures everything again.
        """
        if self._is_complete:
            return {}
        return dict(self._base.execute(self._sql["finished"], self._values).fetchall())

    def known(self) -> dict[str, dict[str, LastNight]]:
        """What the base holds of the endpoint's latest earlier date, by table and column: dates and categories only."""
        if not self.has_history:
            return {}
        found: dict[str, dict[str, LastNight]] = {}
        for table, column, *night in self._base.execute(self._sql["known"], self._values):
            found.setdefault(table, {})[column] = LastNight(*night)
        return found

    def add(self, measured: MeasuredTable) -> None:
        """Add one table's rows. Write all pending rows once there are 2,000 or the first has waited for a second."""
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append(measured)
        across = measured.across
        self._pending_rows += 1 + len(measured.columns) + sum(map(len, measured.levels.values()))
        self._pending_rows += bool(across.days) + len(across.pairs) + len(across.numbers)
        self.flush_due()

    def flush_due(self) -> None:
        """Write pending rows if there are many, or they have waited long enough."""
        if self._pending_rows >= MAX_PENDING_ROWS or time.monotonic() - self._pending_since >= MAX_PENDING_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write pending rows in one transaction. Tables that the base refuses are skipped and added to `refused`."""
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
        """Write pending rows and then, in the last transaction, what concerns all tables.

        Args:
            existing: all tables of the endpoint with all their columns, selected or not: they are not dropped.
            unreadable: labels of the selected tables that were not measured: their columns are unknown.
            unreadable_columns: the number of selected columns of the other tables that could not be read.

        Returns: the number of rows of metric_basic of the date, including dropped columns.
        """
        self.flush()
        missing = sorted({*unreadable, *self.refused})
        self._values |= {"unreadable": missing, "unreadable_count": len(missing) + unreadable_columns}
        storable = (table for table in existing if table.label not in self.refused)  # their names may be the reason
        places = [(table.label, name) for table in storable for name in _names(table)]
        with self._base.transaction():
            self._withdraw()
            self._stage("staged_existing", ("table", "column"), places)
            if self._has_rows:
                self._run("sweep_rows", "sweep_levels", "sweep_columns", "sweep_tables")
                self._run("reset_columns", "reset_tables")
            if self.has_history:
                self._run("drop_columns", "drop_tables", "rename_columns", "rename_tables", "count_changes")
            self._run("record_known", "insert_version", "insert_database")
            self.keys.write()
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
            for table, columns, insert, rows_of in ROW_STAGES:
                rows = [(measured.table.label, *row) for measured in batch for row in rows_of(measured.across)]
                self._stage(table, columns, rows)
                self._run(*[insert] * bool(rows))
        self._is_withdrawn = True

    def _withdraw(self) -> None:
        """Before the first change, mark the date as incomplete."""
        if self._is_withdrawn:
            return
        self._run("withdraw_version", "withdraw_database")
        if self._is_complete:
            self._run("restart_run")

    def _run(self, *names: str) -> None:
        for name in names:
            if name not in self._rendered:
                self._rendered[name] = self._sql[name].as_bytes(self._base)
            self._base.execute(self._rendered[name], self._values)

    def _stage(self, table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        if not rows:
            return
        with self._base.cursor() as cursor, cursor.copy(statements.copy(table, columns)) as copy:
            for row in rows:
                copy.write_row(row)


def _table_row(measured: MeasuredTable) -> Row:
    table = measured.table
    return (
        *(table.label, table.type, measured.rows, len(table.columns), table.bytes),
        *(table.last_change, measured.sample_rows, measured.seconds),
        *(getattr(measured.across, name) for name in ROW_METRICS),
    )


def _column_rows(measured: MeasuredTable) -> Iterator[Row]:
    for column, values in measured.columns.items():
        yield measured.table.label, column, measured.sample_rows, *map(values.get, COLUMN_METRICS)


def _level_rows(measured: MeasuredTable) -> Iterator[Row]:
    for column, levels in measured.levels.items():
        for value, frequency in levels.items():
            yield measured.table.label, column, value, frequency


def _day_rows(across: TableRows) -> list[Row]:
    """All days in one array: rows of their own would take as long as all other rows of a small table."""
    if not across.days:
        return []
    counts = ",".join("NULL" if count is None else str(count) for count in across.days)
    return [(across.event_column, across.first_day, f"{{{counts}}}")]


# Staging table, its columns, the statement that stores its rows, and these rows without the table's label.
ROW_STAGES: tuple[tuple[str, tuple[str, ...], str, Callable[[TableRows], Sequence[Row]]], ...] = (
    ("staged_day", DAY_STAGE, "insert_days", _day_rows),
    ("staged_pair", PAIR_STAGE, "insert_pairs", lambda across: across.pairs),
    ("staged_number", NUMBER_STAGE, "insert_numbers", lambda across: across.numbers),
)


def _names(table: Table) -> list[str | None]:
    """The names of its columns that fit into an index; [None] without any, so that the table is recorded, too."""
    return [column.name for column in table.columns if column.has_short_name] or [None]
