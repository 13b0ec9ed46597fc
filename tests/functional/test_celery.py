"""Airflow with CeleryExecutor, Redis and two workers, one of which is killed in the middle of a pack run."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.services import Airflow, CeleryWorker, Redis
from tests.airflow.processes import eventually
from tests.airflow.stage import Stage
from tests.airflow.ward import Ward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
DAG = """
from hdm_airflow import HdmDag

HdmDag("night", pack_args={"*": {"retries": 1, "retry_delay": 1}})
"""


@pytest.fixture
def ward(postgres: Postgres, tmp_path: Path) -> Iterator[Ward]:
    """Two endpoints with the reference packs, in a dags folder."""
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    dags = tmp_path / "dags"
    (dags / "packs").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / ".airflowignore", dags)
    (dags / "hdm.py").write_text(DAG)
    base = postgres.create_database("hdm_celery")
    databases = {name: postgres.create_database(f"celery_{name}") for name in ("heart", "lung")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_HDM", base.dsn)
        migrate.upgrade(HdmHook())
        stage = Stage(base=base, folder=dags / "packs", store=tmp_path / "store")
        ward = Ward(stage=stage, databases=databases, tally=tmp_path / "tally" / "tally")
        ward.tally.parent.mkdir()
        ward.prepare()
        yield ward
    for database in (base, *databases.values()):
        postgres.drop_database(database.name)


@pytest.fixture
def airflow(ward: Ward, tmp_path: Path, require: Callable[..., None]) -> Iterator[Airflow]:
    """A CeleryExecutor that gives a lost task up after ten seconds, without its workers."""
    require("functional", Redis.available() or CeleryWorker.available())
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    settings = {
        "venvs": {"folder": str(ward.stage.store)},
        "schedule": None,
        "sandbox": {"write": [str(ward.tally.parent)]},
    }
    variables = {
        **ward.connections,
        "AIRFLOW_CONN_HDM": ward.stage.base.dsn,
        "AIRFLOW_VAR_HDM": json.dumps(settings),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "TMPDIR": str(temporary),
    }
    with (
        Redis(tmp_path / "redis") as queue,
        Airflow(tmp_path / "airflow", dags=tmp_path / "dags", variables=variables, queue=queue) as airflow,
    ):
        yield airflow


def test_celery_worker_killed_in_the_middle_of_a_pack_run_leaves_everything_true(
    ward: Ward, airflow: Airflow, tmp_path: Path
) -> None:
    """SIGKILL while the second of two endpoints is measured; Airflow's own retry, on the other worker, ends it."""
    with CeleryWorker(airflow, "w1") as first, CeleryWorker(airflow, "w2") as second:
        assert eventually(lambda: airflow.call("GET", "/dags")["total_entries"] == 1, 60)
        airflow.call("PATCH", "/dags/night", {"is_paused": False})
        conf = {"logical_date": None, "conf": {"metric_date": "2026-01-05"}}
        path = f"/dags/night/dagRuns/{airflow.call('POST', '/dags/night/dagRuns', conf)['dag_run_id']}"
        with ward.held(ward.databases["lung"], "stays"):
            ward.reach_lung()
            pack = running_in(tmp_path / "tmp")
            victim = next(one for one in (first, second) if one.pid in {p for pid in pack for p in ancestors(pid)})
            os.kill(victim.pid, signal.SIGKILL)
            assert eventually(lambda: not running_in(tmp_path / "tmp"), 30)
        assert ward.alerts() == {}
        assert ward.metrics() == {"heart": 3}
        assert eventually(lambda: airflow.call("GET", path)["state"] in {"success", "failed"}, 120)
        tasks = airflow.call("GET", f"{path}/taskInstances")["task_instances"]
        ended = {one["task_id"]: (one["state"], one["try_number"]) for one in tasks}
    assert ended["hdm-prod.mp_basic"] == ("success", 2)
    assert ended["hdm-prod.rp_basic"] == ("success", 1)
    assert ward.ledger() == [
        ("metric", 1, "heart", "success"),
        ("metric", 1, "lung", "failed"),
        ("metric", 2, "lung", "success"),
        ("rule", 1, "heart", "success"),
        ("rule", 1, "lung", "success"),
    ]
    assert [row for (row,) in ward.rows("SELECT reason FROM hdm_pack_run WHERE status = 'failed'")] == [
        "the worker died or lost the HDM base"
    ]
    ward.check_whole()
    assert not list((tmp_path / "tmp").glob("hdm-run-*"))
    assert not running_in(tmp_path)


def running_in(folder: Path) -> list[int]:
    """Processes of packs: those that have their context in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended, or is not ours
        if any(one.startswith(f"HDM_CONTEXT={folder}".encode()) for one in variables):
            found.append(int(process.name))
    return found


def ancestors(pid: int) -> list[int]:
    """A process's parents, nearest first."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found
