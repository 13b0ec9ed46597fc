"""Migrations of the HDM base: they always give the same schema, and errors say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.services import free_port
from hdm_airflow.base import assignments, endpoints, migrate, runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, HdmBaseError

SCHEMA = Path(migrate.__file__).with_name("schema.sql")

# The catalogs' view of everything in the schema `public`, except Alembic's table.
RELATIONS = """
    SELECT relname, relkind::text, obj_description(oid, 'pg_class') AS comment,
        CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END AS definition
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i' AND relname <> 'hdm_alembic_version'"""
COLUMNS = """
    SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
        pg_get_expr(adbin, adrelid) AS default_value
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
        AND relname <> 'hdm_alembic_version'"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'hdm_alembic_version'"
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('hdm_alembic_version'), 0)
        AND contype <> 'n'  -- columns say it, and before version 18 nothing else does"""
SEQUENCES = "SELECT sequencename, data_type::text, start_value, min_value, max_value FROM pg_sequences"
FUNCTIONS = "SELECT proname, prosrc, proconfig, prosecdef FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
TRIGGERS = "SELECT pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
OPTIONS = (
    "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL"
)
CATALOGS = (RELATIONS, COLUMNS, INDEXES, CONSTRAINTS, SEQUENCES, FUNCTIONS, TRIGGERS, OPTIONS)

# Turns a new base without alerts into one of version 0002.
OF_VERSION_0002 = """
    DROP TABLE hdm_message_recipient, hdm_message, hdm_told, hdm_digest, hdm_mail_allowed, hdm_core_mail_list;
    ALTER TABLE hdm_alerts DROP COLUMN owner, DROP COLUMN tags, DROP COLUMN affected_rows,
        DROP COLUMN affected_patients;
    DROP TABLE hdm_pack_state;
    DROP FUNCTION hdm_pack_state_add, hdm_pack_state_remove, hdm_pack_state_empty CASCADE;
    DROP INDEX hdm_audit_object, hdm_audit_renames, hdm_core_table_corr_db_mp_slug, hdm_core_table_corr_db_rp_slug,
        hdm_core_table_corr_db_mp_other, hdm_core_table_corr_db_rp_other, hdm_pack_metric_conf_other,
        hdm_pack_rule_conf_other;
    ALTER TABLE hdm_audit DROP COLUMN batch;
    DROP TABLE hdm_not_judged, hdm_incident_count, hdm_incident_event, hdm_incident;
    ALTER TABLE hdm_pack_run DROP COLUMN derived;
    DROP VIEW hdm_whole;
    DROP INDEX hdm_pack_run_dates, hdm_alerts_key;
    ALTER TABLE hdm_alerts DROP COLUMN observed, DROP COLUMN former, DROP COLUMN threshold;
    CREATE UNIQUE INDEX hdm_alerts_key
        ON hdm_alerts (rule_pack, endpoint, "date", rule_id, coalesce("table", ''), coalesce("column", ''))
        WHERE endpoint <> '';
    CREATE INDEX hdm_alerts_date ON hdm_alerts ("date", endpoint);
    UPDATE hdm_alembic_version SET version_num = '0002';
"""

UPGRADE = """
from hdm_airflow.base import migrate
from hdm_airflow.base.hook import HdmHook
print(*migrate.upgrade(HdmHook()))
"""


def schema(database):
    with database.connect() as connection:
        return [sorted(connection.execute(query).fetchall(), key=repr) for query in CATALOGS]


def execute(database, statements):
    with database.connect() as connection:
        connection.execute(statements)


@pytest.fixture
def hook(database, monkeypatch):
    """The hook on an empty database."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    return HdmHook()


def test_all_migrations_together_make_the_reference_schema(hook, database, postgres):
    """Columns, types, nulls, defaults, identities, indexes, constraints, views, comments: those of schema.sql."""
    reference = postgres.create_database(f"{database.name}_reference")
    try:
        execute(reference, SCHEMA.read_bytes())
        migrate.upgrade(hook)
        for made, wanted in zip(schema(database), schema(reference), strict=True):
            assert made == wanted
    finally:
        postgres.drop_database(reference.name)


def test_base_of_version_0002_keeps_its_alerts_and_becomes_the_reference_schema(hook, database, postgres):
    """Alerts of the original, which may be doubled, too; a column that a hospital has added gets the type text."""
    from alembic import command

    with migrate._connection(hook) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.commit()
    assert migrate.check(hook) == ("0002", "0006")
    execute(
        database,
        """
        ALTER TABLE hdm_alerts ADD COLUMN observed varchar(20);
        INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id, "table", observed) VALUES
            ('2024-05-01', '', 'basic', '1', 'visits', NULL), ('2024-05-01', '', 'basic', '1', 'visits', NULL),
            (NULL, '', NULL, NULL, NULL, NULL), ('2024-05-01', 'a', 'basic', '1', 'visits', '7'),
            ('2024-05-01', 'b', 'basic', '1', NULL, NULL);
        """,
    )
    rows = 'SELECT "date", endpoint, rule_pack, rule_id, "table", observed FROM hdm_alerts ORDER BY ctid'
    with database.connect() as connection:
        before = connection.execute(rows).fetchall()
    assert migrate.upgrade(hook) == ("0002", "0006")
    with database.connect() as connection:
        assert connection.execute(rows).fetchall() == before
    reference = postgres.create_database(f"{database.name}_reference")
    try:
        execute(reference, SCHEMA.read_bytes())
        for made, wanted in zip(schema(database), schema(reference), strict=True):
            assert made == wanted
    finally:
        postgres.drop_database(reference.name)


def test_an_upgrade_may_take_longer_than_a_check(hook, database, monkeypatch):
    """The key of many alerts has no time limit: an upgrade that reached it could never succeed."""
    migrate.upgrade(hook)
    made = schema(database)
    execute(database, OF_VERSION_0002)
    execute(
        database,
        """INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id, "column")
        SELECT '2024-05-01', 'a', 'basic', '1', 'column ' || number FROM generate_series(1, 300000) AS number""",
    )
    monkeypatch.setattr(migrate, "_STATEMENT_TIMEOUT", "100ms")
    assert migrate.upgrade(hook) == ("0002", "0006")
    assert schema(database) == made


def test_an_upgrade_that_is_killed_can_be_repeated(hook, database):
    """It waits for a table in use when it is killed: the server rolls it back, and the next upgrade does all of it."""
    migrate.upgrade(hook)
    made = schema(database)
    execute(database, OF_VERSION_0002)
    before = schema(database)
    with database.connect() as reader, database.connect(autocommit=True) as watcher:
        reader.execute("SELECT FROM hdm_alerts")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        upgrade = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", UPGRADE], env=environment, stderr=subprocess.DEVNULL
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = %s::regclass"
        deadline = time.monotonic() + 120
        while watcher.execute(waiting, ["hdm_alerts"]).fetchone() != (1,):
            assert upgrade.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        upgrade.kill()
        upgrade.wait()
    assert schema(database) == before
    assert migrate.upgrade(hook) == ("0002", "0006")
    assert schema(database) == made


def test_every_table_and_view_says_what_it_is_for(hook, database):
    """`\\d+` in psql shows a comment on each."""
    migrate.upgrade(hook)
    relations = schema(database)[0]
    assert {name for name, kind, comment, _ in relations if kind in {"r", "v"} and not comment} == set()


def test_upgrading_twice_changes_nothing(hook, database):
    """The second upgrade reports that the base is current."""
    assert migrate.upgrade(hook) == (None, "0006")
    made = schema(database)
    assert migrate.upgrade(hook) == ("0006", "0006")
    assert schema(database) == made


def test_two_upgrades_at_once_both_end_well(hook, database):
    """The second waits for the first, longer than it would wait for a table, and has nothing to do."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with database.connect(autocommit=True) as holder:
        holder.execute(migrate._LOCK)
        command = [sys.executable, "-W", "ignore", "-c", UPGRADE]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        upgrades = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        deadline = time.monotonic() + 120
        while holder.execute(waiting).fetchone() != (2,):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    results = [upgrade.communicate(timeout=60) for upgrade in upgrades]
    assert [upgrade.returncode for upgrade in upgrades] == [0, 0], results
    assert sorted(out.splitlines()[-1] for out, _ in results) == ["0006 0006", "None 0006"]


def test_a_migration_that_fails_in_the_middle_leaves_nothing(hook, database):
    """A view depends on a column of the alerts, which come long after the endpoints: everything is as before."""
    execute(
        database,
        """
        CREATE TABLE hdm_core_dblist (id integer, db_name varchar(50), db_port integer);
        INSERT INTO hdm_core_dblist VALUES (1, 'heart', 5432), (2, 'heart', 5432);
        CREATE TABLE hdm_alerts ("date" timestamp, alert_level varchar(10));
        CREATE VIEW alerts_of_today AS SELECT * FROM hdm_alerts WHERE "date" = current_date;
        """,
    )
    before = schema(database)
    with pytest.raises(HdmBaseError) as failure:
        migrate.upgrade(hook)
    assert "cannot alter type of a column used by a view" in failure.value.what
    assert schema(database) == before
    with database.connect() as connection:
        rows = connection.execute("SELECT count(*), to_regclass('hdm_alembic_version') FROM hdm_core_dblist").fetchall()
    assert rows == [(2, None)]
    assert migrate.check(hook) == (None, "0006")
    execute(database, "DROP VIEW alerts_of_today")
    assert migrate.upgrade(hook) == (None, "0006")


def test_an_upgrade_does_not_wait_for_a_table_in_use(hook, database, monkeypatch):
    """A table is being read in an open transaction: a clear error within the lock timeout, and nothing has changed."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "300ms")
    execute(database, "CREATE TABLE hdm_alerts (alert_level varchar(10))")
    before = schema(database)
    with database.connect() as reader:
        reader.execute("SELECT * FROM hdm_alerts")
        started = time.monotonic()
        with pytest.raises(HdmBaseError) as failure:
            migrate.upgrade(hook)
        assert time.monotonic() - started < 3
    assert failure.value.what == "the HDM base is in use: timed out waiting for a lock"
    assert failure.value.hint == "try again after the running Dag has ended"
    assert schema(database) == before
    assert migrate.upgrade(hook) == (None, "0006")


def test_the_version_of_a_base_is_checked(hook):
    """A base without tables has no version; the error says what to do."""
    assert migrate.check(hook) == (None, "0006")
    with pytest.raises(HdmBaseError) as failure:
        migrate.require_current(hook)
    assert failure.value.what == "the HDM base is at version none; this release needs 0006"
    assert failure.value.hint == "run: airflow hdm db upgrade"
    migrate.upgrade(hook)
    assert migrate.check(hook) == ("0006", "0006")
    migrate.require_current(hook)


@pytest.mark.parametrize(
    "read",
    [
        endpoints.registered,
        lambda base: assignments.read(base, "rule", "basic", ["basic"]),
        lambda base: runs.recent(base, limit=1),
    ],
)
def test_an_unmigrated_base_says_how_to_migrate_it(hook, read):
    """The error is the same for every first query: `airflow hdm db upgrade`."""
    with pytest.raises(HdmBaseError) as failure, hook.session() as base:
        read(base)
    assert failure.value.what.startswith("the HDM base lacks a table or column: relation")
    assert (failure.value.where, failure.value.hint) == ("connection hdm", "run: airflow hdm db upgrade")


def open_session(hook):
    with hook.session():
        pass


@pytest.mark.parametrize("use", [open_session, migrate.check, migrate.upgrade, migrate.require_current])
@pytest.mark.parametrize("wrong", ["port", "password", "database"])
def test_a_base_that_cannot_be_reached_gives_one_clear_error(database, monkeypatch, use, wrong):
    """No server, a wrong password or a wrong database: what, where, what to do, and never the password."""
    server = database.server
    address = {
        "port": f"postgresql://hdm:{server.password}@{server.host}:{free_port()}/hdm",
        "password": f"postgresql://hdm:not-it-7531@{server.host}:{server.port}/{database.name}",
        "database": server.dsn("nowhere"),
    }[wrong]
    reason = {"port": "refused", "password": "password authentication failed", "database": "does not exist"}[wrong]
    monkeypatch.setenv("AIRFLOW_CONN_HDM", address)
    with pytest.raises(HdmBaseError) as failure:
        use(HdmHook())
    assert failure.value.what.startswith("the HDM base cannot be reached: ")
    assert reason in failure.value.what
    assert "\n" not in failure.value.what
    assert failure.value.where == "connection hdm"
    assert "not-it-7531" not in str(failure.value)
    assert server.password not in str(failure.value)


@pytest.mark.parametrize("use", [open_session, migrate.check, migrate.upgrade])
def test_a_missing_connection_is_named(use):
    """Airflow has no connection with that id: a wrong configuration, which a retry does not fix."""
    with pytest.raises(ConfigurationError) as failure:
        use(HdmHook("nowhere"))
    assert failure.value.what == "there is no connection 'nowhere'"
    assert "add a connection of type postgres with the id nowhere" in failure.value.hint


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "SELECT 'Du\"pont'::integer",
            "the HDM base reports InvalidTextRepresentation (22P02): invalid input syntax for type integer: ...",
        ),
        ("SELECT 1 / 0", "the HDM base reports DivisionByZero (22012): division by zero"),
        ("SELEKT", 'the HDM base reports SyntaxError (42601): syntax error at or near "SELEKT"'),
        (
            "SET statement_timeout = 1; SELECT pg_sleep(1)",
            "the HDM base took too long: a statement reached its time limit",
        ),
    ],
)
def test_an_error_of_the_base_repeats_no_value(hook, statement, what):
    """The server's messages about data quote the data, which the error leaves out."""
    with pytest.raises(HdmBaseError) as failure, hook.session() as base:
        base.execute(statement)
    assert failure.value.what == what


def test_a_lost_connection_says_that_the_base_cannot_be_reached(hook, database):
    """The server ends the session: the same kind of error as at the start."""
    with pytest.raises(HdmBaseError) as failure, hook.session() as base:
        base.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert failure.value.what.startswith("the HDM base cannot be reached: ")


def test_a_missing_right_is_named(hook, database):
    """A role may not read a table: the error names the table and what to do."""
    execute(database, "CREATE TABLE hdm_alerts (x int); CREATE ROLE reader_of_nothing")
    try:
        with pytest.raises(HdmBaseError) as failure, hook.session() as base:
            base.execute("SET ROLE reader_of_nothing; SELECT * FROM hdm_alerts")
        assert failure.value.what == "the HDM base refuses access: permission denied for table hdm_alerts"
    finally:
        execute(database, "DROP ROLE reader_of_nothing")


def test_faults_that_stand_at_an_upgrade_are_derived_once(hook, database):
    """Null for the newest night of each rule pack and endpoint that may be used; what runs is as any later row."""
    from alembic import command

    with migrate._connection(hook) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.commit()
    rows = [
        ("rule", "basic", "a", 1, "success", True),
        ("rule", "basic", "a", 2, "success", True),  # repeated
        ("rule", "basic", "a", 2, "partial", None),
        ("rule", "basic", "a", 1, "success", True),  # repeated, but older
        ("rule", "basic", "a", 3, "success", True),  # repeated too, and failed
        ("rule", "basic", "a", 3, "failed", True),
        ("rule", "basic", "a", 4, "running", False),
        ("rule", "basic", "b", 1, "success", None),
        ("rule", "basic", "c", 1, "skipped", True),
        ("rule", "other", "a", 1, "success", None),
        ("metric", "basic", "a", 1, "success", True),
    ]
    insert = """INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
        task_id, try_number, status, finished_at)
        VALUES (%s, %s, '1', %s, make_date(2024, 5, %s), 'prod', 'd', 'r', 't', 1, %s,
        CASE WHEN %s <> 'running' THEN now() END)"""
    with database.connect() as connection:
        for *row, _ in rows:
            connection.execute(insert, [*row, row[-1]])
    migrate.upgrade(hook)
    with database.connect() as connection:
        connection.execute(insert, ["rule", "basic", "a", 5, "success", "success"])
        found = connection.execute("SELECT derived FROM hdm_pack_run ORDER BY id").fetchall()
    assert [one for (one,) in found] == [*(derived for *_, derived in rows), False]


def test_the_state_is_taken_over_from_the_ledger(hook, database):
    """Of each pack and endpoint the newest metric date, and there the highest id, whatever the order of the rows."""
    from alembic import command

    with migrate._connection(hook) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.commit()
    rows = [
        ("rule", "basic", "a", 2, "failed"),
        ("rule", "basic", "a", 2, "success"),  # repeated
        ("rule", "basic", "a", 1, "partial"),  # written later, but older
        ("metric", "basic", "a", 1, "skipped"),
        ("rule", "other", "a", 3, "running"),
        ("rule", "basic", "b", 1, "success"),
    ]
    insert = """INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
        task_id, try_number, status, finished_at)
        VALUES (%s, %s, '1', %s, make_date(2024, 5, %s), 'prod', 'd', 'r', 't', 1, %s,
        CASE WHEN %s <> 'running' THEN now() END)"""
    with database.connect() as connection:
        for row in rows:
            connection.execute(insert, [*row, row[-1]])
    migrate.upgrade(hook)
    read = """SELECT kind, pack, endpoint, extract(day FROM metric_date)::integer, status, run FROM hdm_pack_state
        ORDER BY run"""
    with database.connect() as connection:
        found = connection.execute(read).fetchall()
    assert found == [(*rows[number - 1], number) for number in (2, 4, 5, 6)]


def test_a_restore_that_searches_no_schema_keeps_the_state(hook, database):
    """pg_dump's output empties the search path before it writes rows."""
    migrate.upgrade(hook)
    with database.connect() as connection:
        connection.execute("SELECT pg_catalog.set_config('search_path', '', false)")
        connection.execute(
            """INSERT INTO public.hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id,
            run_id, task_id, try_number, status)
            VALUES ('rule', 'p', '1', 'a', '2024-05-01', '', '', '', '', 1, 'running')"""
        )
        connection.execute("UPDATE public.hdm_pack_run SET endpoint = 'b'")
        assert connection.execute("SELECT endpoint, status FROM public.hdm_pack_state").fetchall() == [("b", "running")]
        connection.execute("TRUNCATE public.hdm_pack_run")
        assert connection.execute("SELECT count(*) FROM public.hdm_pack_state").fetchone() == (0,)
