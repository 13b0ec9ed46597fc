"""Markers: how Airflow's database learns which environments and packs a Dag has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from airflow.sdk import DAG, Asset
from airflow.serialization.serialized_objects import DagSerialization

from tests.airflow.test_dag import Folder

pytestmark = pytest.mark.filterwarnings("ignore::airflow.exceptions.RemovedInAirflow4Warning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A dags folder; the Variable `hdm` is empty."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    return Folder(tmp_path)


class Marker(NamedTuple):
    """What Airflow knows of a marker."""

    task_id: str  # of the task that carries it
    uri: str
    extra: dict[str, Any]


def markers(dag: DAG) -> dict[str, Marker]:
    """Name -> marker."""
    return {
        asset.name: Marker(task.task_id, asset.uri, {**asset.extra})
        for task in dag.tasks
        for asset in task.inlets
        if isinstance(asset, Asset) and asset.name.startswith("hdm:")
    }


def test_each_environment_has_a_marker_with_its_packs(folder: Folder) -> None:
    """Pages need no Dag file, no Variable and no packs folder to know what there is."""
    folder.pack("basic", tags=["nightly", "core"])
    folder.pack("basic", "rule", version="")
    folder.pack("args")
    dag = folder.dag(
        'dag = HdmDag("d", environments={"b": {"conn_id": "x", "pack_conn_id": "p"}, "a": {"conn_id": "y"}},'
        ' pack_args={"args": {"pool": 5}})'
    )
    found = markers(dag)
    assert found.keys() == {"hdm:d:hdm-a", "hdm:d:hdm-b"}
    task_id, uri, extra = found["hdm:d:hdm-b"]
    assert (task_id, uri) == ("hdm-b.mp_args", "hdm://environment/d/hdm-b")
    packs = extra.pop("packs")
    assert extra == {
        "environment": "b",
        "conn_id": "x",
        "pack_conn_id": "p",
        "group": "hdm-b.",
        "kind_of_group": "dag",
        "problem": "",
    }
    assert [one["task_id"] for one in packs] == ["mp_args", "mp_basic", "rp_basic"]
    assert packs[1] == {
        "task_id": "mp_basic",
        "kind": "metric",
        "name": "basic",
        "version": "1.0.0",
        "tags": ["core", "nightly"],
        "quarantined": "",
    }
    assert "mp_args has wrong arguments" in packs[0]["quarantined"]
    assert "the pack has no version (version-missing)" in packs[2]["quarantined"]
    assert found["hdm:d:hdm-a"].extra["conn_id"] == "y"
    assert found["hdm:d:hdm-a"].extra["pack_conn_id"] == ""


def test_marker_is_never_on_a_task_that_the_scheduler_ends_itself(folder: Folder) -> None:
    """An inlet of `end` would cost a worker in each run; an outlet would be an event of each run."""
    from airflow.models.taskinstance import TaskInstance

    folder.pack("basic")
    for code in (
        'dag = HdmDag("d")',
        'dag = HdmDag("d", select=["nothing"])',
        'with DAG("d") as dag:\n    HdmTaskGroup("g")',
        'with DAG("d") as dag:\n    HdmTaskGroup("g", environment="other")',
    ):
        dag = DagSerialization.from_dict(DagSerialization.to_dict(folder.dag(code)))
        ends = [task for task in dag.tasks if task.task_id.rpartition(".")[2] in {"start", "end"}]
        assert ends
        assert not any(TaskInstance.is_task_schedulable(task) for task in ends)
        assert not [one for task in dag.tasks for one in task.outlets if one.name.startswith("hdm:")]
        assert len([one for task in dag.tasks for one in task.inlets]) == 1


def test_inlets_of_pack_args_stay(folder: Folder) -> None:
    """Lineage that an administrator has stated, also for several packs at once."""
    from hdm_airflow import HdmDag

    folder.pack("a")
    folder.pack("b")
    shared = [Asset("ward")]
    dag = HdmDag("d", packs_dir=folder.path / "packs", pack_args={"*": {"inlets": shared}})
    assert [one.name for one in dag.get_task("hdm-prod.mp_a").inlets] == ["ward", "hdm:d:hdm-prod"]
    assert dag.get_task("hdm-prod.mp_b").inlets == shared == [Asset("ward")]


@pytest.mark.parametrize(
    ("group", "name", "prefix", "carrier"),
    [
        ('HdmTaskGroup("g")', "hdm:own:g", "g.", "g.mp_basic"),
        ('TaskGroup("a"): HdmTaskGroup("g")', "hdm:own:a.g", "a.g.", "a.g.mp_basic"),
        ('TaskGroup("a"): HdmTaskGroup("g", prefix_group_id=False)', "hdm:own:a.g", "", "mp_basic"),
    ],
)
def test_task_group_in_a_foreign_dag_has_a_marker(
    folder: Folder, group: str, name: str, prefix: str, carrier: str
) -> None:
    """Its group may be nested, and its tasks may lack the group's id."""
    folder.pack("basic")
    with_ = "" if group.startswith("Hdm") else "with "
    dag = folder.dag(f'from airflow.sdk import TaskGroup\nwith DAG("own") as dag:\n    {with_}{group}')
    ((found, (task_id, _, extra)),) = markers(dag).items()
    assert (found, task_id) == (name, carrier)
    assert (extra["kind_of_group"], extra["group"]) == ("task group", prefix)
    assert (extra["environment"], extra["conn_id"]) == ("prod", "hdm")
    assert prefix + extra["packs"][0]["task_id"] == carrier


@pytest.mark.parametrize(
    ("variable", "code", "wanted"),
    [
        ("{not json", 'dag = HdmDag("d")', {"hdm:d:": ("", "", "not JSON")}),
        (
            "{not json",
            'dag = HdmDag("d", environments={"a": {"conn_id": "x"}, "b": {"conn_id": "y"}})',
            {"hdm:d:hdm-a": ("a", "x", "not JSON"), "hdm:d:hdm-b": ("b", "y", "not JSON")},
        ),
        ('{"packs_dir": "nowhere"}', 'dag = HdmDag("d")', {"hdm:d:hdm-prod": ("prod", "hdm", "folder is missing")}),
        (
            "{not json",
            'with DAG("d") as dag:\n    HdmTaskGroup("g", environment="x")',
            {"hdm:d:g": ("x", "", "not JSON")},
        ),
        (
            "{}",
            'with DAG("d") as dag:\n    HdmTaskGroup("g", environment="x")',
            {"hdm:d:g": ("x", "", "there is no environment 'x'")},
        ),
        (
            "{}",
            'with DAG("d") as dag:\n    HdmTaskGroup("g", select=["no"])',
            {"hdm:d:g": ("prod", "hdm", "no pack matches no")},
        ),
    ],
)
def test_wrong_settings_are_in_the_marker(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, variable: str, code: str, wanted: dict[str, tuple[str, str, str]]
) -> None:
    """The pages can say what is wrong, and still show what a base that is known has."""
    folder.pack("basic")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", variable)
    found = markers(folder.dag(code))
    assert found.keys() == wanted.keys()
    for name, (environment, conn_id, problem) in wanted.items():
        task_id, _, extra = found[name]
        assert task_id.rpartition(".")[2] == "configuration"
        assert (extra["environment"], extra["conn_id"]) == (environment, conn_id)
        assert problem in extra["problem"]
        assert extra["packs"] == []


def test_ids_of_any_length_and_script_make_a_marker_that_airflow_takes(folder: Folder) -> None:
    """An exception would remove the Dag; MySQL demands ASCII, and every database at most 1,500 characters."""
    folder.pack("basic")
    dag_id, group_id = "é" * 250, "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 200
    code = f'with DAG("{dag_id}") as dag:\n    HdmTaskGroup("{group_id}")\n    HdmTaskGroup("{group_id[:-1]}a")'
    found = markers(folder.dag(code))
    assert len(found) == 2
    for name, (_, uri, _) in found.items():
        assert len(name) < 1500
        assert len(uri) < 1500
        assert (name + uri).isascii()


def test_pages_can_read_the_marker_without_a_parse(folder: Folder) -> None:
    """It survives serialisation as plain JSON, however odd the pack."""
    folder.pack("odd", tags=["\x00\ud800"], depends_on=["\ud800"])
    text = json.dumps(DagSerialization.to_dict(folder.dag()), allow_nan=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    assert "\\ud800" not in text.replace("\\\\", "")
