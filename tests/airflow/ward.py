"""A ward: the reference packs `basic` on two real databases, with a tally independent of the ledger."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.endpoints import Endpoint
from tests.airflow.processes import ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database
    from tests.airflow.stage import Stage

PACKS = ROOT / "dags" / "packs"
MAIN = {"metric": "metric_basic.py", "rule": "rule_basic.py"}
#: Runs the pack's own script, and appends each endpoint's begin and each report to a file of the test.
TALLY = """
import json, os, runpy, sys, hdm

run = json.load(open(os.environ["HDM_CONTEXT"]))
report = hdm.Run.report

def note(event, slug):
    with open({tally!r}, "a") as file:
        file.write(" ".join([run["pack"]["kind"], str(run["run"]["try_number"]), event, slug]) + "\\n")

def report_and_note(self, endpoint, status, *values, **more):
    report(self, endpoint, status, *values, **more)
    note(status, endpoint.slug)

hdm.Run.report = report_and_note
for one in run["endpoints"]:
    note("begin", one["slug"])
runpy.run_path(sys.argv[1], run_name="__main__")
"""
#: Three columns, one of them empty.
TABLE = """
CREATE TABLE stays (stay_id int PRIMARY KEY, weight float, nothing text);
INSERT INTO stays SELECT i, 70.5 + i % 7, NULL FROM generate_series(1, 50) i
"""
#: Lock modes for a table: they block everything, or only writes.
ALL, WRITES = "ACCESS EXCLUSIVE", "SHARE"
COLUMNS = 3
ALERTS: list[tuple[str | None, str | None]] = [(None, None)]  # one Info on the first date: a column is empty


@dataclass
class Ward:
    """Two endpoints, heart and lung, with metric pack and rule pack basic."""

    stage: Stage
    databases: dict[str, Database]
    tally: Path

    @property
    def places(self) -> dict[str, Endpoint]:
        """Name -> endpoint."""
        return {
            name: Endpoint(
                name=one.name, type="postgres", host=one.server.host, port=str(one.server.port), user=one.server.user
            )
            for name, one in self.databases.items()
        }

    @property
    def connections(self) -> dict[str, str]:
        """Airflow's connections to them, as variables."""
        return {f"AIRFLOW_CONN_HDM_{one.name.upper()}": one.dsn for one in self.databases.values()}

    def prepare(self) -> None:
        """Copy the packs, make the tables, register and activate."""
        for kind, main in MAIN.items():
            folder = self.stage.folder / f"{kind}-packs" / "basic"
            shutil.copytree(PACKS / f"{kind}-packs" / "basic", folder)
            (folder / "process" / "tally.py").write_text(TALLY.format(tally=str(self.tally)))
            script = folder / "bootstrap-script.sh"
            script.write_text(script.read_text().replace(f"python {main}", f"python tally.py {main}"))
        for database in self.databases.values():
            with database.connect(autocommit=True) as connection:
                connection.execute(TABLE)
        for task_id in ("mp_basic", "rp_basic"):
            self.stage.activate(task_id, *self.places.values())

    def forget(self, *, rows: bool = True) -> None:
        """Start again with an empty tally and ledger, and, with `rows`, without metrics."""
        self.tally.unlink()
        with self.stage.base.connect(autocommit=True) as connection:
            connection.execute("DELETE FROM hdm_pack_run")
            if rows:
                connection.execute("DELETE FROM metric_basic; DELETE FROM metric_basic_levels")

    # What happened ---------------------------------------------------------------------------------------------------

    def count(self, event: str) -> Counter[tuple[str, int, str]]:
        """How often an event occurred, per kind, try and endpoint, according to the tally."""
        lines = self.tally.read_text().splitlines() if self.tally.exists() else []
        parts = [line.split(" ", 3) for line in lines]
        return Counter((kind, int(number), self._name(slug)) for kind, number, what, slug in parts if what == event)

    def ledger(self) -> list[tuple[str, int, str, str]]:
        """Kind, try, endpoint and status of each row, oldest first."""
        rows = self.rows("SELECT kind, try_number, endpoint, status FROM hdm_pack_run ORDER BY id")
        return [(kind, number, self._name(slug), status) for kind, number, slug, status in rows]

    def metrics(self) -> dict[str, int]:
        """The number of metric rows of each endpoint that has any."""
        if self.rows("SELECT to_regclass('metric_basic')") == [(None,)]:
            return {}
        return {self._name(slug): n for slug, n in self.rows("SELECT endpoint, count(*) FROM metric_basic GROUP BY 1")}

    def alerts(self) -> dict[str, list[tuple[str | None, str | None]]]:
        """Table and column of the alerts of each endpoint that has any."""
        found: dict[str, list[tuple[str | None, str | None]]] = {}
        for slug, table, column in self.rows('SELECT endpoint, "table", "column" FROM hdm_alerts ORDER BY 1, 2, 3'):
            found.setdefault(self._name(slug), []).append((table, column))
        return found

    def check_ledger(self) -> None:
        """The ledger is true: each begun endpoint has one row, and each success in it was one, exactly as often."""
        rows = self.ledger()
        assert not [row for row in rows if row[3] == "running"]
        began = Counter(row[:3] for row in rows if row[3] != "skipped")
        assert began == self.count("begin")
        assert Counter(row[:3] for row in rows if row[3] == "success") == self.count("ok")

    def check_whole(self) -> None:
        """Both endpoints are measured and judged once: no duplicate row, no missing alert, no extra alert."""
        self.check_ledger()
        assert self.metrics() == {"heart": COLUMNS, "lung": COLUMNS}
        assert self.alerts() == {"heart": ALERTS, "lung": ALERTS}

    # Where it is stopped ---------------------------------------------------------------------------------------------

    @contextmanager
    def held(self, database: Database, table: str, mode: str = ALL) -> Iterator[None]:
        """Lock a table while the block runs: other sessions that use it wait."""
        with database.connect() as holder:
            holder.execute(f"LOCK TABLE {table} IN {mode} MODE")
            yield
            holder.rollback()

    def waits(self, database: Database) -> bool:
        """Whether a session waits for a table there."""
        with database.connect(autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted"
            return bool(connection.execute(query).fetchone()[0])

    def reach_lung(self) -> None:
        """Wait until the metric pack has reported the heart, the ledger has noted it, and it waits for the lung."""
        assert eventually(lambda: self.waits(self.databases["lung"]), 90)
        noted = "SELECT count(*) FROM hdm_pack_run WHERE status = 'running' AND reported"
        assert eventually(lambda: self.rows(noted) == [(1,)], 10)

    def rows(self, query: str) -> list[Any]:
        """The rows of a query on the base."""
        with self.stage.base.connect(autocommit=True) as connection:
            return list(connection.execute(query).fetchall())

    def _name(self, slug: str) -> str:
        return next(name for name, one in self.databases.items() if slug.startswith(f"{one.name}:"))
