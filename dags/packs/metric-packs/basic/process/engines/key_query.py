"""The query that counts the orphans of a foreign key, in the SQL that all engines share.

The child's values are grouped first, then looked up: that is several times as fast as joining every row, and needs no
index of the parent if the engine can join by hashing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foreign_keys import ForeignKey

    from engines.engine import Engine


def counting_values(engine: Engine, key: ForeignKey) -> str:
    """A query with one row: rows of the child without nulls in the key, those without a parent, parents referred to."""
    numbers = range(len(key.pairs))
    child = [f"c.{engine.quote(pair.column)}" for pair in key.pairs]
    grouped = [f"{name}{pair.collation}" for name, pair in zip(child, key.pairs, strict=True)]
    values = ", ".join(f"{value} AS v{i}" for i, value in enumerate(grouped))
    present = " AND ".join(f"{name} IS NOT NULL" for name in child)
    table, groups = engine.path(key.table), ", ".join(grouped)
    held = f"SELECT {values}, count(*) AS n FROM {table} c WHERE {present} GROUP BY {groups}"
    if key.is_parent_unique:
        names = [f"p.{engine.quote(pair.parent_column)}" for pair in key.pairs]
        parent = engine.path(key.parent)
    else:
        names = [f"p.k{i}" for i in numbers]
        parent = f"({_distinct(engine, key)})"
    matches = " AND ".join(f"{names[i]} {key.pairs[i].operator} h.v{i}" for i in numbers)
    joined = f"FROM ({held}) h LEFT JOIN {parent} p ON {matches}"
    if all(pair.is_alike for pair in key.pairs):
        return _totals("h.n", names[0], joined)
    # Several values of the child may be equal to one parent: count it once.
    return _totals("g.n", "g.k", f"FROM (SELECT {names[0]} AS k, sum(h.n) AS n {joined} GROUP BY {', '.join(names)}) g")


def counting_orphans(engine: Engine, key: ForeignKey, count: int) -> str:
    """A query with one row: rows of the child that have one of so many values, its parameters, and no parent.

    Args:
        engine: that quotes.
        key: of one column.
        count: of the values.
    """
    (pair,) = key.pairs
    child, parent = f"c.{engine.quote(pair.column)}", f"p.{engine.quote(pair.parent_column)}"
    lookup = f"SELECT 1 FROM {engine.path(key.parent)} p WHERE {parent} {pair.operator} {child}"
    before = f"SELECT count(*) FROM {engine.path(key.table)} c WHERE NOT EXISTS ({lookup}) AND {child}"
    return before.replace("%", engine.percent) + f" IN ({', '.join([engine.mark] * count)})"


def counting_parents(engine: Engine, key: ForeignKey) -> str:
    """A query with one row: the number of different parents."""
    return f"SELECT count(*) FROM ({_distinct(engine, key)}) p"


def _distinct(engine: Engine, key: ForeignKey) -> str:
    names = [f"q.{engine.quote(pair.parent_column)}" for pair in key.pairs]
    values = ", ".join(f"{name} AS k{i}" for i, name in enumerate(names))
    present = " AND ".join(f"{name} IS NOT NULL" for name in names)
    return f"SELECT DISTINCT {values} FROM {engine.path(key.parent)} q WHERE {present}"


def _totals(rows: str, parent: str, source: str) -> str:
    return (
        f"SELECT coalesce(sum({rows}), 0), coalesce(sum(CASE WHEN {parent} IS NULL THEN {rows} ELSE 0 END), 0),"
        f" coalesce(sum(CASE WHEN {parent} IS NULL THEN 0 ELSE 1 END), 0) {source}"
    )
