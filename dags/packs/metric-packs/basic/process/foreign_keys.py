"""Foreign keys: what a column of one table refers to, declared by the database or inferred, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tables import INTEGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tables import Column, Table

MAX_PLACE_BYTES = 1_500  # of the four names of a key, which have to fit into an index of the HDM base

Place = tuple[str, str]  # a table's label and a column
KeyPlace = tuple[str, str, str, str]  # the child's label and columns, joined by ", ", and the parent's


class Pair(NamedTuple):
    """One column of a foreign key and the column that it refers to."""

    column: str
    parent_column: str
    operator: str = "="  # parent operator child
    collation: str = ""  # SQL appended to the child's column, so that both compare as the database compares them
    is_alike: bool = True  # whether values of the child that are equal to one parent are equal to each other


class Reference(NamedTuple):
    """A foreign key as an engine lists it. Tables are (schema, name)."""

    table: tuple[str, str]
    parent: tuple[str, str]
    pairs: tuple[Pair, ...]
    is_parent_unique: bool = False  # the database guarantees it; False: unknown


class Fact(NamedTuple):
    """What the pass has measured of one column on this date."""

    kind: str  # infered_data_type
    key_constraint: str
    is_key: bool
    values: int  # that are not null
    rows: int
    levels: int
    is_sample: bool
    least: float | None  # of numbers; None: unknown, or not published
    greatest: float | None

    @property
    def is_unique(self) -> bool:
        """Whether the database guarantees that no two values are equal, and so has an index."""
        return self.key_constraint in {"primary", "unique"}


Facts = dict[str, dict[str, Fact]]  # label of the table -> column


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """One foreign key between two tables that are measured."""

    table: Table
    parent: Table
    pairs: tuple[Pair, ...]
    declared: bool  # False: inferred
    is_candidate: bool = False  # inferred, and never measured on an earlier date
    is_parent_unique: bool = False  # guaranteed, by an index; False: the query makes the parents distinct
    fact: Fact | None = None  # of the child's only column, if all its rows were read
    parents: int | None = None  # number of different parents, if the pass has counted them
    rows: int = 0  # of both tables, about

    @property
    def column(self) -> str:
        """Its columns, as stored."""
        return ", ".join(pair.column for pair in self.pairs)

    @property
    def parent_column(self) -> str:
        """The columns that it refers to, as stored."""
        return ", ".join(pair.parent_column for pair in self.pairs)

    @property
    def place(self) -> KeyPlace:
        """What identifies it at its endpoint."""
        return self.table.label, self.column, self.parent.label, self.parent_column

    def __str__(self) -> str:
        table, column, parent, parent_column = self.place
        return f"{table} ({column}) -> {parent} ({parent_column})"


class KeyCounts(NamedTuple):
    """What is counted of a foreign key."""

    values: int  # rows of the child without a null in the key
    orphans: int  # of these, rows without a parent
    parents: int  # different values of the parent's key
    covered: int  # of these, values that the child refers to


class Declared:
    """The declared foreign keys between the tables that are measured.

    Args:
        references: of the endpoint.
        tables: that are measured, with their columns.
        facts: of their columns.
    """

    def __init__(self, references: Iterable[Reference], tables: Iterable[Table], facts: Facts) -> None:
        by_name = {(table.schema, table.name): table for table in tables}
        found: dict[KeyPlace, ForeignKey] = {}
        self.places: set[Place] = set()  # columns that have one, measured or not: nothing is inferred of them
        for reference in references:
            table, parent = by_name.get(reference.table), by_name.get(reference.parent)
            if table is not None:
                self.places |= {(table.label, pair.column) for pair in reference.pairs}
            if table is None or parent is None:
                continue
            if not _has_all(table, (pair.column for pair in reference.pairs)):
                continue
            if _has_all(parent, (pair.parent_column for pair in reference.pairs)):
                key = described(table, parent, reference.pairs, facts, reference.is_parent_unique, declared=True)
                if fits(key):
                    found.setdefault(key.place, key)
        self.keys = list(found.values())


def described(
    table: Table,
    parent: Table,
    pairs: tuple[Pair, ...],
    facts: Facts,
    is_unique: bool = False,
    *,
    declared: bool,
    is_candidate: bool = False,
) -> ForeignKey:
    """A foreign key, with what the pass knows of its parents."""
    fact = _fact(facts, parent, pairs[0].parent_column)
    child = _fact(facts, table, pairs[0].column)
    is_single = len(pairs) == 1
    is_unique = is_unique or (is_single and fact is not None and fact.is_unique)
    parents = None
    if is_single and fact is not None and not fact.is_sample and (is_unique or fact.kind == INTEGER):
        parents = fact.levels
    return ForeignKey(
        table=table,
        parent=parent,
        pairs=pairs,
        declared=declared,
        is_candidate=is_candidate,
        is_parent_unique=is_unique,
        fact=child if is_single and child is not None and not child.is_sample else None,
        parents=parents,
        rows=_rows(facts, table) + _rows(facts, parent),
    )


def inferred(
    places: Iterable[KeyPlace],
    tables: Iterable[Table],
    facts: Facts,
    declared: Declared,
    paired: Callable[[Column, Column, str], Pair | None],
) -> list[ForeignKey]:
    """The keys that were inferred on earlier dates, as far as their columns still exist and nothing is declared."""
    by_label = {table.label: table for table in tables}
    found = []
    for label, column, parent_label, parent_column in places:
        table, parent = by_label.get(label), by_label.get(parent_label)
        if table is None or parent is None or (label, column) in declared.places:
            continue
        child, other = column_of(table, column), column_of(parent, parent_column)
        fact = _fact(facts, table, column)
        if child is None or other is None or fact is None:
            continue
        pair = paired(child, other, fact.kind)
        if pair is not None:
            found.append(described(table, parent, (pair,), facts, declared=False))
    return found


def fits(key: ForeignKey) -> bool:
    """Whether its names fit into an index of the HDM base."""
    return sum(len(name.encode()) for name in key.place) <= MAX_PLACE_BYTES


def column_of(table: Table, name: str) -> Column | None:
    """The table's column of this name."""
    return next((column for column in table.columns if column.name == name), None)


def _has_all(table: Table, names: Iterable[str]) -> bool:
    return set(names) <= {column.name for column in table.columns}


def _fact(facts: Mapping[str, Mapping[str, Fact]], table: Table, column: str) -> Fact | None:
    return facts.get(table.label, {}).get(column)


def _rows(facts: Facts, table: Table) -> int:
    return max((fact.rows for fact in facts.get(table.label, {}).values()), default=0)
