"""Fault, Plan and Site: what a fault does, and where it can be planted."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from benchmarks.faults.data.dataset import DataSet, Row
from benchmarks.faults.schema import Column, Table

FEWEST_ROWS = 200  # of a table that loses or gains rows
FEWEST_VALUES = 100  # of a column that changes
FEWEST_LOADED = 20  # rows of a night, for faults of the new rows
BUCKETS = 1_024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One fault at one place."""

    table: str
    column: str = ""  # "": the fault concerns the table
    about: str
    also: tuple[tuple[str, str], ...] = ()  # other places that an alert may name instead
    change: Callable[[list[Row]], list[Row]] | None = None  # of the rows that are loaded into the table
    statements: tuple[str, ...] = ()  # run after the load
    least: int = FEWEST_LOADED  # rows that each statement must affect, and a change half as many; 0: of structure


Planner: TypeAlias = Callable[["Site"], Iterator[Plan]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault."""

    name: str
    group: str  # the module it is in
    about: str
    planner: Planner
    nights: int  # nights that it lasts, until somebody could see it
    digest: str  # changes with its code


FAULTS: dict[str, Fault] = {}


def fault(planner: Planner) -> Planner:
    """Register a kind of fault."""
    return _register(planner, 1)


def lasting(nights: int) -> Callable[[Planner], Planner]:
    """Register a kind of fault that shows only after several nights."""
    return lambda planner: _register(planner, nights)


def _register(planner: Planner, nights: int) -> Planner:
    name, group = planner.__name__, planner.__module__.rpartition(".")[2]
    assert planner.__doc__, name
    assert name not in FAULTS, name
    code = ast.dump(ast.parse(inspect.getsource(planner)))  # without comments and layout
    digest = hashlib.sha256(f"{nights}{code}".encode()).hexdigest()[:10]
    FAULTS[name] = Fault(name=name, group=group, about=planner.__doc__, planner=planner, nights=nights, digest=digest)
    return planner


@dataclass
class Site:
    """A data set before the night of the fault."""

    dataset: DataSet
    random: Random
    connection: Any  # reads the state of the night before
    loaded: dict[str, int]  # rows that the twin night loads, by table
    answers: dict[str, list[Row]]  # of queries on the same state: faults ask much the same

    @property
    def is_sqlite(self) -> bool:
        """Whether statements are for SQLite instead of PostgreSQL."""
        return self.dataset.is_sqlite

    def tables(self, least: int = FEWEST_ROWS, *, declared: bool | None = None) -> list[Table]:
        """The tables with so many rows, in random order."""
        return self._shuffled(
            table
            for table in self.dataset.tables
            if declared in {None, table.is_declared} and self.count(table.name) >= least
        )

    def fed(self, *, declared: bool | None = None) -> list[Table]:
        """The tables into which the night loads rows, in random order."""
        return self._shuffled(
            table
            for table in self.dataset.tables
            if declared in {None, table.is_declared} and self.loaded.get(table.name, 0) >= FEWEST_LOADED
        )

    def columns(
        self,
        *roles: str,
        least: int = FEWEST_VALUES,
        fed: bool = False,
        test: Callable[[Column], bool] = lambda _: True,
    ) -> list[tuple[Table, Column]]:
        """The columns of these roles, mostly filled, in random order.

        Args:
            roles: see schema.py.
            least: values that are not null.
            fed: only of tables into which the night loads rows.
            test: more that the column must be.
        """
        tables = self.fed() if fed else [t for t in self.dataset.tables if self.count(t.name) >= least]
        found = [(table, column) for table in tables for column in table.of(*roles) if test(column)]
        return self._shuffled(
            (table, column)
            for table, column in found
            if self.count(table.name, f'"{column.name}" IS NOT NULL') >= max(least, self.count(table.name) // 2)
        )

    def levels(self, table: Table, column: Column) -> list[tuple[Any, int]]:
        """The values of a column with their frequencies, most frequent first."""
        query = f'SELECT "{column.name}", count(*) FROM "{table.name}" WHERE "{column.name}" IS NOT NULL GROUP BY 1'
        return [(value, count) for value, count in self.ask(f"{query} ORDER BY 2 DESC, 1 LIMIT 50")]

    def count(self, table: str, condition: str = "true") -> int:
        """The rows of a table that fulfil a condition."""
        return int(self.ask(f'SELECT count(*) FROM "{table}" WHERE {condition}')[0][0])

    def ask(self, query: str) -> list[Row]:
        """The rows of a query."""
        if query not in self.answers:
            self.answers[query] = list(self.connection.execute(query).fetchall())
        return self.answers[query]

    def some(self, percent: float) -> str:
        """A condition that so many rows fulfil, whatever their values."""
        limit, salt = round(percent / 100 * BUCKETS), self.random.randrange(1_000)
        if self.is_sqlite:
            return f"((rowid * 7919 + {salt}) % {BUCKETS}) < {limit}"
        return f"(hashtext(ctid::text || '{salt}') & {BUCKETS - 1}) < {limit}"

    def _shuffled(self, found: Any) -> list[Any]:
        whole = list(found)
        self.random.shuffle(whole)
        return whole


def update(table: Table, column: Column | str, value: str, *conditions: str) -> str:
    """An UPDATE of the column's values that are not null."""
    name = column if isinstance(column, str) else column.name
    where = " AND ".join([f'"{name}" IS NOT NULL', *conditions])
    return f'UPDATE "{table.name}" SET "{name}" = {value} WHERE {where}'


def changed(table: Table, column: Column, value: Callable[[Any], Any]) -> Callable[[list[Row]], list[Row]]:
    """A change of one column's values that are not null, in the rows of a night."""
    index = table.index(column.name)
    return lambda rows: [
        row if row[index] is None else (*row[:index], value(row[index]), *row[index + 1 :]) for row in rows
    ]


def literal(value: Any) -> str:
    """A value of a code column as SQL."""
    return str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"
