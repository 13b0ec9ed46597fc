"""A pack ends when it must, and none of its processes outlives the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base import runs
from hdm_airflow.errors import HdmBaseError, PackFailedError
from tests.airflow.processes import RUN_IN_CHILD, STUBBORN, alive, eventually, left_behind
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hdm_airflow.operators.pack import PackOperator
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")


def test_timeout_holds_against_a_pack_that_reports_without_end(stage: Stage, tmp_path: Path) -> None:
    """A pack that writes faster than we read must not stop the clock."""
    stage.pack("basic", 'yes "a line that is no report" >> "$HDM_REPORT"\n', timeout=2)
    stage.activate("mp_basic", HEART)
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="stopped after its timeout"):
        stage.run("mp_basic")
    assert time.monotonic() - began < 30
    assert not left_behind(tmp_path)


def test_lost_lock_ends_the_pack(stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the session that holds the lock, another attempt can start, and both would write."""
    monkeypatch.setattr("hdm_airflow.operators.lock._LIVENESS", 0.2)
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)

    def cut() -> None:
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        with stage.base.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(HdmBaseError, match="the pack's lock was lost"):
        stage.run("mp_basic")
    cutter.join()
    assert alive(pids) == []
    assert stage.ledger("mp_basic")[0] == ("heart", "failed")


def test_on_kill_while_waiting_for_the_lock_starts_nothing(stage: Stage) -> None:
    """Otherwise the pack would start and be killed five seconds later."""
    stage.pack("basic", f"touch {stage.folder}/ran\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    with stage.base.connect(autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock(hashtextextended('hdm:metric:basic:{MONDAY}', 0))")
        killer = threading.Timer(1, operator.on_kill)
        killer.start()
        with pytest.raises(PackFailedError, match="the task was killed"):
            stage.execute(operator)
    assert not (stage.folder / "ran").exists()
    assert stage.ledger("mp_basic") == []


def test_on_kill_just_before_the_pack_would_start_starts_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal can arrive at any moment, even right after the last check for it."""
    stage.pack("basic", f"touch {stage.folder}/ran\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    finish = runs.finish

    def finish_and_kill(*args: Any) -> None:
        finish(*args)
        operator.on_kill()

    monkeypatch.setattr(runs, "finish", finish_and_kill)
    with pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    assert not (stage.folder / "ran").exists()
    assert stage.ledger("mp_basic") == []


def test_pack_that_kills_its_guard_leaves_no_daemon_behind(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """The last resort: every process with this run's context in its variables is killed."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "kill -9 $PPID; sleep 60\n")
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic", sandbox={"mode": "off"})  # in the sandbox it cannot
    assert eventually(lambda: alive(pids) == [])
    assert not left_behind(tmp_path)


def test_run_folder_of_a_worker_that_lost_power_is_swept_by_the_next_run(stage: Stage, tmp_path: Path) -> None:
    """It contains passwords; a folder in use, or kept on purpose, stays."""
    dead, kept = tmp_path / "tmp" / "hdm-run-dead", tmp_path / "tmp" / "hdm-kept-1"
    for folder in (dead, kept):
        folder.mkdir()
        (folder / "context.json").write_text("{}")
    os.mkfifo(dead / "report.jsonl")
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert left_behind(tmp_path) == [kept]


def test_timeout_ends_the_whole_process_tree_and_says_so(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """Including a child that ignores SIGTERM and a daemon in another session."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n", timeout=2)
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match="stopped after its timeout of 2 s"):
        stage.run("mp_basic")
    assert len(pids.read_text().split()) == 3
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "stopped after its timeout of 2 s")]


def test_our_timeout_comes_before_airflows(stage: Stage) -> None:
    """Airflow's would end the task before the ledger is written."""
    from datetime import timedelta

    stage.pack("basic", ALL_OK, timeout=500)
    assert stage.operator("mp_basic").limit == 500
    assert stage.operator("mp_basic", execution_timeout=timedelta(seconds=100)).limit == 90
    assert stage.operator("mp_basic", execution_timeout=timedelta(seconds=8)).limit == 4


def test_what_a_pack_leaves_running_is_ended_when_it_ends(stage: Stage, pids: Path) -> None:
    """A pack has ended when its script has; the log says how many processes were ended."""
    stage.pack("basic", STUBBORN.format(pids=pids) + ALL_OK + "disown -a\nexit 0\n")
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert alive(pids) == []
    assert any("that the pack left running" in line for line in stage.lines)


def test_on_kill_writes_the_ledger_and_ends_the_tree(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """on_kill does not stop `execute`, and SIGKILL comes five seconds later: both must be done by then."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    took: list[float] = []

    def kill() -> None:
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        began = time.monotonic()
        operator.on_kill()
        took.append(time.monotonic() - began)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    killer.join()
    assert time.monotonic() - began < 5 + 5  # five to start, five until Airflow's SIGKILL
    assert took[0] < 2
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the task was killed")]


@contextmanager
def frozen_lock(stage: Stage, pids: Path) -> Iterator[None]:
    """As soon as the pack runs, the server process that holds its lock stops answering."""
    found: list[int] = []

    def freeze() -> None:
        assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        with stage.base.connect() as connection:
            holders = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
            current = "(SELECT oid FROM pg_database WHERE datname = current_database())"
            found.extend(pid for (pid,) in connection.execute(holders + current))
        os.kill(found[0], signal.SIGSTOP)

    freezer = threading.Thread(target=freeze)
    freezer.start()
    try:
        yield
    finally:
        freezer.join()
        os.kill(found[0], signal.SIGCONT)


def test_timeout_holds_while_the_base_does_not_answer(
    stage: Stage, pids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for the lock's session must not stop the clock, and no thread keeps waiting for it."""
    monkeypatch.setattr("hdm_airflow.operators.lock._LIVENESS", 0.2)
    stage.pack("basic", STUBBORN.format(pids=pids) + ALL_OK + "wait\n", timeout=5)
    stage.activate("mp_basic", HEART)
    began = time.monotonic()
    with frozen_lock(stage, pids):
        stage.run("mp_basic")  # it had reported ok
        assert time.monotonic() - began < 5 + 10
        assert alive(pids) == []
        assert stage.ledger("mp_basic", "metrics") == [("heart", "success", None)]
        assert "hdm-base" not in [thread.name for thread in threading.enumerate()]
    assert not left_behind(tmp_path)


def test_base_that_does_not_answer_is_a_lost_lock(stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may consider us dead, so the pack is ended before another attempt starts."""
    monkeypatch.setattr("hdm_airflow.operators.lock._LIVENESS", 0.2)
    monkeypatch.setattr("hdm_airflow.operators.lock._ANSWER", 1.0)
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    with frozen_lock(stage, pids), pytest.raises(HdmBaseError, match="has not answered for 1 s"):
        stage.run("mp_basic")
    assert alive(pids) == []
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert (status, reason) == ("failed", "the pack's lock was lost: the HDM base has not answered for 1 s")


def test_on_kill_is_heeded_while_the_base_does_not_answer(
    stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal handler runs in the thread that may be checking the lock."""
    monkeypatch.setattr("hdm_airflow.operators.lock._LIVENESS", 0.2)
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    with frozen_lock(stage, pids), killed_in(6, operator), pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    assert alive(pids) == []
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the task was killed")]


def test_on_kill_ends_a_create_table_script(stage: Stage) -> None:
    """Also on the server, where it would run for days and keep its locks."""
    stage.pack("basic", ALL_OK, files={"create-table/a.sql": "CREATE TABLE a (); SELECT pg_sleep(1000);"})
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    began = time.monotonic()
    with killed_in(2, operator), pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    assert time.monotonic() - began < 2 + 4
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the task was killed")]
    with stage.base.connect() as connection:
        assert not connection.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall()
        assert connection.execute("SELECT to_regclass('a')").fetchone() == (None,)


def test_create_table_script_that_runs_beyond_the_timeout_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit of a pack also applies to its scripts."""
    monkeypatch.setattr("hdm_airflow.base.pack_schema._LEAST", 0.1)
    stage.pack("basic", ALL_OK, files={"create-table/a.sql": "SELECT pg_sleep(1000)"}, timeout=2)
    stage.activate("mp_basic", HEART)
    with pytest.raises(HdmBaseError, match="it ran longer than the 2 s left of the time limit"):
        stage.run("mp_basic")
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert status == "failed"
    assert reason.startswith("the pack's SQL script was stopped")


@contextmanager
def killed_in(seconds: float, operator: PackOperator) -> Iterator[None]:
    """Call on_kill as Airflow does: from a signal handler, at any point of the task."""
    before = signal.signal(signal.SIGALRM, lambda *_: operator.on_kill())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Alarm(BaseException):
    """Like the error that Airflow raises inside `execute` at its own timeout: not an Exception."""


def test_airflows_own_timeout_leaves_no_process_and_no_running_row(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """A signal raises it, at any point of the task."""

    def ring(*_: object) -> None:
        raise Alarm

    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 3)
    try:
        with pytest.raises(Alarm):
            stage.run("mp_basic")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "internal error: Alarm")]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "script",
    [
        'rm "$HDM_REPORT"; mkfifo "$HDM_REPORT"\n',
        'rm "$HDM_REPORT"; mkdir "$HDM_REPORT"\n',
        'truncate -s 1T "$HDM_REPORT"\n',
        "cd ..; chmod 0 pack home tmp .\n",
    ],
)
def test_anything_in_the_place_of_the_report_ends_in_a_closed_row(stage: Stage, tmp_path: Path, script: str) -> None:
    """The removal of a pipe must not block before the ledger is closed, nor the sweep of the next run."""
    stage.activate("mp_basic", HEART)
    for number in range(2):
        stage.pack("basic", ALL_OK + "sleep 0.6\n" + script, timeout=60)
        began = time.monotonic()
        with suppress(PackFailedError):
            stage.run("mp_basic", day=MONDAY.replace(day=6 + number))
        assert time.monotonic() - began < 30
        assert not left_behind(tmp_path)
    assert {status for _, status in stage.ledger("mp_basic")} <= {"success", "failed"}


def test_report_that_is_too_long_to_be_read_leaves_no_endpoint_successful(stage: Stage) -> None:
    """A later line may withdraw the ok."""
    stage.pack(
        "basic", ALL_OK + f'yes {"x" * 1000} | head -c 68000000 >> "$HDM_REPORT"\n' + REPORT_ALL.format("failed")
    )
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert status == "failed"
    assert reason.startswith("the report is longer than 67,108,864 bytes")


@pytest.mark.parametrize("victim", ["task", "supervised"])
def test_sigkill_of_task_or_supervisor_leaves_no_process_and_the_stale_row_is_closed(
    stage: Stage, pids: Path, tmp_path: Path, victim: str
) -> None:
    """Bash's grandchildren do not die with it: the guard sees its socket close and ends them all."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), victim]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2])
    try:
        assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3, 30)
        assert len(alive(pids)) == 3
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert eventually(lambda: alive(pids) == [])
    assert eventually(lambda: not left_behind(tmp_path))
    assert stage.ledger("mp_basic") == [("heart", "running")]
    stage.pack("basic", ALL_OK)
    assert stage.run("mp_basic")["success"] == 1
    assert stage.ledger("mp_basic", "reason") == [
        ("heart", "failed", "the worker died or lost the HDM base"),
        ("heart", "success", None),
    ]


def test_second_run_of_a_metric_date_waits_for_the_first(stage: Stage) -> None:
    """Two Dag runs of one date would write the same rows."""
    stage.pack("basic", f"date +%s%N >> {stage.folder}/times; sleep 1; date +%s%N >> {stage.folder}/times\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), "task"]
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    times = [int(line) for line in (stage.folder / "times").read_text().split()]
    assert times == sorted(times)
    assert stage.ledger("mp_basic") == [("heart", "success"), ("heart", "success")]


def test_report_file_full_of_rubbish_is_survived_and_named(stage: Stage) -> None:
    """Garbage, half lines, binary, one line of 50 MB: the valid lines count, the log names the others."""
    line = json.dumps({"endpoint": HEART.slug, "status": "ok"})
    script = f"""
    echo 'no json' >> $HDM_REPORT
    head -c 1000 /dev/urandom >> $HDM_REPORT; echo >> $HDM_REPORT
    head -c 50000000 /dev/zero | tr '\\0' 'x' >> $HDM_REPORT; echo >> $HDM_REPORT
    echo '[1, 2]' >> $HDM_REPORT
    echo '{line}' >> $HDM_REPORT
    printf '{{"endpoint": "half' >> $HDM_REPORT
    """
    stage.pack("basic", script)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert "report line 1: the line is not JSON" in stage.log
    assert "longer than 1,048,576 bytes" in stage.log


def test_output_of_one_endless_line_and_of_bytes_that_are_no_text_is_bounded(stage: Stage) -> None:
    """The operator's memory does not grow with the output of a pack."""
    script = (
        "head -c 30000000 /dev/zero | tr '\\0' 'x'; echo; printf '\\xff\\xfe\\n'; echo last; exec >&- 2>&-; sleep 0.5\n"
    )
    stage.pack("basic", script)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    longest = max(stage.lines, key=len)
    assert len(longest) < 70_000
    assert "bytes of this line dropped" in longest
    assert "last" in stage.lines


def test_progress_is_shown_while_the_pack_runs(stage: Stage) -> None:
    """A reader of the log at 2 a.m. sees how far it is."""
    stage.pack("basic", 'python -c "import hdm; hdm.load().progress(0.4, \\"table 4 of 10\\")"\nsleep 0.5\n' + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert "progress 40% table 4 of 10" in stage.lines
