"""`make bench-assignments`: reading the work of one attempt of a pack, compared with one query per endpoint and item.

Both ways use one connection to a separate server, and the same base with the same indexes.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.table import Table, median_ms

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.runs import Attempt
    from hdm_airflow.packs.pack import Pack

SIZES = (1_000, 10_000)  # endpoints
ROUNDS = 7
RIVAL_ROUNDS = 3
REQUIRED = ("basic", "row-count")
PACK_NAME = "judge"
VERSION = "1.2.0"
METRIC_DATE = date(2024, 5, 31)
HISTORY = 7  # earlier dates in the ledger

# Endpoints with the pack and its required metric packs, each with its own configuration, and a ledger.
FILL = """
INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_port, db_user)
SELECT 'hospital_' || n, 'postgres', 'db' || mod(n, 50) || '.example.org', '5432', 'hdm'
FROM generate_series(1, %(endpoints)s) AS n;
INSERT INTO hdm_core_table_corr_db_mp (mp_key, db_key)
SELECT pack, slug FROM hdm_endpoint, unnest(%(required)s::text[]) AS pack;
INSERT INTO hdm_core_table_corr_db_rp (rp_key, db_key) SELECT %(pack)s, slug FROM hdm_endpoint;
INSERT INTO hdm_pack_rule_conf (id_config, pack_name, pack_version, pack_config)
SELECT %(pack)s || ':' || version, %(pack)s, version, %(config)s FROM unnest(%(versions)s::text[]) AS version;
INSERT INTO hdm_pack_rule_conf (id_config, pack_name, pack_config)
SELECT %(pack)s || ':' || slug, %(pack)s, %(config)s FROM hdm_endpoint;
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at, dbversion)
SELECT 'metric', pack, '1.0.0', slug, day, 'prod', 'hdm_pipeline', 'night ' || day, 'hdm-prod.mp_' || pack,
    1, 'success', true, clock_timestamp(), '1.0'
FROM generate_series(%(first)s, %(last)s, interval '1 day') AS day, unnest(%(required)s::text[]) AS pack, hdm_endpoint;
"""

# The rival is the original's habit: one indexed query per endpoint and item.
RIVAL_SLUGS = "SELECT db_key FROM hdm_core_table_corr_db_rp WHERE rp_key = %s"
RIVAL_ENDPOINT = "SELECT * FROM hdm_core_dblist WHERE db_name = %s AND db_type = %s AND db_host = %s AND db_port = %s"
RIVAL_CONFIGURATION = "SELECT pack_config FROM hdm_pack_rule_conf WHERE id_config = %s"
RIVAL_GATE = """
SELECT status FROM hdm_pack_run WHERE kind = 'metric' AND pack = %s AND metric_date = %s AND endpoint = %s
ORDER BY id DESC LIMIT 1"""


def fill(base: BaseConnection, endpoints: int) -> None:
    """Fill an empty base with endpoints on which the pack and its required packs are activated and have run."""
    from hdm_airflow.base.configuration import encode

    values = {
        "endpoints": endpoints,
        "required": list(REQUIRED),
        "pack": PACK_NAME,
        "versions": ["1.0.0", "1.1.0", VERSION],
        "config": encode('{"limit_enabled": true, "search_results_limit": 10000, "min_count": 5}'),
        "first": date.fromordinal(METRIC_DATE.toordinal() - HISTORY),
        "last": METRIC_DATE,
    }
    for statement in FILL.split(";\n"):
        if statement.strip():
            base.execute(statement.encode(), values)
    base.execute("ANALYZE")


def attempt_and_pack() -> tuple[Attempt, Pack]:
    """A rule pack that requires two metric packs, and an attempt of it."""
    from hdm_airflow.base.runs import Attempt
    from hdm_airflow.packs.pack import Pack, Requirement

    pack = Pack(
        kind="rule",
        name=PACK_NAME,
        version=VERSION,
        folder=f"rule-packs/{PACK_NAME}",
        path=Path("/nowhere"),
        task_id=f"rp_{PACK_NAME}",
        manifest=None,
        requires=tuple(Requirement(name=name) for name in REQUIRED),
    )
    attempt = Attempt(
        kind="rule",
        pack=PACK_NAME,
        pack_version=VERSION,
        metric_date=METRIC_DATE,
        environment="prod",
        dag_id="hdm_pipeline",
        run_id="night",
        task_id=f"hdm-prod.rp_{PACK_NAME}",
        try_number=1,
    )
    return attempt, pack


def read(base: BaseConnection) -> int:
    """The number of endpoints in the plan, read as PackOperator does."""
    from hdm_airflow.operators import plan

    attempt, pack = attempt_and_pack()
    return len(plan.read(base, attempt, pack, require_reports=False).run)


def read_one_by_one(base: BaseConnection) -> int:
    """The same number, read the rival's way."""
    from hdm_airflow.base.configuration import decode

    runnable = 0
    for row in base.execute(RIVAL_SLUGS, [PACK_NAME]).fetchall():
        slug = row["db_key"]
        endpoint = base.execute(RIVAL_ENDPOINT, slug.split(":")[:4]).fetchone()
        found = [base.execute(RIVAL_CONFIGURATION, [f"{PACK_NAME}:{place}"]).fetchone() for place in (VERSION, slug)]
        configuration: dict[str, object] = {}
        for stored in found:
            configuration |= decode(stored["pack_config"], slug) if stored else {}
        newest = [base.execute(RIVAL_GATE, [name, METRIC_DATE, slug]).fetchone() for name in REQUIRED]
        runnable += bool(endpoint and configuration and all(run and run["status"] == "success" for run in newest))
    return runnable


@contextmanager
def queries_sent(base: BaseConnection) -> Iterator[list[str]]:
    """Collect libpq's own trace of the connection: one `Execute` or `Query` per query."""
    sent: list[str] = []
    with tempfile.TemporaryFile("w+") as trace:
        base.pgconn.trace(trace.fileno())
        try:
            yield sent
        finally:
            base.pgconn.untrace()
            trace.seek(0)
            for line in trace:  # time, F (from us) or B, length, message, ...
                _, sender, _, message, *_ = *line.split("\t"), "", "", "", ""
                if sender == "F" and message in {"Execute", "Query"}:
                    sent.append(message)


def main() -> None:
    """Measure both ways on bases of each size, print the table, and write it to results/."""
    from demo.services import Postgres

    table = Table(
        "assignments",
        "Reading the work of an attempt: endpoints, both configurations and the gate of a rule pack",
        ["endpoints", "plan.read, queries", "ms", "one by one, queries", "ms", "ratio"],
    )
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder, Postgres(Path(folder) / "postgres") as server:
        os.environ["AIRFLOW_HOME"] = folder  # before Airflow is imported
        for size in SIZES:
            os.environ["AIRFLOW_CONN_HDM"] = server.create_database(f"hdm_{size}").dsn
            version = _measure(table, size)
    table.finish(
        f"median of {ROUNDS} rounds ({RIVAL_ROUNDS} one by one) on one connection to a server on this machine",
        "PackOperator calls plan.read; one by one is the original's habit: one indexed query per endpoint and item; "
        f"{len(REQUIRED)} required metric packs, {HISTORY + 1} dates in the ledger",
        f"PostgreSQL {version}",
    )


def _measure(table: Table, size: int) -> str:
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    logging.getLogger("alembic").setLevel(logging.WARNING)  # stdout is for the table
    hook = HdmHook()
    migrate.upgrade(hook)
    with hook.session() as base:
        fill(base, size)
        assert read(base) == read_one_by_one(base) == size, "both ways find the same"
        ours = median_ms(lambda: read(base), ROUNDS)
        rival = median_ms(lambda: read_one_by_one(base), RIVAL_ROUNDS)
        with queries_sent(base) as our_queries:
            read(base)
        with queries_sent(base) as rival_queries:
            read_one_by_one(base)
        counts = (f"{len(our_queries):,}", f"{len(rival_queries):,}")
        table.add(f"{size:,}", counts[0], f"{ours:,.1f}", counts[1], f"{rival:,.1f}", f"{rival / ours:.0f}")
        row = base.execute("SHOW server_version").fetchone()
    return str(row and row["server_version"])


if __name__ == "__main__":
    main()
