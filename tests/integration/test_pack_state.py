"""hdm_pack_state never disagrees with the ledger, whoever writes what in which order, and dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hdm_airflow.base import catalogue, pack_rename, pack_state, rename, runs
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.queries import queries
from tests.integration.test_ledger import FIRST

if TYPE_CHECKING:
    from demo.services import Database
    from hdm_airflow.base.hook import BaseConnection

HEART, LUNGS = (Endpoint(name=name, type="postgres", host="db") for name in ("heart", "lungs"))
INSERT = """INSERT INTO hdm_pack_run (id, kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
    task_id, try_number, status, finished_at) OVERRIDING SYSTEM VALUE
    VALUES (%(id)s, 'rule', %(pack)s, '1', %(endpoint)s, make_date(2024, 5, %(day)s), '', '', '', '', 1, %(status)s,
    CASE WHEN %(status)s <> 'running' THEN now() END) ON CONFLICT (id) DO NOTHING"""
CHOSEN = "WHERE id = (SELECT id FROM hdm_pack_run ORDER BY id OFFSET %(nth)s LIMIT 1)"
STATEMENTS = [
    INSERT,
    INSERT,
    INSERT,
    f"""UPDATE hdm_pack_run SET status = %(status)s, finished_at = CASE WHEN %(status)s <> 'running' THEN now() END
    {CHOSEN}""",
    f"DELETE FROM hdm_pack_run {CHOSEN}",
    "DELETE FROM hdm_pack_run WHERE endpoint = %(endpoint)s",
    f"UPDATE hdm_pack_run SET metric_date = make_date(2024, 5, %(day)s) {CHOSEN}",
    f"UPDATE hdm_pack_run SET endpoint = %(endpoint)s {CHOSEN}",
    "UPDATE hdm_pack_run SET pack = %(other)s WHERE pack = %(pack)s",
    "UPDATE hdm_pack_run SET endpoint = %(endpoint)s",
    "TRUNCATE hdm_pack_run",
]


class Writer:
    """A session that writes the ledger in transactions. A statement may have to wait for another session."""

    def __init__(self, database: Database) -> None:
        self.connection = database.connect()
        self.connection.execute("SET deadlock_timeout = '20ms'")
        self.connection.commit()
        self._thread = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        return self.pending is not None and not self.pending.done()

    def run(self, work: Any) -> None:
        """Start it, and give it time to end."""
        if self.is_waiting:
            return
        self.pending = self._thread.submit(self._guarded, work)
        wait([self.pending], timeout=0.05)

    def end(self) -> None:
        """Wait for what it does, and roll back."""
        if self.pending:
            self.pending.result(timeout=30)
        self.connection.close()
        self._thread.shutdown()

    def _guarded(self, work: Any) -> None:
        try:
            work(self.connection)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.AdminShutdown, psycopg.OperationalError):
            if not self.connection.closed:
                with suppress(psycopg.OperationalError):
                    self.connection.rollback()


class Ledger(RuleBasedStateMachine):
    """Three sessions write a few rows of few packs and endpoints."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.observer = self.database.connect(autocommit=True)
        self.observer.execute("TRUNCATE hdm_pack_run")
        self.observer.execute("SET lock_timeout = '20ms'")
        self.writers = [Writer(self.database) for _ in range(3)]

    @rule(
        writer=st.integers(0, 2),
        statement=st.sampled_from(STATEMENTS),
        pack=st.sampled_from("pq"),
        endpoint=st.sampled_from("ab"),
        day=st.integers(1, 3),
        id=st.integers(1, 30),
        nth=st.integers(0, 5),
        status=st.sampled_from(["running", "success", "failed"]),
    )
    def write(self, writer: int, statement: str, **values: Any) -> None:
        values["other"] = "q" if values["pack"] == "p" else "p"
        self.writers[writer].run(lambda connection: connection.execute(statement, values))

    @rule(writer=st.integers(0, 2), old=st.sampled_from("ab"))
    def rename(self, writer: int, old: str) -> None:
        """As a command does it: the state first."""
        names = {"old": old, "new": "b" if old == "a" else "a"}

        def work(connection: Any) -> None:
            for name in ("states", "ledger"):
                connection.execute(queries("rename")[name], names)

        self.writers[writer].run(work)

    @rule(writer=st.integers(0, 2), good=st.booleans())
    def end(self, writer: int, good: bool) -> None:
        self.writers[writer].run(lambda connection: connection.commit() if good else connection.rollback())

    @rule(writer=st.integers(0, 2))
    def kill(self, writer: int) -> None:
        """The session ends in the middle, also of a statement that waits."""
        pid = self.writers[writer].connection.info.backend_pid
        self.observer.execute("SELECT pg_terminate_backend(%s)", [pid])
        self.writers[writer].end()
        self.writers[writer] = Writer(self.database)

    @invariant()
    def agrees(self) -> None:
        try:
            (found,) = self.observer.execute(queries("pack_state")["differing"]).fetchone()
        except psycopg.errors.LockNotAvailable:  # a session is emptying the ledger
            return
        assert found == 0

    def teardown(self) -> None:
        try:
            deadline = time.monotonic() + 30
            done = False
            while not done:  # what waits can go on once the others have ended
                assert time.monotonic() < deadline
                done = not any(writer.is_waiting for writer in self.writers)
                for writer in self.writers:
                    writer.run(lambda connection: connection.commit())
            self.observer.execute("SET lock_timeout = '10s'")
            assert self.observer.execute(queries("pack_state")["differing"]).fetchone() == (0,)
        finally:
            for writer in self.writers:
                self.observer.execute("SELECT pg_terminate_backend(%s)", [writer.connection.info.backend_pid])
            for writer in self.writers:
                writer.end()
            self.observer.close()


def test_sessions_in_any_order_never_make_it_disagree(base: Database) -> None:
    """Insert, close, delete, move, rename, empty, commit, roll back, die; statements wait for each other."""
    machine = type("LedgerOfBase", (Ledger,), {"database": base})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))


@pytest.fixture
def session(base: Database) -> Any:
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


def states(session: BaseConnection) -> list[tuple[Any, ...]]:
    rows = session.execute("SELECT kind, pack, endpoint, metric_date, run, status FROM hdm_pack_state ORDER BY 1, 2, 3")
    return [tuple(row.values()) for row in rows]


def test_an_attempt_changes_it_as_it_goes(session: BaseConnection) -> None:
    """Running, then the outcome; a note changes nothing; a backfill of an earlier date neither."""
    key = (FIRST.kind, FIRST.pack, HEART.slug, FIRST.metric_date)
    ids = runs.reserve(session, [HEART.slug])
    runs.start(session, FIRST, ids)
    assert states(session) == [(*key, ids[HEART.slug], "running")]
    runs.note(session, ids, [runs.Outcome(endpoint=HEART.slug, status="success", reported=True)])
    runs.close(session, FIRST, ids, [runs.Outcome(endpoint=HEART.slug, status="partial")])
    assert states(session) == [(*key, ids[HEART.slug], "partial")]
    session.execute(INSERT, {"id": 99, "pack": FIRST.pack, "endpoint": HEART.slug, "day": 1, "status": "failed"})
    session.execute("UPDATE hdm_pack_run SET metric_date = metric_date - 9 WHERE id = 99")
    assert states(session) == [(*key, ids[HEART.slug], "partial")]
    assert pack_state.differing(session) == 0


def test_renames_of_endpoints_and_packs_take_it_along(session: BaseConnection) -> None:
    """Also if failed runs have written under the old slug meanwhile."""
    from hdm_airflow.base import endpoints

    endpoints.add(session, HEART, None, actor="ada")
    values = {"pack": "p", "endpoint": HEART.slug, "status": "success"}
    for number in (1, 2, 3):
        session.execute(INSERT, {**values, "id": number, "day": number})
    place: Registered = endpoints.find(session, HEART.slug)
    rename.start(session, place, LUNGS, [], actor="ada")
    session.execute(INSERT, {**values, "id": 4, "day": 4, "status": "failed"})
    assert pack_state.differing(session) == 0
    rename.finish(session, HEART.slug, LUNGS.slug, actor="ada")
    assert [state[2:3] + state[4:] for state in states(session)] == [(LUNGS.slug, 4, "failed")]
    pack_rename.rename(session, "rule", "p", "q", actor="ada")
    assert [state[1:3] + state[4:] for state in states(session)] == [("q", LUNGS.slug, 4, "failed")]
    assert pack_state.differing(session) == 0


def test_a_writer_that_is_killed_leaves_no_trace(base: Database, session: BaseConnection) -> None:
    """SIGKILL between two statements of its transaction."""
    code = """
import os, sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("UPDATE hdm_pack_run SET status = 'failed', finished_at = now()")
    print("written", flush=True)
    sys.stdin.read()
"""
    session.execute(INSERT, {"id": 1, "pack": "p", "endpoint": "a", "day": 1, "status": "running"})
    writer = subprocess.Popen(
        [sys.executable, "-c", code, base.dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    session.execute("SET lock_timeout = '10s'")
    session.execute("UPDATE hdm_pack_run SET status = 'success', finished_at = now()")
    assert [state[4:] for state in states(session)] == [(1, "success")]
    assert pack_state.differing(session) == 0


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_the_newest_row_is_removed_only_with_a_fresh_view(base: Database, level: str) -> None:
    """At a stricter level, a session would not see what others have committed meanwhile."""
    with base.connect() as connection:
        connection.execute(INSERT, {"id": 1, "pack": "p", "endpoint": "a", "day": 1, "status": "running"})
        connection.commit()
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
            connection.execute("DELETE FROM hdm_pack_run")


def test_a_state_that_somebody_has_changed_is_counted_and_built_again(session: BaseConnection) -> None:
    """Missing, too many, or other values."""
    for number, endpoint in enumerate("abc", start=1):
        session.execute(INSERT, {"id": number, "pack": "p", "endpoint": endpoint, "day": 1, "status": "success"})
    good = states(session)
    assert pack_state.rebuild(session) == 0
    session.execute("UPDATE hdm_pack_state SET status = 'failed' WHERE endpoint = 'a'")
    session.execute("DELETE FROM hdm_pack_state WHERE endpoint = 'b'")
    session.execute("INSERT INTO hdm_pack_state VALUES ('rule', 'p', 'z', '2024-05-01', 9, 'success')")
    assert pack_state.differing(session) == 3
    assert pack_state.rebuild(session) == 3
    assert states(session) == good


@pytest.fixture
def writers(base: Database, session: BaseConnection) -> Any:
    """Three sessions; the ledger has rows of two days."""
    for number in (1, 2):
        session.execute(INSERT, {**ROW, "id": number, "day": number})
    made = [Writer(base) for _ in range(3)]
    yield made
    for writer in made:
        writer.run(lambda connection: connection.rollback())
    for writer in made:
        writer.end()


ROW = {"pack": "p", "endpoint": "a", "status": "success"}
ADD = (INSERT, {**ROW, "id": 9, "day": 1})
ADD_NEWEST = (INSERT, {**ROW, "id": 3, "day": 3})
REMOVE_1, REMOVE_2, REMOVE_3 = (("DELETE FROM hdm_pack_run WHERE id = %s", [number]) for number in (1, 2, 3))
MOVE = ("UPDATE hdm_pack_run SET metric_date = '2024-05-01' WHERE id = %s", [2])


@pytest.mark.parametrize(
    "steps",
    [
        [(0, ADD), (1, REMOVE_2), (0, None), (1, None)],  # the second must see what the first has added
        [(0, ADD), (1, MOVE), (0, None), (1, None)],
        [(0, REMOVE_1), (1, REMOVE_2), (0, None), (1, None)],
        [(0, REMOVE_2), (1, ADD), (0, None), (1, None)],
        [(0, REMOVE_2), (1, REMOVE_1), (0, None), (1, None)],
        # The newest row becomes another while a session waits to remove it, and that one is removed before it is done.
        [(0, ADD_NEWEST), (1, REMOVE_2), (0, None), (2, REMOVE_3), (1, None), (2, None)],
    ],
)
def test_who_removes_the_newest_row_sees_what_others_write(writers: Any, session: Any, steps: Any) -> None:
    """Each pair of transactions would disagree if one of them did not wait for the other."""
    for number, statement in steps:
        if statement is None:
            writers[number].run(lambda connection: connection.commit())
        else:
            writers[number].run(lambda connection, one=statement: connection.execute(*one))
    for _ in range(2):
        for writer in writers:
            writer.pending and writer.pending.result(timeout=30)
            writer.run(lambda connection: connection.commit())
    assert pack_state.differing(session) == 0


@pytest.mark.parametrize("good", [True, False])
def test_a_session_that_waits_goes_on_with_what_the_other_has_left(writers: Any, session: Any, good: bool) -> None:
    """The other inserts a newer row, and commits or not."""
    writers[0].run(lambda connection: connection.execute(*ADD_NEWEST))
    writers[1].run(lambda connection: connection.execute(*REMOVE_2))
    assert writers[1].is_waiting
    writers[0].run(lambda connection: connection.commit() if good else connection.rollback())
    writers[1].pending.result(timeout=30)
    writers[1].run(lambda connection: connection.commit())
    assert [state[4:] for state in states(session)] == [(3 if good else 1, "success")]


def test_attempts_of_two_dates_never_wait_for_each_other_in_a_circle(base: Database, session: BaseConnection) -> None:
    """They write in the order of the slugs, however they list their endpoints."""
    slugs = [f"e{number:02}" for number in range(40)]
    attempts = [replace(FIRST, metric_date=FIRST.metric_date + timedelta(days=number)) for number in range(2)]

    def attempt(number: int) -> None:
        order = slugs if number else slugs[::-1]
        with HdmHook().session() as own:
            for _ in range(8):
                ids = runs.reserve(own, order)
                runs.start(own, attempts[number], ids)
                ended = [runs.Outcome(endpoint=slug, status="success") for slug in order[::2]]
                assert [one.endpoint for one in runs.close(own, attempts[number], ids, ended)] == order[::2]
                assert runs.close_stale(own, FIRST.kind, FIRST.pack, attempts[number].metric_date) == len(order) // 2

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(attempt, number) for number in range(2)]:
            done.result(timeout=60)
    assert pack_state.differing(session) == 0


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "ALTER TABLE hdm_pack_run DISABLE TRIGGER hdm_pack_state_delete",
            """the trigger hdm_pack_state_delete on hdm_pack_run is disabled: run ALTER TABLE hdm_pack_run
            ENABLE TRIGGER hdm_pack_state_delete, then airflow hdm db upgrade""",
        ),
        (
            "DROP TRIGGER hdm_pack_state_truncate ON hdm_pack_run",
            "hdm_pack_run lacks the trigger hdm_pack_state_truncate",
        ),
        (
            """CREATE OR REPLACE TRIGGER hdm_pack_state_insert BEFORE INSERT ON hdm_pack_run
            FOR EACH ROW EXECUTE FUNCTION hdm_pack_state_add()""",
            "the trigger hdm_pack_state_insert on hdm_pack_run has another definition",
        ),
        (
            "ALTER FUNCTION hdm_pack_state_add() RESET search_path",
            "the function hdm_pack_state_add has another definition",
        ),
        (
            """CREATE OR REPLACE FUNCTION hdm_pack_state_empty() RETURNS trigger LANGUAGE plpgsql
            SET search_path = public, pg_temp AS 'BEGIN RETURN NULL; END'""",
            "the function hdm_pack_state_empty has another definition",
        ),
        (
            "INSERT INTO hdm_pack_state VALUES ('rule', 'p', 'z', '2024-05-01', 9, 'success')",
            "hdm_pack_state is not what the ledger says, 1 times: airflow hdm db upgrade builds it again",
        ),
    ],
)
def test_what_would_make_it_disagree_is_found(session: BaseConnection, statement: str, fault: str) -> None:
    """`airflow hdm db check` names it."""
    assert catalogue.differences(session) == []
    if "OR REPLACE TRIGGER" in statement and session.info.server_version < 140000:
        session.execute("DROP TRIGGER hdm_pack_state_insert ON hdm_pack_run")
        statement = statement.replace("OR REPLACE ", "")
    session.execute(statement)
    assert catalogue.differences(session) == [" ".join(fault.split())]


def test_the_base_may_be_in_another_schema(base: Database, session: BaseConnection, monkeypatch: Any) -> None:
    """An upgrade makes the triggers there, and the check finds them."""
    from hdm_airflow.base import migrate

    session.execute('CREATE SCHEMA "Ward 1"')
    monkeypatch.setenv("AIRFLOW_CONN_HDM", f"{base.dsn}?options=-csearch_path%3D%22Ward%5C%201%22")
    migrate.upgrade(HdmHook())
    with HdmHook().session() as ward:
        assert catalogue.differences(ward) == []
        ward.execute(INSERT, {**ROW, "id": 1, "day": 1})
        row = session.execute('SELECT count(*) FROM "Ward 1".hdm_pack_state').fetchone()
        assert row == {"count": 1}
