"""make bench-incidents: the incidents of a large site, derived from a night, the same night again, and a late one.

One rule pack, one endpoint. Each night 10,000 alerts are new, and 8,000 of the night before are gone.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.profile_measure import processor_seconds
from benchmarks.table import Table

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

SLUG = "hospital:postgres:db.example.org:5432:hdm_reader:true"
PACK = "basic"
FIRST = date(2024, 1, 1)
OPEN, OLD, NEW, GONE = 100_000, 400_000, 10_000, 8_000
DATES = 30  # before the late one's arrival, with it
LATE = 1  # days after FIRST
TARGET, TARGET_LATE, TARGET_REST = 3.0, 20.0, 1.05  # seconds, seconds, times
ENDPOINTS, EACH, ROUNDS = 5_000, 20, 5  # of the rest: endpoints, alerts of each, rounds
DELETE = 'DELETE FROM hdm_alerts WHERE rule_pack = %(pack)s AND endpoint = %(slug)s AND "date" = %(date)s'
INDEX = "CREATE INDEX hdm_pack_run_underived ON hdm_pack_run (pack) WHERE kind = 'rule' AND derived IS NOT TRUE"
LEDGER = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at)
VALUES ('rule', %s, '1.0.0', %s, %s, 'prod', 'hdm_pipeline', 'night', 'hdm-prod.rp_basic', 1, 'success', true,
    clock_timestamp())"""
ALERTS = """
INSERT INTO hdm_alerts (endpoint, "database", dbversion, "table", "column", "date", alert_level, alert_message,
    alert_class, alert_scope, rule_id, rule_pack, observed, former, threshold)
SELECT %(slug)s, 'hospital', '1.0', 'table_' || number / 20 %% 997, 'column_' || number / 20, %(date)s,
    (ARRAY['High', 'Warning', 'Info'])[1 + number %% 3],
    'The share of empty values is unusual: the 28 dates before were between 0.02 and 0.03', 'METRIQUE', 'column',
    (number %% 20)::text, %(pack)s, '0.31', '0.02 to 0.03', '0.08'
FROM generate_series(%(first)s, %(last)s - 1) AS number"""
OVER = """
INSERT INTO hdm_incident (rule_pack, endpoint, rule_id, "table", "column", state, level, first_on, opened_on, ended_on)
SELECT %(pack)s, %(slug)s, 'old ' || number %% 20, 'table_' || number / 20 %% 997, 'column_' || number / 20, 'resolved',
    'Warning', %(date)s, %(date)s, %(date)s
FROM generate_series(1, %(old)s) AS number"""
OVER_EVENTS = """
INSERT INTO hdm_incident_event (incident, kind, "date", state, level, opened_on)
SELECT id, kind, %(date)s, state, level, opened_on FROM hdm_incident, unnest(ARRAY['opened', 'resolved']) AS kind"""


def night(base: BaseConnection, number: int) -> None:
    """Write a date's alerts and its row of the ledger: each night 10,000 are new and 8,000 are gone."""
    values = {"slug": SLUG, "pack": PACK, "date": FIRST + timedelta(days=number)}
    base.execute(ALERTS, {**values, "first": number * GONE, "last": OPEN + number * NEW})
    repeat(base, number)


def repeat(base: BaseConnection, number: int) -> None:
    """A date's row of the ledger."""
    base.execute(LEDGER, [PACK, SLUG, FIRST + timedelta(days=number)])


def derive(base: BaseConnection) -> tuple[float, float, dict[str, int]]:
    """Derive; return the server's processor time and the time that passed, in seconds, and the events."""
    from hdm_airflow.base import incidents

    pid = base.info.backend_pid
    before, began = processor_seconds(pid), time.perf_counter()
    derived = incidents.derive(base, PACK, reopen_days=7)
    passed = time.perf_counter() - began
    assert not [one for one in derived.warnings if "never ran" in one], derived.warnings
    return processor_seconds(pid) - before, passed, derived.events


def written(base: BaseConnection) -> int:
    """Rows of incidents that this session has written so far."""
    base.execute("SELECT pg_stat_force_next_flush()")
    row = base.execute(
        """SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) AS rows FROM pg_stat_user_tables
        WHERE relname LIKE 'hdm_incident%'"""
    ).fetchone()
    return int(row["rows"] or 0) if row else 0


def old(base: BaseConnection) -> None:
    """400,000 incidents that are over."""
    values = {"slug": SLUG, "pack": PACK, "old": OLD, "date": FIRST - timedelta(days=90)}
    base.execute(OVER, values)
    base.execute(OVER_EVENTS, values)
    base.execute("ANALYZE")


def main() -> None:
    """Measure, print the table, and write it to results/."""
    from demo.services import Postgres

    logging.getLogger("alembic").setLevel(logging.WARNING)  # stdout is for the table
    table = Table("incidents", "Incidents of a large site", ["what", "processor time", "passed", "events", "target"])
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder, Postgres(Path(folder) / "postgres") as server:
        os.environ["AIRFLOW_HOME"] = folder  # before Airflow is imported
        from hdm_airflow.base import migrate
        from hdm_airflow.base.hook import HdmHook

        os.environ["AIRFLOW_CONN_HDM"] = server.create_database("hdm").dsn
        migrate.upgrade(HdmHook())
        with HdmHook().session() as base:
            base.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES (%s, %s)", [PACK, SLUG])
            _rest(table, base)
            old(base)
            _nights(table, base)
            _late(table, base)
            row = base.execute("SHOW server_version").fetchone()
    table.finish(
        f"processor time (user and system) of the server's process; a night: median of {DATES - 3}",
        f"{OPEN:,} open incidents, {OLD:,} that are over, {NEW:,} new and {GONE:,} gone per night, one rule pack and "
        "endpoint",
        f"PostgreSQL {row and row['server_version']}",
    )


def _rest(table: Table, base: BaseConnection) -> None:
    """What else a rule pack's task writes to the base. Incidents add an index to the ledger: a row per endpoint."""
    took: dict[tuple[str, bool], list[float]] = {}
    for number in range(2 * ROUNDS):
        indexed = number % 2 == 0
        base.execute("TRUNCATE hdm_pack_run, hdm_alerts")
        base.execute("DROP INDEX IF EXISTS hdm_pack_run_underived")
        if indexed:
            base.execute(INDEX.encode())
        ledger = _ledger(base)
        took.setdefault(("ledger", indexed), []).append(ledger)
        took.setdefault(("all", indexed), []).append(ledger + _alerts(base))
    base.execute("TRUNCATE hdm_pack_run, hdm_alerts")
    base.execute(INDEX.replace("INDEX", "INDEX IF NOT EXISTS", 1).encode())
    for what, name, target in (
        (f"the rest: ledger of {ENDPOINTS:,} endpoints, {ENDPOINTS * EACH:,} alerts", "all", f"at most {TARGET_REST}"),
        ("of that, the ledger", "ledger", ""),
    ):
        ours, before = statistics.median(took[name, True]), statistics.median(took[name, False])
        table.add(what, f"{ours:.2f} s", "", f"{ours / before:.2f} times that without the index", target)


def _alerts(base: BaseConnection) -> float:
    """Write the alerts of a night, in a transaction per endpoint; return the server's processor time, in seconds."""
    before = processor_seconds(base.info.backend_pid)
    for number in range(ENDPOINTS):
        values = {"slug": f"{number}:{SLUG}", "pack": PACK, "date": FIRST, "first": 0, "last": EACH}
        with base.transaction():
            base.execute(DELETE, values)
            base.execute(ALERTS, values)
    return processor_seconds(base.info.backend_pid) - before


def _ledger(base: BaseConnection) -> float:
    """Write the rows of an attempt; return the server's processor time, in seconds."""
    from hdm_airflow.base import runs

    attempt = runs.Attempt(
        kind="rule",
        pack=PACK,
        pack_version="1.0.0",
        metric_date=FIRST,
        environment="prod",
        dag_id="hdm_pipeline",
        run_id="night",
        task_id="hdm-prod.rp_basic",
        try_number=1,
    )
    slugs = [f"{number}:{SLUG}" for number in range(ENDPOINTS)]
    before = processor_seconds(base.info.backend_pid)
    ids = runs.reserve(base, slugs)
    runs.start(base, attempt, ids)
    runs.close(base, attempt, ids, [runs.Outcome(endpoint=slug, status="success") for slug in slugs])
    return processor_seconds(base.info.backend_pid) - before


def _nights(table: Table, base: BaseConnection) -> None:
    """All nights but one."""
    found = []
    for number in range(DATES):
        if number == LATE:
            continue
        night(base, number)
        found.append(derive(base))
        base.execute("ANALYZE hdm_incident, hdm_incident_event, hdm_alerts")  # as autovacuum would
    _add(table, f"the first night: {OPEN:,} new", found[0], "")
    _add(
        table, f"a night: {NEW:,} new, {GONE:,} gone", sorted(found[2:])[len(found[2:]) // 2], f"at most {TARGET:.0f} s"
    )
    before = written(base)
    repeat(base, DATES - 1)
    again = derive(base)
    assert (again[2], written(base) - before) == ({}, 0), "repeated: nothing is written"
    _add(table, "the same night again: nothing is written", again, "")
    _add(table, "nothing new in the ledger", derive(base), "")


def _late(table: Table, base: BaseConnection) -> None:
    """The last one, which changes what the others told."""
    night(base, LATE)
    _add(table, f"a late night, before {DATES - LATE - 1} others", derive(base), f"under {TARGET_LATE:.0f} s")
    before = written(base)
    repeat(base, LATE)
    again = derive(base)
    assert (again[2], written(base) - before) == ({}, 0), "repeated: nothing is written"
    _add(table, "the same again", again, "")


def _add(table: Table, what: str, found: tuple[float, float, dict[str, int]], target: str) -> None:
    processor, passed, events = found
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(events.items())) or "none"
    table.add(what, f"{processor:.2f} s", f"{passed:.2f} s", told, target)


if __name__ == "__main__":
    main()
