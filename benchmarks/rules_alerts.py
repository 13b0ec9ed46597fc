"""The part of `make bench-rules` about alerts: a million of them, written as rule packs do, and read as people do.

A bare COPY is the least that storing them can take: the same rows into a table without indexes, in one statement.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.profile_measure import processor_seconds
from benchmarks.table import Table, median_ms

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection, HdmHook

ALERTS = 1_000_000
ENDPOINTS = 100
DATES = 100
ROUNDS = 3
TARGET = 3.5  # times the bare COPY
FIRST = date(2024, 1, 1)
RULES = 20
COLUMNS = (
    *("endpoint", "database", "dbversion", "table", "column", "date", "alert_level", "alert_message", "alert_class"),
    *("alert_scope", "rule_id", "rule_pack", "observed", "former", "threshold"),
)
COPY = "COPY {} ({}) FROM STDIN"
DELETE = 'DELETE FROM hdm_alerts WHERE rule_pack = %s AND endpoint = %s AND "date" = %s'
LEDGER = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at)
SELECT 'rule', 'basic', '1.0.0', slug, day, 'prod', 'hdm_pipeline', 'night ' || day, 'hdm-prod.rp_basic', 1, 'success',
    true, clock_timestamp()
FROM unnest(%s::text[]) AS slug, unnest(%s::date[]) AS day"""
HISTORY = """
SELECT whole."date", alert.alert_level FROM hdm_whole AS whole
LEFT JOIN hdm_alerts AS alert ON alert."date" = whole."date" AND alert.endpoint = whole.endpoint
    AND alert.rule_pack = whole.pack AND alert.rule_id = %s AND coalesce(alert."table", '') = %s
    AND CASE WHEN alert.endpoint <> '' THEN coalesce(alert."column", '') END = %s
WHERE whole.kind = 'rule' AND whole.pack = 'basic' AND whole.endpoint = %s"""

Blocks = Mapping[tuple[str, date], bytes]  # endpoint and date -> its alerts, as COPY reads them


def slug(number: int) -> str:
    """An endpoint's."""
    return f"hospital_{number:03}:postgres:db{number % 50}.example.org:5432:hdm_reader:true"


def blocks(dates: int) -> Blocks:
    """A million alerts of all endpoints, on as many dates."""
    size = ALERTS // ENDPOINTS // dates
    found = {}
    for day in (FIRST + timedelta(days=number) for number in range(dates)):
        for endpoint in range(ENDPOINTS):
            lines = (_line(slug(endpoint), day, number, number * RULES // size) for number in range(size))
            found[slug(endpoint), day] = "".join(lines).encode()
    return found


def _line(endpoint: str, day: date, number: int, rule: int) -> str:
    level, column = ("High", "Warning", "Info")[number % 3], f"column_{number:05}" if number % 4 else f"c{number}"
    message = "The share of empty values is unusual: the 28 dates before were between 0.02 and 0.03"
    place = (endpoint, endpoint.partition(":")[0], "1.0", f"table_{number % 97:03}", column, str(day))
    cells = (*place, level, message, "METRIQUE", "column", str(rule), "basic", "0.31", "0.02 to 0.03", "0.08")
    return "\t".join(cells) + "\n"


def copy(base: BaseConnection, table: str, *parts: bytes) -> None:
    """Copy alerts into a table in one statement."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    with base.cursor() as cursor, cursor.copy(COPY.format(table, names).encode()) as stream:
        for part in parts:
            stream.write(part)


def write_bare(base: BaseConnection, alerts: Blocks) -> None:
    """Write all alerts into a table without indexes."""
    copy(base, "bare", *alerts.values())


def write(base: BaseConnection, alerts: Blocks) -> None:
    """Write them as rule pack basic does: for each endpoint and date, delete and copy in one transaction."""
    for (endpoint, day), part in alerts.items():
        with base.transaction():
            base.execute(DELETE, ["basic", endpoint, day])
            copy(base, "hdm_alerts", part)


def processor(base: BaseConnection, call: Callable[[BaseConnection, Blocks], None], alerts: Blocks) -> float:
    """Seconds of processor time, user and system, of the server's process for this session."""
    base.execute("TRUNCATE bare, hdm_alerts")
    before = processor_seconds(base.info.backend_pid)
    call(base, alerts)
    return processor_seconds(base.info.backend_pid) - before


def main() -> None:
    """Measure, print the table, and write it to results/."""
    from demo.services import Postgres

    logging.getLogger("alembic").setLevel(logging.WARNING)  # stdout is for the table
    table = Table(
        "rules_alerts", "A million alerts: written, migrated and read", ["what", "took", "compared", "target"]
    )
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder, Postgres(Path(folder) / "postgres") as server:
        os.environ["AIRFLOW_HOME"] = folder  # before Airflow is imported
        os.environ["AIRFLOW_CONN_HDM"] = server.create_database("hdm").dsn
        from hdm_airflow.base import migrate
        from hdm_airflow.base.hook import HdmHook

        hook = HdmHook()
        migrate.upgrade(hook)
        with hook.session() as base:
            base.execute("CREATE TABLE bare (LIKE hdm_alerts)")
            _write(table, base, "one date", blocks(1), f"at most {TARGET}")
            _write(table, base, f"{DATES} dates", blocks(DATES), "")
            _read(table, base)
            row = base.execute("SHOW server_version").fetchone()
        os.environ["AIRFLOW_CONN_HDM"] = server.create_database("old").dsn
        _migrate(table, HdmHook())
    sizes = f"{ALERTS:,} alerts of {ENDPOINTS} endpoints; each transaction replaces those of one endpoint and date"
    table.finish(
        f"writes: processor time (user and system) of the server's process, median of {ROUNDS} rounds that take turns "
        f"with a COPY of the same rows into a table without indexes; reads: median of {ROUNDS} rounds",
        f"{sizes}. A bare COPY is one statement, and has no share in what transactions cost",
        f"PostgreSQL {row and row['server_version']}",
    )


def _write(table: Table, base: BaseConnection, what: str, alerts: Blocks, target: str) -> None:
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(processor(base, write_bare, alerts))
        ours.append(processor(base, write, alerts))
    least, took = statistics.median(bare), statistics.median(ours)
    compared = f"{took / least:.1f} times a bare COPY ({least:.2f} s)"
    table.add(f"writing {ALERTS:,} alerts of {what} in {len(alerts):,} transactions", f"{took:.2f} s", compared, target)


def _read(table: Table, base: BaseConnection) -> None:
    from hdm_airflow.base import alerts

    days = [FIRST + timedelta(days=number) for number in range(DATES)]
    slugs = [slug(number) for number in range(ENDPOINTS)]
    base.execute(LEDGER, [slugs, days])
    base.execute("ANALYZE")
    last, known = dict.fromkeys(slugs, days[-1]), alerts.packs_with_runs(base)
    assert alerts.listed(base, last, ["basic"], alerts.Filter(new=True), 30) == ([], 0), "the dates are alike"
    rule, place, column = (
        base.execute(  # type: ignore[misc]  # there is one
            'SELECT rule_id, "table", "column" FROM hdm_alerts WHERE "date" = %s AND endpoint = %s LIMIT 1',
            [days[-1], slugs[7]],
        )
        .fetchone()
        .values()
    )
    history = [rule, place, column, slugs[7]]
    assert len(base.execute(HISTORY, history).fetchall()) == DATES

    def remove() -> None:
        with base.transaction(force_rollback=True):
            base.execute(DELETE, ["basic", slugs[7], days[-1]])

    ways: dict[str, Callable[[], object]] = {
        "which dates were judged, all endpoints": lambda: alerts.newest(base, known, slugs),
        "the first 30 alerts of a date, all endpoints": lambda: alerts.listed(
            base, last, ["basic"], alerts.Filter(), 30
        ),
        "only new ones": lambda: alerts.listed(base, last, ["basic"], alerts.Filter(new=True), 30),
        "those of one endpoint": lambda: alerts.listed(base, {slugs[7]: days[-1]}, ["basic"], alerts.Filter(), 30),
        f"one alert on {DATES} dates": lambda: base.execute(HISTORY, history).fetchall(),
        "deleting those of one endpoint and date": remove,
    }
    for what, way in ways.items():
        table.add(what, f"{median_ms(way, ROUNDS):.1f} ms", "", "")


def _migrate(table: Table, hook: HdmHook) -> None:
    import time

    from alembic import command

    from hdm_airflow.base import migrate

    with migrate._connection(hook) as connection:  # noqa: SLF001  # an older version is nobody else's wish
        config = migrate._config()  # noqa: SLF001  # with it
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.commit()
    with hook.session() as base:
        columns = COLUMNS[:-3]
        names = ", ".join(f'"{name}"' for name in columns)
        with base.cursor() as cursor, cursor.copy(COPY.format("hdm_alerts", names).encode()) as stream:
            for part in blocks(DATES).values():
                stream.write(b"".join(b"\t".join(line.split(b"\t")[:-3]) + b"\n" for line in part.splitlines()))
    began = time.perf_counter()
    assert migrate.upgrade(hook)[0] == "0002"
    table.add(f"migration 0003 of {ALERTS:,} alerts", f"{time.perf_counter() - began:.1f} s", "", "")


if __name__ == "__main__":
    main()
