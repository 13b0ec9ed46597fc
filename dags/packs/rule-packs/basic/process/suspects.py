"""Suspects: which of the columns that a breach names is the one that has changed.

A breach about two columns does not tell. Several breaches that have one column in common do: it is that column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules import Rule

SEVERAL = 2


def of_parents(breaches: pl.DataFrame, is_child: pl.Series) -> pl.DataFrame:
    """Orphans in several columns that refer to one table: it has lost rows. The breaches are then about that table.

    Args:
        breaches: all, also those that are explained.
        is_child: of each breach whether it counts: not if it has another cause.
    """
    breaches = breaches.with_columns(is_child.alias("is_child"))
    children = pl.struct("table", "column").filter("is_child").n_unique().over("rule", "other_table", "other_column")
    is_parent = pl.col("other_table").is_not_null() & pl.col("is_child") & (children >= SEVERAL)
    child = pl.format("in {}.{} and {} more, {}", "table", "column", children - 1, "detail")
    return breaches.with_columns(
        pl.when(is_parent).then("other_table").otherwise("table").alias("table"),
        pl.when(is_parent).then("other_column").otherwise("column").alias("column"),
        pl.when(is_parent).then(child).otherwise("detail").alias("detail"),
    ).drop("is_child")


def of_numbers(breaches: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Several numbers that differ by the levels of one column: the levels have changed. One breach is then about it."""
    alike = pl.col("column").n_unique().over("rule", "table", "other_column")
    is_level = _is_about(breaches, rules, "number_by_level") & (alike >= SEVERAL)
    marked = breaches.with_columns(is_level.alias("is_level"))
    levels = marked.filter("is_level").with_columns(pl.col("other_column").alias("column"))
    levels = levels.unique(["rule", "table", "column"], keep="first", maintain_order=True)
    return pl.concat([marked.filter(~pl.col("is_level")), levels]).drop("is_level")


def mark_pairs(breaches: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """With `pair`: both columns of a breach about a pair; null of others."""
    both = pl.when(_is_about(breaches, rules, "pair")).then(pl.format("{} and {}", "column", "other_column"))
    return breaches.with_columns(both.alias("pair"))


def of_pairs(breaches: pl.DataFrame) -> pl.DataFrame:
    """A pair of columns: either may have changed, so the breach is about the table, and names both."""
    is_pair = pl.col("pair").is_not_null()
    return breaches.with_columns(
        pl.when(is_pair).then(None).otherwise("column").alias("column"),
        pl.when(is_pair).then(pl.format("{}, {}", "pair", "detail")).otherwise("detail").alias("detail"),
    )


def _is_about(breaches: pl.DataFrame, rules: Sequence[Rule], of: str) -> pl.Expr:
    return pl.col("rule").is_in([number for number in breaches["rule"].unique() if rules[number].check.of == of])
