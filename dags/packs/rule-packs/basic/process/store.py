"""The HDM base: reads metrics and rules, and replaces all alerts and rule errors of one date."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row
from rules import Metric

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    import hdm
    import psycopg
    from judge import Row, Verdict
    from rules import Rule

RULE_PACK = "basic"
# What metrics describe -> the columns that identify the object, and the tables and views of metric pack basic.
SOURCES = {
    "column": (("table", "column"), ("metric_basic", "metric_basic_trend")),
    "table": (("table",), ("metric_basic_table", "metric_basic_table_trend")),
    "version": ((), ("metric_basic_version",)),
    "database": ((), ("metric_basic_database",)),
}
QUOTABLE = "metric_basic_quotable"
# Columns that identify a row and are not metrics.
KEYS = frozenset({"endpoint", "database", "dbversion", "table", "column", "date", "run_id", "measured_at"})
KINDS = {
    **dict.fromkeys(("smallint", "integer", "bigint", "double precision", "numeric", "real"), "number"),
    **dict.fromkeys(("text", "character varying"), "text"),
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone"), "date"),
    "boolean": "boolean",
}
ALERT_COLUMNS = (
    *("endpoint", "database", "dbversion", "table", "column", "date", "alert_level", "alert_message"),
    *("alert_class", "alert_scope", "rule_id", "rule_pack"),
)


def has_metrics(base: psycopg.Connection[Any], slug: str, date: dt.date) -> bool:
    """Whether anything was measured: the date has columns, or is complete without any."""
    found = _columns(base)
    for table in ("metric_basic", "metric_basic_version"):
        query = sql.SQL('SELECT FROM {} WHERE endpoint = %s AND "date" = %s LIMIT 1').format(sql.Identifier(table))
        if table in found and base.execute(query, (slug, date)).fetchone() is not None:
            return True
    return False


def known(base: psycopg.Connection[Any]) -> dict[tuple[str, str], Metric]:
    """The metrics that rules may name, by what they describe and name: columns of the existing tables and views."""
    columns, quotable = _columns(base), _quotable(base)
    return {
        (of, name): Metric(KINDS[declared], relation, (of, name) in quotable)
        for of, (_, relations) in SOURCES.items()
        for relation in reversed(relations)  # a name in both means the table
        for name, declared in columns.get(relation, {}).items()
        if name not in KEYS and declared in KINDS
    }


def metrics(base: psycopg.Connection[Any], slug: str, date: dt.date, rules: Iterable[Rule]) -> dict[str, list[Row]]:
    """The endpoint's metrics of exactly that date that the rules name, by what they describe.

    Views compute trends when they are read, so only rules that name a trend read them.
    """
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules:
        wanted[rule.of, rule.relation].add(rule.metric)
    base.execute("SET LOCAL jit = off")  # compiling a view's expressions takes longer than evaluating them
    found: dict[str, dict[tuple[str, ...], Row]] = defaultdict(dict)
    for (of, relation), names in sorted(wanted.items()):
        keys, _ = SOURCES[of]
        query = sql.SQL('SELECT {} FROM {} WHERE endpoint = %s AND "date" = %s').format(
            sql.SQL(", ").join(map(sql.Identifier, ("dbversion", *keys, *sorted(names)))), sql.Identifier(relation)
        )
        with base.cursor(row_factory=dict_row) as cursor:
            for row in cursor.execute(query, (slug, date)):
                found[of].setdefault(tuple(row[key] for key in keys), {}).update(row)
    return {of: [row for _, row in sorted(rows.items())] for of, rows in found.items()}


def rules(base: psycopg.Connection[Any], endpoint: hdm.Endpoint) -> list[Row]:
    """The rules that apply to the endpoint: its own, and matching rules without an endpoint."""
    with base.cursor(row_factory=dict_row) as cursor:
        query = """
            SELECT * FROM rule_basic
            WHERE enabled AND (endpoint = %(slug)s OR endpoint = '' AND (
                "database" IN ('', %(database)s) OR lower(trim(condition_scope)) = 'all'))
            ORDER BY id_rule"""
        return cursor.execute(query, {"slug": endpoint.slug, "database": endpoint.database}).fetchall()


def replace(base: psycopg.Connection[Any], endpoint: hdm.Endpoint, date: dt.date, verdict: Verdict) -> None:
    """Replace the date's alerts and rule errors within the open transaction."""
    key = {"endpoint": endpoint.slug, "database": endpoint.database, "date": date, "rule_pack": RULE_PACK}
    base.execute(
        'DELETE FROM hdm_alerts WHERE rule_pack = %(rule_pack)s AND endpoint = %(endpoint)s AND "date" = %(date)s', key
    )
    base.execute('DELETE FROM rule_basic_error WHERE endpoint = %(endpoint)s AND "date" = %(date)s', key)
    _copy(base, "hdm_alerts", ALERT_COLUMNS, [{**alert, **key} for alert in verdict.alerts])
    errors = [{**key, "id_rule": number, "error": error} for number, error in verdict.errors.items()]
    _copy(base, "rule_basic_error", ("endpoint", "date", "id_rule", "error"), errors)


def _quotable(base: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """The metrics that metric pack basic declares to be no values from the data; none if it declares nothing."""
    if base.execute("SELECT to_regclass(%s)", (QUOTABLE,)).fetchone() == (None,):
        return set()
    query = sql.SQL("SELECT describes, metric FROM {}").format(sql.Identifier(QUOTABLE))
    return set(base.execute(query).fetchall())


def _columns(base: psycopg.Connection[Any]) -> dict[str, dict[str, str]]:
    """The columns of the existing tables and views, with their types."""
    relations = [relation for _, group in SOURCES.values() for relation in group]
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


def _copy(base: psycopg.Connection[Any], table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with base.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([row.get(name) for name in columns])
