"""The reference packs under faults: afterwards the ledger is true, no row is doubled, no alert is too many."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from demo.services import Database
from hdm_airflow.base import runs
from hdm_airflow.errors import HdmBaseError, PackFailedError, VenvBuildError
from hdm_airflow.operators import verdict
from tests.airflow.processes import ROOT, RUN_IN_CHILD, eventually
from tests.airflow.stage import REPORT_ALL, endpoint
from tests.airflow.ward import ALL, WRITES, Ward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.services import Postgres
    from hdm_airflow.base.hook import BaseConnection
    from tests.airflow.stage import Stage

HEART, LUNG = endpoint("heart"), endpoint("lung")
ALL_OK = REPORT_ALL.format("ok")


@pytest.fixture
def ward(stage: Stage, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """Two endpoints with metric pack and rule pack basic."""
    names = {name: f"{name}_{stage.base.name}" for name in ("heart", "lung")}
    ward = Ward(
        stage=stage,
        databases={name: postgres.create_database(full) for name, full in names.items()},
        tally=tmp_path / "tally",
    )
    for name, value in ward.connections.items():
        monkeypatch.setenv(name, value)
    ward.prepare()
    yield ward
    for database in ward.databases.values():
        postgres.drop_database(database.name)


def child(stage: Stage, task_id: str = "mp_basic", number: int = 1) -> subprocess.Popen[bytes]:
    """A pack in a process of its own, as such a try."""
    stage.tries = max(stage.tries, number)
    code = RUN_IN_CHILD.replace('stage.run("mp_basic")', f"stage.tries = {number - 1}; stage.run({task_id!r})")
    command = [sys.executable, "-c", code, str(stage.folder), str(stage.store), "task"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)


@contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[None]:
    """Run a function in a thread; its error is raised at the end of the block."""
    faults: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # it is raised below
            faults.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if faults:
        raise faults[0]


def end_sessions(database: Database, *, that: str = "true") -> None:
    """End the sessions on a database but our own."""
    with Database(database.server, "postgres").connect(autocommit=True) as connection:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND {that}"
        connection.execute(query, [database.name])


# Killed --------------------------------------------------------------------------------------------------------------


def test_retry_after_sigkill_measures_only_what_was_not_reported(ward: Ward) -> None:
    """An endpoint reported ok stays successful, the stale row is closed, and alerts come only from complete metrics."""
    stage, lung = ward.stage, ward.databases["lung"]
    with ward.held(lung, "stays"):
        process = child(stage)
        ward.reach_lung()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert ward.metrics() == {"heart": 3}
    assert stage.run("rp_basic")["gated"] == 1
    assert set(ward.alerts()) == {"heart"}
    assert stage.run("mp_basic")["kept"] == 1
    assert stage.run("rp_basic")["kept"] == 1
    assert ("metric", 1, "lung", "failed") in ward.ledger()
    ward.check_whole()


def test_retry_after_sigkill_leaves_alone_what_was_reported_a_second_before(stage: Stage, tmp_path: Path) -> None:
    """The retry runs nothing if nothing is left. If the task is cleared later, it runs all endpoints."""
    tally = tmp_path / "packs" / "tally"
    stage.pack("basic", ALL_OK + f"echo ok >> {tally}; test -e {stage.folder}/go || sleep 30\n")
    stage.activate("mp_basic", HEART)
    process = child(stage)
    assert eventually(tally.exists, 60)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (stage.folder / "go").touch()
    assert stage.run("mp_basic")["kept"] == 1
    assert stage.ledger("mp_basic", "reason") == [
        ("heart", "success", "the worker died or lost the HDM base afterwards")
    ]
    assert stage.run("mp_basic")["success"] == 1
    assert len(tally.read_text().split()) == len(stage.ledger("mp_basic")) == 2


@pytest.mark.parametrize("reported", [False, True])
def test_worker_killed_in_a_rule_pack_leaves_where_its_silence_proves_nothing(
    stage: Stage, tmp_path: Path, reported: bool
) -> None:
    """The row that the next run closes has the names, with or without a note of `ok`."""
    began = tmp_path / "packs" / "began"
    names = ["stays", "beds.number"]
    partial = json.dumps({"endpoint": HEART.slug, "status": "partial", "incomplete": names})
    stage.pack("basic", f"echo '{partial}' >> \"$HDM_REPORT\"\n")
    work = f"echo > {began}; test -e {stage.folder}/go || sleep 30\n"
    stage.pack("judge", (ALL_OK if reported else "") + work, kind="rule", partial=True, depends_on=["basic"])
    stage.activate("mp_basic", HEART)
    stage.activate("rp_judge", HEART, register=False)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    process = child(stage, "rp_judge")
    assert eventually(began.exists, 60)
    time.sleep(1.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (stage.folder / "go").touch()
    assert stage.ledger("rp_judge", "reported", "incomplete") == [("heart", "running", reported, names)]
    stage.run("rp_judge")
    ended = ("heart", "success" if reported else "failed", names)
    assert stage.ledger("rp_judge", "incomplete")[0] == ended


@pytest.mark.parametrize("value", [{"k": "\ud800"}, {"k": float("inf")}, [float("nan")]])
def test_configuration_that_cannot_be_written_fails_its_endpoint_alone(stage: Stage, value: Any) -> None:
    """The context file is one for all endpoints; the reason names the row to correct."""
    stage.pack("basic", REPORT_ALL.format("ok"))
    good, bad = endpoint("good"), endpoint("bad")
    stage.activate("mp_basic", good, bad)
    stage.configure("mp_basic", [1, 2], place=good)
    stage.configure("mp_basic", value, place=bad)
    with pytest.raises(PackFailedError, match=rf"(?s)the configuration has .*hdm_pack_metric_conf basic:{bad.slug}"):
        stage.run("mp_basic")
    assert sorted(stage.ledger("mp_basic")) == [("bad", "failed"), ("good", "success")]


def test_rules_wait_while_metrics_are_measured_again(ward: Ward) -> None:
    """A cleared task of the metric pack is under way, and dies: nothing is judged until it is over, nor its remains."""
    stage, lung = ward.stage, ward.databases["lung"]
    stage.run("mp_basic")
    with ward.held(lung, "stays"):
        metrics = child(stage, number=2)
        assert eventually(lambda: ward.waits(lung), 60)
        rules = child(stage, "rp_basic", number=3)
        time.sleep(6)
        assert rules.poll() is None
        assert ward.alerts() == {}
        metrics.send_signal(signal.SIGKILL)
        metrics.wait()
        assert rules.wait(60) == 0
    assert ("metric", 2, "lung", "failed") in ward.ledger()
    assert [row[2:] for row in ward.ledger() if row[:2] == ("rule", 3)] == [("lung", "skipped"), ("heart", "success")]
    assert set(ward.alerts()) == {"heart"}
    stage.run("mp_basic")
    stage.run("rp_basic")
    ward.check_whole()


def test_worker_killed_between_deleting_and_writing_rows_leaves_the_former_ones(ward: Ward) -> None:
    """In the middle of its one transaction: neither none nor half of the rows, and no row twice after the retry."""
    stage = ward.stage
    stage.run("mp_basic")
    stage.run("rp_basic")
    ward.forget(rows=False)
    with ward.held(stage.base, "metric_basic_levels", mode=WRITES):  # it has replaced metric_basic's rows, uncommitted
        process = child(stage)
        assert eventually(lambda: ward.waits(stage.base), 60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert eventually(lambda: not ward.waits(stage.base))
    with pytest.raises(AirflowSkipException):
        stage.run("rp_basic")
    assert ward.metrics() == {"heart": 3, "lung": 3}
    stage.run("mp_basic")
    stage.run("rp_basic")
    ward.check_whole()


# Connections that break ----------------------------------------------------------------------------------------------


def test_lost_lock_in_the_middle_is_a_failed_run_that_keeps_what_was_reported(ward: Ward) -> None:
    """Every session on the base ends; the pack is ended, and the retry does the rest."""
    stage = ward.stage

    def cut() -> None:
        ward.reach_lung()
        end_sessions(stage.base)

    with ward.held(ward.databases["lung"], "stays"), meanwhile(cut), pytest.raises(HdmBaseError):
        stage.run("mp_basic")
    assert [row[2:] for row in ward.ledger()] == [("heart", "success"), ("lung", "failed")]
    assert stage.run("mp_basic")["kept"] == 1
    stage.run("rp_basic")
    ward.check_whole()


@pytest.mark.parametrize("where", ["base", "endpoint"])
def test_pack_that_loses_a_connection_fails_there_and_leaves_no_half_set(ward: Ward, where: str) -> None:
    """Its own connection, while it writes its rows or reads the endpoint's; the rules wait for what failed."""
    stage = ward.stage
    stage.run("mp_basic", day=date(2026, 1, 4))  # makes the tables
    ward.forget()
    database, table = (stage.base, "metric_basic_levels") if where == "base" else (ward.databases["lung"], "stays")
    over = threading.Event()

    def cut() -> None:
        while not over.wait(0.1):
            end_sessions(database, that="wait_event_type = 'Lock' AND wait_event = 'relation'")

    with ward.held(database, table, mode=WRITES if where == "base" else ALL), meanwhile(cut):
        try:
            with pytest.raises(PackFailedError):
                stage.run("mp_basic")
        finally:
            over.set()
    failed = {"heart", "lung"} if where == "base" else {"lung"}
    assert {name for _, _, name, status in ward.ledger() if status == "failed"} == failed
    assert not failed & set(ward.metrics())
    with suppress(AirflowSkipException):
        stage.run("rp_basic")
    assert not failed & set(ward.alerts())
    stage.run("mp_basic")
    stage.run("rp_basic")
    ward.check_whole()


ENDING = "touch {0}/done; while ! test -e {0}/go; do sleep 0.1; done\n"


@contextmanager
def closed(database: Database, folder: Path) -> Iterator[None]:
    """After the pack has ended, the base refuses connections until the block ends."""
    with Database(database.server, "postgres").connect(autocommit=True) as admin:
        assert eventually((folder / "done").exists, 60)
        admin.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
        end_sessions(database)
        (folder / "go").touch()
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')


def test_base_that_is_away_at_the_very_end_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the base just when the pack ends must not lose hours of work."""
    monkeypatch.setattr("hdm_airflow.operators.execution._PAUSE", 0.2)
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    judge = verdict.outcomes

    def judge_later(*args: Any) -> list[runs.Outcome]:
        (stage.folder / "done").touch()
        assert eventually((stage.folder / "go").exists, 60)
        return judge(*args)

    monkeypatch.setattr(verdict, "outcomes", judge_later)

    def restart() -> None:
        with closed(stage.base, stage.folder):
            time.sleep(1)

    with meanwhile(restart):
        assert stage.run("mp_basic")["success"] == 1
    assert "the ledger could not be written, trying again" in stage.log
    assert stage.ledger("mp_basic") == [("heart", "success")]


def test_base_that_stays_away_makes_the_task_fail_and_claims_no_success(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger says `running` until the next attempt, which closes the row according to the pack's reports."""
    monkeypatch.setattr("hdm_airflow.operators.execution._PATIENCE", 0.5)
    monkeypatch.setattr("hdm_airflow.operators.execution._PAUSE", 0.2)
    stage.pack("basic", ALL_OK + "sleep 3\n" + ENDING.format(stage.folder))
    stage.activate("mp_basic", HEART)
    back = threading.Event()

    def leave() -> None:
        with closed(stage.base, stage.folder):
            assert back.wait(60)

    with meanwhile(leave):
        try:
            with pytest.raises(HdmBaseError):
                stage.run("mp_basic")
        finally:
            back.set()
    assert stage.summary.get("success", 0) == 0
    assert stage.ledger("mp_basic") == [("heart", "running")]
    stage.pack("basic", ALL_OK)
    stage.run("mp_basic")
    assert stage.ledger("mp_basic", "reason")[0] == (
        "heart",
        "success",
        "the worker died or lost the HDM base afterwards",
    )


WAITING = """touch {0}/begun; while ! test -e {0}/go; do sleep 0.1; done
"""


def test_worker_that_lost_its_lock_but_lives_cannot_claim_a_success(stage: Stage) -> None:
    """As in a machine that was paused: another attempt has taken over and closed its row; its own task turns red."""
    stage.pack("basic", WAITING.format(stage.folder) + ALL_OK)
    stage.activate("mp_basic", HEART)
    process = child(stage)
    assert eventually((stage.folder / "begun").exists, 60)
    process.send_signal(signal.SIGSTOP)
    end_sessions(stage.base)
    stage.pack("basic", ALL_OK)
    assert stage.run("mp_basic")["success"] == 1
    (stage.folder / "go").touch()
    time.sleep(2)  # its pack says ok
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) != 0
    assert stage.ledger("mp_basic", "try_number", "reason") == [
        ("heart", "failed", 1, "the worker died or lost the HDM base"),
        ("heart", "success", 2, None),
    ]


def test_attempt_that_lost_its_lock_closes_no_row_of_another_of_its_name(stage: Stage) -> None:
    """Airflow can run one try of a task twice, for example after a worker that it considered dead."""
    stage.pack("basic", WAITING.format(stage.folder) + ALL_OK)
    stage.activate("mp_basic", HEART)
    first = child(stage)
    assert eventually((stage.folder / "begun").exists, 60)
    first.send_signal(signal.SIGSTOP)
    end_sessions(stage.base)
    (stage.folder / "begun").unlink()
    stage.pack("basic", WAITING.format(stage.folder).replace("go", "go2") + "exit 1\n")
    second = child(stage)
    assert eventually((stage.folder / "begun").exists, 60)
    (stage.folder / "go").touch()
    time.sleep(2)
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) != 0
    assert stage.ledger("mp_basic") == [("heart", "failed"), ("heart", "running")]
    (stage.folder / "go2").touch()
    assert second.wait(60) != 0
    assert stage.ledger("mp_basic", "try_number", "reason") == [
        ("heart", "failed", 1, "the worker died or lost the HDM base"),
        ("heart", "failed", 1, "the bootstrap script ended with exit code 1"),
    ]


def test_attempt_that_loses_its_lock_before_it_begins_hides_no_success(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has taken over and succeeded before it can write that it failed: the rules judge."""
    for kind in ("metric", "rule"):
        stage.pack("basic", ALL_OK, kind=kind)
    stage.activate("mp_basic", HEART)
    stage.activate("rp_basic", HEART, register=False)
    start = runs.start

    def lose(base: BaseConnection, *args: Any) -> None:
        monkeypatch.setattr(runs, "start", start)
        end_sessions(stage.base)
        assert stage.run("mp_basic")["success"] == 1
        runs.start(base, *args)

    monkeypatch.setattr(runs, "start", lose)
    with pytest.raises(HdmBaseError, match="cannot be reached"):
        stage.run("mp_basic")
    ((_, _, reason),) = [row for row in stage.ledger("mp_basic", "reason") if row[1] == "failed"]
    assert reason.startswith("the HDM base cannot be reached: ")
    assert sorted(stage.ledger("mp_basic", "try_number")) == [("heart", "failed", 1), ("heart", "success", 2)]
    assert stage.run("rp_basic")["success"] == 1


def test_two_attempts_never_run_a_pack_at_once(stage: Stage, tmp_path: Path) -> None:
    """The session with the lock is ended, and the pack does not want to go: the next attempt waits for its end."""
    beats, over = tmp_path / "packs" / "beats", tmp_path / "packs" / "over"
    stage.pack(
        "basic",
        f"trap '' TERM; while ! test -e {over}; do echo $$ $(date +%s.%N) >> {beats}; sleep 0.05; done\n{ALL_OK}",
    )
    stage.activate("mp_basic", HEART)
    first = child(stage)
    assert eventually(beats.exists, 60)
    end_sessions(stage.base)
    cut = time.time()
    second = child(stage)
    assert eventually(lambda: len(_spans(beats)) == 2, 60)
    over.touch()
    assert (first.wait(60), second.wait(60)) == (1, 0)
    (_, last), (began, _) = _spans(beats)
    assert last - cut < 5  # it was noticed within a second, and had three seconds to end
    assert began > last
    assert [status for _, status in stage.ledger("mp_basic")] == ["failed", "success"]


def _spans(beats: Path) -> list[tuple[float, float]]:
    """When each process of a pack wrote its first line, and its last."""
    found: dict[str, list[float]] = {}
    for line in beats.read_text().splitlines():
        pid, moment = line.split()
        found.setdefault(pid, []).append(float(moment))
    return [(times[0], times[-1]) for times in found.values()]


# Disks that are full -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path, require: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and not subprocess.run(options, capture_output=True, check=False).returncode
    require("airflow", None if mounted else "a small disk can only be mounted by root")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_is_full_before_the_pack_starts_fails_the_run_and_leaves_nothing(
    stage: Stage, small_disk: Path
) -> None:
    """The pack cannot be copied: the ledger says why, and a retry succeeds when there is room."""
    stage.pack("basic", ALL_OK, files={"process/data": "x" * 500_000})
    stage.activate("mp_basic", HEART)
    filling = small_disk / "filling"
    filling.write_bytes(b"x" * 1_700_000)
    with pytest.raises(VenvBuildError, match="No space left on device"):  # which Airflow tries again
        stage.run("mp_basic")
    assert list(small_disk.iterdir()) == [filling]
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert status == "failed"
    assert "No space left on device" in reason
    filling.unlink()
    assert stage.run("mp_basic")["success"] == 1


def test_disk_that_fills_while_the_pack_runs_fails_what_could_not_be_reported(stage: Stage, small_disk: Path) -> None:
    """Only a written report counts as success, and the retry runs the rest."""
    main = f"""
import hdm, os
run = hdm.load()
for e in run.endpoints:
    if e.database == "lung" and not os.path.exists("{stage.folder}/roomy"):
        with open(os.environ["TMPDIR"] + "/filling", "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096): pass
            except OSError: pass
        for _ in range(200):
            run.progress(0.5, "x" * 100)
    run.report(e, "ok")
"""
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": main})
    stage.activate("mp_basic", HEART, LUNG)
    with pytest.raises(PackFailedError, match="did not succeed on 1 of 2"):
        stage.run("mp_basic")
    assert stage.ledger("mp_basic") == [("heart", "success"), ("lung", "failed")]
    assert list(small_disk.iterdir()) == []
    (stage.folder / "roomy").touch()
    assert stage.run("mp_basic")["kept"] == 1
    assert stage.ledger("mp_basic")[2:] == [("lung", "success")]


# Twice ---------------------------------------------------------------------------------------------------------------


def test_two_dag_runs_of_one_date_at_once_double_nothing(ward: Ward) -> None:
    """They come after each other; the rules judge metrics that do not change under them."""
    stage = ward.stage
    both = [child(stage, number=number) for number in (1, 2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert [row[2:] for row in ward.ledger()] == [("heart", "success"), ("lung", "success")] * 2
    stage.run("rp_basic")
    began = ward.count("begin")
    assert began == ward.count("ok")
    assert [began["metric", number, name] for number in (1, 2) for name in ("heart", "lung")] == [1] * 4
    ward.check_whole()


def test_retry_after_partial_success_and_cleared_tasks_double_nothing(ward: Ward) -> None:
    """The retry measures what failed; a cleared task all of it; rows and alerts are those of one run."""
    stage, lung = ward.stage, ward.databases["lung"]
    with Database(lung.server, "postgres").connect(autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{lung.name}" ALLOW_CONNECTIONS false')
        with pytest.raises(PackFailedError):
            stage.run("mp_basic")
        stage.run("rp_basic")
        assert set(ward.alerts()) == {"heart"}
        admin.execute(f'ALTER DATABASE "{lung.name}" ALLOW_CONNECTIONS true')
    assert stage.run("mp_basic")["kept"] == 1
    assert stage.run("rp_basic")["kept"] == 1
    ward.check_whole()
    assert stage.run("mp_basic")["success"] == 2
    assert stage.run("rp_basic")["success"] == 2
    ward.check_whole()
