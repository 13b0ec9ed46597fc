"""A running Airflow: what it keeps of the markers of Dags, and runs that are limited to a part of the packs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.services import Airflow
from tests.airflow.processes import eventually
from tests.airflow.stage import REPORT_ALL, Stage, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
HEART, LUNG, LIVER = endpoint("heart"), endpoint("lung"), endpoint("liver")
#: Fails wherever the file `bad` names the database.
SOME = """python -c "
import hdm
run = hdm.load()
bad = open('{}').read().split()
[run.report(e, 'failed' if e.database in bad else 'ok') for e in run.endpoints]
"
"""
DAGS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from hdm_airflow import HdmDag, HdmTaskGroup

HdmDag("two", environments={"dev": {"conn_id": "hdm_dev"}, "prod": {"conn_id": "hdm", "pack_conn_id": "packs"}},
    select=["mp_basic", "mp_broken", "mp_some", "rp_basic"])
HdmDag("part", select=["mp_basic", "mp_some", "rp_basic", "mp_args"], pack_args={"args": {"pool": 5}})
with DAG("own", schedule=None, params={"metric_date": "2026-01-01"}) as dag:
    EmptyOperator(task_id="before") >> HdmTaskGroup("quality", select=["mp_basic"])
HdmDag("wrong", select=["nothing"])
"""
#: In a file of its own, which Airflow parses in a process of its own.
UNREADABLE = """
import os

os.environ["AIRFLOW_VAR_HDM"] = "{not json"
from hdm_airflow import HdmDag

HdmDag("unreadable")
"""


class Running:
    """A started Airflow with a packs folder, and what it keeps."""

    def __init__(self, airflow: Airflow, stage: Stage, bad: Path) -> None:
        self.airflow, self.stage, self.bad = airflow, stage, bad

    def markers(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        """The active markers that a task has as inlet: name -> Dag, task, extra."""
        query = """
            SELECT asset.name, task_inlet_asset_reference.dag_id, task_inlet_asset_reference.task_id, asset.extra
            FROM asset JOIN asset_active USING (name, uri)
            JOIN task_inlet_asset_reference ON task_inlet_asset_reference.asset_id = asset.id
            WHERE asset.name LIKE 'hdm:%'
        """
        return {name: (dag, task, json.loads(extra)) for name, dag, task, extra in self.metadata(query)}

    def metadata(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of Airflow's own database."""
        connection = sqlite3.connect(f"file:{self.airflow.folder / 'airflow.db'}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def run(self, dag_id: str, **conf: Any) -> tuple[str, dict[str, tuple[str, int, str | None]]]:
        """Run a Dag to its end: the run's path in the API; task id -> state, tries, host."""
        self.airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        run = self.airflow.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        path = f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}"
        return path, self.ended(path)

    def ended(self, path: str) -> dict[str, tuple[str, int, str | None]]:
        """Wait for the end of a run: task id -> state, tries, host."""
        assert eventually(lambda: self.airflow.call("GET", path)["state"] in {"success", "failed"}, 240)
        tasks = self.airflow.call("GET", f"{path}/taskInstances")["task_instances"]
        return {one["task_id"]: (one["state"], one["try_number"], one["hostname"]) for one in tasks}

    def rows(self, path: str) -> list[tuple[str, str, str, str, str]]:
        """The ledger's rows of a run: task, try, endpoint, status, metric date."""
        with self.stage.base.connect() as connection:
            found = connection.execute(
                "SELECT task_id, try_number, endpoint, status, metric_date::text FROM hdm_pack_run "
                "WHERE run_id = %s ORDER BY id",
                [path.rpartition("/")[2]],
            ).fetchall()
        return [(task, number, slug.split(":")[0], *more) for task, number, slug, *more in found]


@pytest.fixture(scope="module")
def running(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Airflow that keeps conf out of the params, two HDM bases, and Dags of each kind."""
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    folder = tmp_path_factory.mktemp("parts")
    database, other = postgres.create_database("hdm_parts"), postgres.create_database("hdm_parts_dev")
    dags = folder / "dags"
    (dags / "packs").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / ".airflowignore", dags)
    bad = folder / "bad"
    bad.write_text("")
    stage = Stage(base=database, folder=dags / "packs", store=folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_HDM", database.dsn)
        patch.setenv("AIRFLOW_CONN_HDM_DEV", other.dsn)
        migrate.upgrade(HdmHook())
        migrate.upgrade(HdmHook("hdm_dev"))
        ok = REPORT_ALL.format("ok")
        stage.pack("basic", ok, tags=["core"])
        stage.pack("basic", ok, kind="rule")
        stage.pack("some", SOME.format(bad))
        stage.pack("args", ok)
        stage.pack("broken", ok, version="")
        for task_id in ("mp_basic", "rp_basic", "mp_some", "mp_args", "mp_broken"):
            stage.activate(task_id, HEART, LUNG)
        (dags / "hdm.py").write_text(DAGS)
        (dags / "unreadable.py").write_text(UNREADABLE)
        settings = {
            "venvs": {"folder": str(stage.store)},
            "schedule": None,
            "sandbox": {"write": [str(folder)]},
        }
        variables = {
            "AIRFLOW_CONN_HDM": database.dsn,
            "AIRFLOW_CONN_HDM_DEV": other.dsn,
            "AIRFLOW_VAR_HDM": json.dumps(settings),
            "AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS": "False",
            "TMPDIR": str(folder),
        }
        with Airflow(folder / "airflow", dags=dags, variables=variables) as airflow:
            assert eventually(lambda: airflow.call("GET", "/dags")["total_entries"] == 5, 60)
            yield Running(airflow, stage, bad)
    for one in (database, other):
        postgres.drop_database(one.name)


def test_airflow_keeps_a_marker_of_each_environment(running: Running) -> None:
    """Two environments, a foreign Dag, a quarantined pack, a wrong selection, a Variable that is not JSON."""
    found = running.markers()
    assert {name: (dag, task) for name, (dag, task, _) in found.items()} == {
        "hdm:two:hdm-dev": ("two", "hdm-dev.mp_basic"),
        "hdm:two:hdm-prod": ("two", "hdm-prod.mp_basic"),
        "hdm:part:hdm-prod": ("part", "hdm-prod.mp_args"),
        "hdm:own:quality": ("own", "quality.mp_basic"),
        "hdm:wrong:hdm-prod": ("wrong", "configuration"),
        "hdm:unreadable:": ("unreadable", "configuration"),
    }
    extras = {name: extra for name, (_, _, extra) in found.items()}
    two = extras["hdm:two:hdm-prod"]
    packs = {one["task_id"]: one for one in two.pop("packs")}
    assert two == {
        "environment": "prod",
        "conn_id": "hdm",
        "pack_conn_id": "packs",
        "group": "hdm-prod.",
        "kind_of_group": "dag",
        "problem": "",
    }
    assert sorted(packs) == ["mp_basic", "mp_broken", "mp_some", "rp_basic"]
    assert (packs["mp_basic"]["version"], packs["mp_basic"]["tags"]) == ("1.0.0", ["core"])
    assert "version-missing" in packs["mp_broken"]["quarantined"]
    assert (extras["hdm:own:quality"]["kind_of_group"], extras["hdm:own:quality"]["environment"]) == (
        "task group",
        "prod",
    )
    assert "no pack matches nothing" in extras["hdm:wrong:hdm-prod"]["problem"]
    unreadable = extras["hdm:unreadable:"]
    assert (unreadable["environment"], unreadable["conn_id"], unreadable["group"]) == ("", "", "")
    assert "the Variable is not JSON" in unreadable["problem"]
    assert not running.metadata("SELECT 1 FROM dag_schedule_asset_reference")
    outlets = "SELECT name FROM asset JOIN task_outlet_asset_reference ON asset_id = asset.id WHERE name LIKE 'hdm:%'"
    assert not running.metadata(outlets)


def test_run_of_a_part_runs_that_alone_and_its_retry_what_failed_there(running: Running) -> None:
    """Triggered through the API, by an Airflow that keeps conf out of the params; `end` never gets a worker."""
    running.bad.write_text("heart lung")
    whole, states = running.run("part", metric_date="2026-01-05")
    assert {task: state for task, (state, _, _) in states.items()} == {
        "start": "success",
        "hdm-prod.mp_basic": "success",
        "hdm-prod.rp_basic": "success",
        "hdm-prod.mp_some": "failed",
        "hdm-prod.mp_args": "failed",
        "hdm-prod.end": "upstream_failed",
        "end": "upstream_failed",
    }
    assert len(running.rows(whole)) == 6
    running.bad.write_text("lung")
    only = {"environment": "prod", "packs": ["mp_some", "rp_basic"], "endpoints": [HEART.slug, LUNG.slug, LIVER.slug]}
    path, states = running.run("part", metric_date="2026-01-05", hdm_only=only)
    assert {task: state for task, (state, _, _) in states.items()} == {
        "start": "success",
        "hdm-prod.mp_basic": "skipped",
        "hdm-prod.rp_basic": "success",
        "hdm-prod.mp_some": "failed",
        "hdm-prod.mp_args": "skipped",
        "hdm-prod.end": "upstream_failed",
        "end": "upstream_failed",
    }
    day = "2026-01-05"
    some, rule = "hdm-prod.mp_some", "hdm-prod.rp_basic"
    assert sorted(running.rows(path)) == [
        (some, 1, "heart", "success", day),
        (some, 1, "lung", "failed", day),
        (rule, 1, "heart", "success", day),
        (rule, 1, "lung", "success", day),
    ]
    log = json.dumps(running.airflow.call("GET", f"{path}/taskInstances/hdm-prod.mp_basic/logs/1"))
    assert "not part of this run" in log
    running.bad.write_text("heart")
    cleared = {"dry_run": False, "task_ids": [some], "include_downstream": True, "only_failed": False}
    run_id = path.rpartition("/")[2]
    running.airflow.call("POST", "/dags/part/clearTaskInstances", {**cleared, "dag_run_id": run_id})
    states = running.ended(path)
    assert states[some][:2] == ("success", 2)
    assert sorted(running.rows(path))[2:3] == [(some, 2, "lung", "success", day)], "heart, which would fail, was kept"
    assert states["end"] == ("success", states["end"][1], "")
    assert states["hdm-prod.end"][2] == "", "no worker has started it"
    assert states[some][2] != ""
    events = running.metadata("SELECT name, asset_event.extra FROM asset_event JOIN asset ON asset.id = asset_id")
    extras = {name: [json.loads(extra) for other, extra in events if other == name] for name, _ in events}
    assert extras == {
        "hdm-prod.mp_basic": [{}],
        "hdm-prod.rp_basic": [{}, {"partial_run": True}],
        "hdm-prod.mp_some": [{"partial_run": True}],
    }


def test_part_of_a_group_in_a_foreign_dag_and_a_wrong_conf(running: Running) -> None:
    """The Dag has a param metric_date of its own, which the conf precedes."""
    only = {"environment": "prod", "endpoints": [HEART.slug]}
    path, _ = running.run("own", metric_date="2026-02-02", hdm_only=only)
    assert running.rows(path) == [("quality.mp_basic", 1, "heart", "success", "2026-02-02")]
    path, states = running.run("own", hdm_only={"environment": "prod", "pack": ["mp_basic"]})
    assert states["quality.mp_basic"][0] == "failed"
    assert running.rows(path) == []


def test_marker_changes_with_the_next_parse(running: Running) -> None:
    """A new version of a pack, a pack more, and settings that become wrong."""
    running.stage.pack("basic", REPORT_ALL.format("ok"), version="2.0.0")
    running.stage.pack("broken", REPORT_ALL.format("ok"))
    dags = running.airflow.dags / "hdm.py"
    dags.write_text(dags.read_text().replace('select=["nothing"]', 'select=["basic"]'))

    def versions() -> dict[str, tuple[str, str]]:
        _, _, extra = running.markers()["hdm:two:hdm-prod"]
        return {one["task_id"]: (one["version"], one["quarantined"]) for one in extra["packs"]}

    wanted = {
        "mp_basic": ("2.0.0", ""),
        "mp_broken": ("1.0.0", ""),
        "mp_some": ("1.0.0", ""),
        "rp_basic": ("1.0.0", ""),
    }
    assert eventually(lambda: versions() == wanted, 90), versions()
    assert eventually(lambda: running.markers()["hdm:wrong:hdm-prod"][1] == "hdm-prod.mp_basic", 30)
    _, _, extra = running.markers()["hdm:wrong:hdm-prod"]
    assert (extra["problem"], len(extra["packs"])) == ("", 2)
