"""What goes wrong with one table or column: it is named as incomplete, the others are measured all the same."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.metric_basic_harness import LATER, TODAY, sqlite_file, wait_until
from tests.integration.pack_harness import SDK, mariadb_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import StartedPack


def test_table_that_the_account_may_not_read_is_incomplete(ward: Ward) -> None:
    """It is there, so it is named; a run in which nothing can be read replaces nothing."""
    ward.execute("CREATE TABLE t (a int)", "CREATE TABLE u (a int, b int)")
    ward.measure(TODAY)
    with ward.reader("GRANT SELECT ON t TO {}") as reader:
        run = ward.measure(LATER, as_user=reader)
        assert run.exit_code == 0
        assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["u"])
        assert "table u not measured: InsufficientPrivilege (42501)" in run.output
        ward.execute(f"REVOKE SELECT ON t FROM {reader['user']}")
        run = ward.measure(LATER, as_user=reader)
        assert (run.only()["status"], run.exit_code) == ("failed", 1)
        assert "none of 2 tables could be measured" in run.only()["message"]
    assert {table for table, _ in ward.base.metrics(LATER)} == {"t"}


def test_column_that_the_account_may_not_read_is_incomplete(ward: Ward) -> None:
    """The other columns of its table are measured, and it is not called dropped."""
    ward.execute("CREATE TABLE t (a int, b int, c int)", "INSERT INTO t VALUES (1, 2, 3)")
    ward.measure(TODAY)
    with ward.reader("GRANT SELECT (a, c) ON t TO {}") as reader:
        run = ward.measure(LATER, as_user=reader)
    assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["t.b"])
    found = ward.columns(LATER)
    assert {column: row["value_counts"] for column, row in found.items()} == {"a": 1, "c": 1}


def test_table_that_somebody_locks_is_incomplete_after_lock_seconds(ward: Ward) -> None:
    """The list of tables does not wait for it either."""
    ward.execute("CREATE TABLE busy (a int PRIMARY KEY)", "CREATE TABLE free (a int)", "ALTER TABLE busy ADD b text")
    with ward.held("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE"):
        run = ward.measure(config={"lock_seconds": 1})
    assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["busy"]), run.output
    assert "table busy not measured: LockNotAvailable (55P03)" in run.output
    assert set(ward.tables()) == {"free"}
    assert ward.tables()["free"]["bytes"] == ward.ask("SELECT pg_total_relation_size('free')")


def test_table_dropped_after_the_list_was_made_is_incomplete(ward: Ward) -> None:
    """Not there any more is no failure of the others."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW short_lived AS SELECT 1 AS a", "CREATE VIEW z AS SELECT 1 AS a")
    with ward.gate() as wait:
        running = ward.start()
        wait()
        ward.execute("DROP VIEW short_lived")
    run = running.finish()
    assert run.only()["incomplete"] == ["short_lived"], run.output
    assert "UndefinedTable (42P01)" in run.output
    assert set(ward.tables()) == {"t", "gate", "z"}


def test_column_dropped_after_the_list_was_made_fails_its_table_alone(ward: Ward) -> None:
    """Half of a table would be called the whole."""
    ward.execute("CREATE VIEW v AS SELECT 1 AS a, 2 AS b", "CREATE VIEW z AS SELECT 1 AS a")
    with ward.gate() as wait:
        running = ward.start()
        wait()
        ward.execute("DROP VIEW v", "CREATE VIEW v AS SELECT 1 AS a")
    run = running.finish()
    assert run.only()["incomplete"] == ["v"]
    assert "UndefinedColumn (42703)" in run.output
    assert set(ward.tables()) == {"gate", "z"}


def test_view_that_fails_in_the_middle_of_its_rows_leaves_no_numbers(ward: Ward) -> None:
    """Ten thousand rows are sent before the server finds out; the connection stays in use."""
    ward.execute(
        "CREATE TABLE t AS SELECT i FROM generate_series(1, 20000) i",
        "CREATE VIEW halves AS SELECT 1 / (10001 - i) AS half, i FROM t",
        "CREATE VIEW z AS SELECT i FROM t",
    )
    run = ward.measure()
    assert run.only()["incomplete"] == ["halves"]
    assert "table halves not measured: DivisionByZero (22012)" in run.output
    assert {table: row["rows_count"] for table, row in ward.tables().items()} == {"t": 20000, "z": 20000}
    assert {table for table, _ in ward.base.metrics(TODAY)} == {"t", "z"}


def test_broken_function_and_missing_table_break_their_views_only(ward: Ward) -> None:
    """Also a view whose query the server cannot even begin."""
    ward.execute(
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT a FROM t_that_is_gone); END'",
        "CREATE VIEW v AS SELECT f() AS a",
        "CREATE VIEW w AS SELECT a FROM t",
    )
    run = ward.measure()
    assert run.only()["incomplete"] == ["v"]
    assert set(ward.tables()) == {"t", "w"}


def test_endpoint_is_not_written_to(ward: Ward) -> None:
    """A view that writes meets a read-only transaction."""
    ward.execute(
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING 1'",
        "CREATE VIEW v AS SELECT f() AS a",
    )
    run = ward.measure()
    assert run.only()["incomplete"] == ["v"]
    assert "(25006)" in run.output
    assert ward.ask("SELECT count(*) FROM t") == 0


def test_server_ends_a_statement_that_takes_too_long(ward: Ward) -> None:
    """statement_seconds: also where no budget is set."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW slow AS SELECT pg_sleep(60)::text AS a")
    run = ward.measure(config={"statement_seconds": 1})
    assert run.only()["incomplete"] == ["slow"]
    assert "QueryCanceled (57014)" in run.output


def test_table_that_takes_longer_than_its_budget_is_left(ward: Ward) -> None:
    """Whether the server has nothing to send, or no end of rows; the next table has a budget of its own."""
    ward.execute(
        "CREATE TABLE t (a int)",
        "CREATE VIEW endless AS SELECT i FROM generate_series(1, 2000000000000) i",
        "CREATE VIEW slow AS SELECT pg_sleep(60)::text AS a",
        "CREATE VIEW z AS SELECT 1 AS a",
    )
    run = ward.measure(config={"table_seconds": 0.5})
    assert run.only()["incomplete"] == ["endless", "slow"]
    for view in ("endless", "slow"):
        assert f"table {view} not measured: the table's time limit has expired (table_seconds)" in run.output
    assert set(ward.tables()) == {"t", "z"}
    assert not ward.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'hdm basic'")


def test_endpoint_that_takes_longer_than_its_budget_is_partial(ward: Ward) -> None:
    """What was measured by then stands; what nobody began to read is named, too."""
    ward.execute(
        "CREATE TABLE t (a int)", "CREATE VIEW slow AS SELECT pg_sleep(60)::text AS a", "CREATE VIEW z AS SELECT 1 AS a"
    )
    run = ward.measure(config={"endpoint_seconds": 1})
    assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["slow", "z"])
    assert "table z not measured: the endpoint's time limit has expired (endpoint_seconds)" in run.output
    assert set(ward.tables()) == {"t"}


def test_connection_that_is_lost_is_opened_again(ward: Ward) -> None:
    """The table that was read is incomplete, the others are read over a new connection."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW z AS SELECT 1 AS a")
    with ward.gate() as wait:
        running = ward.start()
        wait()
        ward.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hdm basic'")
        wait_until(lambda: ward.tables().keys() >= {"z"} or running.is_over)
    run = running.finish()
    assert (run.exit_code, run.only()["incomplete"]) == (0, ["gate"]), run.output
    assert "table gate not measured: AdminShutdown (57P01)" in run.output
    assert set(ward.tables()) == {"t", "z"}


def test_server_that_lets_nobody_in_again_costs_the_tables_that_are_left(ward: Ward) -> None:
    """They are named with the reason; what was read before stays."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW z AS SELECT 1 AS a")
    with ward.reader("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}") as reader, ward.gate() as wait:
        ward.execute(f"GRANT SELECT ON gate TO {reader['user']}")
        running = ward.start(as_user=reader)
        wait()
        ward.execute(
            f"ALTER ROLE {reader['user']} NOLOGIN",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hdm basic'",
        )
        run = running.finish()
    assert (run.exit_code, run.only()["incomplete"]) == (0, ["gate", "z"]), run.output
    assert "table z not measured: the connection was lost: cannot connect" in run.output
    assert set(ward.tables()) == {"t"}


def test_table_whose_reader_breaks_down_is_not_forgotten(ward: Ward, tmp_path: Path) -> None:
    """A fault of the pack itself must not make a table vanish from the report."""
    (tmp_path / "sitecustomize.py").write_text(
        "import hdm_profile\n"
        "def fail(profile): raise RuntimeError('Dupont')\n"
        "hdm_profile.Profile.rows = property(fail)\n"
    )
    ward.execute("CREATE TABLE t (a int)", "CREATE TABLE u (a int)")
    run = ward.measure(variables={"PYTHONPATH": f"{SDK}:{tmp_path}"})
    assert (run.exit_code, run.only()["status"]) == (1, "failed"), run.output
    assert "table t not measured: its reader thread failed: RuntimeError" in run.output
    assert "none of 2 tables could be measured" in run.only()["message"]
    assert "Dupont" not in run.text


def test_faults_of_mariadb_are_its_tables_own(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """A lock, a column without a right, a table that takes too long, a view that is broken; the others go on."""
    role = f"reader_{mariadb_database[-12:]}"
    endpoint = mariadb_endpoint(mariadb, mariadb_database, config={"lock_seconds": 1, "table_seconds": 2})
    endpoint |= {"user": role, "password": "reader"}
    statements = (
        "CREATE TABLE busy (a int)",
        "CREATE TABLE free (a int, b int)",
        "CREATE TABLE gone (a int)",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
        "CREATE VIEW broken AS SELECT a FROM gone",
        "CREATE VIEW slow AS SELECT sleep(30) AS a FROM t",
        "CREATE VIEW z AS SELECT a FROM t",
        "DROP TABLE gone",
        f"CREATE USER {role} IDENTIFIED BY 'reader'",
        *(f"GRANT SELECT ON {mariadb_database}.{name} TO {role}" for name in ("busy", "t", "broken", "slow", "z")),
        f"GRANT SELECT (a) ON {mariadb_database}.free TO {role}",
    )
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("LOCK TABLES busy WRITE")
        run = ward.base.measure(TODAY, endpoint)
        cursor.execute("UNLOCK TABLES")
        cursor.execute(f"DROP USER {role}")
    assert run.only()["status"] == "partial", run.output
    assert set(ward.tables()) == {"free", "t", "z"}, run.output
    assert {"broken", "busy", "slow"} == set(run.only()["incomplete"]), run.output
    assert "table busy not measured: OperationalError (1205)" in run.output
    assert "table slow not measured: the table's time limit has expired (table_seconds)" in run.output


def test_name_that_no_index_takes_is_incomplete(ward: Ward, tmp_path: Path) -> None:
    """SQLite calls an unnamed column of a view by its whole expression; the others are stored."""
    cases = " ".join(f"WHEN a = {i * 7919 % 10007} THEN {i}" for i in range(400))
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (a INTEGER)",
        f"CREATE VIEW v AS SELECT a, CASE {cases} END FROM t",
        "CREATE VIEW z AS SELECT a FROM t",
    )
    run = ward.base.measure(TODAY, lab)
    assert run.only()["status"] == "partial", run.output
    (incomplete,) = run.only()["incomplete"]
    assert incomplete.startswith("v.CASE WHEN")
    assert set(ward.base.metrics(TODAY)) == {("t", "a"), ("v", "a"), ("z", "a")}


def test_choice_of_nothing_fails_and_the_rows_of_the_date_stay(ward: Ward) -> None:
    """A spelling mistake in `tables`, or an account that sees nothing any more, is no empty database."""
    ward.execute("CREATE TABLE t (a int)")
    ward.measure(TODAY)
    run = ward.measure(TODAY, config={"tables": ["T"]})
    assert (run.only()["status"], run.exit_code) == ("failed", 1)
    assert "the configuration selects no table, the endpoint has 1" in run.only()["message"]
    ward.execute("DROP TABLE t")
    run = ward.measure(LATER)
    assert run.only()["status"] == "failed"
    assert "the account no longer sees any table" in run.only()["message"]
    assert set(ward.base.metrics(TODAY)) == {("t", "a")}
    assert not ward.tables(LATER)


def test_time_of_an_endpoint_counts_while_its_version_is_asked_for(
    ward: Ward, mariadb: MariaDB, mariadb_database: str
) -> None:
    """Before the first table is read the server may hang, too."""
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        cursor.execute("CREATE VIEW version AS SELECT cast(sleep(25) AS char) AS version")
    endpoint = mariadb_endpoint(mariadb, mariadb_database, config={"endpoint_seconds": 1})
    running = ward.base.start("metric-packs/basic", "metric_basic.py", TODAY, [endpoint])
    assert_over_within(running, 10)
    run = running.finish()
    assert (run.only()["incomplete"], run.only()["version"]) == (["version"], "0.0"), run.output


# Servers that say nothing -----------------------------------------------------------------------------------------


@contextmanager
def frozen(*processes: int) -> Iterator[None]:
    """Processes of a server that answer nobody meanwhile."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def process_of(mariadb: MariaDB) -> int:
    """The server's process."""
    return int((mariadb.folder / "mariadbd.pid").read_text())


def sleeps(cursor: Any) -> bool:
    """Whether somebody reads a view that sleeps."""
    cursor.execute("SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'")
    return bool(cursor.fetchone()[0])


def assert_over_within(running: StartedPack, seconds: float) -> None:
    """It ends by itself."""
    end = time.monotonic() + seconds
    while not running.is_over:
        assert time.monotonic() < end, (running.folder / "output").read_text()
        time.sleep(0.05)


def test_time_of_a_table_holds_against_a_server_of_mariadb_that_is_frozen(
    ward: Ward, mariadb: MariaDB, mariadb_database: str
) -> None:
    """It neither sends nor hangs up, and cannot end the statement."""
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        cursor.execute("CREATE VIEW v AS SELECT sleep(9) AS a")
        endpoint = mariadb_endpoint(mariadb, mariadb_database, config={"table_seconds": 2})
        running = ward.base.start("metric-packs/basic", "metric_basic.py", TODAY, [endpoint])
        wait_until(lambda: sleeps(cursor))
        with frozen(process_of(mariadb)):
            assert_over_within(running, 10)
    run = running.finish()
    assert (run.exit_code, run.only()["incomplete"]) == (0, ["v"]), run.output
    assert "table v not measured: the table's time limit has expired (table_seconds)" in run.output
    assert set(ward.tables()) == {"t"}


def test_server_of_mariadb_that_takes_connections_and_says_nothing_fails_its_endpoint(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Nobody waits for it until the task is killed; the others are measured and reported."""
    (tmp_path / "sitecustomize.py").write_text(
        "from pymysql.connections import Connection\n"
        "start = Connection.__init__\n"
        "def hurry(self, **options): start(self, **{**options, 'read_timeout': options['read_timeout'] / 15})\n"
        "Connection.__init__ = hurry\n"
    )
    lab = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (a INTEGER)")
    endpoint, variables = mariadb_endpoint(mariadb, mariadb_database), {"PYTHONPATH": f"{SDK}:{tmp_path}"}
    with frozen(process_of(mariadb)):
        running = ward.base.start("metric-packs/basic", "metric_basic.py", TODAY, [endpoint, lab], variables=variables)
        assert_over_within(running, 10)
    run = running.finish()
    assert {slug: report["status"] for slug, report in run.reports.items()} == {
        endpoint["slug"]: "failed",
        lab["slug"]: "ok",
    }
    assert "cannot connect: (2013" in run.reports[endpoint["slug"]]["message"]


def test_time_of_a_table_holds_against_a_server_of_postgresql_that_is_frozen(ward: Ward) -> None:
    """Nobody takes the request to cancel either."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW v AS SELECT pg_sleep(4)::text AS a")
    backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'hdm basic' AND query LIKE 'COPY%\"v\"%'"
    running = ward.start(config={"table_seconds": 2})
    wait_until(lambda: ward.ask(backend))
    postmaster = int((ward.database.server.data / "postmaster.pid").read_text().split()[0])
    with frozen(ward.ask(backend), postmaster):
        assert_over_within(running, 14)
    run = running.finish()
    assert (run.exit_code, run.only()["incomplete"]) == (0, ["v"]), run.output
    assert set(ward.tables()) == {"t"}


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_readers_end_soon_when_the_base_is_gone(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, engine: str
) -> None:
    """Nobody takes what they would find, and no statement stays behind on PostgreSQL."""
    ward.base.execute(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
    )
    ward.base.execute("CREATE TRIGGER leave BEFORE INSERT ON metric_basic_table FOR EACH ROW EXECUTE FUNCTION leave()")
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW v AS SELECT pg_sleep(25)::text AS a")
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        cursor.execute("CREATE VIEW v AS SELECT sleep(25) AS a")
    endpoint = ward.endpoint if engine == "postgres" else mariadb_endpoint(mariadb, mariadb_database)
    running = ward.base.start("metric-packs/basic", "metric_basic.py", TODAY, [endpoint])
    assert_over_within(running, 8)  # `t` is written after a second
    run = running.finish()
    assert (run.exit_code, run.only()["status"]) == (1, "failed")
    assert "AdminShutdown (57P01)" in run.only()["message"]
    assert not ward.rows("SELECT query FROM pg_stat_activity WHERE application_name = 'hdm basic'")
