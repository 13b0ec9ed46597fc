"""`make bench-rules_usual`: judging usual values of one metric, compared with reading the view of trends for it.

Metrics of made-up columns are in a separate server. Both ways start from there: ours reads the earlier dates and judges
them, the view computes the mean of 28 dates. Of both, the processor time of server and client is measured, since the
machine may be shared; the server works for one connection.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.table import Table

PROCESS = Path(__file__).parents[1] / "dags/packs/rule-packs/basic/process"
SCRIPT = Path(__file__).parents[1] / "dags/packs/metric-packs/basic/create-table/create.sql"
SLUG = "ward:postgres:db.example:5432:reader:false"
LAST = dt.date(2024, 5, 31)
SITES = ((100_000, 29), (20_000, 84))  # columns, dates: those that the view looks at, and those that the pack reads
METRIC = "na_values"
ROUNDS = 3

# Each metric has a value, and none its comparisons: with both, the rows of text columns are as long.
FILL = """
INSERT INTO metric_basic (endpoint, "database", dbversion, "table", "column", "date", previous_date, {names})
SELECT %(slug)s, 'ward', '1.0', 'table_' || lpad((i / 100)::text, 5, '0'), 'column_' || i %% 100, day, day - 1, {values}
FROM (SELECT %(last)s::date - back AS day FROM generate_series(%(dates)s - 1, 0, -1) AS back) AS d,
    generate_series(0, %(columns)s - 1) AS i
"""
TREND = 'SELECT "table", "column", evol_mean28_{} FROM metric_basic_trend WHERE endpoint = %s AND "date" = %s'


def main() -> None:
    """Measure both ways, print the table, and write it to results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, help="fewer, at each number of dates; the table is not kept")
    fewer = parser.parse_args().columns
    table = Table(
        "rules_usual",
        "Usual values of one metric",
        ["columns", "dates", "series", "read, CPU s", "judge, CPU s", "all, CPU s", "view, CPU s", "ratio", "peak MB"],
    )
    from demo.services import Postgres

    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder, Postgres(Path(folder) / "postgres") as server:
        for whole, dates in SITES:
            columns = fewer or whole
            database = server.create_database(f"base_{dates}")
            with database.connect() as base:
                _fill(base, columns, dates)
            with database.connect(autocommit=True) as base:
                base.execute("VACUUM ANALYZE metric_basic")
                base.execute("SET jit = off")  # as rule pack basic sets it: the view is faster without
                base.execute("SET max_parallel_workers_per_gather = 0")  # only the session's own process is measured
                _measure(table, base, columns, dates)
            server.drop_database(database.name)
    table.finish(
        f"processor time of server and client together, median of {ROUNDS} rounds, one connection",
        "the view reads evol_mean28 of one metric, of 28 earlier dates, however many there are: a third of 84",
        "84 dates are what the pack reads; series: `as on most`: 80 % of columns do not change, and are alike in "
        "each table; the others vary by 2 % and have weekends at 40 %; `all noisy`: all of them do",
        keep=not fewer,
    )


def _fill(base: Any, columns: int, dates: int) -> None:
    base.execute(SCRIPT.read_text().encode())
    rows = base.execute(
        """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
           WHERE attrelid = 'metric_basic'::regclass AND attnum > 7 AND NOT attisdropped"""
    ).fetchall()
    base.execute("ALTER TABLE metric_basic DROP CONSTRAINT metric_basic_pkey")
    base.execute("DROP INDEX metric_basic_date")
    by_type = {
        "text": "''",
        "boolean": "false",
        "smallint": "0",
        "bigint": "1000 + i % 900",
        "double precision": "i / 7.0",
    }
    kept = [(name, kind) for name, kind in rows if kind in by_type and name not in {"sample_rows", "renamed_from"}]
    kept = [(name, kind) for name, kind in kept if not name.startswith(("delta_", "evol_"))]
    noisy = (
        "CASE WHEN i % 5 = 0 THEN (1000 * (CASE WHEN extract(isodow FROM day) > 5 THEN 0.4 ELSE 1 END)"
        " * (1 + 0.02 * (random() + random() + random() + random() + random() + random() - 3) / 0.707))::bigint"
        " ELSE 1000 + i / 100 END"
    )
    values = [noisy if name == METRIC else by_type[kind] for name, kind in kept]
    names = ", ".join(f'"{name}"' for name, _ in kept)
    query = FILL.format(names=names, values=", ".join(values).replace("%", "%%"))
    base.execute(query.encode(), {"slug": SLUG, "last": LAST, "dates": dates, "columns": columns})
    base.execute('ALTER TABLE metric_basic ADD PRIMARY KEY (endpoint, "table", "column", "date")')
    base.execute('CREATE INDEX metric_basic_date ON metric_basic (endpoint, "date", "table", "column")')
    base.execute(
        "CREATE TABLE hdm_whole (kind text, pack text, endpoint text, date date, state text, incomplete jsonb)"
    )
    base.execute(
        """INSERT INTO hdm_whole SELECT 'metric', 'basic', %s, %s::date - back, 'whole', NULL
           FROM generate_series(0, %s) AS back""",
        (SLUG, LAST, dates - 1),
    )


def _measure(table: Table, base: Any, columns: int, dates: int) -> None:
    usable_dates, usual, usual_rules, usual_series = _pack()
    import numpy as np
    import polars as pl

    rows = base.execute('SELECT "table", "column" FROM metric_basic WHERE "date" = %s', (LAST,)).fetchall()
    objects = pl.DataFrame(rows, schema=["table", "column"], orient="row")
    assert objects.height == columns
    days = [row[0] for row in base.execute("SELECT date FROM hdm_whole ORDER BY date").fetchall()]
    assert len(days) == dates

    def read() -> list[Any]:
        known = usable_dates.dates(base, SLUG, LAST, usual_series.DATES)
        series = usual_series.Series(base, SLUG, known, {"metric_basic": [METRIC]}, {"metric_basic"})
        return list(series.blocks("metric_basic", METRIC, objects))

    def judge(blocks: list[Any]) -> int:
        verdicts = [usual_rules.judged(block, days, usual.Law()) for block in blocks]
        return sum(int((one.outcome != usual.NOT_JUDGED).sum()) for one in verdicts)

    def noisy(block: Any) -> Any:
        """All objects have a series of their own that varies."""
        chosen = np.flatnonzero(block.different.std(axis=1) > 0)
        which = np.random.default_rng(1).choice(chosen, len(block.which))
        values = block.different[which] * (1 + np.arange(len(which))[:, None] / 1e9)
        return usual_series.Block(block.objects, values, np.arange(len(which)))

    trend = TREND.format(METRIC).encode()
    rival = _cpu(base, lambda: base.execute(trend, (SLUG, LAST)).fetchall())
    reading = _cpu(base, read)
    blocks = read()
    for series, made in (("as on most", blocks), ("all noisy", [noisy(block) for block in blocks])):
        assert judge(made) == columns
        judging = _cpu(base, lambda made=made: judge(made))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        whole = reading + judging
        cells = (
            f"{reading:.2f}",
            f"{judging:.2f}",
            f"{whole:.2f}",
            f"{rival:.2f}",
            f"{whole / rival:.2f}",
            f"{peak:.0f}",
        )
        table.add(f"{columns:,}", str(dates), series, *cells)
        print(columns, dates, series, *cells, file=sys.stderr, flush=True)


def _cpu(base: Any, call: Callable[[], object]) -> float:
    """Processor seconds of this process and of the server's process for it; the median of several rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time() + _server_seconds(base)
        call()
        found.append(time.process_time() + _server_seconds(base) - began)
    return statistics.median(found)


def _server_seconds(base: Any) -> float:
    fields = Path(f"/proc/{base.info.backend_pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pack() -> tuple[Any, Any, Any, Any]:
    sys.path.insert(0, str(PROCESS))
    sys.dont_write_bytecode = True
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    import usable_dates
    import usual
    import usual_rules
    import usual_series

    return usable_dates, usual, usual_rules, usual_series


if __name__ == "__main__":
    main()
