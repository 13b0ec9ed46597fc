"""The create-table scripts of packs: each is applied once per content, completely or not at all."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from psycopg import errors

from hdm_airflow.base import pack_schema
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.pack_schema import Script
from hdm_airflow.errors import ConfigurationError, HdmBaseError
from hdm_airflow.packs.pack import Pack

CREATE = Script(file="create-table/create.sql", sql="CREATE TABLE metric_été (name text DEFAULT '100%s :x');")


@pytest.fixture
def session(base):
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


@pytest.fixture
def runner(base):
    """The session that runs the scripts."""
    with HdmHook().session() as connection:
        yield connection


def apply(session, runner, *scripts):
    return pack_schema.apply(session, runner, "metric", "basic", scripts)


def applied(session):
    return [row["file"] for row in session.execute("SELECT file FROM hdm_pack_schema ORDER BY applied_at")]


def exists(session, table):
    return session.execute("SELECT to_regclass(%s) IS NOT NULL AS found", [table]).fetchone()["found"]


def test_a_script_is_applied_once_per_content(session, runner):
    """An unchanged script is skipped, a changed one is applied again, and packs are independent."""
    assert apply(session, runner, CREATE) == [CREATE.file]
    assert apply(session, runner, CREATE) == []
    changed = Script(file=CREATE.file, sql=f"{CREATE.sql.replace('TABLE', 'TABLE IF NOT EXISTS')}")
    assert apply(session, runner, changed) == [CREATE.file]
    assert apply(session, runner, changed) == []
    assert pack_schema.apply(session, runner, "rule", "basic", [changed]) == [CREATE.file]
    assert exists(session, "metric_été")


def test_one_connection_may_keep_the_record_and_run_the_scripts(session):
    """If packs have no role of their own."""
    assert apply(session, session, CREATE) == [CREATE.file]
    assert applied(session) == [CREATE.file]


def test_scripts_may_be_empty_or_bring_their_own_transaction(session, runner):
    """Dumps and templates do that."""
    empty = Script(file="create-table/0.sql", sql="-- nothing yet\n")
    own = Script(file="create-table/1.sql", sql="BEGIN; CREATE TABLE a (); COMMIT;")
    assert apply(session, runner, empty, own) == [empty.file, own.file]
    assert exists(session, "a")


def test_a_script_may_not_hide_a_table_of_the_base(session, runner):
    """`IF NOT EXISTS` searches only the packs' schema: the alerts of all packs would go to the wrong table."""
    runner.execute("CREATE SCHEMA packs; SET search_path = packs, public")
    bad = Script(file="create-table/b.sql", sql="CREATE TABLE b (); CREATE TABLE IF NOT EXISTS hdm_alerts (x int);")
    with pytest.raises(HdmBaseError, match="that belong to the HDM base: hdm_alerts"):
        apply(session, runner, bad)
    assert not exists(runner, "b")
    assert applied(session) == []
    assert apply(session, session, Script(file=bad.file, sql="CREATE TABLE IF NOT EXISTS hdm_alerts (x int);"))


def test_a_failing_script_leaves_nothing_and_names_the_file(session, runner):
    """The table that it created before its fault is gone, and the corrected script is tried again."""
    bad = Script(file="create-table/b.sql", sql="CREATE TABLE b (); CREATE TABLE c (x splendid);")
    with pytest.raises(HdmBaseError) as failure:
        apply(session, runner, bad)
    what = 'the pack\'s SQL script failed: UndefinedObject (42704): type "splendid" does not exist'
    assert (failure.value.what, failure.value.where) == (what, "mp_basic/create-table/b.sql")
    assert not exists(session, "b")
    assert applied(session) == []
    assert apply(session, runner, Script(file=bad.file, sql="CREATE TABLE b ();")) == [bad.file]


def test_what_was_applied_before_a_failing_script_is_not_applied_again(session, runner):
    """The first file stays applied and recorded: a plain CREATE TABLE would fail at every further run."""
    bad = Script(file="create-table/z.sql", sql="SELEKT")
    with pytest.raises(HdmBaseError, match=r"create-table/z\.sql"):
        apply(session, runner, CREATE, bad)
    assert applied(session) == [CREATE.file]
    assert apply(session, runner, CREATE, Script(file=bad.file, sql="SELECT 1")) == [bad.file]


def test_a_failing_script_repeats_no_value_of_the_base(session, runner):
    """The error of a failing conversion does not quote the row."""
    runner.execute("CREATE TABLE a (x text); INSERT INTO a VALUES ('Dupont')")
    bad = Script(file="create-table/a.sql", sql="ALTER TABLE a ALTER x TYPE integer USING x::integer")
    with pytest.raises(HdmBaseError) as failure:
        apply(session, runner, bad)
    assert failure.value.what.endswith("(22P02): invalid input syntax for type integer: ...")
    assert "Dupont" not in str(failure.value)


def test_two_at_once_apply_a_script_once(session, runner, base):
    """The second waits for the first, and then has nothing to do."""
    slow = Script(file=CREATE.file, sql=f"SELECT pg_sleep(0.3); {CREATE.sql}")
    results = []

    def attempt():
        with HdmHook().session() as owner, HdmHook().session() as worker:
            results.append(apply(owner, worker, slow))

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [[], [CREATE.file]]
    assert applied(session) == [CREATE.file]


def test_the_next_attempt_does_not_wait_after_a_failure(session, runner, base):
    """The lock is released, although the session that took it goes on."""
    with pytest.raises(HdmBaseError):
        apply(session, runner, Script(file="a.sql", sql="SELEKT"))
    started = time.monotonic()
    with HdmHook().session() as owner:
        owner.execute("SET statement_timeout = '5s'")
        assert apply(owner, runner, CREATE) == [CREATE.file]
    assert time.monotonic() - started < 5


def test_an_attempt_that_finds_the_lock_taken_gives_up_after_a_while(session, runner, monkeypatch):
    """A worker that hangs in a script must not block all later runs of its pack."""
    monkeypatch.setattr(pack_schema, "_PATIENCE", 0.5)
    runner.execute("SELECT pg_advisory_lock(hashtextextended('hdm:schema:metric:basic', 0))")
    with pytest.raises(HdmBaseError, match="another run of mp_basic is still applying its create-table scripts"):
        apply(session, session, CREATE)
    assert applied(session) == []
    runner.execute("SELECT pg_advisory_unlock_all()")
    assert apply(session, session, CREATE) == [CREATE.file]


def test_a_script_waits_ten_seconds_for_a_table_and_may_run_longer(session, runner):
    """A session that waits for an exclusive lock blocks every reader behind it."""
    apply(session, runner, Script(file="a.sql", sql="SELECT 1"))
    limits = runner.execute("SELECT current_setting('lock_timeout') AS l, current_setting('statement_timeout') AS s")
    assert limits.fetchone() == {"l": "10s", "s": "0"}


@pytest.mark.parametrize("before", ["", "SET statement_timeout = 0;"], ids=["server", "client"])
def test_a_script_that_runs_too_long_is_stopped_and_the_error_says_so(session, runner, monkeypatch, before):
    """Even if it lifts the server's limit. Nothing of it remains, on the server either."""
    monkeypatch.setattr(pack_schema, "_LEAST", 1.0)
    slow = Script(file="create-table/a.sql", sql=f"CREATE TABLE a (); {before} SELECT pg_sleep(1000)")
    began = time.monotonic()
    with pytest.raises(HdmBaseError) as failure:
        pack_schema.apply(session, runner, "metric", "basic", [CREATE, slow], seconds=0.5)
    assert time.monotonic() - began < 5
    assert "it ran longer than the 1 s left of the time limit" in failure.value.what
    assert failure.value.where == "mp_basic/create-table/a.sql"
    assert applied(session) == [CREATE.file]
    assert not exists(session, "a")
    assert not session.execute("SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%1000)'").fetchall()
    assert apply(session, runner, Script(file=slow.file, sql="CREATE TABLE a ()")) == [slow.file]


def test_a_script_on_a_frozen_server_is_abandoned(session, base):
    """It can be neither stopped nor waited for: the task ends, and leaves no thread."""

    def give_up():
        if time.monotonic() > began + 1:
            raise KeyboardInterrupt

    with HdmHook().session() as lost:
        pid = lost.info.backend_pid
        sql = f"COPY (SELECT 1) TO PROGRAM 'kill -STOP {pid}'; CREATE TABLE a ()"
        began = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                pack_schema.apply(session, lost, "metric", "basic", [Script(file="a.sql", sql=sql)], heartbeat=give_up)
            assert time.monotonic() - began < 6
            assert "hdm-base" not in [thread.name for thread in threading.enumerate()]
        finally:
            os.kill(pid, signal.SIGCONT)
    assert applied(session) == []


def test_a_script_that_finds_its_table_in_use_says_so(session, runner):
    """The script is correct; the time is wrong."""
    session.execute("CREATE TABLE a (x int)")
    script = Script(file="a.sql", sql="SET LOCAL lock_timeout = '100ms'; ALTER TABLE a ADD y int")
    with HdmHook().session() as reader, reader.transaction():
        reader.execute("SELECT FROM a")
        with pytest.raises(HdmBaseError) as failure:
            apply(session, runner, script)
    assert failure.value.hint.startswith("try again when the table is not in use")


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE a (x int)", "CREATE TABLE IF NOT EXISTS a (x int); CREATE INDEX ON a (x)"],
    ids=["duplicate table", "undefined column"],
)
def test_a_table_of_that_name_with_other_columns_is_to_be_renamed(session, runner, sql):
    """Tables of the original are like that: the script has no fault to correct."""
    session.execute("CREATE TABLE a (other int)")
    with pytest.raises(HdmBaseError) as failure:
        apply(session, runner, Script(file="create-table/a.sql", sql=sql))
    assert "a table of that name already exists with other columns" in failure.value.hint
    assert "rename it" in failure.value.hint
    assert failure.value.where.startswith("mp_basic/create-table/a.sql")


@pytest.fixture
def pack_role(session, base):
    """A role that may create tables and record scripts."""
    role = f"pack_{base.name}"
    session.execute(f"CREATE ROLE {role}")
    session.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    session.execute(f"GRANT INSERT ON hdm_pack_schema TO {role}")
    yield role
    session.execute(f"DROP OWNED BY {role}")
    session.execute(f"DROP ROLE {role}")


def test_scripts_run_as_the_pack_s_own_role(session, runner, pack_role):
    """It owns its tables, and cannot change the base's."""
    runner.execute(f"SET ROLE {pack_role}")
    assert apply(session, runner, CREATE) == [CREATE.file]
    owner = session.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'metric_été'").fetchone()
    assert owner == {"tableowner": pack_role}
    with pytest.raises(HdmBaseError, match="permission denied for table hdm_audit"):
        apply(session, runner, Script(file="x.sql", sql="DELETE FROM hdm_audit"))


def test_a_script_and_its_record_are_one_transaction(session, runner, pack_role):
    """A worker that dies in between would leave a table that the script cannot create again."""
    dying = Script(file="create-table/a.sql", sql="CREATE TABLE a (); SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(HdmBaseError), HdmHook().session() as lost:
        apply(session, lost, dying)
    session.execute(f"REVOKE INSERT ON hdm_pack_schema FROM {pack_role}")
    runner.execute(f"SET ROLE {pack_role}")
    with pytest.raises(errors.InsufficientPrivilege):
        apply(session, runner, CREATE)
    assert not exists(session, "a")
    assert not exists(session, "metric_été")
    assert applied(session) == []
    runner.execute("RESET ROLE")
    assert apply(session, runner, CREATE) == [CREATE.file]


def pack(folder):
    return Pack(
        kind="metric",
        name="basic",
        version="1.0",
        folder="metric-packs/basic",
        path=folder,
        task_id="mp_basic",
        manifest=None,
    )


def test_the_scripts_of_a_pack_are_its_sql_files_by_name(tmp_path):
    """Sorted and without a byte order mark. Other files do not count, and the folder is optional."""
    assert pack_schema.scripts(pack(tmp_path)) == []
    folder = tmp_path / "create-table"
    folder.mkdir()
    (folder / "2.sql").write_text("SELECT 'é'", "utf-8")
    (folder / "1.sql").write_bytes(b"\xef\xbb\xbfSELECT 1")
    (folder / "notes.txt").write_text("x")
    found = pack_schema.scripts(pack(tmp_path))
    assert [(script.file, script.sql) for script in found] == [
        ("create-table/1.sql", "SELECT 1"),
        ("create-table/2.sql", "SELECT 'é'"),
    ]


def test_a_script_that_is_not_text_is_named(tmp_path):
    """The error comes before any script is applied."""
    folder = tmp_path / "create-table"
    folder.mkdir()
    (folder / "a.sql").write_bytes(b"SELECT '\xe9'")
    with pytest.raises(ConfigurationError) as failure:
        pack_schema.scripts(pack(tmp_path))
    assert failure.value.what == "create-table/a.sql is not UTF-8 text"
