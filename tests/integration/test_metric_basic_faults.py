"""What goes wrong with one table or column: it is named as incomplete, the others are measured all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.metric_basic_harness import LATER, TODAY, wait_until
from tests.integration.pack_harness import SDK, mariadb_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


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
        assert f"table {view} not measured: the time for the table is over (table_seconds)" in run.output
    assert set(ward.tables()) == {"t", "z"}
    assert not ward.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'hdm basic'")


def test_endpoint_that_takes_longer_than_its_budget_is_partial(ward: Ward) -> None:
    """What was measured by then stands; what nobody began to read is named, too."""
    ward.execute(
        "CREATE TABLE t (a int)", "CREATE VIEW slow AS SELECT pg_sleep(60)::text AS a", "CREATE VIEW z AS SELECT 1 AS a"
    )
    run = ward.measure(config={"endpoint_seconds": 1})
    assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["slow", "z"])
    assert "table z not measured: the time for the endpoint is over (endpoint_seconds)" in run.output
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
    assert "table t not measured: its reader has failed: RuntimeError" in run.output
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
    assert "table slow not measured: the time for the table is over (table_seconds)" in run.output
