"""make bench-rules_sql: a thousand sql rules on one endpoint, against the same queries by hand."""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.table import Table
from demo.services import Postgres
from tests.integration.pack_harness import Base, postgres_endpoint
from tests.integration.store_harness import column, measured, nights

if TYPE_CHECKING:
    from demo.services import Database

RULES, ROWS, ROUNDS, CONNECTIONS = 1000, 100_000, 5, 2
DATE = "2026-03-02"
QUERY = "SELECT id FROM stays WHERE age > 120 AND ward = {}"
TARGET = 1.2  # times
TABLE = "CREATE TABLE stays AS SELECT i AS id, i % 100 AS age, i % 50 AS ward FROM generate_series(1, %s) AS i"
RULE = """INSERT INTO rule_basic (rule_name, rule_type, condition_trigger, condition_scope, rule_content)
    SELECT 'rule ' || i, 'sql', 'returnNotNull', 'all', replace(%s, '{}', i::text) FROM generate_series(1, %s) AS i"""


def by_hand(database: Database) -> float:
    """Seconds of the queries alone: each in a transaction of its own, on connections that are open."""
    connections = [psycopg.connect(database.dsn, autocommit=True) for _ in range(CONNECTIONS)]

    def some(number: int) -> None:
        for one in range(number, RULES, CONNECTIONS):
            connections[number].execute(QUERY.format(one + 1).encode()).fetchmany(1000)

    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(some, range(CONNECTIONS)))
    passed = time.perf_counter() - began
    for one in connections:
        one.close()
    return passed


def judged(base: Base, endpoint: dict[str, Any]) -> float:
    """Seconds of a run of the pack."""
    began = time.perf_counter()
    run = base.judge(DATE, {**endpoint, "config": {"generate": False, "sql_connections": CONNECTIONS}})
    passed = time.perf_counter() - began
    assert run.only()["status"] == "ok", run.output
    return passed


def main() -> None:
    """Alternate the three, and print medians."""
    times: dict[str, list[float]] = {"by hand": [], "with the rules": [], "without": []}
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "postgres") as server:
        database = server.create_database("bench_rules_sql")
        base = Base(database, Path(folder))
        with database.connect() as connection:
            connection.execute(TABLE.replace("%s", str(ROWS)).encode())
            connection.execute(b"ANALYZE stays")
        endpoint = postgres_endpoint(database)
        with nights(base) as made:
            made.slug, made.database = endpoint["slug"], endpoint["database"]
            made.write(DATE, [measured("stays", {"id": column()}, rows=ROWS)])
        base.execute(RULE, QUERY, RULES)
        for _ in range(ROUNDS):
            times["by hand"].append(by_hand(database))
            times["with the rules"].append(judged(base, endpoint))
            base.execute("UPDATE rule_basic SET enabled = false WHERE rule_type = 'sql'")
            times["without"].append(judged(base, endpoint))
            base.execute("UPDATE rule_basic SET enabled = true WHERE rule_type = 'sql'")
    report({name: statistics.median(one) for name, one in times.items()})


def report(seconds: dict[str, float]) -> None:
    """Print and write the table."""
    title = (
        f"{RULES:,} sql rules on one endpoint of {ROWS:,} rows, {CONNECTIONS} queries at a time; medians of {ROUNDS}"
    )
    table = Table("rules_sql", title, ["what", "seconds", "times by hand", "at most"])
    hand = seconds["by hand"]
    table.add("the queries by hand", f"{hand:.2f}", "1", "")
    own = seconds["with the rules"] - seconds["without"]
    table.add("run of the pack, less one without the rules", f"{own:.2f}", f"{own / hand:.2f}", f"{TARGET}")
    table.add("run of the pack without the rules", f"{seconds['without']:.2f}", "", "")
    table.finish(
        f"{RULES:,} queries on a table of {ROWS:,} rows, {CONNECTIONS} at a time, by hand and by the pack in turn;"
        f" medians of {ROUNDS} runs",
    )


if __name__ == "__main__":
    main()
