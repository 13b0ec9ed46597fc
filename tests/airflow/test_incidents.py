"""Incidents of a rule pack's task: derived whatever its runs were, and after they are stored."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from hdm_airflow.base import activation, incident_fold, incidents
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import HdmBaseError, PackFailedError
from tests.airflow.cli_harness import ROOT, Hdm
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint
from tests.airflow.ward import Ward

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Postgres
    from hdm_airflow.base.hook import BaseConnection
    from tests.airflow.stage import Stage

HEART, LUNG = endpoint("heart"), endpoint("lung")
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def judge(stage: Stage) -> Stage:
    """A rule pack, and an alert of Monday that it has written."""
    stage.pack("judge", REPORT_ALL.format("ok"), kind="rule")
    stage.activate("rp_judge", HEART)
    with stage.base.connect(autocommit=True) as owner:
        owner.execute(
            """INSERT INTO hdm_alerts (rule_pack, endpoint, "date", rule_id, alert_level)
            VALUES ('judge', %s, %s, '1', 'Terrible'), ('judge', %s, %s, '2', 'Info')""",
            [HEART.slug, MONDAY, LUNG.slug, MONDAY],
        )
    return stage


def states(stage: Stage) -> list[tuple[Any, ...]]:
    with stage.base.connect() as connection:
        return connection.execute("SELECT rule_id, state, level FROM hdm_incident ORDER BY id").fetchall()


def test_flaws_are_warnings_of_the_task(judge: Stage) -> None:
    judge.run("rp_judge")
    assert states(judge) == [("1", "open", "High")]
    assert "rule pack judge, rule 1: 1 alert(s) with a level other than High, Warning and Info" in judge.log
    assert f"rule pack judge, rule 2: 1 alert(s) for {LUNG.slug}" in judge.log


def test_failure_of_the_derivation_fails_the_task_after_everything_is_stored_and_a_retry_derives(
    judge: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise incident_fold.OvertakenError(["heart"])

    with monkeypatch.context() as patch:
        patch.setattr(incident_fold, "fold", fail)
        with pytest.raises(HdmBaseError, match="could not be derived"):
            judge.run("rp_judge")
    assert judge.ledger("rp_judge") == [("heart", "success")]
    assert judge.summary["success"] == 1
    assert states(judge) == []
    judge.run("rp_judge")
    assert states(judge) == [("1", "open", "High")]


@pytest.mark.usefixtures("metadata")
def test_failure_of_the_derivation_does_not_hide_that_of_the_pack(
    judge: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is the pack's, the log has both; the command prints the outcomes of both."""

    def fail(*_: Any, **__: Any) -> None:
        raise incident_fold.OvertakenError(["heart"])

    monkeypatch.setattr(incident_fold, "fold", fail)
    judge.pack("judge", "echo the disk is full\nexit 3\n", kind="rule")
    with pytest.raises(PackFailedError, match="ended with exit code 3"):
        judge.run("rp_judge")
    assert "the disk is full" in judge.log.partition("the last lines of the pack's output:")[2]
    assert "the incidents of rule pack judge could not be derived" in judge.log
    sandbox = {"write": [str(judge.folder.parent)], "read": [str(ROOT)]}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"venvs": {"folder": str(judge.store)}, "sandbox": sandbox}))
    command = ("packs", "run", "rp_judge", "--packs-dir", judge.folder, "--date", MONDAY, "--output", "json")
    for script, status in (("exit 3\n", "failed"), (REPORT_ALL.format("ok"), "success")):
        judge.pack("judge", script, kind="rule")
        done = Hdm(capsys)(*command, code=1)
        assert [row["status"] for row in done.data] == [status]
        assert "the incidents of rule pack judge could not be derived" in done.err


def test_connection_that_breaks_while_incidents_are_derived_does_not_hide_the_failure_of_the_pack(
    judge: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(base: BaseConnection, *_: Any, **__: Any) -> None:
        base.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(incident_fold, "fold", fail)
    judge.pack("judge", "exit 3\n", kind="rule")
    with pytest.raises(PackFailedError, match="ended with exit code 3"):
        judge.run("rp_judge", fail_on="High")
    assert "terminating connection" in judge.log
    judge.pack("judge", REPORT_ALL.format("ok"), kind="rule")
    with pytest.raises(HdmBaseError, match="terminating connection"):
        judge.run("rp_judge", fail_on="High")


def test_task_that_fails_or_skips_derives_what_a_killed_one_left(judge: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(incidents, "derive", lambda *_, **__: incidents.Derived())
        judge.run("rp_judge")
    judge.pack("judge", REPORT_ALL.format("failed"), kind="rule")
    with pytest.raises(PackFailedError):
        judge.run("rp_judge", day=TUESDAY)
    assert states(judge) == [("1", "open", "High")]
    judge.pack("judge", REPORT_ALL.format("skipped"), kind="rule")
    with judge.base.connect(autocommit=True) as owner:
        owner.execute("DELETE FROM hdm_core_table_corr_db_rp")
    with pytest.raises(AirflowSkipException):
        judge.run("rp_judge", day=TUESDAY)
    assert states(judge) == [("1", "closed", "High")]


@pytest.mark.parametrize("removed", [False, True])
def test_alerts_that_rested_on_a_deactivated_metric_pack_are_not_resolved(judge: Stage, removed: bool) -> None:
    """A rule pack that judges what all metric packs measure finds less without one of them."""
    judge.pack("beats", REPORT_ALL.format("ok"))
    judge.pack("breaths", REPORT_ALL.format("ok"))
    for task_id in ("mp_beats", "mp_breaths"):
        judge.activate(task_id, HEART, register=False)
        judge.run(task_id)
    judge.run("rp_judge")
    assert judge.ledger("rp_judge", "incomplete") == [("heart", "success", [])]
    with HdmHook().session() as base:
        activation.change(base, [("metric", "breaths", HEART.slug)], active=False, actor="test")
    if removed:
        shutil.rmtree(judge.folder / "metric-packs" / "breaths")
    judge.run("mp_beats", day=TUESDAY)
    judge.run("rp_judge", day=TUESDAY)
    assert judge.ledger("rp_judge", "incomplete")[1:] == [("heart", "success", ["*"])]
    assert states(judge) == [("1", "open", "High")]


def test_metric_packs_do_not_derive(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "derive", lambda *_, **__: pytest.fail("derived"))
    stage.pack("measure", REPORT_ALL.format("ok"))
    stage.activate("mp_measure", HEART)
    assert stage.run("mp_measure")["success"] == 1


# No value of a row ---------------------------------------------------------------------------------------------------

#: A patient's text, number and date, as they are in rows only.
NAME, NUMBER, BORN = "Zebrafish-4711", "471104711", "2811-04-17"
SOUND = """
DROP TABLE stays;
CREATE TABLE people (id int, name text, ward text, weight float, born date, code text, note text);
INSERT INTO people SELECT i, 'name ' || i, 'ward ' || i % 3, 60 + i % 40, date '1950-01-01' + i * 9, 'c' || i % 5, '1'
FROM generate_series(1, 600) i;
CREATE VIEW notes AS SELECT id, note::int AS number, CASE WHEN id % 2 = 0 THEN code END AS code FROM people
"""
#: Half of the rows are another patient's. The server quotes the name when it refuses to read the view.
FAULT = f"""
UPDATE people SET name = '{NAME}', ward = '{NAME}', weight = {NUMBER}, born = '{BORN}', id = {NUMBER}, code = NULL
WHERE id % 2 = 0;
INSERT INTO people SELECT * FROM people WHERE id = {NUMBER}
"""
BROKEN = f"UPDATE people SET note = '{NAME}', ward = 'ward 1', code = 'c1'"
TOLD = (
    "hdm_alerts",
    "hdm_not_judged",
    "hdm_incident",
    "hdm_incident_event",
    "hdm_incident_count",
    "hdm_pack_run",
    "hdm_pack",
    "hdm_audit",
)


@pytest.fixture
def ward(stage: Stage, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """One hospital with metric pack and rule pack basic."""
    heart = postgres.create_database(f"heart_{stage.base.name}")
    ward = Ward(stage=stage, databases={"heart": heart}, tally=tmp_path / "tally")
    for name, value in ward.connections.items():
        monkeypatch.setenv(name, value)
    ward.prepare()
    yield ward
    postgres.drop_database(heart.name)


def test_patients_values_are_in_no_alert_incident_ledger_log_or_list(
    ward: Ward, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three nights: sound; with another patient's values in half of the rows; and with a view that cannot be read."""
    (heart,) = ward.databases.values()
    errors = []
    for number, statements in enumerate((SOUND, FAULT, BROKEN)):
        with heart.connect(autocommit=True) as connection:
            connection.execute(statements)
        for task_id in ("mp_basic", "rp_basic"):
            try:
                ward.stage.run(task_id, day=MONDAY + timedelta(number))
            except PackFailedError as error:
                errors.append(str(error))
    assert len(errors) == 2
    assert [status for *_, status in ward.ledger()] == ["success"] * 4 + ["partial"] * 2
    kinds = [kind for (kind,) in ward.rows("SELECT kind FROM hdm_incident_event")]
    assert {"opened", "resolved", "not judged"} <= set(kinds)
    assert ward.rows("SELECT FROM hdm_not_judged")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    shown = [Hdm(capsys)("incidents", *words) for words in (("list", "--state", "all"), ("list",), ("show", 1))]
    told = [ward.stage.log, *errors, *(done.out + done.err for done in shown)]
    told += [row for table in TOLD for (row,) in ward.rows(f"SELECT one::text FROM {table} AS one")]
    assert not [text for text in told for trace in (NAME, NUMBER, BORN, "Zebra", "2811") if trace in text]
