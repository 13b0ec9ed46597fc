"""The HDM base changes while a pack runs: its password, its place, its disk, whether it can be written."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException

from demo.services import PgBouncer
from hdm_airflow.errors import HdmBaseError
from tests.airflow.processes import eventually
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from demo.services import Database, Postgres
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
#: Waits in the middle until the test has changed the base.
WAITING = "touch {0}/begun; while ! test -e {0}/go; do sleep 0.05; done\n"
OWNER = "hdm_test_owner"


@pytest.fixture
def owned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage whose connection logs in as an owner with a password that tests may change."""
    run(stage.base, f"CREATE ROLE {OWNER} LOGIN SUPERUSER PASSWORD 'first'")
    monkeypatch.setenv("AIRFLOW_CONN_HDM", login(stage.base, "first"))
    stage.pack("basic", WAITING.format(stage.folder) + ALL_OK)
    stage.activate("mp_basic", HEART)
    yield stage
    run(stage.base, f"DROP ROLE {OWNER}")


def login(base: Database, password: str) -> str:
    return f"postgresql://{OWNER}:{password}@{base.server.host}:{base.server.port}/{base.name}"


def run(base: Database, *statements: str) -> None:
    with psycopg.connect(base.dsn, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            connection.execute(statement)


@contextmanager
def meanwhile(stage: Stage, *acts: Callable[[], Any]) -> Iterator[None]:
    """Act when the pack has begun, then let it go on."""
    faults: list[BaseException] = []

    def act() -> None:
        try:
            assert eventually((stage.folder / "begun").exists, 60)
            for one in acts:
                one()
        except BaseException as error:  # noqa: BLE001  # raised below
            faults.append(error)
        (stage.folder / "go").touch()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not faults, faults


def end_sessions(base: Database) -> None:
    run(base, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{OWNER}'")


@pytest.mark.parametrize(
    "change",
    [
        f"ALTER ROLE {OWNER} PASSWORD 'second'",
        f"ALTER ROLE {OWNER} PASSWORD NULL",
        f"ALTER ROLE {OWNER} VALID UNTIL '2000-01-01'",
        f"ALTER ROLE {OWNER} NOLOGIN",
    ],
)
def test_good_run_is_recorded_though_its_login_no_longer_works(owned: Stage, change: str) -> None:
    """A rotated password, a token that has expired: the session that is open still works."""
    with meanwhile(owned, lambda: run(owned.base, change)):
        assert owned.run("mp_basic")["success"] == 1
    assert owned.ledger("mp_basic") == [("heart", "success")]


def test_connection_that_was_updated_meanwhile_is_used(owned: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions are ended, and the old password is wrong: the end is written with the new one."""

    def rotate() -> None:
        run(owned.base, f"ALTER ROLE {OWNER} PASSWORD 'second'")
        monkeypatch.setenv("AIRFLOW_CONN_HDM", login(owned.base, "second"))
        end_sessions(owned.base)
        time.sleep(1.5)  # the worker notices

    with meanwhile(owned, rotate), pytest.raises(HdmBaseError, match="lock was lost"):
        owned.run("mp_basic")
    ((_, status, reason),) = owned.ledger("mp_basic", "reason")
    assert status == "failed"
    assert reason.startswith("the pack's lock was lost")


def test_connection_that_is_updated_a_little_later_is_used_too(owned: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up before each try."""
    monkeypatch.setattr("hdm_airflow.operators.execution._PAUSE", 0.2)
    updates: list[threading.Timer] = []

    def rotate() -> None:
        run(owned.base, f"ALTER ROLE {OWNER} PASSWORD 'second'")
        end_sessions(owned.base)
        updates.append(threading.Timer(4, monkeypatch.setenv, ["AIRFLOW_CONN_HDM", login(owned.base, "second")]))
        updates[0].start()
        time.sleep(1.5)  # the worker notices

    with meanwhile(owned, rotate), pytest.raises(HdmBaseError, match="lock was lost"):
        owned.run("mp_basic")
    assert [status for _, status in owned.ledger("mp_basic")] == ["failed"]
    assert "trying again: the HDM base cannot be reached" in owned.log
    assert owned.log.count("trying again") == 1


def test_kill_is_recorded_though_the_login_no_longer_works(owned: Stage) -> None:
    """A signal handler has no time to look anything up."""
    operator = owned.operator("mp_basic")
    took: list[float] = []

    def kill() -> None:
        run(owned.base, f"ALTER ROLE {OWNER} PASSWORD 'second'")
        began = time.monotonic()
        operator.on_kill()
        took.append(time.monotonic() - began)

    with meanwhile(owned, kill), suppress(Exception):
        owned.execute(operator)
    assert took[0] < 4
    assert owned.ledger("mp_basic", "reason") == [("heart", "failed", "the task was killed")]


# Bases that cannot be written ----------------------------------------------------------------------------------------


@contextmanager
def read_only(base: Database) -> Iterator[Callable[[], None]]:
    """A function that makes the whole server refuse writes, sessions that are open included, until the block ends."""

    def refuse() -> None:
        run(base, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        assert eventually(lambda: not _is_writable(base), 10)

    try:
        yield refuse
    finally:
        run(base, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
        assert eventually(lambda: _is_writable(base), 10)


def _is_writable(base: Database) -> bool:
    with base.connect() as connection:
        return connection.execute("SHOW default_transaction_read_only").fetchone() == ("off",)


def test_base_that_becomes_read_only_leaves_the_truth_and_the_next_run_by_hand_measures(
    owned: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger does not claim that the worker died, and only a retry of that task skips what was reported."""
    monkeypatch.setattr("hdm_airflow.operators.execution._PATIENCE", 1.0)
    monkeypatch.setattr("hdm_airflow.operators.execution._PAUSE", 0.2)
    owned.pack("basic", ALL_OK + "sleep 1.5\n" + WAITING.format(owned.folder))
    with read_only(owned.base) as refuse:
        with meanwhile(owned, refuse), pytest.raises(HdmBaseError, match="the HDM base is read-only"):
            owned.run("mp_basic")
        assert owned.log.count("trying again") == 1
    assert owned.ledger("mp_basic") == [("heart", "running")]
    owned.pack("basic", ALL_OK)
    pushed: dict[str, Any] = {}
    by_hand = SimpleNamespace(
        dag_id="cli",
        run_id="cli__now",
        task_id="mp_basic",
        try_number=1,
        xcom_push=lambda *, key, value: pushed.update({key: value}),
    )
    owned.execute(owned.operator("mp_basic"), context={"ti": by_hand})
    assert pushed["summary"]["success"] == 1
    assert owned.ledger("mp_basic", "reason", "dag_id") == [
        ("heart", "success", "the worker died or lost the HDM base afterwards", "stage"),
        ("heart", "success", None, "cli"),
    ]


def test_base_that_is_writable_again_in_time_gets_the_end(owned: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a failover."""
    monkeypatch.setattr("hdm_airflow.operators.execution._PAUSE", 0.2)
    back: list[threading.Timer] = []
    with read_only(owned.base) as refuse:

        def refuse_for_a_while() -> None:
            refuse()
            statements = ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
            back.append(threading.Timer(2, run, [owned.base, *statements]))
            back[0].start()

        with meanwhile(owned, refuse_for_a_while):
            assert owned.run("mp_basic")["success"] == 1
        back[0].join()
    assert owned.ledger("mp_basic") == [("heart", "success")]


@pytest.fixture
def full_disk(stage: Stage, postgres: Postgres, tmp_path: Path, require: Callable[..., None]) -> Iterator[None]:
    """The ledger is on a disk of two megabytes, which is full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and not subprocess.run(options, capture_output=True, check=False).returncode
    require("airflow", None if mounted else "a small disk can only be mounted by root")
    try:
        shutil.chown(folder, "nobody")
        run(stage.base, f"CREATE TABLESPACE small LOCATION '{folder}'", "ALTER TABLE hdm_pack_run SET TABLESPACE small")
        run(stage.base, "CREATE TABLE filling (x text) TABLESPACE small")
        with pytest.raises(psycopg.errors.DiskFull):
            run(stage.base, "INSERT INTO filling SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
        run(stage.base, "ALTER TABLE hdm_pack_run SET (autovacuum_enabled = false)")
        yield
        run(
            stage.base,
            "DROP TABLE filling",
            "ALTER TABLE hdm_pack_run SET TABLESPACE pg_default",
            "DROP TABLESPACE small",
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_of_the_base_at_the_start_is_one_error_within_seconds(stage: Stage, full_disk: None) -> None:
    """Nothing has run that patience could save."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    began = time.monotonic()
    with pytest.raises(HdmBaseError, match="the disk of the HDM base is full") as caught:
        stage.run("mp_basic")
    assert time.monotonic() - began < 10
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert len([line for line in stage.lines if "disk" in line]) <= 1


# Bases that an attempt must not use -----------------------------------------------------------------------------------


def test_attempt_refuses_a_base_of_another_version_and_files_nothing(stage: Stage) -> None:
    """Packs must not write into tables that they do not know."""
    stage.pack("basic", f"touch {stage.folder}/ran\n{ALL_OK}")
    stage.activate("mp_basic", HEART)
    run(stage.base, "UPDATE hdm_alembic_version SET version_num = '0099'")
    with pytest.raises(HdmBaseError, match="newer than this version of hdm_airflow: upgrade the package"):
        stage.run("mp_basic")
    run(stage.base, "DELETE FROM hdm_alembic_version")
    with pytest.raises(HdmBaseError, match="is at version none"):
        stage.run("mp_basic")
    assert not (stage.folder / "ran").exists()
    assert stage.ledger("mp_basic") == []


@pytest.mark.parametrize("conn_id", ["hdm", "packs"])
def test_attempt_refuses_a_pool_that_does_not_keep_sessions(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[..., None], conn_id: str
) -> None:
    """Whether the owner's connection leads through it or that of packs; a retry does not help."""
    require("airflow", PgBouncer.available())
    stage.pack("basic", ALL_OK, files={"create-table/create.sql": "CREATE TABLE x ()"})
    stage.activate("mp_basic", HEART)
    with PgBouncer(tmp_path / "pool", stage.base.server, pool_mode="transaction") as pool:
        monkeypatch.setenv("AIRFLOW_CONN_PACKS", stage.base.dsn)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", pool.dsn(stage.base.name))
        with pytest.raises(AirflowFailException, match="behind a connection pool in transaction or statement mode"):
            stage.run("mp_basic", pack_conn_id="packs")


def test_attempt_works_through_a_pool_in_session_mode(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[..., None]
) -> None:
    """Two attempts of one pack and date exclude each other there."""
    require("airflow", PgBouncer.available())
    stage.pack("basic", ALL_OK, files={"create-table/create.sql": "CREATE TABLE x ()"})
    stage.activate("mp_basic", HEART)
    with PgBouncer(tmp_path / "pool", stage.base.server, pool_mode="session") as pool:
        monkeypatch.setenv("AIRFLOW_CONN_HDM", pool.dsn(stage.base.name))
        for _ in range(2):
            assert stage.run("mp_basic")["success"] == 1
