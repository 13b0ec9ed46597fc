"""make bench-notify: deciding what is news, for one subscription after a very bad night, and for a thousand.

It measures the decision, with all messages in the outbox; sending depends on the mail server.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.incidents import LEDGER
from benchmarks.table import Table

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.subscriptions import Filter

PACK = "basic"
FIRST = date(2024, 1, 1)
BAD, ENDPOINTS, MANY = 100_000, 100, 10_000  # new incidents of one endpoint; endpoints, and their new incidents in all
SUBSCRIPTIONS = 1_000
TARGET_BAD, TARGET_MEMORY, TARGET_MANY = 5.0, 200, 10.0  # seconds, MB, seconds
CLASSES, OWNERS = ("METRIQUE", "DATA", "SCHEMA"), 10
ALERTS = """
INSERT INTO hdm_alerts (endpoint, "database", dbversion, "table", "column", "date", alert_level, alert_message,
    alert_class, alert_scope, rule_id, rule_pack, observed, former, threshold, owner, tags)
SELECT %(slug)s, 'hospital', '1.0', 'table_' || number / 20 %% 997, 'column_' || number / 20, %(date)s,
    (ARRAY['High', 'Warning', 'Info'])[1 + number %% 3],
    'The share of empty values is unusual: the 28 dates before were between 0.02 and 0.03',
    (ARRAY['METRIQUE', 'DATA', 'SCHEMA'])[1 + number %% 3], 'column', (number %% 20)::text, %(pack)s, '0.31',
    '0.02 to 0.03', '0.08', 'team ' || number %% 10, ARRAY['tag ' || number %% 5]
FROM generate_series(1, %(many)s) AS number"""


def slug(number: int) -> str:
    """An endpoint."""
    return f"hospital_{number}:postgres:db.example.org:5432:hdm_reader:true"


def night(base: BaseConnection, number: int, slugs: list[str], each: int) -> None:
    """A night in which all alerts are new, with its incidents."""
    from hdm_airflow.base import incidents

    for one in slugs:
        values = {"slug": one, "pack": PACK, "date": FIRST + timedelta(days=number), "many": each}
        base.execute(ALERTS, values)
        base.execute(LEDGER, [PACK, one, values["date"]])
    base.execute("ANALYZE")
    incidents.derive(base, PACK, reopen_days=0)


def decide(base: BaseConnection) -> tuple[float, int, int, int]:
    """Decide; the seconds, messages, and megabytes that this process and the server's have needed more than before."""
    from hdm_airflow.base import messages
    from hdm_airflow.notify import decision
    from hdm_airflow.notify.words import Site

    with messages.alone(base):
        ours, server = _peak(), _peak_of(base.info.backend_pid)
        began = time.perf_counter()
        decided = decision.decide(base, Site(environment="prod"), "en")
        passed = time.perf_counter() - began
        return passed, decided.messages, _peak() - ours, _peak_of(base.info.backend_pid) - server


def filters() -> list[Filter]:
    """A thousand different ones: nine of ten name an endpoint, half of them what only alerts say."""
    from hdm_airflow.base.alerts import LEVELS
    from hdm_airflow.base.subscriptions import Filter

    return [
        Filter(
            endpoint=slug(number % ENDPOINTS) if number % 10 else None,
            level=LEVELS[number // ENDPOINTS % 3],
            classes=(CLASSES[number // 300 % 3],) if number % 4 == 1 else (),
            owner=f"team {number // ENDPOINTS % OWNERS}" if number % 2 == 0 else None,
        )
        for number in range(SUBSCRIPTIONS)
    ]


def main() -> None:
    """Measure, print the table, and write it to results/."""
    from demo.services import Postgres

    logging.getLogger("alembic").setLevel(logging.WARNING)  # stdout is for the table
    columns = ["what", "passed", "messages", "memory here", "memory of the server's process", "target"]
    table = Table("notify", "Deciding what is news", columns)
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder, Postgres(Path(folder) / "postgres") as server:
        os.environ["AIRFLOW_HOME"] = folder  # before Airflow is imported
        from hdm_airflow.base import migrate, subscriptions
        from hdm_airflow.base.hook import HdmHook
        from hdm_airflow.base.subscriptions import Filter, Subscription

        os.environ["AIRFLOW_CONN_HDM"] = server.create_database("hdm").dsn
        migrate.upgrade(HdmHook())
        with HdmHook().session() as base:
            slugs = [slug(number) for number in range(ENDPOINTS)]
            for one in slugs:
                base.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES (%s, %s)", [PACK, one])

            def subscribe(wanted: Filter) -> None:
                subscriptions.add(base, Subscription(recipients=("a@b.example",), filter=wanted), actor="bench")

            subscribe(Filter())
            for number, what in enumerate(("one subscription", "one that names a class")):
                night(base, 2 * number, slugs[:1], BAD)
                _add(table, base, f"{BAD:,} new incidents, {what}", TARGET_BAD)
                night(base, 2 * number + 1, slugs[:1], 0)
                decide(base)
                base.execute('UPDATE hdm_core_mail_list SET filters = \'{"class": "DATA"}\'')
            base.execute("DELETE FROM hdm_core_mail_list")
            night(base, 4, slugs, MANY // ENDPOINTS)
            for wanted in filters():
                subscribe(wanted)
            base.execute("UPDATE hdm_core_mail_list SET since = NULL")
            _add(table, base, f"{MANY:,} new incidents, {SUBSCRIPTIONS:,} different subscriptions", TARGET_MANY)
            row = base.execute("SHOW server_version").fetchone()
    table.finish(
        "each decided once; memory: how much the peak of the process rises",
        f"{ENDPOINTS} endpoints; of a thousand subscriptions, nine of ten name one, half what only alerts say",
        f"PostgreSQL {row and row['server_version']}",
    )


def _add(table: Table, base: BaseConnection, what: str, target: float) -> None:
    passed, count, ours, server = decide(base)
    limits = f"under {target:.0f} s and {TARGET_MEMORY} MB"
    table.add(what, f"{passed:.2f} s", f"{count:,}", f"{ours} MB", f"{server} MB", limits)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _peak_of(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


if __name__ == "__main__":
    main()
