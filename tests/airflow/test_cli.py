"""The command line as a program: its start, its variables and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import Hdm, airflow

if TYPE_CHECKING:
    from demo.services import Database

ENDPOINT = "heart:sqlite:{}:::false"


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, store: Path) -> Hdm:
    """Commands in this process; the Variable is set, so that Airflow's database is not asked."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", f'{{"venvs": {{"folder": "{store}"}}}}')
    return Hdm(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An SQLite database with two tables."""
    path = tmp_path / "heart.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE patients (id int); CREATE TABLE visits (id int)")
    return path


def test_packs_check_needs_no_database_at_all(tmp_path: Path, hdm: Hdm) -> None:
    """Continuous integration of a packs repository has neither a metadata database nor an HDM base."""
    home = tmp_path / "home"
    hdm("packs", "new", "pulse", tmp_path / "packs")
    done = airflow("hdm", "packs", "check", tmp_path / "packs", AIRFLOW_HOME=str(home))
    assert done.out == ""
    assert "1 pack checked: 0 errors, 0 warnings" in done.err
    assert not (home / "airflow.db").exists()


def test_default_packs_folder_is_checked_though_the_variable_cannot_be_read(tmp_path: Path) -> None:
    """Without a folder the command looks below the dags folder, and says that it could not ask for another one."""
    folders = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
    done = airflow("hdm", "packs", "check", code=2, **folders)
    assert "warning: the Variable cannot be looked up (MetastoreBackend: OperationalError)" in done.err
    assert f"in: {tmp_path}/dags/packs\n" in done.err
    assert "Traceback" not in done.err


def test_command_on_the_base_refuses_to_guess_when_the_variable_cannot_be_read(base: Database, tmp_path: Path) -> None:
    """A metadata database that does not answer must not send changes to the default base."""
    done = airflow("hdm", "endpoints", "list", code=2, AIRFLOW_HOME=str(tmp_path))
    assert done.err.startswith("the Variable cannot be looked up")
    assert "AIRFLOW_VAR_HDM" in done.err


def test_connection_and_variable_of_the_web_pages_are_seen(base: Database, tmp_path: Path) -> None:
    """Both are kept in Airflow's metadata database, where its SDK looks for servers alone."""
    home = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_HDM": ""}
    script = f"""
from airflow.models import Connection, Variable
from airflow.utils.db import initdb
from airflow.utils.session import create_session
initdb()
with create_session() as session:
    session.add(Connection(conn_id="hdm_of_the_pages", uri={base.dsn!r}))
    session.add(Variable(key="hdm", val='{{"environments": {{"test": {{"conn_id": "hdm_of_the_pages"}}}}}}'))
"""
    command = [sys.executable, "-c", script]
    subprocess.run(command, env={**os.environ, **home}, check=True, capture_output=True, timeout=120)
    done = airflow("hdm", "db", "check", **home)
    assert done.err.startswith("the HDM base (connection hdm_of_the_pages) is current: version 0006\n")
    assert done.out == ""


def test_new_pack_is_checked_activated_run_and_found_in_the_ledger(
    base: Database, file: Path, tmp_path: Path, store: Path, hdm: Hdm
) -> None:
    """From nothing to a metric by the documented commands, as a program, with data alone on stdout."""
    packs = tmp_path / "packs"
    folder = airflow("hdm", "packs", "new", "pulse", packs).out.strip()
    assert folder == str(packs / "metric-packs" / "pulse")
    airflow("hdm", "packs", "check", folder, "--strict")
    slug = hdm("endpoints", "add", "heart", "--type", "sqlite", "--host", file).out.strip()
    assert slug == ENDPOINT.format(file)
    hdm("activate", "pulse", "heart", "--packs-dir", packs)
    done = airflow("hdm", "packs", "run", "pulse", "--packs-dir", packs, "--output", "json")
    (row,) = done.data
    assert (row["endpoint"], row["status"], row["metrics"], row["reported"]) == (slug, "success", 1, True)
    assert "1 success" in done.err
    with base.connect() as connection:
        assert connection.execute("SELECT endpoint, tables FROM metric_pulse").fetchall() == [(slug, 2)]
    ledger = hdm.json("runs", "list")
    assert [(one["pack"], one["status"], one["dag_id"]) for one in ledger] == [("pulse", "success", "cli")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_the_pack_and_closes_the_ledger(
    base: Database, file: Path, tmp_path: Path, store: Path, hdm: Hdm, number: signal.Signals
) -> None:
    """Ctrl-C leaves neither a process nor a row that says `running`."""
    packs, started = tmp_path / "packs", tmp_path / "started"
    hdm("packs", "new", "slow", packs, "--language", "shell")
    script = packs / "metric-packs" / "slow" / "bootstrap-script.sh"
    script.write_text(
        f"#!/bin/bash\ntrap '' TERM\necho $$ > {started}.new; mv {started}.new {started}\nsleep 60 & wait\n"
    )
    hdm("endpoints", "add", ENDPOINT.format(file))
    hdm("activate", "slow", "--all", "--packs-dir", packs)
    command = [sys.executable, "-m", "airflow", "hdm", "packs", "run", "slow", "--packs-dir", str(packs)]
    settings = {"venvs": {"folder": str(store)}, "sandbox": {"write": [str(tmp_path)]}}  # where it leaves its trace
    with subprocess.Popen(
        command,
        env={**os.environ, "AIRFLOW_VAR_HDM": json.dumps(settings)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background of a shell ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    ) as process:
        deadline = time.monotonic() + 60
        while not started.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in out
    pid = int(started.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with base.connect() as connection:
        assert connection.execute("SELECT status, reason FROM hdm_pack_run").fetchall() == [("failed", "interrupted")]


def test_error_is_three_lines_and_exit_code_2(hdm: Hdm, tmp_path: Path) -> None:
    """The error says what, where and what to do; the traceback is shown only on request."""
    done = hdm("packs", "list", "--packs-dir", tmp_path / "none", code=2)
    assert done.out == ""
    assert done.err == f"the packs folder is missing\nin: {tmp_path}/none\ndo: create it, or correct packs_dir\n"
    assert "Traceback" in hdm("packs", "list", "--packs-dir", tmp_path / "none", "--verbose", code=2).err


def test_unreachable_base_is_an_error_without_traceback(hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the password in the connection is not repeated."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "postgres://hdm:s3cr3t-w0rd@127.0.0.1:1/hdm")
    done = hdm("db", "check", code=2)
    assert done.err.startswith("the HDM base cannot be reached")
    assert "in: connection hdm\ndo: " in done.err
    assert "s3cr3t-w0rd" not in done.err + hdm("db", "check", "--verbose", code=2).err


def test_environment_must_be_named_where_there_are_several(
    hdm: Hdm, base: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change must not go to a base that the user did not choose."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", '{"environments": {"dev": {"conn_id": "hdm_dev"}, "prod": {}}}')
    assert "there are several environments: dev, prod" in hdm("db", "check", code=2).err
    assert "there is no environment 'test'" in hdm("db", "check", "--environment", "test", code=2).err
    assert "there is no connection 'hdm_dev'" in hdm("db", "check", "--environment", "dev", code=2).err
    hdm("db", "check", "--environment", "prod")
    hdm("db", "check", "--conn-id", "hdm")


def test_new_base_is_not_current_until_it_is_upgraded(
    hdm: Hdm, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code of `db check` tells a deployment whether `db upgrade` is needed."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    assert "at version none" in hdm("db", "check", code=1).err
    assert "do: run: airflow hdm db upgrade" in hdm("endpoints", "list", code=2).err
    assert "was upgraded from version none to " in hdm("db", "upgrade").err
    assert "is current" in hdm("db", "upgrade").err
    hdm("db", "check")
