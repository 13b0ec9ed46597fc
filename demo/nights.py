"""Nights: the laboratory after its second night: faults stay, cannot be judged, are put right, and one comes back.

These nights run without the Dag, as `airflow hdm packs run` would: a run of the Dag takes four times as long.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from demo.endpoints import Site
from demo.hospital.engines import statements
from demo.hospital.hospital import FaultKind
from hdm_airflow.base.runs import Attempt
from hdm_airflow.operators.attempt import Conditions, PackAttempt
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.settings import RunOptions

_REPAIRED: tuple[FaultKind, ...] = ("null_jump", "empty_column")
_RETURNED: FaultKind = "null_jump"


class Laboratory:
    """The demo's SQLite database, and runs of both packs `basic` on it.

    Args:
        site: the endpoint.
        packs: the packs folder.
        pack_conn_id: Airflow connection that packs use to reach the HDM base.
        log: file that gets what the packs write.
    """

    def __init__(self, site: Site, packs: Path, pack_conn_id: str, log: Path) -> None:
        self.endpoint = site.endpoint
        self._path = Path(site.endpoint.host)
        self._backup = self._path.with_suffix(".backup.sqlite")
        self._catalog = Catalog.scan(packs)
        # The endpoint has no password: nothing needs to be looked up in Airflow.
        options = RunOptions.validate_all({"credentials": {"sources": ["conf.json"]}}, "demo")
        self._conditions = Conditions(conn_id="hdm", pack_conn_id=pack_conn_id, options=options, timezone="UTC")
        self._log = logging.getLogger("demo.nights")
        self._log.propagate = False
        self._log.setLevel(logging.INFO)
        self._log.handlers[:] = [logging.FileHandler(log, mode="w")]

    def back_up(self) -> None:
        """Copy the database."""
        shutil.copyfile(self._path, self._backup)

    def run(self, stays: date, missing: date, repaired: date, returned: date) -> Iterator[str]:
        """Run the nights on these metric dates; yield what has happened, after each of them."""
        self._judge(stays)
        yield "nothing is put right: the faults stay"
        with self._missing():
            self._judge(missing)
        yield "the file of the database is missing: nothing can be judged"
        for kind in _REPAIRED:
            self._execute("repairs.sql", kind)
        self._judge(repaired)
        yield "two faults are put right: postcodes and DRGs are restored from a backup"
        self._execute("faults.sql", _RETURNED)
        self._judge(returned)
        yield "one fault comes back: two in five postcodes are lost again"

    @contextmanager
    def _missing(self) -> Iterator[None]:
        away = self._path.with_suffix(".away")
        self._path.rename(away)
        try:
            yield
        finally:
            away.rename(self._path)

    def _execute(self, file: str, kind: FaultKind) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("ATTACH ? AS backup", [str(self._backup)])
            for statement in statements(file)[kind]:
                connection.execute(statement)
            connection.commit()

    def _judge(self, metric_date: date) -> None:
        for task_id in ("mp_basic", "rp_basic"):
            pack = self._catalog.find(task_id)
            attempt = Attempt(
                kind=pack.kind,
                pack=pack.name,
                pack_version=pack.version,
                metric_date=metric_date,
                environment="prod",
                dag_id="demo",
                run_id=f"demo__{metric_date}",
                task_id=task_id,
                try_number=1,
            )
            PackAttempt(
                pack, attempt, self._conditions, self._log, only=[self.endpoint.slug], dies_with_parent=False
            ).run()
