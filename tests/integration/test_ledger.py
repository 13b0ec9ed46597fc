"""The ledger and its locks, across sessions."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt, Outcome
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.operators import lock
from hdm_airflow.operators.execution import Execution
from hdm_airflow.operators.lock import LockKeeper
from hdm_airflow.operators.phase import Event
from hdm_airflow.packs.pack import Pack, Requirement

TODAY = date(2024, 5, 1)
YESTERDAY = date(2024, 4, 30)
FIRST = Attempt(
    kind="rule",
    pack="basic",
    pack_version="1.0",
    metric_date=TODAY,
    environment="prod",
    dag_id="hdm_pipeline",
    run_id="night 1",
    task_id="hdm-prod.rp_basic",
    try_number=1,
)
SECOND = dataclasses.replace(FIRST, try_number=2)
METRIC = dataclasses.replace(FIRST, kind="metric", task_id="hdm-prod.mp_basic")
PACK = Pack(
    kind="rule", name="basic", version="1.0", folder="basic", path=Path("basic"), task_id="rp_basic", manifest=None
)
HEART, LUNGS = "cœur:mysql:db:3306:h%25m:false", "lungs:mysql:db:3306:hdm:false"


@pytest.fixture
def session(base):
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


@pytest.fixture
def other(base):
    """Another session on the same base."""
    with HdmHook().session() as connection:
        yield connection


def rows(session, *columns):
    listed = ", ".join(columns)
    return [tuple(row.values()) for row in session.execute(f"SELECT {listed} FROM hdm_pack_run ORDER BY id")]


def begin(session, attempt, slugs):
    """Write the `running` rows of an attempt that has the lock. Return their ids."""
    ids = runs.reserve(session, slugs)
    runs.start(session, attempt, ids)
    return ids


def end_session(session, other):
    """The server ends the other session; PostgreSQL 13 does not wait for that by itself."""
    pid, limit = other.info.backend_pid, time.monotonic() + 5
    session.execute("SELECT pg_terminate_backend(%s)", [pid])
    while session.execute("SELECT pid FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
        assert time.monotonic() < limit
        time.sleep(0.01)


def newest(session, attempt=FIRST, required=()):
    found = runs.newest(session, attempt, required, [HEART, LUNGS])
    return {(run.kind, run.pack, run.endpoint): run.status for run in found}


def test_a_run_is_closed_with_everything_it_reported(session):
    """One row has everything from `running` to the end: status, reason, counts, incomplete objects, version, times."""
    ids = begin(session, FIRST, [HEART])
    assert rows(session, "status", "finished_at") == [("running", None)]
    outcome = Outcome(
        endpoint=HEART,
        status="partial",
        reason="table «été» 50%",
        reported=True,
        metrics=12,
        alerts=3,
        incomplete=("été", "b:c"),
        dbversion="2.1",
    )
    assert runs.close(session, FIRST, ids, [outcome]) == [outcome]
    (row,) = runs.recent(session, limit=10)
    assert {name: row[name] for name in dataclasses.asdict(outcome)} == {
        **dataclasses.asdict(outcome),
        "incomplete": ["été", "b:c"],
    }
    assert {name: row[name] for name in dataclasses.asdict(FIRST)} == dataclasses.asdict(FIRST)
    assert row["started_at"] <= row["finished_at"]
    (run,) = runs.newest(session, FIRST, [], [HEART])
    assert (run.reported, run.reason, run.incomplete) == (True, "table «été» 50%", ("été", "b:c"))


def test_an_endpoint_that_never_started_gets_a_row_of_its_own(session):
    """Gated or broken before the pack began: recorded all the same, with the reason."""
    skipped = Outcome(endpoint=HEART, status="skipped", reason="mp_basic has not run for this date")
    runs.finish(session, FIRST, [skipped, Outcome(endpoint=LUNGS, status="failed")])
    assert rows(session, "endpoint", "status", "reason") == [
        (HEART, "skipped", "mp_basic has not run for this date"),
        (LUNGS, "failed", None),
    ]


def test_an_attempt_closes_its_own_rows_only(session):
    """Not another attempt's, another date's, another pack's, or another endpoint's; nor one's of the very same name."""
    others = [
        SECOND,
        METRIC,
        dataclasses.replace(FIRST, metric_date=YESTERDAY),
        dataclasses.replace(FIRST, pack="other"),
        dataclasses.replace(FIRST, run_id="night 2"),
    ]
    ids, *_ = [begin(session, attempt, [HEART, LUNGS]) for attempt in (FIRST, *others, FIRST)]
    ok = [Outcome(endpoint=HEART, status="success", reported=True)]
    runs.note(session, ids, ok)
    runs.close(session, FIRST, ids, ok)
    assert rows(session, "status", "reported") == [("success", True)] + [("running", False)] * 13


def test_a_closed_row_is_never_changed(session):
    """A second end of one attempt changes nothing, adds no row, and returns the end that counts."""
    ids = begin(session, FIRST, [HEART])
    killed = Outcome(endpoint=HEART, status="failed", reason="killed")
    assert runs.close(session, FIRST, ids, [killed]) == [killed]
    closed = rows(session, "*")
    (kept,) = runs.close(session, FIRST, ids, [Outcome(endpoint=HEART, status="success")])
    assert (kept.status, kept.reason) == ("failed", "already closed: killed")
    assert rows(session, "*") == closed


def test_whoever_finds_its_row_closed_learns_all_that_it_says(session):
    """The summary of the task counts what the ledger counts."""
    ids = begin(session, FIRST, [HEART])
    told = Outcome(endpoint=HEART, status="success", reported=True, metrics=7, alerts=2, dbversion="2.0")
    told = dataclasses.replace(told, incomplete=("old",))
    runs.note(session, ids, [told])
    runs.close_stale(session, FIRST.kind, FIRST.pack, FIRST.metric_date)
    (kept,) = runs.close(session, FIRST, ids, [Outcome(endpoint=HEART, status="failed", reason="lost")])
    assert kept == dataclasses.replace(told, reason="already closed: the worker died or lost the HDM base afterwards")


def test_an_end_whose_commit_was_not_acknowledged_can_be_written_again(session):
    """The connection broke during the write, so it is unknown whether it succeeded: there is one row in any case."""
    ids = begin(session, FIRST, [HEART, LUNGS])
    ends = [Outcome(endpoint=HEART, status="success", metrics=3), Outcome(endpoint=LUNGS, status="partial")]
    assert runs.close(session, FIRST, ids, ends) == ends
    closed = rows(session, "*")
    assert runs.close(session, FIRST, ids, ends, begun=False) == ends
    assert rows(session, "*") == closed
    assert rows(session, "status") == [("success",), ("partial",)]


def test_a_row_that_is_closed_at_the_same_moment_is_seen_as_it_was_closed(session, other):
    """Whoever waits for the other's commit must not take the row for `running` still: the task would be green."""
    ids = begin(session, FIRST, [HEART])
    with ThreadPoolExecutor() as pool:
        with other.transaction():
            runs.close_stale(other, FIRST.kind, FIRST.pack, FIRST.metric_date)
            closing = pool.submit(runs.close, session, FIRST, ids, [Outcome(endpoint=HEART, status="success")])
            waiting = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
            while not other.execute(waiting, [session.info.backend_pid]).fetchall():
                time.sleep(0.01)
        (kept,) = closing.result()
    assert (kept.status, kept.reason) == ("failed", "already closed: the worker died or lost the HDM base")
    assert rows(session, "status") == [("failed",)]


def test_an_end_without_a_row_is_no_success(session):
    """The ledger was emptied while the pack ran: an outcome without a row is a failure, and adds no row."""
    ids = runs.reserve(session, [HEART])
    (kept,) = runs.close(session, FIRST, ids, [Outcome(endpoint=HEART, status="success")])
    assert (kept.status, kept.reason) == ("failed", "the ledger has no row for this attempt")
    assert rows(session, "*") == []


def test_a_worker_that_was_given_up_cannot_speak_for_a_newer_attempt(session):
    """It lost the lock but continued: its row stays closed, it is notified, and the attempt that took over counts."""
    ids = begin(session, FIRST, [HEART])
    assert runs.close_stale(session, SECOND.kind, SECOND.pack, SECOND.metric_date) == 1
    others = begin(session, SECOND, [HEART])
    runs.note(session, ids, [Outcome(endpoint=HEART, status="success", reported=True)])
    (kept,) = runs.close(session, FIRST, ids, [Outcome(endpoint=HEART, status="success")])
    assert (kept.status, kept.reason) == ("failed", "already closed: the worker died or lost the HDM base")
    assert newest(session) == {("rule", "basic", HEART): "running"}
    runs.close(session, SECOND, others, [Outcome(endpoint=HEART, status="failed")])
    assert rows(session, "try_number", "status", "reason") == [
        (1, "failed", "the worker died or lost the HDM base"),
        (2, "failed", None),
    ]


def test_an_attempt_that_lost_its_lock_before_its_first_row_is_older_than_whoever_took_over(session, other):
    """It never started its rows, and reports that later: the success in between counts anyway."""
    assert runs.try_lock(other, FIRST)
    ids = runs.reserve(other, [HEART])
    end_session(session, other)
    assert runs.try_lock(session, SECOND)
    runs.close(session, SECOND, begin(session, SECOND, [HEART]), [Outcome(endpoint=HEART, status="success")])
    failed = [Outcome(endpoint=HEART, status="failed", reason="the lock was lost")]
    assert runs.close(session, FIRST, ids, failed, begun=False) == failed
    assert rows(session, "try_number", "status", "finished_at IS NULL") == [(1, "failed", False), (2, "success", False)]
    assert newest(session) == {("rule", "basic", HEART): "success"}


def test_what_was_reported_ok_outlives_the_worker(session):
    """Ninety-nine good databases are not measured twice because the worker died at the hundredth."""
    ids = begin(session, FIRST, [HEART, LUNGS, "liver:a:b:1:c:false"])
    ok = Outcome(endpoint=HEART, status="success", reason="all tables", reported=True, metrics=7, dbversion="2.0")
    ok = dataclasses.replace(ok, incomplete=("old",))
    taken_back = Outcome(endpoint=LUNGS, status="success", reported=True, metrics=5)
    runs.note(session, ids, [ok, taken_back])
    runs.note(session, ids, [Outcome(endpoint=LUNGS, status="failed")])
    assert rows(session, "status") == [("running",)] * 3
    assert runs.close_stale(session, FIRST.kind, FIRST.pack, FIRST.metric_date) == 3
    assert rows(session, "status", "reason", "reported", "metrics", "dbversion", "incomplete") == [
        ("success", "all tables; the worker died or lost the HDM base afterwards", True, 7, "2.0", ["old"]),
        ("failed", "the worker died or lost the HDM base", False, None, None, []),
        ("failed", "the worker died or lost the HDM base", False, None, None, []),
    ]


def test_what_cannot_be_processed_is_in_the_ledger_from_the_start(session):
    """If the worker dies, nobody else can say it; a row without names reads as a whole run."""
    ids = runs.reserve(session, [HEART, LUNGS])
    runs.start(session, FIRST, ids, {HEART: ("été", "*")})
    assert rows(session, "status", "incomplete") == [("running", ["été", "*"]), ("running", [])]
    runs.close_stale(session, FIRST.kind, FIRST.pack, FIRST.metric_date)
    assert rows(session, "status", "incomplete") == [("failed", ["été", "*"]), ("failed", [])]


def test_the_metrics_of_a_run_are_read_with_it(session):
    """None is not a count."""
    ids = begin(session, METRIC, [HEART, LUNGS])
    counted = Outcome(endpoint=HEART, status="success", metrics=0)
    runs.close(session, METRIC, ids, [counted, Outcome(endpoint=LUNGS, status="success")])
    found = runs.newest(session, FIRST, ["basic"], [HEART, LUNGS])
    assert {run.endpoint: run.metrics for run in found} == {HEART: 0, LUNGS: None}


def test_the_rows_of_one_end_are_written_together_or_not_at_all(session):
    """One outcome that the base refuses takes the others of that attempt back."""
    ids = begin(session, FIRST, [HEART, LUNGS])
    bad = Outcome(endpoint=LUNGS, status="splendid")
    with pytest.raises(Exception, match="hdm_pack_run_status_check"):
        runs.close(session, FIRST, ids, [Outcome(endpoint=HEART, status="success"), bad])
    with pytest.raises(Exception, match="hdm_pack_run_status_check"):
        runs.finish(session, FIRST, [Outcome(endpoint=HEART, status="success"), bad])
    assert rows(session, "status") == [("running",), ("running",)]


def test_a_task_that_is_killed_while_its_rows_are_written_leaves_none_running(session, base, monkeypatch):
    """A signal comes at any moment: the end is written after the beginning, not before it."""
    hook = HdmHook()
    hook.load()
    ids = runs.reserve(session, [HEART, LUNGS])
    execution = Execution(hook, FIRST, ids, print, keeper=LockKeeper(session, ids))
    start = runs.start

    def start_and_abort(*args):
        with session.transaction():
            start(*args)
            execution.abort("the task was killed")

    monkeypatch.setattr(runs, "start", start_and_abort)
    ended = execution.run(session, lambda: pytest.fail("it has no job"), None)
    assert [one.status for one in ended] == ["failed", "failed"]
    assert rows(session, "status", "reason") == [("failed", "the task was killed")] * 2


def test_a_note_that_the_base_refuses_ends_no_pack_while_the_session_lives(session, other, caplog, monkeypatch):
    """As on a full disk: the lock is held, so nothing is lost but the note; it is told once."""
    monkeypatch.setattr("hdm_airflow.operators.lock._AGAIN", 0.1)
    heartbeat = LockKeeper(session, begin(other, FIRST, [HEART]))
    ok = [Outcome(endpoint=HEART, status="success", reported=True)]
    other.execute("ALTER TABLE hdm_pack_run ADD CONSTRAINT full_disk CHECK (NOT reported)")
    heartbeat.note(ok)
    beat(heartbeat, 0.5)
    assert rows(other, "reported") == [(False,)]
    other.execute("ALTER TABLE hdm_pack_run DROP CONSTRAINT full_disk")
    beat(heartbeat, 0.5)
    assert rows(other, "reported") == [(True,)]
    assert caplog.text.count("cannot be recorded yet") == 1
    heartbeat.abandon()
    session.close()
    heartbeat.note(ok)
    with pytest.raises(HdmBaseError, match="the pack's lock was lost"):
        beat(heartbeat, 0.5)


def beat(heartbeat, seconds):
    """As while a pack runs; the longest that one call took."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        heartbeat()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.01)
    return longest


def background_queries():
    return [thread for thread in threading.enumerate() if thread.name == "hdm-base"]


@contextmanager
def frozen(session):
    """A server process that answers nothing while its machine acknowledges all that is sent."""
    pid = session.info.backend_pid  # of a session that was given up it is 0
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_base_that_does_not_answer_is_no_lock_and_holds_up_nobody(session, monkeypatch):
    """The clock distinguishes silence from a slow answer; no thread remains."""
    monkeypatch.setattr("hdm_airflow.operators.lock._ANSWER", 1.0)
    heartbeat = LockKeeper(session, runs.reserve(session, [HEART, LUNGS]))
    with frozen(session):
        heartbeat.note([Outcome(endpoint=HEART, status="success", reported=True)])
        assert beat(heartbeat, 0.5) < 0.2
        heartbeat.note([Outcome(endpoint=LUNGS, status="success", reported=True)])
        with pytest.raises(HdmBaseError, match="the pack's lock was lost: the HDM base has not answered for 1 s"):
            beat(heartbeat, 2)
        began = time.monotonic()
        heartbeat.abandon()
        assert time.monotonic() - began < 3
        assert not background_queries()
    session.close()


def test_a_session_that_the_server_ends_is_missed_at_once(session, other):
    """As by a restart of the base: its locks are free from then on, long before the next sign of life is due."""
    heartbeat = LockKeeper(session, {})
    beat(heartbeat, 0.2)
    assert not heartbeat._query
    end_session(other, session)
    with pytest.raises(HdmBaseError, match="the pack's lock was lost: the connection to the HDM base ended"):
        beat(heartbeat, 0.5)
    session.close()
    with pytest.raises(HdmBaseError, match="the pack's lock was lost"):
        LockKeeper(session, {})()


def test_what_is_noted_while_the_base_is_slow_is_noted_when_it_answers(session, other):
    """The newest word on each endpoint counts."""
    heartbeat = LockKeeper(session, begin(other, FIRST, [HEART, LUNGS]))
    with frozen(session):
        for metrics in (1, 2, 3):
            heartbeat.note([Outcome(endpoint=HEART, status="success", reported=True, metrics=metrics)])
        heartbeat.note([Outcome(endpoint=LUNGS, status="success", reported=True, metrics=4)])
        beat(heartbeat, 0.2)
    beat(heartbeat, 0.5)
    heartbeat.abandon()
    assert not background_queries()
    assert session.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    assert sorted(rows(other, "endpoint", "metrics")) == [(HEART, 3), (LUNGS, 4)]


def test_the_client_gives_a_silent_session_up_before_the_server_does(session, base, monkeypatch):
    """In a network that drops everything the server frees the lock after a minute: the pack must be ended by then."""
    lock.take(session, FIRST, PACK, deadline=0)

    def server(name):
        return int(
            session.execute("SELECT current_setting(%s) AS value", [f"tcp_keepalives_{name}"]).fetchone()["value"]
        )

    patience = server("idle") + server("interval") * server("count")
    assert patience == 60
    with socket.socket(fileno=os.dup(session.fileno())) as line:
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        idle, interval, count, unanswered = (line.getsockopt(socket.IPPROTO_TCP, option) for option in options)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + interval * count < patience
    assert lock._LIVENESS + unanswered / 1000 < patience
    assert patience > lock._LIVENESS + lock._ANSWER
    monkeypatch.setenv("AIRFLOW_CONN_HDM", f"{base.dsn}?keepalives_idle=7")
    with HdmHook().session() as own:
        assert own.info.get_parameters()["keepalives_idle"] == "7"


def test_whoever_is_killed_does_not_wait_for_a_row_that_somebody_holds(session, other):
    """A frozen session can hold it. SIGKILL comes after five seconds, and the pack must be ended before that."""
    hook = HdmHook()
    hook.load()
    ids = begin(session, FIRST, [HEART])
    execution = Execution(hook, FIRST, ids, print, keeper=LockKeeper(session, ids))
    execution._progress.follow(Event.START)
    execution._progress.follow(Event.STARTED)
    with other.transaction():
        other.execute("SELECT FROM hdm_pack_run FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(HdmBaseError, match="timed out waiting for a lock"):
            execution.abort("the task was killed")
        assert time.monotonic() - began < 4
    execution.abort("the task was killed")
    assert rows(session, "status", "reason") == [("failed", "the task was killed")]


def test_stale_rows_of_one_pack_and_date_are_closed(session):
    """Whoever wrote them is gone; finished rows, and those of other packs and dates, stay."""
    ids = begin(session, FIRST, [HEART, LUNGS])
    runs.close(session, FIRST, ids, [Outcome(endpoint=LUNGS, status="success")])
    begin(session, METRIC, [HEART])
    begin(session, dataclasses.replace(FIRST, metric_date=YESTERDAY), [HEART])
    assert runs.close_stale(session, SECOND.kind, SECOND.pack, SECOND.metric_date) == 1
    assert runs.close_stale(session, SECOND.kind, SECOND.pack, SECOND.metric_date) == 0
    assert rows(session, "status", "reason") == [
        ("failed", "the worker died or lost the HDM base"),
        ("success", None),
        ("running", None),
        ("running", None),
    ]


def test_stale_rows_of_dates_that_nobody_runs_again_are_closed_with_the_next_run(session, other, caplog):
    """Where the date's lock is free; an attempt that holds it is under way. Other packs look after their own."""
    gone, busy = (dataclasses.replace(FIRST, metric_date=day) for day in (YESTERDAY, date(2024, 1, 1)))
    more = (busy, METRIC, dataclasses.replace(gone, pack="other"))
    ids, *_ = [begin(session, attempt, [HEART, LUNGS]) for attempt in (gone, *more)]
    runs.note(session, ids, [Outcome(endpoint=LUNGS, status="success", reported=True)])
    assert runs.try_lock(other, busy)
    lock.take(session, FIRST, PACK, deadline=0)
    assert rows(session, "status", "reason") == [
        ("failed", "the worker died or lost the HDM base"),
        ("success", "the worker died or lost the HDM base afterwards"),
        *[("running", None)] * 6,
    ]
    assert "closed 2 ledger row(s) of a worker that died" in caplog.text
    assert runs.try_lock(other, gone)
    assert not runs.try_lock(other, FIRST)


def test_whoever_takes_over_gives_the_former_attempt_time_to_end(session, other, monkeypatch):
    """A worker that lost its lock ends its pack, and closes its row by itself; one that died cannot."""
    monkeypatch.setattr("hdm_airflow.operators.lock._ENDING", 0.6)
    ids = begin(session, FIRST, [HEART, LUNGS])
    ends = [Outcome(endpoint=HEART, status="failed", reason="the lock was lost")]
    closing = threading.Timer(0.2, runs.close, (other, FIRST, ids, ends))
    closing.start()
    looks = []
    began = time.monotonic()
    assert lock.take(session, SECOND, PACK, deadline=0, heartbeat=lambda: looks.append(time.monotonic() - began))
    closing.join()
    assert looks[-1] >= 0.6
    assert rows(session, "reason") == [("the lock was lost",), ("the worker died or lost the HDM base",)]
    began = time.monotonic()
    assert not lock.take(session, SECOND, PACK, deadline=0)
    assert time.monotonic() - began < 0.5


def test_rules_wait_for_the_metric_pack_that_they_require_and_keep_it_from_running(session, other, monkeypatch):
    """Metrics do not change under the rules that read them; where their worker died, its row is closed first."""
    monkeypatch.setattr("hdm_airflow.operators.lock._ENDING", 0.1)
    monkeypatch.setattr("hdm_airflow.operators.lock._INTERVAL", 0.1)
    rules = dataclasses.replace(PACK, requires=(Requirement(name="basic", explicit=True),))
    assert runs.try_lock(other, METRIC)
    begin(other, METRIC, [HEART])
    with pytest.raises(HdmBaseError, match="mp_basic did not end in time"):
        lock.take(session, FIRST, rules, deadline=time.monotonic() + 0.5)
    assert rows(session, "status") == [("running",)]
    end_session(session, other)
    lock.take(session, FIRST, rules, deadline=0)
    assert rows(session, "status", "reason") == [("failed", "the worker died or lost the HDM base")]
    with HdmHook().session() as third:
        assert not runs.try_lock(third, METRIC)
        assert runs.try_lock_required(third, "basic", TODAY)


def test_the_newest_row_of_a_metric_date_counts(session):
    """A later attempt hides an earlier one, better or worse; another date's does not."""
    tomorrow = dataclasses.replace(FIRST, metric_date=date(2024, 5, 2))
    for attempt, status in ((FIRST, "success"), (SECOND, "failed"), (tomorrow, "success")):
        runs.close(session, attempt, begin(session, attempt, [HEART]), [Outcome(endpoint=HEART, status=status)])
    assert newest(session) == {("rule", "basic", HEART): "failed"}
    assert newest(session, tomorrow) == {("rule", "basic", HEART): "success"}
    assert newest(session, dataclasses.replace(FIRST, metric_date=YESTERDAY)) == {}


def test_required_metric_packs_are_read_along_and_nothing_else(session):
    """The pack's own rows, and metric rows of the packs it requires, on the endpoints asked for."""
    for kind, pack in (
        ("rule", "basic"),
        ("rule", "other"),
        ("metric", "basic"),
        ("metric", "row-count"),
        ("metric", "x"),
    ):
        begin(session, dataclasses.replace(FIRST, kind=kind, pack=pack), [HEART, "elsewhere:a:b:1:c:false"])
    assert set(newest(session, required=["basic", "row-count"])) == {
        ("rule", "basic", HEART),
        ("metric", "basic", HEART),
        ("metric", "row-count", HEART),
    }
    assert set(newest(session)) == {("rule", "basic", HEART)}


def test_the_database_version_is_the_last_one_reported(session):
    """Any pack can report it; a later run without a version does not hide it; without any report there is none."""
    for attempt, version in ((METRIC, "1.0"), (FIRST, "2.0"), (SECOND, None)):
        runs.finish(session, attempt, [Outcome(endpoint=HEART, status="success", dbversion=version)])
    runs.finish(session, FIRST, [Outcome(endpoint=LUNGS, status="success")])
    assert runs.dbversions(session, [HEART, LUNGS]) == {HEART: "2.0"}
    assert runs.dbversions(session, []) == {}


def test_recent_rows_are_filtered_by_what_is_given(session):
    """By pack (its name or task name), endpoint, status, date; newest first, at most so many."""
    yesterday = dataclasses.replace(METRIC, metric_date=YESTERDAY)
    for attempt in (FIRST, METRIC, yesterday):
        runs.finish(session, attempt, [Outcome(endpoint=HEART, status="success")])
    runs.finish(session, FIRST, [Outcome(endpoint=LUNGS, status="failed")])

    def found(**filters):
        read = runs.recent(session, **{"limit": 10, **filters})
        return [(row["kind"], row["endpoint"], row["metric_date"]) for row in read]

    rule, metric = ("rule", HEART, TODAY), ("metric", HEART, TODAY)
    failed, old = ("rule", LUNGS, TODAY), ("metric", HEART, YESTERDAY)
    assert found() == found(pack="basic") == [failed, old, metric, rule]
    assert found(limit=2) == [failed, old]
    assert found(pack="rp_basic") == [failed, rule]
    assert found(pack="mp_basic", metric_date=TODAY) == [metric]
    assert found(endpoint=LUNGS) == found(status="failed") == [failed]
    assert found(metric_date=YESTERDAY) == [old]
    assert found(pack="b%") == found(endpoint="%") == []


def test_one_session_at_a_time_holds_the_lock_of_a_pack_and_date(session, other):
    """The second tries in vain until the first ends; other packs and dates are free."""
    assert runs.try_lock(session, FIRST) is True
    assert runs.try_lock(other, SECOND) is False
    assert runs.try_lock(other, METRIC) is True
    assert runs.try_lock(other, dataclasses.replace(FIRST, metric_date=YESTERDAY)) is True
    session.close()
    deadline = time.monotonic() + 10  # the server notices a little later
    while not runs.try_lock(other, SECOND):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_required_metric_pack_is_locked_by_many_readers_or_one_writer(session, other):
    """Two rule packs can share it, and its metrics do not change meanwhile; while it runs, no rule pack judges it."""
    assert runs.try_lock_required(session, "basic", TODAY) is True
    assert runs.try_lock_required(other, "basic", TODAY) is True
    assert runs.try_lock(session, METRIC) is False
    assert runs.try_lock(other, dataclasses.replace(METRIC, metric_date=YESTERDAY)) is True
    assert runs.try_lock_required(session, "basic", YESTERDAY) is False


def test_a_lock_ends_with_its_session_however_that_ends(session, other):
    """A worker killed hard leaves no lock behind."""
    assert runs.try_lock(session, FIRST) is True
    end_session(other, session)
    assert runs.try_lock(other, SECOND) is True
