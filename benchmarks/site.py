"""Site: a migrated HDM base on a real PostgreSQL, one activated endpoint, a worker, and packs, for benchmarks."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.worker import Worker

OURS = "ours.py"  # the Dag file of hdm_airflow
_OURS = 'from hdm_airflow import HdmDag\n\ndag = HdmDag("bench")\n'
_RIVAL = """from airflow.providers.standard.operators.{module} import {operator}
from airflow.sdk import DAG

with DAG("bench"):
    {operator}(task_id="rival", {arguments})
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where benchmarks run tasks; removed when its context ends."""

    folder: Path
    worker: Worker
    base: str  # address of the HDM base, with the password

    def pack(self, name: str, script: str, files: dict[str, str] | None = None) -> Path:
        """Write a metric pack and activate it on the endpoint; its task is `hdm-prod.mp_<name>` of the file OURS."""
        folder = self.worker.home / "dags" / "packs" / "metric-packs" / name
        manifest = {"name": name, "version": "1.0.0", "author": "bench", "description": "a pack"}
        texts = {"properties.json": json.dumps(manifest), "bootstrap-script.sh": script, "Readme.md": f"# {name}\n"}
        for path, text in {**texts, **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self._activate(name)
        return folder

    def rival(self, file: str, operator: str, module: str, arguments: str) -> Path:
        """Write a Dag file whose only task is `rival`, one of Airflow's own operators. Return its path."""
        text = _RIVAL.format(operator=operator, module=module, arguments=arguments)
        path = self.worker.home / "dags" / file
        path.write_text(text)
        return path

    def use_store(self, name: str) -> None:
        """Use the venv store in this folder from now on; it is empty if the name is new."""
        store = {"venvs": {"folder": str(self.folder / name)}}
        self.worker.variables["AIRFLOW_VAR_HDM"] = json.dumps(store)

    def _activate(self, name: str) -> None:
        from hdm_airflow.base import activation, endpoints
        from hdm_airflow.base.endpoints import Endpoint
        from hdm_airflow.base.hook import HdmHook

        ward = Endpoint(name="ward", type="postgres", host="127.0.0.1", port="5432", user="reader")
        with HdmHook().session() as base:
            endpoints.add(base, ward, None, actor="bench")  # no change if it exists
            registered = endpoints.Registered(id=0, endpoint=ward, conn_id=None)
            activation.change(base, [("metric", name, registered.endpoint.slug)], active=True, actor="bench")


@contextmanager
def site() -> Iterator[Site]:
    """A site with its own servers."""
    from demo.services import Postgres

    logging.getLogger("alembic").setLevel(logging.WARNING)  # stdout is for the table
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as name, Postgres(Path(name) / "postgres") as server:
        base = server.create_database("hdm").dsn
        os.environ.update(AIRFLOW_HOME=name, AIRFLOW_CONN_HDM=base)  # before Airflow is imported
        from hdm_airflow.base import migrate
        from hdm_airflow.base.hook import HdmHook

        migrate.upgrade(HdmHook())
        # The packs do not connect to the endpoint; its password is looked up, passed to the pack and masked.
        endpoint = "postgres://reader:only-for-benchmarks@127.0.0.1:5432/ward"
        worker = Worker(Path(name) / "airflow", {"AIRFLOW_CONN_HDM": base, "AIRFLOW_CONN_HDM_WARD": endpoint})
        found = Site(folder=Path(name), worker=worker, base=base)
        (worker.home / "dags" / OURS).write_text(_OURS)
        found.use_store("store")
        yield found
