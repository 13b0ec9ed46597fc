"""The metrics by kind, and the SQL expressions that compare a row with that of an earlier date.

In the expressions, `n` is the row of the metric date and `p` the earlier one. No result may exceed a double's range:
PostgreSQL would raise an error, and one odd column would cost all others their metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

# Metrics of a column, by how they are compared.
PROPERTIES = ("data_type", "infered_data_type", "key_constraint", "is_key", "is_categorical")
COUNTS = (
    *("value_counts", "na_values", "levels_count", "highest_frequency", "sndHighestFrequency", "thrdHighestFrequency"),
    *("zero_count", "negative_count", "non_finite_count", "empty_count", "future_dates", "true_count", "false_count"),
)
LENGTHS = ("min_length", "max_length")
MEASURES = (
    *("percent_na_values", "ratio_level_frequency", "min_num_var", "max_num_var", "mean_num_var", "median_num_var"),
    *("std_num_var", "p01_num_var", "p99_num_var", "mean_length"),
)
MOMENTS = ("min_date_var", "max_date_var")
COLUMN_METRICS = PROPERTIES + COUNTS + LENGTHS + MEASURES + MOMENTS

# These grow with the number of rows, so a sample is not compared with a whole table.
EXTENSIVE = frozenset({*COUNTS, "ratio_level_frequency"})

TABLE_COUNTS = ("rows_count", "columns_count", "bytes")
VERSION_COUNTS = ("tables_count", *TABLE_COUNTS)

_IF_COMPARABLE = "CASE WHEN (n.sample_rows IS NULL) = (p.sample_rows IS NULL) THEN {comparison} END"
_DIFFERENCES = {
    **dict.fromkeys(PROPERTIES, "(n.{x} <> p.{x})::integer"),
    **dict.fromkeys(MOMENTS, "(extract(epoch FROM n.{x} - p.{x}) / 86400)::double precision"),
    **dict.fromkeys(
        MEASURES, "CASE WHEN abs(n.{x}) < '8e307'::float8 AND abs(p.{x}) < '8e307'::float8 THEN n.{x} - p.{x} END"
    ),
}
_DIFFERENCE = "n.{x} - p.{x}"
_QUOTIENT = "n.{x}::float8 / nullif(p.{x}, 0)"
_QUOTIENT_OF_DOUBLES = (
    "CASE WHEN n.{x} = 0 AND p.{x} <> 0 THEN 0 WHEN abs(n.{x}) BETWEEN '1e-150'::float8 AND '1e150'::float8"
    " AND abs(p.{x}) BETWEEN '1e-150'::float8 AND '1e150'::float8 THEN n.{x} / p.{x} END"
)


def names(metrics: Iterable[str]) -> sql.Composed:
    """The names of the metrics and of their comparisons, in the order of `values`."""
    return _listed(sql.Identifier(name) for metric in metrics for name in _columns(metric))


def identifiers(columns: Iterable[str], alias: str = "") -> sql.Composed:
    """Quoted names, separated by commas."""
    return _listed(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in columns)


def values(metrics: Iterable[str]) -> sql.Composed:
    """Each metric of `n`, its difference from that of `p` and, for numbers, their quotient."""
    return _listed(sql.SQL(one).format(x=sql.Identifier(metric)) for metric in metrics for one in _expressions(metric))


def _columns(metric: str) -> list[str]:
    return [metric, f"delta_{metric}"] + [f"evol_{metric}"] * _is_number(metric)


def _expressions(metric: str) -> list[str]:
    comparisons = [_DIFFERENCES.get(metric, _DIFFERENCE)]
    if _is_number(metric):
        comparisons.append(_QUOTIENT_OF_DOUBLES if metric in MEASURES else _QUOTIENT)
    if metric in EXTENSIVE:
        comparisons = [_IF_COMPARABLE.replace("{comparison}", one) for one in comparisons]
    return ["n.{x}", *comparisons]


def _is_number(metric: str) -> bool:
    return metric not in PROPERTIES + MOMENTS


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
