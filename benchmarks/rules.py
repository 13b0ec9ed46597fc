"""`make bench-rules`: rule pack basic, compared with one indexed query per rule in the same run.

Each part fills a base, runs the pack under contract 1, and adds rows to the table. `--only` runs some of the parts.

The rivals judge one rule after the other, each by one query. The leanest fetches the one metric that the rule names.
Others fetch all metrics of the rule's column, as rule packs do that read documents: those of the original are stored in
Elasticsearch.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.profile_measure import processor_seconds
from benchmarks.rules_site import DATABASE, DATE, SLUG, RulesSite
from benchmarks.table import Table

if TYPE_CHECKING:
    from psycopg import Connection

    from demo.services import Postgres

    Fetch = Callable[[str, str, str], Any]  # the value of a metric, of a table's column

COLUMNS = 100_000
MANY = 1_000_000
DAYS = 29  # dates with metrics
PATTERNS = 100
ROUNDS = 3
FASTER, MEMORY, STATEMENTS, SECONDS, GROWTH = 15, 500, 50, 3, 10  # targets: times, MB, number, seconds, times
MORE, MORE_MEMORY = 1.2, 100  # targets of open incidents: times, MB
EVERY = 10  # the rival judges every tenth rule; its times are multiplied

RULES = 'SELECT id_rule, rule_content::jsonb, alert_message, "table", "column" FROM rule_basic WHERE id_rule %% %s = 0'
QUERY = 'SELECT {} FROM metric_basic WHERE endpoint = %s AND "table" = %s AND "column" = %s AND "date" = %s'
WHOLE = """SELECT * FROM metric_basic
WHERE endpoint = :endpoint AND "table" = :table AND "column" = :column AND "date" = :date"""
ALERT = """
INSERT INTO hdm_alerts
    (endpoint, "database", "table", "column", "date", alert_level, alert_message, rule_id, rule_pack)
VALUES (%s, %s, %s, %s, %s, 'Warning', %s, %s, 'rival')"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one way of judging costs."""

    seconds: float  # from start to end
    own: float  # seconds of processor time of the program
    server: float  # and of the server
    peak: float = 0.0  # MB: highest resident size

    @property
    def processor(self) -> float:
        """Seconds of processor time in all."""
        return self.own + self.server

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s (CPU {self.own:.2f} + {self.server:.2f})"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Common to the parts."""

    folder: Path
    server: Postgres
    table: Table
    facts: list[str] = field(default_factory=list)

    def site(self, name: str) -> RulesSite:
        """A new base."""
        return RulesSite.create(self.folder, self.server, name)

    def add(self, *cells: str, met: bool | None = None) -> None:
        """Add a row and print it at once: what, how much, rival, ratio, target, and whether that is met."""
        row = (*cells, "" if met is None else "yes" if met else "no")
        print(" | ".join(row), file=sys.stderr, flush=True)
        self.table.add(*row)

    def judge(self, site: RulesSite, rounds: int = ROUNDS) -> Cost:
        """The medians of several runs of the pack."""
        costs = []
        for _ in range(rounds):
            site.forget_results()
            before = _own_seconds()
            usage = site.judge()
            own = _own_seconds() - before
            costs.append(Cost(seconds=usage.seconds, own=own, server=usage.server, peak=usage.peak))
            print(f"  {costs[-1]}, {usage.peak:.0f} MB", file=sys.stderr, flush=True)
        names = ("seconds", "own", "server", "peak")
        return Cost(**{name: statistics.median(getattr(cost, name) for cost in costs) for name in names})


def column_rules(bench: Bench) -> None:
    """One rule per column, and the same rules one query at a time; then patterns on the same metrics."""
    site = bench.site("columns")
    site.measure(COLUMNS, DAYS)
    site.column_rules(COLUMNS)
    rivals = {words: _one_by_one(site, fetcher) for words, fetcher in RIVALS.items()}
    ours = bench.judge(site)
    alerts, outcomes = site.stored()
    assert outcomes == COLUMNS, outcomes
    assert {found for _, found in rivals.values()} == {site.stored_every(EVERY)}, "all find the same"
    statements = site.statements()
    what = f"{COLUMNS:,} column rules on {COLUMNS:,} columns, {alerts:,} alerts"
    for words, (rival, _) in rivals.items():
        ratio = rival.processor / ours.processor
        cells = str(ours), f"one query per rule, {words}: {rival}", _faster(rival, ours)
        if words == PREPARED:
            bench.add(what, *cells, "")
        else:
            bench.add(what, *cells, f"{FASTER} times, aim 25", met=ratio >= FASTER)
        what = "the same"
    bench.add("the same, memory", f"{ours.peak:.0f} MB", "", "", f"{MEMORY} MB", met=ours.peak <= MEMORY)
    bench.add(
        "the same, statements", f"{statements}", f"{COLUMNS:,}", "", str(STATEMENTS), met=statements <= STATEMENTS
    )
    site.forget_rules()
    site.pattern_rules(PATTERNS)
    patterns = bench.judge(site)
    alerts, outcomes = site.stored()
    assert outcomes == PATTERNS * COLUMNS, outcomes
    what = f"{PATTERNS} pattern rules on the same ({outcomes:,} outcomes), {alerts:,} alerts"
    bench.add(what, str(patterns), "", "", f"{SECONDS} s", met=patterns.processor <= SECONDS)
    bench.add("the same, memory", f"{patterns.peak:.0f} MB", "", "", "")


def growth(bench: Bench) -> None:
    """Ten times the columns cost ten times as much, with one date of metrics."""
    costs: dict[int, tuple[Cost, ...]] = {}
    for columns in (COLUMNS, MANY):
        site = bench.site(f"growth_{columns}")
        site.measure(columns, 1)
        site.pattern_rules(PATTERNS)
        patterns = bench.judge(site, 1)
        site.forget_rules()
        site.column_rules(columns)
        columns_cost = bench.judge(site, 1)
        assert site.stored()[1] == columns
        site.forget_rules()
        site.breached_rule()
        costs[columns] = patterns, columns_cost, bench.judge(site, 1)
        assert site.stored()[0] == columns
        bench.server.drop_database(site.base.name)
    for number, what in enumerate((f"{PATTERNS} pattern rules", "one rule per column", "one alert per column")):
        small, large = costs[COLUMNS][number], costs[MANY][number]
        processor = large.processor / small.processor
        cells = f"{large}, {large.peak:.0f} MB", f"{COLUMNS:,} columns: {small}, {small.peak:.0f} MB"
        ratio = f"{large.seconds / small.seconds:.1f} times as long (CPU: {processor:.1f})"
        bench.add(f"{what} on {MANY:,} columns", *cells, ratio, f"{GROWTH} times", met=processor <= GROWTH)


def open_incidents(bench: Bench) -> None:
    """One rule per column, with an open incident each: none, all judged, and half of them without metrics."""
    site = bench.site("incidents")
    site.measure(COLUMNS, 2)
    site.column_rules(COLUMNS)
    none, statements = bench.judge(site), site.statements()
    site.open_incidents()
    more, more_statements = bench.judge(site), site.statements()
    site.forget_metrics()
    half, half_statements = bench.judge(site), site.statements()
    site.forget_incidents()
    bare = bench.judge(site)
    rows = {"all judged": (more, none), "half of them without metrics": (half, bare)}
    for what, (cost, without) in rows.items():
        ratio, megabytes = cost.processor / without.processor, cost.peak - without.peak
        bench.add(
            f"{COLUMNS:,} open incidents, {what}",
            f"{cost}, {cost.peak:.0f} MB",
            f"none: {without}, {without.peak:.0f} MB",
            f"{ratio:.2f} times, {megabytes:+.0f} MB",
            f"at most {MORE} times, {MORE_MEMORY} MB more",
            met=ratio <= MORE and megabytes <= MORE_MEMORY,
        )
    counts = f"{more_statements}; without metrics: {half_statements}"
    bench.add(
        "the same, statements", counts, f"none: {statements}", "", str(STATEMENTS), met=half_statements <= STATEMENTS
    )


PARTS: dict[str, Callable[[Bench], None]] = {"columns": column_rules, "growth": growth, "incidents": open_incidents}


def _faster(rival: Cost, ours: Cost) -> str:
    processor = rival.processor / ours.processor
    return f"{rival.seconds / ours.seconds:.0f} times faster (CPU: {processor:.0f})"


def _lean(connection: Connection[Any], *, prepare: bool) -> Fetch:
    """Each query fetches the one metric."""
    from psycopg import sql

    def fetch(metric: str, table: str, column: str) -> Any:
        query = sql.SQL(QUERY).format(sql.Identifier(metric))
        row = connection.execute(query, [SLUG, table, column, DATE], prepare=prepare).fetchone()
        return row and row[0]

    return fetch


def _whole(connection: Connection[Any]) -> Fetch:
    """Each query fetches all metrics of the column."""
    from psycopg import sql
    from psycopg.rows import dict_row

    query, cursor = sql.SQL(QUERY).format(sql.SQL("*")), connection.cursor(row_factory=dict_row)

    def fetch(metric: str, table: str, column: str) -> Any:
        row = cursor.execute(query, [SLUG, table, column, DATE], prepare=False).fetchone()
        return row and row[metric]

    return fetch


def _sqlalchemy(connection: Connection[Any]) -> Fetch:
    """The same, through SQLAlchemy on this connection."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import StaticPool

    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    session, query = engine.connect(), text(WHOLE)

    def fetch(metric: str, table: str, column: str) -> Any:
        values = {"endpoint": SLUG, "table": table, "column": column, "date": DATE}
        row = session.execute(query, values).mappings().fetchone()
        return row and row[metric]

    return fetch


PREPARED = "prepared per metric"
RIVALS: dict[str, Callable[[Connection[Any]], Fetch]] = {
    "of its metric": lambda connection: _lean(connection, prepare=False),
    PREPARED: lambda connection: _lean(connection, prepare=True),
    "of all metrics of its column": _whole,
    "of all metrics of its column, with SQLAlchemy": _sqlalchemy,
}


def _one_by_one(site: RulesSite, fetcher: Callable[[Connection[Any]], Fetch]) -> tuple[Cost, int]:
    """A rival: each rule in turn, one indexed query each, on every EVERY-th rule. Its cost, and its alerts."""
    site.forget_results()
    before, began, own = processor_seconds(site.server.pid), time.perf_counter(), time.process_time()
    with site.base.connect() as connection:
        found, outcomes, fetch = 0, [], fetcher(connection)
        for id_rule, content, message, table, column in connection.execute(RULES, [EVERY]).fetchall():
            value = fetch(content["metric"], table, column)
            is_breached = value is not None and value > content["conditionValue"]
            outcomes.append((SLUG, DATE, id_rule, int(not is_breached), int(is_breached), 0, 0, 0, "{}"))
            if is_breached:
                found += 1
                connection.execute(ALERT, [SLUG, DATABASE, table, column, DATE, message, str(id_rule)])
        with connection.cursor().copy("COPY rule_basic_result FROM STDIN") as copy:
            for outcome in outcomes:
                copy.write_row(outcome)
    seconds, own = time.perf_counter() - began, time.process_time() - own
    server = processor_seconds(site.server.pid) - before
    return Cost(seconds=seconds * EVERY, own=own * EVERY, server=server * EVERY), found


def _own_seconds() -> float:
    """Seconds of processor time of all ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts, print the table, and write it to results/ unless only some of the parts ran."""
    from demo.services import Postgres

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run")
    chosen = parser.parse_args(arguments).only
    title = "Rule pack basic: judging and storing, from the start of its process to its end"
    table = Table("rules", title, ["what", "rule pack basic", "compared with", "ratio", "target", "met"])
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as name, Postgres(Path(name) / "postgres") as server:
        bench = Bench(folder=Path(name), server=server, table=table)
        for part in chosen:
            PARTS[part](bench)
        with bench.site("version").base.connect() as connection:
            version = connection.execute("SHOW server_version").fetchone()[0]
    table.finish(
        f"median of {ROUNDS} runs (growth: one) in a venv of the pack's own, with a base on a server on this machine",
        "CPU: seconds of processor time of the pack, and of the server; memory: the highest resident size",
        "both parse the rules, and store alerts and outcomes",
        f"one query per rule: psycopg, one connection, every {EVERY}th rule, times multiplied by {EVERY}",
        "of all metrics of its column: as rule packs do that read documents, such as the original's in Elasticsearch",
        "met: by processor time, since the machine may be shared",
        f"{DAYS} dates of metrics (growth: one); statements as the server logs them",
        *bench.facts,
        f"PostgreSQL {version}",
        keep=set(chosen) == set(PARTS),
    )


if __name__ == "__main__":
    main()
