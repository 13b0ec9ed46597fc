"""The Dag of a packs folder: its tasks and dependencies, and its reports of broken packs and wrong settings."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.serialization.serialized_objects import DagSerialization

from hdm_airflow.errors import ConfigurationError
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::airflow.exceptions.RemovedInAirflow4Warning")


class Folder:
    """A dags folder with packs and one Dag file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pack(self, name: str, kind: str = "metric", folder: str | None = None, **keys: Any) -> None:
        """Write a pack."""
        place = self.path / "packs" / f"{kind}-packs" / (folder or name)
        place.mkdir(parents=True)
        manifest = {"name": name, "version": "1.0.0", "author": "a", "description": f"{name} measures", **keys}
        (place / "properties.json").write_text(json.dumps(manifest))
        (place / "bootstrap-script.sh").write_text("#!/bin/bash\nexit 0\n")
        (place / "Readme.md").write_text(f"# How {name} works\n")

    def dag(self, code: str = 'dag = HdmDag("hdm_pipeline")') -> Any:
        """Run a Dag file; its variable `dag` comes back."""
        file = self.path / "hdm.py"
        file.write_text(f"from airflow.sdk import DAG\nfrom hdm_airflow import HdmDag, HdmTaskGroup\n{code}\n")
        names = runpy.run_path(str(file))
        return names["dag"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A dags folder; the Variable `hdm` is empty."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    return Folder(tmp_path)


def edges(dag: DAG) -> set[tuple[str, str]]:
    """Every edge, as task ids."""
    return {(task.task_id, below) for task in dag.tasks for below in task.downstream_task_ids}


def test_dag_has_one_group_per_environment_and_rules_behind_their_metrics(folder: Folder) -> None:
    """start >> hdm-<env> groups >> end, as in the original's picture; one edge to each group and from it."""
    folder.pack("basic")
    folder.pack("basic", "rule")
    folder.pack("other")
    dag = folder.dag('dag = HdmDag("hdm_pipeline", environments={"dev": {"conn_id": "d"}, "prod": {"conn_id": "p"}})')
    wanted = {("start", "hdm-{}.mp_basic"), ("start", "hdm-{}.mp_other"), ("hdm-{}.mp_basic", "hdm-{}.rp_basic")}
    wanted |= {(f"hdm-{{}}.{task}", "hdm-{}.end") for task in ("mp_basic", "rp_basic", "mp_other")}
    wanted |= {("hdm-{}.end", "end")}
    assert edges(dag) == {(a.format(env), b.format(env)) for env in ("dev", "prod") for a, b in wanted}
    assert dag.get_task("hdm-prod.rp_basic").trigger_rule == "all_done"
    assert dag.get_task("hdm-prod.mp_basic").trigger_rule == "all_success"
    assert {dag.get_task(end).trigger_rule for end in ("end", "hdm-dev.end", "hdm-prod.end")} == {"none_failed"}
    assert {"hdm-dev", "hdm-prod"} == dag.task_group.children.keys() - {"start", "end"}
    for group in ("hdm-dev", "hdm-prod"):
        assert dag.task_group.children[group].upstream_task_ids == {"start"}
        assert dag.task_group.children[group].downstream_task_ids == {"end"}
    assert dag.get_task("hdm-dev.mp_basic").conn_id == "d"
    assert (dag.schedule, dag.catchup, dag.max_active_runs, set(dag.tags)) == ("0 2 * * *", False, 1, {"hdm"})
    assert dag.fileloc == str(folder.path / "hdm.py")


def test_rule_pack_without_depends_on_waits_for_every_metric_pack_when_none_has_its_name(folder: Folder) -> None:
    """This is the safe default: the rule pack could judge any of them."""
    for name in ("a", "b"):
        folder.pack(name)
    folder.pack("judge", "rule")
    found = edges(folder.dag())
    assert {("hdm-prod.mp_a", "hdm-prod.rp_judge"), ("hdm-prod.mp_b", "hdm-prod.rp_judge")} <= found


def test_broken_pack_becomes_a_failing_task_and_all_others_stay(folder: Folder) -> None:
    """One bad pack never hides the Dag, nor vanishes without a word."""
    folder.pack("good")
    folder.pack("basic", version="")
    folder.pack("basic", folder="another", version="0")
    folder.pack("basic", "rule")
    dag = folder.dag()
    broken = dag.get_task("hdm-prod.mp_basic_2")
    assert (broken.retries, broken.outlets) == (0, [])
    assert "version-missing" in broken.doc_md
    assert dag.get_task("hdm-prod.mp_basic").pack.errors == ()
    assert "hdm-prod.mp_good" in dag.task_dict


def test_documentation_shows_errors_first_as_a_list(folder: Folder) -> None:
    """Whoever opens a red task sees what to correct, before the Readme and the warnings."""
    folder.pack("basic", version="", depnds_on=["<b>*x*"])
    doc = folder.dag().get_task("hdm-prod.mp_basic").doc_md
    error = "- metric-packs/basic/properties.json:version: **the pack has no version** (version-missing)\n  - do: write"
    order = ["metric pack basic", "#### Quarantined", error, "#### Warnings", "(key-unknown)", "# How basic works"]
    places = [doc.index(text) for text in order]
    assert places == sorted(places)
    assert "depnds\\_on" in doc


def test_boxes_and_the_dag_say_what_they_are(folder: Folder) -> None:
    """PackOperator in every box says nothing; the Dag explains its environments and states."""
    folder.pack("good")
    folder.pack("good", "rule")
    folder.pack("bad", version="")
    folder.pack("args")
    dag = folder.dag(
        'dag = HdmDag("d", environments={"b": {"conn_id": "x", "pack_conn_id": "p"}, "a": {"conn_id": "y"}},'
        ' pack_args={"args": {"pool": 5}})'
    )
    names = {task: dag.get_task(f"hdm-a.{task}").operator_name for task in ("mp_good", "rp_good", "mp_bad", "mp_args")}
    assert names == {
        "mp_good": "metric pack",
        "rp_good": "rule pack",
        "mp_bad": "quarantined",
        "mp_args": "wrong configuration",
    }
    assert "| a | `y` | `y` (owner) |\n| b | `x` | `p` |\n" in dag.doc_md
    assert DagSerialization.to_dict(dag)["dag"]["doc_md"] == dag.doc_md
    assert folder.dag('dag = HdmDag("d", doc_md="mine")').doc_md == "mine"


def test_manifest_and_pack_args_reach_the_task(folder: Folder) -> None:
    """The manifest first, the administrator's word last; numbers are seconds where Airflow takes a duration."""
    folder.pack("basic", retries=2, pool="metrics", queue="big", tags=["nightly"])
    args = {"tag:nightly": {"retries": 5, "execution_timeout": 60}, "kind:metric": {"queue": "small"}}
    task = folder.dag(f'dag = HdmDag("d", pack_args={args!r})').get_task("hdm-prod.mp_basic")
    assert (task.retries, task.pool, task.queue) == (5, "metrics", "small")
    assert task.execution_timeout.total_seconds() == 60
    assert task.outlets == [Asset(name="hdm-prod.mp_basic", uri="hdm://prod/metric-packs/basic")]
    assert "How basic works" in task.doc_md


def test_argument_that_airflow_refuses_fails_that_task_alone(folder: Folder) -> None:
    """It comes from a Variable; an exception would take every Dag of the file away."""
    folder.pack("basic")
    folder.pack("other")
    dag = folder.dag('dag = HdmDag("d", pack_args={"mp_basic": {"no_such_argument": 1}})')
    assert "no_such_argument" in dag.get_task("hdm-prod.mp_basic").reason
    assert dag.get_task("hdm-prod.mp_other").pack.name == "other"
    assert ("hdm-prod.mp_basic", "hdm-prod.end") in edges(dag)


WRONG: list[dict[str, Any]] = [
    {name: value}
    for value, names in {
        5: "pool queue owner executor run_as_user logger_name doc doc_md doc_json doc_yaml doc_rst trigger_rule "
        "task_display_name map_index_template weight_rule conn_id pack_conn_id environment email params resources "
        "depends_on_past wait_for_downstream email_on_failure do_xcom_push multiple_outputs start_date end_date "
        "executor_config inlets outlets on_failure_callback on_success_callback pre_execute post_execute retry_policy "
        "render_template_as_native_obj allow_nested_operators default_args dag task_group task_id pack options sla",
        1e300: "retry_delay max_retry_delay execution_timeout retries retry_exponential_backoff timeout",
        float("nan"): "retry_delay max_retry_delay execution_timeout pool_slots retry_exponential_backoff",
        "soon": "retry_delay execution_timeout retries pool_slots priority_weight max_active_tis_per_dag limits",
        "x\0": "pool queue owner doc_md task_display_name",
        "\ud800": "pool doc_md map_index_template",
        "x" * 300: "pool queue trigger_rule executor",
        b"x": "pool queue doc_md",
        -1: "retries pool_slots retry_delay max_active_tis_per_dagrun execution_timeout",
        10**30: "retries pool_slots retry_delay execution_timeout",
        True: "retries retry_delay pool pool_slots",
    }.items()
    for name in names.split()
]
WRONG += [
    {"params": {"x": object()}},
    {"params": {"x": "\ud800"}},
    {"executor_config": {"x": object()}},
    {"pool": object()},
    {"on_failure_callback": [print, "print"]},
    {"outlets": ["hdm://prod"]},
    {"pool": "ok", "quene": "x"},
    {"\ud800": 1},
    {"x" * 100_000: 1},
]


@pytest.mark.parametrize(
    "arguments",
    WRONG,
    ids=lambda arguments: f"{min(arguments)[:40]!a}-{type(min(arguments.values(), key=str)).__name__}",
)
def test_wrong_value_of_any_argument_fails_that_task_alone(folder: Folder, arguments: dict[str, Any]) -> None:
    """Airflow finds one at the task's creation, another in serialisation, and its scheduler or database a third."""
    from hdm_airflow import HdmDag

    for name in ("basic", "other"):
        folder.pack(name)
    texts = []
    for _ in range(2):
        dag = HdmDag("d", packs_dir=folder.path / "packs", pack_args={"mp_basic": arguments})
        texts.append(json.dumps(DagSerialization.to_dict(dag), allow_nan=False))
    assert set(dag.task_dict) == {"start", "hdm-prod.mp_basic", "hdm-prod.mp_other", "hdm-prod.end", "end"}
    assert "mp_basic has wrong arguments" in dag.get_task("hdm-prod.mp_basic").reason
    assert dag.get_task("hdm-prod.mp_other").pack.name == "other"
    assert texts[0] == texts[1]
    assert not re.search(r"(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f]..)", texts[0])
    DagSerialization.from_dict(json.loads(texts[0]))


def test_every_argument_of_airflows_operators_has_a_type() -> None:
    """An argument that a new Airflow adds is still tried, but its type is not known."""
    import inspect

    from airflow.sdk import BaseOperator

    from hdm_airflow.operators.arguments import _RESERVED, _Arguments

    of_airflow = inspect.signature(BaseOperator.__init__).parameters.keys() - {"self", "kwargs"}
    assert of_airflow <= _Arguments.model_fields.keys() | _RESERVED


def test_right_arguments_reach_the_task_as_they_are(folder: Folder) -> None:
    """What Airflow takes is taken here; one combination is checked once, for however many packs."""
    from datetime import datetime, timedelta, timezone

    from hdm_airflow import HdmDag

    for name in ("basic", "other"):
        folder.pack(name)
    stated: dict[str, Any] = {
        "retries": 2,
        "retry_delay": 1.5,
        "max_retry_delay": timedelta(minutes=1),
        "execution_timeout": None,
        "pool": None,
        "priority_weight": -5,
        "weight_rule": "upstream",
        "trigger_rule": "all_done",
        "on_failure_callback": [print],
        "pre_execute": print,
        "params": {"x": [1, {"y": None}]},
        "executor_config": {"x": {"y": 1}},
        "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "outlets": [Asset("ward")],
        "require_reports": True,
        "limits": {"memory": 1_000_000_000},
    }
    dag = HdmDag("d", packs_dir=folder.path / "packs", pack_args={"*": stated})
    for name in ("basic", "other"):
        task = dag.get_task(f"hdm-prod.mp_{name}")
        assert task.retry_delay.total_seconds() == 1.5
        assert (task.pool, task.outlets, task.on_failure_callback) == ("default_pool", [Asset("ward")], [print])
        assert (task.options.require_reports, task.options.limits.memory) == (True, 1_000_000_000)
    DagSerialization.to_dict(dag)


@pytest.mark.parametrize(
    ("variable", "code", "reason"),
    [
        ("{not json", 'HdmDag("d")', "the Variable is not JSON"),
        ('{"packs": "x", "timeout": "soon"}', 'HdmDag("d")', "timeout: .*\n.*packs: "),
        ("{}", 'HdmDag("d", packs_dir="nowhere")', "the packs folder is missing"),
        ("{}", 'HdmDag("d", select=["tag:none"])', "no pack matches tag:none"),
        ("{}", 'HdmDag("d", exclude=["*"])', "no packs to run"),
        ('{"pack_args": {"mp_ghost": {}}}', 'HdmDag("d")', "no pack matches mp_ghost"),
    ],
)
def test_what_is_wrong_outside_the_code_becomes_a_task_that_fails_with_the_reason(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, variable: str, code: str, reason: str
) -> None:
    """An import error would hide the Dag; this shows why nothing runs."""
    folder.pack("basic")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", variable)
    dag = folder.dag(f"dag = {code}")
    assert set(dag.task_dict) == {"start", "configuration", "end"}
    assert re.search(reason, dag.get_task("configuration").reason)


def test_task_that_a_worker_runs_fails_with_the_reason_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings became wrong after it was scheduled: `Task not found` would not say so."""
    folder.pack("basic")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{not json")
    for dag_id, task_id, more in (("d", "hdm-x.mp_basic", {"hdm-x.mp_basic"}), ("e", "mp", set()), ("d", "end", set())):
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)
        dag = folder.dag('dag = HdmDag("d")')
        assert set(dag.task_dict) == {"start", "configuration", "end"} | more
        assert all("the Variable is not JSON" in dag.get_task(one).reason for one in {"configuration"} | more)
        assert "| prod |" not in dag.doc_md  # unknown


@pytest.mark.parametrize(
    ("group", "task_id", "more"),
    [
        ('TaskGroup("a"): HdmTaskGroup("g")', "a.g.mp_basic", {"a.g.mp_basic"}),
        ('TaskGroup("a"): HdmTaskGroup("g")', "a.g.end", set()),
        ('TaskGroup("a"): HdmTaskGroup("g")', "before", set()),
        ('TaskGroup("a"): HdmTaskGroup("g", prefix_group_id=False)', "before", set()),
    ],
)
def test_task_of_a_group_in_a_worker_fails_with_the_reason(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, group: str, task_id: str, more: set[str]
) -> None:
    """Tasks of the Dag's author stay his."""
    folder.pack("basic")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{not json")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "d")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)
    imports = "from airflow.sdk import TaskGroup\nfrom airflow.providers.standard.operators.empty import EmptyOperator"
    code = f'{imports}\nwith DAG("d") as dag:\n    EmptyOperator(task_id="before")\n    with {group}'
    dag = folder.dag(code)
    end, wrong = ("end", "configuration") if "False" in group else ("a.g.end", "a.g.configuration")
    assert set(dag.task_dict) == {"before", end, wrong} | more
    assert all("the Variable is not JSON" in dag.get_task(one).reason for one in {wrong} | more)


@pytest.mark.parametrize(
    "arguments",
    [
        {"environments": {"a": {"conn_id": "x"}, "b": {"conn_id": "x"}}},
        {"environments": {"a b": {}}},
        {"select": "basic"},
        {"pack_args": {"basic": 3}},
        {"environments": {}},
    ],
)
def test_wrong_arguments_of_hdmdag_raise(folder: Folder, arguments: dict[str, Any]) -> None:
    """The Dag's author makes them, and reads the error."""
    with pytest.raises(ConfigurationError, match="arguments of HdmDag"):
        folder.dag(f'dag = HdmDag("d", **{arguments!r})')


def test_arguments_come_before_the_variable_and_the_variable_before_defaults(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out of the code can be changed in the UI."""
    folder.pack("basic")
    folder.pack("other")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", '{"select": ["basic"], "schedule": "@hourly", "environments": {"x": {}}}')
    dag = folder.dag('dag = HdmDag("d", select=["other"])')
    assert set(dag.task_dict) == {"start", "hdm-x.mp_other", "hdm-x.end", "end"}
    assert dag.schedule == "@hourly"


def test_two_parses_serialise_to_the_same_bytes_from_any_folder(folder: Folder, tmp_path: Path) -> None:
    """Otherwise each parse would make a new version of the Dag."""
    for name in ("b", "a", "c"):
        folder.pack(name)
        folder.pack(name, "rule", version="" if name == "c" else "1")
    texts = []
    for _ in range(2):
        data = DagSerialization.to_dict(folder.dag())
        data["dag"].pop("_processor_dags_folder", None)
        texts.append(json.dumps(data, sort_keys=False))
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0].replace(str(folder.path / "hdm.py"), "")


def test_task_group_runs_inside_somebodys_own_dag_and_ends_in_one_task(folder: Folder) -> None:
    """What follows the group waits for all of it, and is not reached when a pack failed."""
    folder.pack("basic")
    folder.pack("basic", "rule")
    dag = folder.dag(
        """
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("own") as dag:
    before, after = EmptyOperator(task_id="before"), EmptyOperator(task_id="after")
    before >> HdmTaskGroup("quality", packs_dir="packs", environment="prod") >> after
"""
    )
    assert edges(dag) == {
        ("before", "quality.mp_basic"),
        ("quality.mp_basic", "quality.rp_basic"),
        ("quality.mp_basic", "quality.end"),
        ("quality.rp_basic", "quality.end"),
        ("quality.end", "after"),
    }


def test_task_group_of_an_unknown_environment_fails_with_the_reason(folder: Folder) -> None:
    """A typing error must not silently run on another base."""
    folder.pack("basic")
    dag = folder.dag('with DAG("own") as dag:\n    HdmTaskGroup("quality", environment="prd")')
    assert "there is no environment 'prd'" in dag.get_task("quality.configuration").reason


def test_import_for_a_dag_file_loads_no_driver_and_no_data_library() -> None:
    """Every worker imports it for each task."""
    code = """
import sys
from airflow.sdk import DAG, BaseOperator, Asset
from airflow.providers.standard.operators.empty import EmptyOperator
before = set(sys.modules)
from hdm_airflow import HdmDag, HdmTaskGroup, PackOperator, Catalog
new = set(sys.modules) - before
heavy = {"psycopg", "psycopg2", "asyncpg", "pymysql", "pandas", "polars", "hvac", "alembic"}
print(sorted(heavy & new), sorted(name for name in new if name.startswith("sqlalchemy")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == "[] []"


@pytest.mark.usefixtures("metadata")
def test_failed_metric_pack_turns_the_whole_run_red_while_all_else_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule task that went on behind a failed metric task must not leave the run green."""
    ok = REPORT_ALL.format("ok")
    stage.pack("good", ok)
    stage.pack("good", ok, kind="rule")
    stage.pack("bad", "exit 1\n")
    stage.pack("bad", ok, kind="rule")
    stage.pack("broken", ok, version="")
    heart = endpoint("heart")
    for task_id in ("mp_good", "rp_good", "mp_bad", "rp_bad", "mp_broken"):
        stage.activate(task_id, heart)
    states = run_dag(stage, monkeypatch)
    assert states == {
        "run": "failed",
        "start": "success",
        "end": "upstream_failed",
        "hdm-prod.end": "upstream_failed",
        "hdm-prod.mp_good": "success",
        "hdm-prod.rp_good": "success",
        "hdm-prod.mp_bad": "failed",
        "hdm-prod.rp_bad": "skipped",
        "hdm-prod.mp_broken": "failed",
    }


@pytest.mark.usefixtures("metadata")
def test_run_without_anything_wrong_is_green_and_in_the_ledger(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder to the ledger, in a real Airflow."""
    ok = REPORT_ALL.format("ok")
    stage.pack("basic", ok)
    stage.pack("basic", ok, kind="rule")
    for task_id in ("mp_basic", "rp_basic"):
        stage.activate(task_id, endpoint("heart"))
    states = run_dag(stage, monkeypatch, conf={"metric_date": "2026-03-01"})
    assert set(states.values()) == {"success"}
    assert stage.ledger("rp_basic", "metric_date::text", "reported") == [("heart", "success", "2026-03-01", True)]


def run_dag(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, conf: dict[str, Any] | None = None, **settings: Any
) -> dict[str, str]:
    """Run the packs as a Dag with `dag.test()`, in a process of its own; the states of the run and of its tasks."""
    import shutil

    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.rmtree(dags, ignore_errors=True)
    dags.mkdir(parents=True)
    shutil.copytree(stage.folder, dags / "packs")
    shutil.copy(ROOT / "dags" / ".airflowignore", dags)
    (dags / "hdm.py").write_text('from hdm_airflow import HdmDag\n\ndag = HdmDag("hdm_pipeline")\n')
    code = """
import json, sys
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
DagBundlesManager().sync_bundles_to_db()
bag = DagBag()
assert not bag.import_errors, bag.import_errors
sync_bag_to_db(bag, "dags-folder", None)
run = bag.dags["hdm_pipeline"].test(run_conf=json.loads(sys.argv[1]))
states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
print("STATES", json.dumps({"run": str(run.state), **states}))
"""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"venvs": {"folder": str(stage.store)}, **settings}))
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(conf or {})],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("STATES ")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, str] = json.loads(lines[-1].removeprefix("STATES "))
    return found
