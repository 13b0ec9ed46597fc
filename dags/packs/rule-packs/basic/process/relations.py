"""The tables and views of metric pack basic: which metrics rules may name, and the metrics of one date as frames."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import transfer
from psycopg import sql

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    import psycopg

    Indices = np.ndarray[Any, np.dtype[np.int32]]


class Metric(NamedTuple):
    """A metric that rules may name."""

    kind: str  # number, text, boolean or date
    relation: str  # the table or view that holds it
    is_quotable: bool = False  # known to be no value from the data, so alerts may quote it
    dtype: Any = pl.Float64  # Int64, Float64, String, Int8 (boolean), or Int64 for dates: microseconds since 1970


class Source(NamedTuple):
    """Where the metrics of one kind of object are."""

    keys: tuple[str, ...]  # columns that identify the object, "table" and "column" first
    relations: tuple[str, ...]  # of two that have a metric, the first counts
    other_table: str = ""  # the key that names a second table
    other_column: str = ""  # the key that names a second column
    counts: tuple[str, ...] = ()  # metrics that count rows or values: alerts may quote them


SOURCES = {
    "column": Source(("table", "column"), ("metric_basic", "metric_basic_trend")),
    "table": Source(("table",), ("metric_basic_table", "metric_basic_table_trend")),
    "version": Source((), ("metric_basic_version",)),
    "database": Source((), ("metric_basic_database",)),
    "day": Source(("table", "column", "day"), ("metric_basic_day",), counts=("rows_count",)),
    "pair": Source(
        ("table", "column", "other_column"),
        ("metric_basic_pair",),
        other_column="other_column",
        counts=("both_count", "greater_count", "equal_count"),
    ),
    "level": Source(("table", "column", "value"), ("metric_basic_levels",), counts=("frequency", "delta_frequency")),
    "number_by_level": Source(
        ("table", "column", "level_column", "value"),
        ("metric_basic_number_by_level",),
        other_column="level_column",
        counts=("values_count",),
    ),
    "foreign_key": Source(
        ("table", "column", "parent_table", "parent_column"),
        ("metric_basic_foreign_key",),
        other_table="parent_table",
        other_column="parent_column",
        counts=("declared", "values_count", "orphans", "parents", "parents_covered", "percent_orphans"),
    ),
}
QUOTABLE = "metric_basic_quotable"
# Columns that identify a row, or say how it came about, and are not metrics.
NO_METRICS = frozenset(
    {"endpoint", "database", "dbversion", "table", "column", "date", "run_id", "measured_at", "value", "day"}
)
KINDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("smallint", "integer", "bigint"), ("number", pl.Int64)),
    **dict.fromkeys(("double precision", "numeric", "real"), ("number", pl.Float64)),
    **dict.fromkeys(("text", "character varying"), ("text", pl.String)),
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone", "date"), ("date", pl.Int64)),
    "boolean": ("boolean", pl.Int8),
}


@dataclass(frozen=True)
class Objects:
    """The objects of one kind that have metrics on the date."""

    frame: pl.DataFrame  # dbversion, the keys, the metrics that were asked for; ordered by the keys

    @cached_property
    def tables(self) -> tuple[pl.Series, Indices]:
        """The tables' names, and for each object the index of its table. Objects of one table are neighbours."""
        return _coded(self.frame["table"])

    @cached_property
    def columns(self) -> tuple[pl.Series, Indices]:
        """The columns' names, and for each object the index of its column's name."""
        return _coded(self.frame["column"])


def known(base: psycopg.Connection[Any]) -> dict[tuple[str, str], Metric]:
    """The metrics that rules may name, by what they describe and name: columns of the existing tables and views."""
    columns, quotable = _columns(base), _quotable(base)
    return {
        (of, name): Metric(kind, relation, (of, name) in quotable or name in source.counts, dtype)
        for of, source in SOURCES.items()
        for relation in reversed(source.relations)  # a name in both means the table
        for name, declared in columns.get(relation, {}).items()
        if name not in NO_METRICS and name not in source.keys and declared in KINDS
        for kind, dtype in [KINDS[declared]]
    }


def read(
    base: psycopg.Connection[Any],
    slug: str,
    date: dt.date,
    metrics: Iterable[tuple[str, str]],
    known_metrics: dict[tuple[str, str], Metric],
) -> dict[str, Objects]:
    """The endpoint's objects of exactly that date with these metrics, by what they are.

    Each relation is read once for this date; `Earlier` and `usual_series` read earlier ones. Views compute trends when
    they are read, so only rules that name a trend read them.
    """
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for of, name in metrics:
        wanted[of, known_metrics[of, name].relation].add(name)
    base.execute("SET LOCAL jit = off")  # compiling a view's expressions takes longer than evaluating them
    found: dict[str, pl.DataFrame] = {}
    for (of, relation), names in sorted(wanted.items()):
        keys = list(SOURCES[of].keys)
        frame = _read(base, slug, date, of, relation, {name: known_metrics[of, name] for name in sorted(names)})
        if of in found:
            more = frame.drop("dbversion")
            frame = found[of].join(more, on=keys, how="left", maintain_order="left") if keys else found[of]
        found[of] = frame
    return {of: Objects(frame.sort(SOURCES[of].keys) if SOURCES[of].keys else frame) for of, frame in found.items()}


def _read(
    base: psycopg.Connection[Any], slug: str, date: dt.date, of: str, relation: str, metrics: dict[str, Metric]
) -> pl.DataFrame:
    keys = SOURCES[of].keys
    schema = {"dbversion": pl.String, **dict.fromkeys(keys, pl.String), **{n: m.dtype for n, m in metrics.items()}}
    values = {"slug": sql.Literal(slug), "date": sql.Literal(date), "relation": sql.Identifier(relation)}
    selected: list[sql.Composable] = [sql.Identifier("m", name) for name in ("dbversion", *keys)]
    selected += [transferred(sql.Identifier("m", name), metric) for name, metric in metrics.items()]
    query = sql.SQL('SELECT {} FROM {relation} m WHERE m.endpoint = {slug} AND m."date" = {date}').format(
        sql.SQL(", ").join(selected), **values
    )
    return transfer.read(base, query, schema)


def transferred(column: sql.Identifier, metric: Metric) -> sql.Composable:
    """An expression whose text polars reads as the metric's dtype."""
    if metric.kind == "date":  # infinite ones are later or earlier than all others
        return sql.SQL(
            "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint"
            " WHEN {0} > '2000-01-01' THEN 9223372036854775807 WHEN {0} < '2000-01-01' THEN -9223372036854775807 END"
        ).format(column)
    if metric.kind == "boolean":
        return sql.SQL("{}::int").format(column)
    return sql.SQL("{}::double precision").format(column) if metric.dtype == pl.Float64 else column


def _coded(names: pl.Series) -> tuple[pl.Series, Indices]:
    unique = names.unique(maintain_order=True)
    codes = pl.DataFrame({"name": unique}).with_row_index("code")
    found = pl.DataFrame({"name": names}).join(codes, on="name", how="left", maintain_order="left")
    return unique, found["code"].to_numpy().astype(np.int32)


def _quotable(base: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """The metrics that metric pack basic declares to be no values from the data; none if it declares nothing."""
    if base.execute("SELECT to_regclass(%s)", (QUOTABLE,)).fetchone() == (None,):
        return set()
    query = sql.SQL("SELECT describes, metric FROM {}").format(sql.Identifier(QUOTABLE))
    return set(base.execute(query).fetchall())


def _columns(base: psycopg.Connection[Any]) -> dict[str, dict[str, str]]:
    """The columns of the existing tables and views, with their types."""
    relations = [relation for source in SOURCES.values() for relation in source.relations]
    rows = base.execute(
        """SELECT relation, attname, format_type(atttypid, NULL)
           FROM unnest(%s::text[]) AS relation JOIN pg_attribute ON attrelid = to_regclass(relation)
           WHERE attnum > 0 AND NOT attisdropped""",
        (relations,),
    )
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for relation, name, declared in rows:
        found[relation][name] = declared
    return found
