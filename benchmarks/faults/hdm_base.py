"""HdmBase: an HDM base for one data set, its branches, and the metrics of one date as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults.pack_host import PACKS, ROOT

if TYPE_CHECKING:
    import datetime as dt

    from demo.services import Database, Postgres

MIGRATIONS = ROOT / "hdm_airflow" / "base" / "migrations" / "versions"
TEMPLATE = "faults_base"
_TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
GROUP BY c.relname ORDER BY c.relname"""
METRICS = "metric_basic"  # how the names of metric pack basic's tables begin
DATES = ("date", "metric_date")  # the column that dates a table's rows
_LEDGER = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at, dbversion, incomplete)
VALUES (%s, 'basic', %s, %s, %s, 'bench', 'hdm', %s, 'hdm-bench.pack', 1, %s, true, clock_timestamp(), '0.0', %s)"""
_ALERTS = """
SELECT coalesce(r.rule_name, a.rule_id), coalesce(a."table", ''), coalesce(a."column", ''),
    a.alert_level, a.alert_message
FROM hdm_alerts a LEFT JOIN rule_basic r ON r.id_rule::text = a.rule_id
WHERE a.rule_pack = 'basic' AND a."date" = %s ORDER BY 1, 2, 3"""
_NUMBERS = re.compile(r"[-+]?\d[\d.,:%-]*")
_ALSO = re.compile(r"; also changed: .*")  # what it explains elsewhere

Snapshot = dict[str, tuple[list[str], bytes]]  # table -> its columns, and its rows as COPY writes them


@dataclass(frozen=True, order=True)
class Alert:
    """One alert of a night."""

    level: str
    table: str  # "" = none
    column: str
    rule: str  # the rule's name
    message: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same as another night's: all but the numbers, and what else it explains."""
        return self.level, self.table, self.column, self.rule, _NUMBERS.sub("#", _ALSO.sub("", self.message))


def make_template(server: Postgres) -> None:
    """Create the base with the tables of all packs that every other one is copied from."""
    template = server.create_database(TEMPLATE)
    scripts = sorted(MIGRATIONS.glob("*.sql")) + sorted(PACKS.glob("*/basic/create-table/*.sql"))
    with template.connect() as connection:
        for script in scripts:
            connection.execute(Path(script).read_text("utf-8").encode())


def alerts(base: Database, date: dt.date) -> list[Alert]:
    """The alerts of a date."""
    with base.connect() as connection:
        rows = connection.execute(_ALERTS, (date,)).fetchall()
    return [Alert(level, table, column, rule, message) for rule, table, column, level, message in rows]


def record(base: Database, kind: str, version: str, slug: str, date: dt.date, report: dict[str, Any]) -> None:
    """Write the ledger's row of a run, as the operator does."""
    import json

    status = {"ok": "success"}.get(report["status"], report["status"])
    values = (kind, version, slug, date, f"night__{date}", status, json.dumps(report.get("incomplete", [])))
    with base.connect() as connection:
        connection.execute(_LEDGER, values)


def export_metrics(base: Database, date: dt.date, database: str) -> Snapshot:
    """The date's metrics, and all of tables without dates; `database` replaces the name of the endpoint's own copy."""
    from psycopg import sql

    found: Snapshot = {}
    with base.connect() as connection:
        for table, columns in connection.execute(_TABLES).fetchall():
            if not table.startswith(METRICS) or "endpoint" not in columns:
                continue
            chosen = [
                sql.SQL("{}").format(sql.Literal(database)) if name == "database" else sql.Identifier(name)
                for name in columns
            ]
            query = sql.SQL("COPY (SELECT {} FROM {}").format(sql.SQL(", ").join(chosen), sql.Identifier(table))
            if "date" in columns:
                query += sql.SQL(' WHERE "date" = {}').format(sql.Literal(date))
            with connection.cursor().copy(query + sql.SQL(") TO STDOUT")) as copy:
                found[table] = columns, b"".join(bytes(part) for part in copy)
    return found


def import_metrics(base: Database, snapshot: Snapshot) -> None:
    """Add a date's metrics as `export_metrics` took them."""
    from psycopg import sql

    with base.connect() as connection:
        for table, (columns, content) in snapshot.items():
            if "date" not in columns:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            with connection.cursor().copy(
                sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
            ) as copy:
                copy.write(content)


class Checkpoint:
    """A base's state after a date, to which it returns after each fault: copying it each time takes longer.

    Rows of later dates are deleted; tables without dates, such as rules, are filled again.

    Args:
        base: the base.
        date: the newest in it.
        is_measured: metric pack basic writes to it. Otherwise its tables without dates are left: `import_metrics`
            replaces all of their rows.
    """

    def __init__(self, base: Database, date: dt.date, *, is_measured: bool = False) -> None:
        from psycopg import sql

        self._base = base
        self._statements: list[sql.Composable] = [sql.SQL("SET LOCAL session_replication_role = replica")]
        with base.connect() as connection:
            connection.execute("DROP SCHEMA IF EXISTS saved CASCADE")
            connection.execute("CREATE SCHEMA saved")
            for table, columns in connection.execute(_TABLES).fetchall():
                name, dated = sql.Identifier(table), next((column for column in DATES if column in columns), None)
                if dated:
                    later = sql.SQL("DELETE FROM {} WHERE {} > {}")
                    self._statements.append(later.format(name, sql.Identifier(dated), sql.Literal(date)))
                elif is_measured or not table.startswith(METRICS):
                    connection.execute(sql.SQL("CREATE TABLE saved.{0} AS TABLE {0}").format(name))
                    names = sql.SQL(", ").join(map(sql.Identifier, columns))
                    self._statements.append(sql.SQL("DELETE FROM {}").format(name))
                    fill = sql.SQL("INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM saved.{0}")
                    self._statements.append(fill.format(name, names))

    def restore(self) -> None:
        """Return to the state."""
        from psycopg import sql

        with self._base.connect() as connection:
            connection.execute(sql.SQL("; ").join(self._statements))
