"""A stage for our pages: a real Airflow without a scheduler, an HDM base with a past, and users of each role.

By hand: python -m tests.functional.pages_stage FOLDER serves it until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.services import Airflow, Postgres
from hdm_airflow.base import migrate
from hdm_airflow.base import packs as recorded
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.packs.catalog import Catalog
from tests.airflow.stage import REPORT_ALL, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo.services import Database

ROOT = Path(__file__).parents[2]
#: Beside `admin`; SimpleAuthManager's roles.
USERS = {"olga": "op", "ulf": "user", "vera": "viewer"}
DAG = "hdm_pipeline"
DAGS = f"""
from hdm_airflow import HdmDag

HdmDag("{DAG}")
"""
#: The schema of a reference pack.
_FILES = {
    "mp_basic": {
        "config.schema.json": (ROOT / "dags/packs/metric-packs/basic/config.schema.json").read_text(encoding="utf-8")
    }
}
_WARDS = ("biology", "pharmacy", "imaging_archive", "lab", "surgery", "cardiology", "oncology", "maternity")
_TYPES = ("postgres", "mysql", "mariadb", "sqlite")
#: What became of the pack on the endpoint of this number: most succeed.
_ENDS = {3: ("failed", "could not connect"), 7: ("partial", "2 tables not measured"), 11: ("skipped", "no metrics")}


@dataclass
class Pages:
    """A started Airflow with our pages."""

    airflow: Airflow
    stage: Stage
    endpoints: list[Endpoint]
    packs: list[str]  # task ids

    @property
    def url(self) -> str:
        """The address of our pages, outside of Airflow's frame."""
        return f"{self.airflow.url}/hdm"

    def token(self, user: str = "admin") -> str:
        """A token of a user."""
        login = {"username": user, "password": self.airflow.password}
        return str(self.airflow._request("POST", "/auth/token", login)["access_token"])


def endpoint(number: int) -> Endpoint:
    """The endpoint of a number, from 1."""
    kind = _TYPES[number % len(_TYPES)]
    ward = f"ward_{number:05d}_{_WARDS[number % len(_WARDS)]}"
    if kind == "sqlite":
        return Endpoint(name=ward, type=kind, host=f"/data/{ward}.db")
    port = "5432" if kind == "postgres" else "3306"
    return Endpoint(name=ward, type=kind, host=f"db{number % 40}.hospital.example", port=port, user="reader")


@contextlib.contextmanager
def pages_stage(
    postgres: Postgres,
    folder: Path,
    *,
    endpoints: int = 12,
    packs: int = 3,
    dates: int = 2,
    dags: str = DAGS,
    settings: dict[str, Any] | None = None,
    variables: dict[str, str] | None = None,
    components: Sequence[str] = ("api-server",),
    prefix: str = "",
    files: dict[str, dict[str, str]] | None = None,
) -> Iterator[Pages]:
    """Serve it.

    Args:
        postgres: a running server.
        folder: an empty folder.
        endpoints: so many, see `endpoint`.
        packs: so many metric packs, and half as many rule packs that depend on them.
        dates: so many metric dates have run on all activated cells, the last of them today.
        dags: the Dag file.
        settings: of the Variable hdm.
        variables: of Airflow's processes.
        components: of Airflow.
        prefix: path of Airflow's address.
        files: of packs: task id -> path in the pack -> text, for example a config.schema.json.
    """
    name = f"hdm_pages_{os.urandom(4).hex()}"
    database = postgres.create_database(name)
    home = folder / "dags"
    (home / "packs").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / ".airflowignore", home)
    (home / "hdm.py").write_text(dags)
    stage = Stage(base=database, folder=home / "packs", store=folder / "store")
    task_ids = _write_packs(stage, packs, {**_FILES, **(files or {})})
    places = [endpoint(number) for number in range(1, endpoints + 1)]
    stated = {"venvs": {"folder": str(stage.store)}, "schedule": None, **(settings or {})}
    with _environment(AIRFLOW_CONN_HDM=database.dsn):
        migrate.upgrade(HdmHook())
        record_packs(stage)
    fill(database, places, task_ids, dates)
    variables = {
        "AIRFLOW_CONN_HDM": database.dsn,
        "AIRFLOW_VAR_HDM": json.dumps(stated),
        "TMPDIR": str(folder),
        **(variables or {}),
    }
    airflow = Airflow(
        folder / "airflow",
        dags=home,
        variables=variables,
        users=USERS,
        components=tuple(components),
        prefix=prefix,
        start_seconds=300,
    )
    with airflow:
        yield Pages(airflow, stage, places, task_ids)
    postgres.drop_database(name)


def fill(database: Database, places: Sequence[Endpoint], task_ids: Sequence[str], dates: int) -> None:
    """Register endpoints, activate three of four cells, and write a past, by SQL: as fast as large bases need it."""
    cells, runs = [], []
    today = date.today()  # noqa: DTZ011  # the machine's, as the base's current_date
    for number, place in enumerate(places, 1):
        for column, task_id in enumerate(task_ids):
            if (number + column) % 4 == 0:
                continue
            kind = "metric" if task_id.startswith("mp_") else "rule"
            cells.append((kind, task_id[3:], place.slug))
            for back in range(dates):
                status, reason = _ENDS.get((number + 3 * column) % 17 if back == 0 else 0, ("success", None))
                runs.append((kind, task_id[3:], place.slug, today - timedelta(days=back), status, reason, task_id))
    with database.connect() as base:
        base.cursor().executemany(
            "INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_port, db_user, db_is_ssl)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [(one.name, one.type, one.host, one.port, one.user, str(one.ssl).lower()) for one in places],
        )
        for kind, table in (("metric", "mp"), ("rule", "rp")):
            with base.cursor().copy(f"COPY hdm_core_table_corr_db_{table} ({table}_key, db_key) FROM STDIN") as copy:
                for one, pack, slug in cells:
                    if one == kind:
                        copy.write_row((pack, slug))
        columns = "kind, pack, endpoint, metric_date, status, reason, task_id, dag_id, run_id, try_number, pack_version"
        with base.cursor().copy(f"COPY hdm_pack_run ({columns}, finished_at, environment) FROM STDIN") as copy:
            for *run, task_id in runs:
                copy.write_row((*run, f"hdm-prod.{task_id}", DAG, f"manual__{run[3]}", 1, "1.0.0", str(run[3]), "prod"))
        base.execute("ANALYZE")


def record_packs(stage: Stage) -> None:
    """Record the packs in the base, as attempts would have done."""
    with HdmHook().session() as base:
        for pack in Catalog.scan(stage.folder).every:
            recorded.record(base, pack, "0" * 64)


def _write_packs(stage: Stage, packs: int, files: dict[str, dict[str, str]]) -> list[str]:
    names = ["basic", "row-count", *(f"pack{number:02d}" for number in range(3, packs + 1))][:packs]
    for name in names:
        tags = ["core"] if name == "basic" else []
        stage.pack(name, REPORT_ALL.format("ok"), tags=tags, files=files.get(f"mp_{name}"))
    rules = names[: (packs + 1) // 2]
    for name in rules:
        stage.pack(name, REPORT_ALL.format("ok"), kind="rule", files=files.get(f"rp_{name}"))
    return [*(f"mp_{name}" for name in names), *(f"rp_{name}" for name in rules)]


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(folder: str, endpoints: str = "12", packs: str = "3", dates: str = "2") -> None:
    """Serve it until Ctrl-C."""
    home = Path(folder).absolute()
    shutil.rmtree(home, ignore_errors=True)
    numbers = {"endpoints": int(endpoints), "packs": int(packs), "dates": int(dates)}
    with Postgres(home / "postgres") as postgres, pages_stage(postgres, home / "stage", **numbers) as pages:
        print(f"{pages.url}/  user admin, password {pages.airflow.password}", flush=True)  # noqa: T201  # by hand
        print(pages.stage.base.dsn, flush=True)  # noqa: T201  # by hand
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
