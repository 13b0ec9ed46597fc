"""The HDM base: what it knows of an endpoint, and the rows of one date, replaced as a whole.

An empty connection string: the libpq variables of this process name the base.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import deltas
import psycopg
from psycopg import sql

if TYPE_CHECKING:
    import datetime as dt

    import hdm
    from levels import Levels

KEYS = ("endpoint", "database", "dbversion", "table", "column", "date")
COMPARED = (
    *("previous_date", "schema_change"),
    *(f"delta_{name}" for name in deltas.METRICS),
    *(f"evol_{name}" for name in deltas.NUMERIC),
)
METRIC_COLUMNS = (*KEYS, *deltas.METRICS, *COMPARED)
LEVEL_COLUMNS = (*KEYS, "value", "frequency", "delta_frequency", "evol_frequency")


@dataclass
class Findings:
    """What was measured at one endpoint."""

    version: str  # dbversion
    existing: set[deltas.Place] = field(default_factory=set)  # all columns there are, also those not measured
    unreadable: list[str] = field(default_factory=list)  # tables that failed: nothing is known of their columns
    metrics: dict[deltas.Place, deltas.Values] = field(default_factory=dict)
    levels: dict[deltas.Place, Levels] = field(default_factory=dict)


def check() -> None:
    """Raise a psycopg.Error when the base cannot be reached or lacks the pack's tables."""
    with psycopg.connect() as base:
        base.execute("SELECT FROM metric_basic LIMIT 0")
        base.execute("SELECT FROM metric_basic_levels LIMIT 0")


def save(endpoint: hdm.Endpoint, date: dt.date, findings: Findings) -> int:
    """Replace the endpoint's rows of that date, in one transaction; the number of rows of metric_basic."""
    with psycopg.connect() as base:
        history = _history(base, endpoint.slug, date)
        key = {"endpoint": endpoint.slug, "database": endpoint.database, "dbversion": findings.version, "date": date}
        metrics = _metric_rows(key, findings, history)
        levels = _level_rows(key, findings, _former_levels(base, endpoint.slug, history))
        _replace(base, "metric_basic", METRIC_COLUMNS, key, metrics)
        _replace(base, "metric_basic_levels", LEVEL_COLUMNS, key, levels)
    return len(metrics)


def _metric_rows(key: deltas.Values, findings: Findings, history: deltas.History) -> list[deltas.Values]:
    rows = []
    for place, values in findings.metrics.items():
        table, column = place
        compared = deltas.compare(place, values, history)
        rows.append({**key, "table": table, "column": column, **values, **compared})
    for (table, column), last in deltas.gone(findings.existing, history).items():
        if table not in findings.unreadable:
            change = {"schema_change": "dropped", "previous_date": last}
            rows.append({**key, "table": table, "column": column, **change})
    return rows


def _level_rows(key: deltas.Values, findings: Findings, former: dict[tuple[str, ...], int]) -> list[deltas.Values]:
    rows = []
    for (table, column), levels in findings.levels.items():
        for value, frequency in levels.items():
            delta, evolution = deltas.difference(frequency, former.get((table, column, value)))
            change = {"delta_frequency": delta, "evol_frequency": evolution}
            rows.append({**key, "table": table, "column": column, "value": value, "frequency": frequency, **change})
    return rows


def _history(base: psycopg.Connection[Any], slug: str, date: dt.date) -> deltas.History:
    names = sql.SQL(", ").join(map(sql.Identifier, deltas.METRICS))
    query = sql.SQL("""
        SELECT DISTINCT ON ("table", "column") "table", "column", "date", {} FROM metric_basic
        WHERE endpoint = %s AND "date" < %s AND schema_change IS DISTINCT FROM 'dropped'
        ORDER BY "table", "column", "date" DESC""").format(names)
    measured = {
        (table, column): (day, dict(zip(deltas.METRICS, values, strict=True)))
        for table, column, day, *values in base.execute(query, (slug, date))
    }
    dropped = base.execute(
        """SELECT "table", "column", max("date") FROM metric_basic
           WHERE endpoint = %s AND "date" < %s AND schema_change = 'dropped' GROUP BY 1, 2""",
        (slug, date),
    )
    return deltas.History(measured, {(table, column): day for table, column, day in dropped})


def _former_levels(base: psycopg.Connection[Any], slug: str, history: deltas.History) -> dict[tuple[str, ...], int]:
    """The frequencies at each column's previous date, by table, column and value."""
    dates = list({day for day, _ in history.measured.values()})
    rows = base.execute(
        """SELECT "table", "column", "date", value, frequency FROM metric_basic_levels
           WHERE endpoint = %s AND "date" = ANY(%s)""",
        (slug, dates),
    )
    return {
        (table, column, value): frequency
        for table, column, day, value, frequency in rows
        if (table, column) in history.measured and history.measured[table, column][0] == day
    }


def _replace(
    base: psycopg.Connection[Any],
    table: str,
    columns: tuple[str, ...],
    key: deltas.Values,
    rows: list[deltas.Values],
) -> None:
    target = sql.Identifier(table)
    delete = sql.SQL('DELETE FROM {} WHERE endpoint = %s AND "date" = %s').format(target)
    base.execute(delete, (key["endpoint"], key["date"]))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with base.cursor() as cursor, cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as copy:
        for row in rows:
            copy.write_row([row.get(name) for name in columns])
