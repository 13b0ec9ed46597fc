"""The task `notify`: where it is, what it turns red, and what it does not hold up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization

from hdm_airflow.base import subscriptions
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.subscriptions import Subscription
from hdm_airflow.errors import NotSentError
from hdm_airflow.operators.notify import NotifyOperator
from hdm_airflow.settings import NotifyOptions
from tests.airflow.stage import REPORT_ALL, Stage, endpoint
from tests.airflow.test_dag import Folder, edges
from tests.stand_ins.mail import MailServer

if TYPE_CHECKING:
    from airflow.sdk import DAG

ROOT = Path(__file__).parents[2]
NOTIFY = {"smtp_conn_id": "mail_of_the_tests", "sender": "quality@hospital.example"}
WARD, LAB = "ward@hospital.example", "lab@hospital.example"
GROUP = """
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("own") as dag:
    HdmTaskGroup("quality", packs_dir="packs") >> EmptyOperator(task_id="after")
"""
pytestmark = pytest.mark.filterwarnings("ignore::airflow.exceptions.RemovedInAirflow4Warning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A metric and a rule pack; messages are switched on."""
    made = Folder(tmp_path)
    made.pack("basic")
    made.pack("basic", "rule")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": NOTIFY}))
    return made


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with MailServer() as server:
        monkeypatch.setenv("AIRFLOW_CONN_MAIL_OF_THE_TESTS", server.connection)
        yield server


def text(dag: DAG) -> str:
    data = DagSerialization.to_dict(dag)
    data["dag"].pop("_processor_dags_folder", None)
    return json.dumps(data)


def test_task_is_a_teardown_after_all_packs_that_nothing_waits_for(folder: Folder) -> None:
    """In a Dag of ours and in a group alike; two parses serialise to the same bytes."""
    ours, own = folder.dag(), folder.dag(GROUP)
    for dag, group in ((ours, "hdm-prod"), (own, "quality")):
        task = dag.get_task(f"{group}.notify")
        assert (task.is_teardown, task.on_failure_fail_dagrun) == (True, True)
        assert task.upstream_task_ids == {f"{group}.mp_basic", f"{group}.rp_basic"}
        assert task.downstream_task_ids == set()
    assert ("hdm-prod.end", "end") in edges(ours)
    assert {above for above, below in edges(own) if below == "after"} == {"quality.end"}
    assert text(ours) == text(folder.dag())


def test_without_the_setting_there_is_no_task(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dags stay as they were; one environment may be left out."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    assert "hdm-prod.notify" not in folder.dag().task_ids
    environments = {"dev": {"conn_id": "dev", "notify": False}, "prod": {}}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": NOTIFY, "environments": environments}))
    assert {one for one in folder.dag().task_ids if one.endswith("notify")} == {"hdm-prod.notify"}


def test_pack_args_reach_it_by_a_selector_of_its_own(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of packs do not; wrong ones fail this task alone; a selector of no task fails the Dag."""
    stated: dict[str, Any] = {"*": {"queue": "packs"}, "task:notify": {"retries": 3, "pool": "mail", "retry_delay": 60}}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": NOTIFY, "pack_args": stated}))
    task = folder.dag().get_task("hdm-prod.notify")
    assert (task.retries, task.pool, task.retry_delay.total_seconds(), task.queue) == (3, "mail", 60, "default")
    stated["task:notify"] = {"retries": "many", "trigger_rule": "one_failed", "timeout": 3}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": NOTIFY, "pack_args": stated}))
    dag = folder.dag()
    reason = dag.get_task("hdm-prod.notify").reason
    assert all(f"{name}: " in reason for name in stated["task:notify"])
    assert dag.get_task("hdm-prod.notify").is_teardown
    assert dag.get_task("hdm-prod.mp_basic").queue == "packs"
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": NOTIFY, "pack_args": {"task:notyfi": {}}}))
    assert "'task:notyfi' matches no task" in folder.dag().get_task("configuration").reason


def run(options: dict[str, Any], conf: dict[str, Any] | None = None) -> None:
    task = NotifyOperator(task_id="notify", environment="prod", conn_id="hdm", options=NotifyOptions(**options))
    task.execute({"dag_run": SimpleNamespace(conf=conf or {})})  # type: ignore[typeddict-item]  # what it reads


@pytest.mark.usefixtures("base")
def test_error_says_whether_a_retry_may_help(mail: MailServer) -> None:
    """What waits is tried again; an address that was refused and a row that cannot be read are not."""
    with HdmHook().session() as base:
        subscriptions.add(base, Subscription(recipients=(WARD, LAB), heartbeat=True), actor="ada")
        base.execute(
            "INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id,"
            " run_id, task_id, try_number, status, finished_at)"
            " VALUES ('rule', 'basic', '1', 'a', '2026-01-05', 'prod', '', '', '', 1, 'success', now())"
        )
        mail.recipients.update({WARD: "550 no such user", LAB: "450 later"})
        with pytest.raises(NotSentError) as waiting:
            run(NOTIFY)
        assert f"refused for good: {WARD}: 550 no such user" in str(waiting.value)
        assert "1 wait on mail since" in str(waiting.value)
        mail.recipients.clear()
        run(NOTIFY)
        base.execute("INSERT INTO hdm_core_mail_list (mail) VALUES ('nobody')")
        with pytest.raises(AirflowFailException, match="cannot be read: subscription 2: 'nobody' is no mail address"):
            run(NOTIFY)
    assert [recipients for recipients, _ in mail.mails] == [[LAB]]


@pytest.mark.usefixtures("base")
def test_run_that_is_limited_to_another_environment_skips_it() -> None:
    """In its own it works from the base, whatever part has run."""
    with pytest.raises(AirflowSkipException):
        run(NOTIFY, {"hdm_only": {"environment": "dev"}})
    run(NOTIFY, {"hdm_only": {"environment": "prod", "packs": ["mp_basic"]}})
    with pytest.raises(AirflowFailException):
        run(NOTIFY, {"hdm_only": 3})


@pytest.mark.usefixtures("metadata")
def test_dead_mail_server_turns_the_run_red_and_stops_nothing_that_follows(
    stage: Stage, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real Airflow; the next task sends what has waited."""
    stage.pack("basic", REPORT_ALL.format("ok"))
    stage.activate("mp_basic", endpoint("heart"))
    with HdmHook().session() as base:
        subscriptions.add(base, Subscription(recipients=(WARD,), heartbeat=True), actor="ada")
    port = mail.port
    mail.stop()
    states = run_group(stage, monkeypatch)
    assert states == {
        "run": "failed",
        "after": "success",
        "quality.mp_basic": "success",
        "quality.end": "success",
        "quality.notify": "failed",
    }
    mail.start(port)
    run(NOTIFY)
    assert [recipients for recipients, _ in mail.mails] == [[WARD]]


def run_group(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run a Dag with the group in a process of its own, for one metric date; the states of the run and of its tasks."""
    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.rmtree(dags, ignore_errors=True)
    dags.mkdir(parents=True)
    shutil.copytree(stage.folder, dags / "packs")
    shutil.copy(ROOT / "dags" / ".airflowignore", dags)
    (dags / "own.py").write_text(f"from airflow.sdk import DAG\nfrom hdm_airflow import HdmTaskGroup\n{GROUP}")
    code = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
DagBundlesManager().sync_bundles_to_db()
bag = DagBag()
assert not bag.import_errors, bag.import_errors
sync_bag_to_db(bag, "dags-folder", None)
run = bag.dags["own"].test(run_conf={"metric_date": "2026-01-05"})
states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
print("STATES", json.dumps({"run": str(run.state), **states}))
"""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"venvs": {"folder": str(stage.store)}, "notify": NOTIFY}))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240)
    found = [line for line in done.stdout.splitlines() if line.startswith("STATES ")]
    assert found, done.stdout + done.stderr
    states: dict[str, str] = json.loads(found[-1].removeprefix("STATES "))
    return states
