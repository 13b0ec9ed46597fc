"""Runs that are limited to some packs and endpoints by `hdm_only` in their conf."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import PackFailedError
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint
from tests.airflow.test_dag import Folder

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

pytestmark = pytest.mark.filterwarnings("ignore::airflow.exceptions.RemovedInAirflow4Warning")
HEART, LUNG, LIVER = endpoint("heart"), endpoint("lung"), endpoint("liver")
OK = REPORT_ALL.format("ok")
#: Fails wherever the file `bad` in the packs' parent folder names the database.
SOME = """python -c "
import hdm
run = hdm.load()
bad = open('{}/bad').read().split()
[run.report(e, 'failed' if e.database in bad else 'ok') for e in run.endpoints]
"
"""


def limited(run_id: str = "manual 1", *, metric_date: Any = None, **only: Any) -> dict[str, Any]:
    """What a run that is limited changes in the context of a task."""
    moment = datetime(MONDAY.year, MONDAY.month, MONDAY.day, 2, tzinfo=timezone.utc)
    conf = {"hdm_only": {"environment": "prod", **only}} | ({"metric_date": metric_date} if metric_date else {})
    run = SimpleNamespace(logical_date=moment, run_after=moment, run_type="manual", conf=conf)
    return {"dag_run": run, "run_id": run_id}


def go(stage: Stage, task_id: str, run_id: str = "manual 1", **only: Any) -> None:
    """Execute a task once in a run that is limited."""
    stage.run(task_id, context=limited(run_id, **only))


def test_only_the_named_endpoints_run_even_if_they_have_succeeded(stage: Stage) -> None:
    """Someone has corrected something and wants to see it."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART, LUNG)
    stage.run("mp_basic")
    go(stage, "mp_basic", endpoints=[HEART.slug, LIVER.slug])
    assert stage.ledger("mp_basic", "run_id")[2:] == [("heart", "success", "manual 1")]
    assert f"not run: mp_basic is not activated on {LIVER.slug}" in stage.log


def test_without_endpoints_all_activated_ones_run(stage: Stage) -> None:
    """A column of the matrix."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART, LUNG)
    stage.run("mp_basic")
    go(stage, "mp_basic", packs=["mp_basic"])
    assert [row[0] for row in stage.ledger("mp_basic")] == ["heart", "lung", "heart", "lung"]


def test_old_form_of_a_slug_names_the_same_endpoint(stage: Stage) -> None:
    """Of another program that triggers runs."""
    place = endpoint("heart", host="::1")
    stage.pack("basic", OK)
    stage.activate("mp_basic", place)
    go(stage, "mp_basic", endpoints=["heart:postgres:::1:5432:reader:false"])
    assert stage.ledger("mp_basic") == [("heart", "success")]


@pytest.mark.parametrize("only", [{"environment": "dev"}, {"packs": ["mp_other", "rp_basic"]}])
def test_task_outside_the_part_is_skipped_without_a_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, only: dict[str, Any]
) -> None:
    """It must not need a base, nor be red because the base is down, the pack is quarantined or not."""
    stage.pack("basic", OK)
    stage.pack("broken", OK, version="")
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "not a connection")
    for task_id in ("mp_basic", "mp_broken"):
        with pytest.raises(AirflowSkipException, match=r"^not part of this run$"):
            go(stage, task_id, **only)
    assert "not part of this run" in stage.log


def test_part_without_an_activated_endpoint_is_skipped_and_says_so(stage: Stage) -> None:
    """Not the same as a pack that is activated nowhere."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART)
    with pytest.raises(AirflowSkipException, match=r"^no endpoint of this run is activated for mp_basic$"):
        go(stage, "mp_basic", endpoints=[LUNG.slug])


def test_gate_and_quarantine_hold(stage: Stage) -> None:
    """A run of a part never judges missing metrics."""
    stage.pack("basic", OK)
    stage.pack("basic", OK, kind="rule")
    stage.pack("broken", OK, version="")
    stage.activate("mp_basic", HEART, LUNG)
    stage.activate("rp_basic", HEART, LUNG)
    stage.activate("mp_broken", HEART)
    go(stage, "mp_basic", endpoints=[HEART.slug])
    with pytest.raises(AirflowSkipException, match="mp_basic has not run for this date: lung"):
        go(stage, "rp_basic", endpoints=[LUNG.slug])
    go(stage, "rp_basic", endpoints=[HEART.slug])
    with pytest.raises(AirflowFailException, match="quarantined"):
        go(stage, "mp_broken", endpoints=[HEART.slug])


def test_retry_repeats_only_what_failed_in_this_run(stage: Stage) -> None:
    """What other runs have done meanwhile, or before, does not count."""
    folder = stage.folder.parent
    (folder / "bad").write_text("lung")
    stage.pack("basic", SOME.format(folder))
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    (folder / "bad").write_text("heart")
    with pytest.raises(PackFailedError):  # lung succeeds
        go(stage, "mp_basic", endpoints=[HEART.slug, LUNG.slug])
    (folder / "bad").write_text("lung liver")
    with pytest.raises(PackFailedError):  # another run, in which lung fails
        go(stage, "mp_basic", "manual 2", endpoints=[LUNG.slug])
    before = len(stage.ledger("mp_basic"))
    go(stage, "mp_basic", endpoints=[HEART.slug, LUNG.slug])
    assert stage.ledger("mp_basic", "run_id")[before:] == [("heart", "success", "manual 1")]
    assert stage.summary["kept"] == 1
    go(stage, "mp_basic", "manual 3", endpoints=[HEART.slug])
    assert len(stage.ledger("mp_basic")) == before + 2, "a new run repeats what has succeeded"


def test_cleared_task_of_a_run_that_succeeded_runs_its_part_again(stage: Stage) -> None:
    """As for whole runs: someone wants it repeated."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART, LUNG)
    for _ in range(2):
        go(stage, "mp_basic", endpoints=[HEART.slug])
    assert stage.ledger("mp_basic") == [("heart", "success")] * 2


def test_next_whole_run_counts_what_the_part_has_done(stage: Stage) -> None:
    """One ledger: the night does not repeat what is up to date, and retries of the night repeat what has failed."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART, LUNG)
    go(stage, "mp_basic", endpoints=[HEART.slug])
    stage.run("mp_basic")
    assert stage.ledger("mp_basic", "run_id") == [
        ("heart", "success", "manual 1"),
        ("lung", "success", f"run {MONDAY}"),
    ]


def test_two_environments_on_one_base_are_refused_in_a_part_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of this run alone would hide the other environment."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    monkeypatch.setenv("AIRFLOW_CONN_HDM_TOO", stage.base.dsn)
    with pytest.raises(AirflowFailException, match="from environment prod"):
        stage.run("mp_basic", environment="dev", conn_id="hdm_too", context=limited(environment="dev"))


def test_asset_events_say_that_a_part_was_updated(stage: Stage) -> None:
    """A Dag that is scheduled on them can tell it from a whole night."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART)
    ward = Asset("ward")
    events = _Events()
    stage.run("mp_basic", outlets=[ward], context={**limited(), "outlet_events": events})
    assert events[ward].extra == {"partial_run": True}
    whole = _Events()
    stage.run("mp_basic", outlets=[ward], context={"outlet_events": whole})
    assert whole[ward].extra == {}


class _Events:
    """The events of a task's outlets, as Airflow gives access to them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def __getitem__(self, asset: Asset) -> Any:
        return self._by_name.setdefault(asset.name, SimpleNamespace(extra={}))


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ([], "valid dictionary"),
        ("mp_basic", "valid dictionary"),
        (None, "valid dictionary"),
        ({}, "environment: Field required"),
        ({"environment": 5}, "environment: Input should be a valid string"),
        ({"environment": ""}, "environment: String should have at least 1 character"),
        ({"environment": "prod", "pack": "mp_basic"}, "pack: Extra inputs are not permitted"),
        ({"environment": "prod", "packs": "mp_basic"}, "packs: Input should be a valid list"),
        ({"environment": "prod", "packs": []}, "packs: List should have at least 1 item"),
        ({"environment": "prod", "packs": [1]}, "packs.0: Input should be a valid string"),
        ({"environment": "prod", "endpoints": {"a": 1}}, "endpoints: Input should be a valid list"),
        ({"environment": "prod", "endpoints": ["x"] * 501}, "endpoints: List should have at most 500 items"),
        ({"environment": "prod", "endpoints": ["x" * 1001]}, "endpoints.0: String should have at most 1000 characters"),
    ],
)
def test_conf_of_the_wrong_shape_fails_every_task_before_anything_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, conf: Any, fault: str
) -> None:
    """A retry does not help, and nothing may run on more than was meant."""
    stage.pack("basic", OK)
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "not a connection")
    run = limited()["dag_run"]
    run.conf = {"hdm_only": conf}
    with pytest.raises(AirflowFailException, match=r"hdm_only is wrong:(?s:.*)") as raised:
        stage.run("mp_basic", context={"dag_run": run})
    assert fault in str(raised.value)
    assert "conf of the Dag run" in str(raised.value)


@pytest.mark.parametrize(
    ("only", "fault"),
    [
        ({"environment": "prd"}, "this Dag has no environment 'prd'(?s:.*)choose one of: dev, prod"),
        ({"environment": "prod", "packs": ["basic", "mp_basic"]}, "this Dag has no pack 'basic'"),
        ({"environment": "prod", "packs": ["asic"]}, "this Dag has no pack 'asic'"),
    ],
)
def test_unknown_name_fails_every_task(folder: Folder, only: dict[str, Any], fault: str) -> None:
    """All tasks would be skipped otherwise, and the run be green."""
    folder.pack("basic")
    dag = folder.dag('dag = HdmDag("d", environments={"dev": {"conn_id": "d"}, "prod": {"conn_id": "p"}})')
    run = SimpleNamespace(conf={"hdm_only": only}, run_type="manual")
    for task_id in ("hdm-dev.mp_basic", "hdm-prod.mp_basic"):
        task = dag.get_task(task_id)
        with pytest.raises(AirflowFailException, match=fault):
            task.execute({"dag_run": run, "params": {}})


def test_pack_with_wrong_arguments_is_skipped_if_it_is_not_part(folder: Folder) -> None:
    """It must not turn the run of another pack red; in its own, it fails with the reason."""
    folder.pack("basic")
    folder.pack("other")
    dag: DAG = folder.dag('dag = HdmDag("d", pack_args={"mp_basic": {"pool": 5}})')
    task = dag.get_task("hdm-prod.mp_basic")

    def run(**only: Any) -> Any:
        found = SimpleNamespace(conf={"hdm_only": {"environment": "prod", **only}}, run_type="manual")
        return task.execute({"dag_run": found, "params": {}})

    with pytest.raises(AirflowSkipException, match="not part of this run"):
        run(packs=["mp_other"])
    with pytest.raises(AirflowFailException, match="wrong arguments"):
        run(packs=["mp_basic"])
    with pytest.raises(AirflowFailException, match="hdm_only is wrong"):
        run(packs="mp_basic")


def test_metric_date_of_the_conf_counts_even_if_airflow_keeps_it_out_of_the_params(stage: Stage) -> None:
    """`[core] dag_run_conf_overrides_params = False`."""
    stage.pack("basic", OK)
    stage.activate("mp_basic", HEART)
    go(stage, "mp_basic", metric_date="2026-03-01")
    assert stage.ledger("mp_basic", "metric_date::text") == [("heart", "success", "2026-03-01")]
    with pytest.raises(AirflowFailException, match="metric_date 'soon' is not a date"):
        go(stage, "mp_basic", metric_date="soon")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A dags folder; the Variable `hdm` is empty."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    return Folder(tmp_path)
