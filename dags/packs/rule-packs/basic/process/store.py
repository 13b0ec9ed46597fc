"""The HDM base: metrics and rules to read, alerts and errors of one date to replace as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

if TYPE_CHECKING:
    import datetime as dt

    import hdm
    import psycopg
    from judge import Row, Verdict

RULE_PACK = "basic"
# Columns of metric_basic that say which row it is, and not what was measured.
KEYS = frozenset({"endpoint", "database", "dbversion", "table", "column", "date", "previous_date"})
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


def kinds(base: psycopg.Connection[Any]) -> dict[str, str]:
    """The metrics that rules may name: the columns of metric_basic, with number, text, boolean or date."""
    rows = base.execute("""
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = 'metric_basic'::regclass AND attnum > 0 AND NOT attisdropped""")
    return {name: KINDS[declared] for name, declared in rows if name not in KEYS and declared in KINDS}


def metrics(base: psycopg.Connection[Any], slug: str, date: dt.date) -> list[Row]:
    """The endpoint's metrics of that date, and of no other."""
    with base.cursor(row_factory=dict_row) as cursor:
        query = 'SELECT * FROM metric_basic WHERE endpoint = %s AND "date" = %s ORDER BY "table", "column"'
        return cursor.execute(query, (slug, date)).fetchall()


def rules(base: psycopg.Connection[Any], endpoint: hdm.Endpoint) -> list[Row]:
    """The rules that apply to the endpoint: its own, and those that leave the endpoint open."""
    with base.cursor(row_factory=dict_row) as cursor:
        query = """
            SELECT * FROM rule_basic
            WHERE enabled AND (endpoint = %(slug)s OR endpoint = '' AND (
                "database" IN ('', %(database)s) OR lower(trim(condition_scope)) = 'all'))
            ORDER BY id_rule"""
        return cursor.execute(query, {"slug": endpoint.slug, "database": endpoint.database}).fetchall()


def replace(base: psycopg.Connection[Any], endpoint: hdm.Endpoint, date: dt.date, verdict: Verdict) -> None:
    """Put the date's alerts and rule errors in place of the former ones, in the transaction that is open."""
    key = {"endpoint": endpoint.slug, "database": endpoint.database, "date": date, "rule_pack": RULE_PACK}
    base.execute(
        'DELETE FROM hdm_alerts WHERE rule_pack = %(rule_pack)s AND endpoint = %(endpoint)s AND "date" = %(date)s', key
    )
    base.execute('DELETE FROM rule_basic_error WHERE endpoint = %(endpoint)s AND "date" = %(date)s', key)
    _copy(base, "hdm_alerts", ALERT_COLUMNS, [{**alert, **key} for alert in verdict.alerts])
    errors = [{**key, "id_rule": number, "error": error} for number, error in verdict.errors.items()]
    _copy(base, "rule_basic_error", ("endpoint", "date", "id_rule", "error"), errors)


def _copy(base: psycopg.Connection[Any], table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with base.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([row.get(name) for name in columns])
