"""Usable dates: which earlier dates metrics may be compared with, and from which date on.

A date counts if its metrics are whole (view hdm_whole), for an object also if they are partial and neither the object
nor its table is missing; if nobody said what is missing, it counts for none.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import release
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

METRIC_PACK = "basic"
EPOCH = dt.date(1970, 1, 1).toordinal()
SEPARATOR = "\x1f"  # in no name
ALL = "*"  # in `incomplete`: it may be any object
IN_LEDGER = "SELECT FROM hdm_whole WHERE kind = 'metric' AND pack = %s AND endpoint = %s LIMIT 1"
MEASURED = """SELECT "date" FROM metric_basic_version WHERE endpoint = %s AND "date" <= %s
    ORDER BY "date" DESC LIMIT %s"""

ACCEPTED = """(
    SELECT id_rule, endpoint, "table", "column", from_date FROM rule_basic_baseline
    UNION ALL
    SELECT CASE WHEN i.rule_id ~ '^[0-9]{1,18}$' THEN i.rule_id::bigint END, i.endpoint, i."table", i."column", e."date"
    FROM hdm_incident i JOIN hdm_incident_event e ON e.incident = i.id
    WHERE i.rule_pack = 'basic' AND e.kind = 'accepted'
        AND coalesce(to_jsonb(e) ->> 'withdrawn', 'false') = 'false'
    UNION ALL
    SELECT m.of_rule, i.endpoint, m.of_table, m.of_column, e."date"
    FROM hdm_incident i JOIN hdm_incident_event e ON e.incident = i.id
    JOIN rule_basic_member m ON m.endpoint = i.endpoint AND m."date" BETWEEN e.opened_on AND e."date"
        AND m.id_rule::text = i.rule_id AND (m."table", m."column") = (i."table", i."column")
    WHERE i.rule_pack = 'basic' AND e.kind = 'accepted'
        AND coalesce(to_jsonb(e) ->> 'withdrawn', 'false') = 'false'
)"""


@dataclass(frozen=True)
class Date:
    """A metric date whose metrics may be used."""

    day: dt.date
    missing: frozenset[str] = frozenset()  # tables, and columns as table.column, that were not measured


def dates(base: psycopg.Connection[Any], slug: str, date: dt.date, count: int) -> list[Date]:
    """The dates that may be used, ascending: the newest `count - 1` before `date`, and `date` itself.

    Metrics of `date` itself are taken for whole if hdm_whole does not know them: the gate decides about them. If the
    ledger has none of the endpoint, packs run without hdm_airflow: all dates that were measured count.
    """
    rows = base.execute(
        """SELECT "date", coalesce(incomplete, '[]'::jsonb) FROM hdm_whole
           WHERE kind = 'metric' AND pack = %(pack)s AND endpoint = %(slug)s AND "date" <= %(date)s
               AND (state = 'whole' OR incomplete <> '[]' OR "date" = %(date)s)
           ORDER BY "date" DESC LIMIT %(count)s""",
        {"pack": METRIC_PACK, "slug": slug, "date": date, "count": count},
    ).fetchall()
    found = {day: Date(day, frozenset(map(str, missing))) for day, missing in rows}
    if not found.keys() - {date} and base.execute(IN_LEDGER, (METRIC_PACK, slug)).fetchone() is None:
        found = {row[0]: Date(row[0]) for row in base.execute(MEASURED, (slug, date, count))}
    found.setdefault(date, Date(date))
    return [found[day] for day in sorted(found)[-count:]]


def compared(base: psycopg.Connection[Any], slug: str, date: dt.date, count: int, before: dt.date) -> list[Date]:
    """The same, with dates before another one only, and `date` itself."""
    if before >= date:
        return dates(base, slug, date, count)
    earlier = [one for one in dates(base, slug, before, count) if one.day < before]
    return [*earlier[-(count - 1) :], dates(base, slug, date, 1)[0]]


def accepted(base: psycopg.Connection[Any]) -> sql.Composable:
    """What is accepted, as a subquery: columns of rule_basic_baseline.

    Somebody writes a row there, or accepts an incident: then its rule at its place, and all that its alerts were about.
    An HDM base of an older release has no incidents.
    """
    if not release.of(base).has_incidents:
        return sql.Identifier("rule_basic_baseline")
    return sql.SQL(ACCEPTED)


def since(base: psycopg.Connection[Any], slug: str, date: dt.date) -> pl.DataFrame:
    """From which dates baselines start anew, up to `date`: columns id_rule, table, column ('' = all), from_date."""
    query = sql.SQL(
        """SELECT id_rule, "table", "column", max(from_date) FROM {} b
           WHERE endpoint = %s AND from_date <= %s AND id_rule IS NOT NULL GROUP BY 1, 2, 3"""
    ).format(accepted(base))
    rows = base.execute(query, (slug, date)).fetchall()
    schema = {"id_rule": pl.Int64, "table": pl.String, "column": pl.String, "from_date": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def since_of(starts: pl.DataFrame, id_rules: Numbers, objects: pl.DataFrame) -> Numbers | None:
    """The ordinal of the first date that counts, per object; 0: all do. None if all dates of all objects do.

    Args:
        starts: of `since`.
        id_rules: the rule of each object.
        objects: their keys. An object without a table or a column has the one named ''.
    """
    starts = starts.filter(pl.col("id_rule").is_in(np.unique(id_rules).tolist()))
    if starts.is_empty():
        return None
    places = objects.select(
        pl.Series("id_rule", id_rules),
        *((pl.col(name) if name in objects.columns else pl.lit("")).alias(name) for name in ("table", "column")),
    )
    found = np.zeros(objects.height, np.int64)
    for named in (("table", "column"), ("table",), ("column",), ()):
        some = starts.filter((pl.col(name) != "") == (name in named) for name in ("table", "column"))
        keys = ["id_rule", *named]
        newest = some.group_by(keys).agg(pl.col("from_date").max().to_physical().cast(pl.Int64) + EPOCH)
        days = places.join(newest, on=keys, how="left", maintain_order="left")["from_date"]
        found = np.maximum(found, days.fill_null(0).to_numpy())
    return found


def is_missing(keys: Sequence[str], missing: Iterable[str]) -> pl.Expr:
    """Which objects were not measured, or in part: their table, one of their columns, or the parent's.

    Args:
        keys: those of the objects. Objects without a table are about all tables.
        missing: tables, and columns as table.column; `*`: it may be any. A key of several columns is missing if one of
            them is.
    """
    names = list(missing)
    if "table" not in keys or ALL in names:
        return pl.repeat(value=True, n=pl.len()).alias("is_missing")
    found = pl.lit(value=False)
    for table in ("table", "parent_table"):
        if table in keys:
            found |= pl.col(table).is_in(names)
    for column in keys:
        table = "parent_table" if column == "parent_column" else "table"
        if column.endswith("column") and table in keys:
            found |= pl.concat_str(pl.col(table), pl.lit("."), pl.col(column)).is_in(names)
            if "parent_column" in keys:
                found |= _of_several(table, column).list.eval(pl.element().is_in(names)).list.any()
    return found.fill_null(value=False).alias("is_missing")


def _of_several(table: str, column: str) -> pl.Expr:
    """The names, as table.column, of the columns of a key that metric pack basic has joined by commas."""
    apart = pl.concat_str(pl.lit(SEPARATOR), pl.col(table), pl.lit("."))
    names = pl.concat_str(pl.col(table), pl.lit("."), pl.col(column).str.replace_all(", ", apart, literal=True))
    return names.str.split(SEPARATOR)
