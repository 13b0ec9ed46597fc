"""Metric pack basic is killed: every table's rows are whole or absent, and a retry reads what is missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import LATER, TODAY, comparable, wait_until

if TYPE_CHECKING:
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import Row

RUN = {"run_id": "scheduled__2026-01-31"}
TABLES = 300


@pytest.fixture
def crowd(ward: Ward) -> Ward:
    """Three hundred tables of seven columns, five of them with nine levels: too much for one transaction."""
    coded = ", ".join(f"n % 9 AS {name}" for name in "bcdef")
    with ward.database.connect() as connection:
        for i in range(TABLES):
            connection.execute(
                f"CREATE TABLE t{i:03} AS SELECT n AS a, {coded}, date '2020-01-01' + n AS g"
                f" FROM generate_series(1, {100 + i}) n".encode()
            )
        connection.execute(b"ANALYZE")
    return ward


def stored(ward: Ward, date: str) -> dict[str, list[Row]]:
    """What the base has of a date, by table of the pack; the tables' own dates are left out."""
    chosen = (
        "metric_basic",
        "metric_basic_levels",
        "metric_basic_table",
        "metric_basic_version",
        "metric_basic_database",
        "metric_basic_day",
        "metric_basic_pair",
        "metric_basic_number_by_level",
    )
    return {name: comparable(ward.base.rows(f'SELECT * FROM {name} WHERE "date" = %s', date)) for name in chosen}


def assert_whole(ward: Ward) -> int:
    """Every table of the date has all its rows, or none; how many have."""
    tables = ward.tables()
    found: dict[str, set[str]] = {}
    for table, column in ward.base.metrics(TODAY):
        found.setdefault(table, set()).add(column)
    assert found == {table: set("abcdefg") for table in tables}
    levels = ward.base.rows('SELECT "table", count(*) AS n FROM metric_basic_levels GROUP BY 1')
    assert {row["table"]: row["n"] for row in levels} == dict.fromkeys(tables, 45)
    return len(tables)


def test_killed_anywhere_it_leaves_whole_tables_and_a_retry_ends_it(crowd: Ward) -> None:
    """As soon as there is more in the base than before; the result is that of a run that nobody disturbed."""
    counts = [0]
    while not crowd.base.rows("SELECT FROM metric_basic_version"):
        running = crowd.start(TODAY, **RUN)
        while not running.is_over and len(crowd.base.rows("SELECT FROM metric_basic_table")) <= counts[-1]:
            time.sleep(0.002)
        running.kill()
        counts.append(assert_whole(crowd))
        assert counts[-1] > counts[-2] or counts[-2] == TABLES
    assert len(set(counts)) > 3  # it was killed between the first table and the last
    run = crowd.measure(TODAY, **RUN)
    assert (run.exit_code, run.only()["status"], run.only()["metrics"]) == (0, "ok", 7 * TABLES), run.output
    assert assert_whole(crowd) == TABLES
    disturbed = stored(crowd, TODAY)
    crowd.base.execute("TRUNCATE metric_basic, metric_basic_levels, metric_basic_table, metric_basic_version")
    crowd.base.execute(
        "TRUNCATE metric_basic_database, metric_basic_day, metric_basic_pair, metric_basic_number_by_level"
    )
    crowd.measure(TODAY)
    assert stored(crowd, TODAY) == disturbed


def test_retry_does_not_read_finished_tables_again(ward: Ward) -> None:
    """Seen by the endpoint's own statistics; the date is complete with the retry only."""
    ward.execute(*(f"CREATE TABLE t{i} AS SELECT {i} AS a" for i in range(20)), "CREATE VIEW z AS SELECT 1 AS a")
    reads = "SELECT sum(seq_scan) FROM pg_stat_user_tables"
    with ward.gate() as wait:
        running = ward.start(**RUN)
        wait()
        wait_until(lambda: len(ward.tables()) == 20)  # what was read is stored although the next table takes long
        running.kill()
    assert not ward.base.rows("SELECT FROM metric_basic_version")
    if ward.database.server.version >= 15:  # before, what a session has read is known when it has ended
        ward.execute("SELECT pg_stat_force_next_flush()")
    wait_until(lambda: ward.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hdm basic'") == 0)
    before = ward.ask(reads)
    run = ward.measure(**RUN)
    assert "skipping 20 tables that an earlier attempt of this run measured" in run.output
    assert (run.only()["status"], run.only()["message"]) == ("ok", "22 of 22 tables measured")
    assert set(ward.tables()) == {*(f"t{i}" for i in range(20)), "gate", "z"}
    assert ward.ask(reads) == before
    assert len(ward.base.rows("SELECT FROM metric_basic_version")) == 1
    run = ward.measure()  # another run
    assert "earlier attempt" not in run.output
    assert ward.ask(reads) == before + 20


def test_retry_of_a_partial_run_reads_what_was_incomplete(ward: Ward) -> None:
    """And that alone; then the endpoint is ok."""
    ward.execute(
        "CREATE TABLE a AS SELECT 1 AS n", "CREATE TABLE b AS SELECT 1 AS n", "CREATE TABLE c AS SELECT 1 AS n"
    )
    with ward.held("LOCK TABLE b IN ACCESS EXCLUSIVE MODE"):
        run = ward.measure(config={"lock_seconds": 1}, **RUN)
    assert run.only()["incomplete"] == ["b"]
    before = {table: row["measured_at"] for table, row in ward.tables().items()}
    run = ward.measure(**RUN)
    assert (run.only()["status"], run.only().get("incomplete")) == ("ok", None)
    after = {table: row["measured_at"] for table, row in ward.tables().items()}
    assert set(after) == {"a", "b", "c"}
    assert (after["a"], after["c"]) == (before["a"], before["c"])


def test_what_a_killed_run_left_of_another_night_stays_and_is_compared(ward: Ward) -> None:
    """A kill during the second night costs nothing of the first."""
    ward.execute("CREATE TABLE t AS SELECT 1 AS n", "CREATE TABLE gone AS SELECT 1 AS n")
    ward.measure(TODAY)
    before = stored(ward, TODAY)
    ward.execute("DROP TABLE gone")
    with ward.gate() as wait:
        running = ward.start(LATER, **RUN)
        wait()
        running.kill()
    assert stored(ward, TODAY) == before
    ward.execute("DROP VIEW gate")
    ward.measure(LATER, **RUN)
    assert stored(ward, TODAY) == before
    changes = {place: row["schema_change"] for place, row in ward.base.metrics(LATER).items()}
    assert changes == {("t", "n"): "", ("gone", "n"): "dropped"}


def test_attempt_with_another_configuration_measures_anew(ward: Ward) -> None:
    """What is left out now is swept, also of a table that had been finished; more time changes nothing of it."""
    ward.execute(
        "CREATE TABLE p AS SELECT 'dupont' || i % 2 AS who, i AS x FROM generate_series(1, 20) i",
        "CREATE TABLE q (a int)",
        "CREATE VIEW broken AS SELECT 1 / x AS y FROM (SELECT 0 AS x) AS nothing",
    )
    ward.measure(config={"statement_seconds": 99}, **RUN)
    assert ward.base.levels(TODAY, "p", "who")
    run = ward.measure(config={"statement_seconds": 98}, **RUN)
    assert "skipping 2 tables that an earlier attempt" in run.output
    run = ward.measure(config={"identifying": ["who"]}, **RUN)
    assert "earlier attempt" not in run.output
    assert {place for place in ward.base.metrics(TODAY) if place[0] == "p"} == {("p", "x")}
    assert ward.base.levels(TODAY, "p", "who") == {}
    run = ward.measure(config={"exclude_tables": ["p"]}, **RUN)
    assert run.only()["status"] == "partial"
    assert set(ward.tables()) == {"q"}
    assert {table for table, _ in ward.base.metrics(TODAY)} == {"q"}


def test_retry_of_a_run_that_lacks_a_column_reads_nothing_until_it_is_granted(ward: Ward) -> None:
    """Then its table is read again, and that alone."""
    ward.execute("CREATE TABLE p (a int, b int)", "CREATE TABLE q (a int)", "INSERT INTO p VALUES (1, 2)")

    def written() -> dict[str, object]:
        return {table: row["measured_at"] for table, row in ward.tables().items()}

    with ward.reader("GRANT SELECT (a) ON p TO {}", "GRANT SELECT ON q TO {}") as reader:
        assert ward.measure(as_user=reader, **RUN).only()["incomplete"] == ["p.b"]
        first = written()
        run = ward.measure(as_user=reader, **RUN)
        assert (run.only()["status"], run.only()["incomplete"], run.only()["metrics"]) == ("partial", ["p.b"], 2)
        assert written() == first
        ward.execute(f"GRANT SELECT (b) ON p TO {reader['user']}")
        run = ward.measure(as_user=reader, **RUN)
    assert (run.only()["status"], run.only()["metrics"]) == ("ok", 3)
    assert (written()["q"] == first["q"], written()["p"] == first["p"]) == (True, False)
