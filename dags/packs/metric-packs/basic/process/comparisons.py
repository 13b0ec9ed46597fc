"""The SQL expressions that compare a row of metrics with that of an earlier date.

In the expressions, `n` is the row of the metric date and `p` the earlier one. No result may exceed a double's range:
PostgreSQL would raise an error, and one odd column would cost all others their metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from declared import COUNT, MEASURE, MOMENT, PROPERTY
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from declared import Metric

_IF_COMPARABLE = "CASE WHEN (n.sample_rows IS NULL) = (p.sample_rows IS NULL) THEN {comparison} END"
_DIFFERENCES = {
    PROPERTY: "(n.{x} <> p.{x})::integer",
    COUNT: "n.{x} - p.{x}",
    MEASURE: "CASE WHEN abs(n.{x}) < '8e307'::float8 AND abs(p.{x}) < '8e307'::float8 THEN n.{x} - p.{x} END",
    MOMENT: "(extract(epoch FROM n.{x} - p.{x}) / 86400)::double precision",
}
_QUOTIENTS = {
    COUNT: "n.{x}::float8 / nullif(p.{x}, 0)",
    MEASURE: (
        "CASE WHEN n.{x} = 0 AND p.{x} <> 0 THEN 0 WHEN abs(n.{x}) BETWEEN '1e-150'::float8 AND '1e150'::float8"
        " AND abs(p.{x}) BETWEEN '1e-150'::float8 AND '1e150'::float8 THEN n.{x} / p.{x} END"
    ),
}


def names(metrics: Iterable[Metric]) -> sql.Composed:
    """The names of the metrics and of their comparisons, in the order of `values`."""
    return identifiers(name for metric in metrics for name in metric.columns)


def identifiers(columns: Iterable[str], alias: str = "") -> sql.Composed:
    """Quoted names, separated by commas."""
    return _listed(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in columns)


def values(metrics: Iterable[Metric]) -> sql.Composed:
    """Each metric of `n`, its difference from that of `p` and, for numbers, their quotient."""
    return _listed(
        sql.SQL(one).format(x=sql.Identifier(metric.name)) for metric in metrics for one in _expressions(metric)
    )


def _expressions(metric: Metric) -> list[str]:
    comparisons = [by_kind[metric.compared] for by_kind in (_DIFFERENCES, _QUOTIENTS) if metric.compared in by_kind]
    if metric.grows:
        comparisons = [_IF_COMPARABLE.replace("{comparison}", one) for one in comparisons]
    return ["n.{x}", *comparisons]


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
