"""`airflow hdm packs run`: the same mechanism as a task's, and exit codes that a script can rely on."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import ROOT, Hdm

if TYPE_CHECKING:
    from demo.services import Database

TODAY = date(2026, 1, 5)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """The packs folder."""
    return tmp_path / "packs"


@pytest.fixture
def hdm(
    capsys: pytest.CaptureFixture[str], base: Database, packs: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Hdm:
    """Commands in this process, with the metric pack `pulse`, the rule pack of its name, and two SQLite endpoints."""
    settings = {"venvs": {"folder": str(store)}, "sandbox": {"read": [str(ROOT)]}}  # psql's libraries are not beside it
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(settings))
    monkeypatch.setenv("PATH", f"{base.server.bin_dir}:/usr/bin:/bin")
    hdm = Hdm(capsys)
    for kind in ("metric", "rule"):
        hdm("packs", "new", "pulse", packs, "--kind", kind, "--language", "shell")
    for name in ("heart", "lung"):
        with closing(sqlite3.connect(packs.parent / f"{name}.db")) as connection:
            connection.execute("CREATE TABLE t (x)")
        hdm("endpoints", "add", name, "--type", "sqlite", "--host", packs.parent / f"{name}.db")
    return hdm


def script(packs: Path, text: str, kind: str = "metric") -> None:
    """Replace the bootstrap script of a pack."""
    (packs / f"{kind}-packs" / "pulse" / "bootstrap-script.sh").write_text(f"#!/bin/bash\n{text}\n")


def reporting(status: str) -> str:
    """A script that reports every endpoint of the run alike."""
    code = f"import hdm; run = hdm.load(); [run.report(e, '{status}', 'as asked') for e in run.endpoints]"
    return f'python -c "{code}"'


def ledger(base: Database) -> list[tuple[str, str]]:
    """Database name and status of each row, oldest first."""
    with base.connect() as connection:
        rows = connection.execute(
            "SELECT split_part(endpoint, ':', 1), status FROM hdm_pack_run ORDER BY id"
        ).fetchall()
    return [(name, status) for name, status in rows]


@pytest.mark.parametrize(
    ("status", "code"),
    [("ok", 0), ("failed", 1), ("partial", 1), ("skipped", 3)],
    ids=["ok", "failed", "partial", "skipped"],
)
def test_exit_code_tells_how_the_run_went(hdm: Hdm, packs: Path, status: str, code: int) -> None:
    """Scripts branch on it."""
    script(packs, f"echo a line of the pack\n{reporting(status)}")
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, "--date", TODAY, "--output", "json", code=code)
    assert [row["status"] for row in done.data] == [{"ok": "success"}.get(status, status)]
    assert "a line of the pack\n" in done.err
    assert done.err.count("a line of the pack") == 1


def test_only_the_endpoints_named_are_run_and_again_if_need_be(hdm: Hdm, base: Database, packs: Path) -> None:
    """Without a name those run that have not succeeded; a name is a wish."""
    script(packs, reporting("ok"))
    hdm("activate", "mp_pulse", "--all", "--packs-dir", packs)
    run = ("packs", "run", "mp_pulse", "--packs-dir", packs, "--date", TODAY)
    hdm(*run, "--endpoint", "heart")
    assert ledger(base) == [("heart", "success")]
    done = hdm(*run)
    assert ledger(base)[1:] == [("lung", "success")]
    assert "has succeeded before" in done.out
    hdm(*run, "--endpoint", "heart", "lung")
    assert sorted(ledger(base)[2:]) == [("heart", "success"), ("lung", "success")]


def test_endpoint_that_is_not_activated_is_an_error_and_nothing_runs(hdm: Hdm, base: Database, packs: Path) -> None:
    """Activation is a decision of its own."""
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, "--endpoint", "heart", "lung", code=2)
    assert done.err.startswith("mp_pulse is not activated on lung:sqlite:")
    assert "do: activate it there: airflow hdm activate mp_pulse lung:sqlite:" in done.err
    assert ledger(base) == []


def test_pack_without_any_activation_is_told_apart_from_success(hdm: Hdm, packs: Path) -> None:
    """The exit code is 3, and the message says what to do."""
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, code=3)
    assert "nothing ran: no endpoint is activated\ndo: activate the pack: " in done.err


def test_rule_pack_waits_at_the_gate_for_its_metrics(hdm: Hdm, base: Database, packs: Path) -> None:
    """As in a Dag, the rule pack runs as soon as the metrics are complete."""
    script(packs, reporting("ok"))
    hdm("activate", "pulse", "heart", "--packs-dir", packs)
    run = ("--packs-dir", packs, "--date", TODAY, "--output", "json")
    done = hdm("packs", "run", "rp_pulse", *run, code=3)
    assert [(row["status"], row["reason"]) for row in done.data] == [("skipped", "mp_pulse has not run for this date")]
    assert "nothing ran: no endpoint passed the gate" in done.err
    hdm("packs", "run", "mp_pulse", *run)
    assert hdm.json("packs", "run", "rp_pulse", "--packs-dir", packs, "--date", TODAY)[0]["status"] == "success"


def test_quarantined_pack_and_unknown_names_are_usage_errors(hdm: Hdm, packs: Path) -> None:
    """Exit code 2: nothing was tried."""
    assert "write mp_pulse or rp_pulse" in hdm("packs", "run", "pulse", "--packs-dir", packs, code=2).err
    assert "there is no pack" in hdm("packs", "run", "pusle", "--packs-dir", packs, code=2).err
    assert (
        "there is no endpoint" in hdm("packs", "run", "mp_pulse", "--packs-dir", packs, "--endpoint", "x", code=2).err
    )
    (packs / "metric-packs" / "pulse" / "bootstrap-script.sh").unlink()
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, code=2)
    assert "is quarantined" in done.err
    assert "[script-missing]" in done.err


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("requirements.txt", "./nowhere.whl\n", "the venv could not be built"),
        ("create-table/create.sql", "CREATE TABLE;\n", "the pack's SQL script failed"),
    ],
    ids=["requirements", "sql"],
)
def test_pack_that_cannot_be_prepared_is_a_failed_run(
    hdm: Hdm, base: Database, packs: Path, file: str, content: str, what: str
) -> None:
    """The pack failed, not the command: exit code 1, and a row in the ledger."""
    (packs / "metric-packs" / "pulse" / file).write_text(content)
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, code=1)
    assert what in done.err
    assert ledger(base) == [("heart", "failed")]


def test_passwords_are_masked_and_the_kept_folder_has_none(
    hdm: Hdm, base: Database, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look into a run's folder one keeps it; context and password file are not part of it."""
    monkeypatch.setattr("tempfile.tempdir", str(packs.parent))
    slug = "brain:postgres:127.0.0.1:1:reader:false"
    hdm("endpoints", "add", slug)
    monkeypatch.setenv("AIRFLOW_CONN_HDM_BRAIN", '{"conn_type": "generic", "password": "s3cr3t-w0rd"}')
    hdm("activate", "mp_pulse", slug, "--packs-dir", packs)
    script(packs, f'cat "$HDM_CONTEXT"; echo result > result.txt; {reporting("ok")}')
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, "--keep", "--verbose")
    assert "s3cr3t-w0rd" not in done.err + done.out
    assert '"password": "***"' in done.err
    line = next(line for line in done.err.splitlines() if line.startswith("the run's folder is kept: "))
    kept = Path(line.partition(": ")[2])
    assert (kept / "pack" / "result.txt").read_text() == "result\n"
    assert (kept / "report.jsonl").exists()
    texts = [path.read_text(errors="replace") for path in kept.rglob("*") if path.is_file() and path.suffix != ".whl"]
    assert not [text for text in texts if "s3cr3t-w0rd" in text or base.server.password in text]


def test_environment_of_an_unknown_base_must_be_named(
    hdm: Hdm, base: Database, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack gets its environment's name; for a base that is not in the settings, that would be a guess."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", base.dsn)
    script(packs, f'echo "env: $HDM_ENVIRONMENT"; {reporting("ok")}')
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    run = ("packs", "run", "mp_pulse", "--packs-dir", packs)
    assert "no environment has the connection 'other'" in hdm(*run, "--conn-id", "other", code=2).err
    assert "env: test" in hdm(*run, "--conn-id", "other", "--environment", "test").err
    assert "env: prod" in hdm(*run, "--conn-id", "hdm", "--date", TODAY).err


def test_metric_pack_that_files_today_under_another_date_is_warned_of(hdm: Hdm, packs: Path) -> None:
    """Only a pack that says `backfill` can measure the past."""
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    done = hdm("packs", "run", "mp_pulse", "--packs-dir", packs, "--date", TODAY, code=None)
    assert f"warning: mp_pulse measures the state of today and stores it under {TODAY}" in done.err


@pytest.mark.parametrize("language", ["shell", "python"])
def test_new_packs_of_both_kinds_measure_and_judge(
    hdm: Hdm, base: Database, database: Database, packs: Path, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The templates are programs, not sketches: metrics, an alert where rows are lost, the same again on a rerun."""
    for kind in ("metric", "rule"):
        hdm("packs", "new", "beat", packs, "--kind", kind, "--language", language)
    server = database.server
    slug = f"{database.name}:postgres:{server.host}:{server.port}:{server.user}:false"
    hdm("endpoints", "add", slug)
    password = json.dumps({"conn_type": "generic", "password": server.password})
    monkeypatch.setenv(f"AIRFLOW_CONN_HDM_{database.name.upper()}", password)
    with database.connect() as connection:
        connection.execute("CREATE TABLE one (x int); CREATE TABLE two (x int)")
    with base.connect() as connection:
        connection.execute('CREATE TABLE metric_seen (endpoint text, "date" date, n int)')
        insert = "INSERT INTO metric_seen SELECT %s, %s, generate_series(1, %s)"
        connection.execute(insert, [slug, TODAY - timedelta(3), 10])
        connection.execute(insert, [slug, TODAY, 4])
        connection.execute(insert, [slug, TODAY + timedelta(1), 1])
    hdm("activate", "beat", slug, "--packs-dir", packs)
    run = ("--packs-dir", packs, "--date", TODAY)
    for _ in range(2):
        (measured,) = hdm.json("packs", "run", "mp_beat", *run)
        assert (measured["status"], measured["metrics"]) == ("success", 1)
        (judged,) = hdm.json("packs", "run", "rp_beat", *run)
        assert (judged["status"], judged["alerts"]) == ("success", 1)
    with base.connect() as connection:
        assert connection.execute("SELECT endpoint, date, tables FROM metric_beat").fetchall() == [(slug, TODAY, 2)]
        alerts = connection.execute("SELECT endpoint, date, rule_pack, alert_message FROM hdm_alerts").fetchall()
    message = "metric_seen has 4 rows, 60% fewer than on 2026-01-02"
    assert alerts == [(slug, TODAY, "beat", message)]
    hdm("config", "set", "rp_beat", '{"max_drop": 75}', "--packs-dir", packs)
    assert hdm.json("packs", "run", "rp_beat", *run)[0]["alerts"] == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("failed", 1)])
def test_exit_code_is_that_of_the_run_whoever_reads_its_output(
    hdm: Hdm, base: Database, packs: Path, status: str, code: int, stream: str
) -> None:
    """`packs run ... | true` is used in scripts: the run goes on, and its exit code says how it went."""
    script(packs, f"echo before\n{reporting(status)}")
    hdm("activate", "mp_pulse", "heart", "--packs-dir", packs)
    command = ["hdm", "packs", "run", "mp_pulse", "--packs-dir", packs, "--date", TODAY]
    done = without_reader(stream, *command)
    assert done.returncode == code, done.stderr
    assert ledger(base) == [("heart", "success" if status == "ok" else "failed")]


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
@pytest.mark.parametrize("words", [["packs", "list"], ["packs", "show", "mp_pulse"]], ids=["list", "show"])
def test_output_without_a_reader_is_no_failure(hdm: Hdm, packs: Path, words: list[str], output: str) -> None:
    """`| head -1` is not an error, in any format."""
    done = without_reader("stdout", "hdm", *words, "--packs-dir", packs, "--output", output)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_without_a_reader_still_says_that_there_are_errors(hdm: Hdm, packs: Path) -> None:
    """`packs check | head` in a build must not turn green."""
    (packs / "metric-packs/pulse/properties.json").write_text("{}")
    for output in ("text", "json"):
        assert without_reader("stdout", "hdm", "packs", "check", packs, "--output", output).returncode == 1


def without_reader(stream: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the program `airflow` with a stream whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    command = [sys.executable, "-W", "ignore", "-m", "airflow", *map(str, words)]
    try:
        return subprocess.run(
            command, stdout=streams["stdout"], stderr=streams["stderr"], text=True, check=False, timeout=120
        )
    finally:
        os.close(writer)
