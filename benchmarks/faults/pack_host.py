"""PackHost: a process that has imported a reference pack once, and forks for each of its runs.

A run gets what contract 1 says: a context, a report, the variables of libpq, and a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.pack_fork import ForkingPack

if TYPE_CHECKING:
    import datetime as dt

    from typing_extensions import Self

    from demo.services import Database

ROOT = Path(__file__).parents[2]
PACKS = ROOT / "dags" / "packs"
SDK = ROOT / "hdm_airflow" / "sdk"
PROGRAMS = {"metric": ("metric-packs/basic", "metric_basic"), "rule": ("rule-packs/basic", "rule_basic")}
SECONDS = 300  # that a run may take


class PackError(RuntimeError):
    """A run of a pack failed."""


class PackHost:
    """Runs one reference pack again and again. Only one thread may use it.

    Args:
        kind: metric or rule.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._folder = tempfile.TemporaryDirectory(prefix=f"hdm-faults-{kind}-")
        folder, module = PROGRAMS[kind]
        self.properties = json.loads((PACKS / folder / "properties.json").read_text())
        self._variables = {**_plain_variables(self._folder.name), "PYTHONPATH": str(SDK)}
        program = f"{module}.py"
        self._pack = ForkingPack(PACKS / folder / "process", program, self._variables, seconds=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pack.close()
        self._folder.cleanup()

    def run(self, base: Database, date: dt.date, endpoint: dict[str, Any]) -> dict[str, Any]:
        """Run the pack on one endpoint.

        Returns: the last line of its report.

        Raises: PackError, with its output.
        """
        folder = Path(self._folder.name)
        report, output = folder / "report.jsonl", folder / "output"
        report.write_text("")
        (folder / "context.json").write_text(json.dumps(self._context(base, date, endpoint)))
        server = base.server
        (folder / "pgpass").write_text(f"{server.host}:{server.port}:{base.name}:{server.user}:{server.password}\n")
        (folder / "pgpass").chmod(0o600)
        variables = {
            "HDM_CONTEXT": str(folder / "context.json"),
            "HDM_REPORT": str(report),
            "HDM_DATE": str(date),
            "HDM_RUN_ID": f"night__{date}",
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGDATABASE": base.name,
            "PGPASSFILE": str(folder / "pgpass"),
        }
        exit_code = self._pack.run({**self._variables, **variables}, output)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        found = [line for line in lines if line.get("endpoint") == endpoint["slug"]]
        if exit_code or not found or found[-1]["status"] not in {"ok", "partial"}:
            text = output.read_text("utf-8", "replace") if output.exists() else ""
            raise PackError(f"{self.kind} pack on {endpoint['database']}, {date}: exit code {exit_code}\n{text}")
        return dict(found[-1])

    def _context(self, base: Database, date: dt.date, endpoint: dict[str, Any]) -> dict[str, Any]:
        server = base.server
        return {
            "contract": 1,
            "environment": "bench",
            "date": str(date),
            "pack": {"kind": self.kind, "name": self.properties["name"], "version": self.properties["version"]},
            "run": {"id": f"night__{date}", "dag_id": "hdm", "task_id": "hdm-bench.pack", "try_number": 1},
            "base": {"host": server.host, "port": server.port, "user": server.user, "database": base.name},
            "config": {},
            "config_source": "",
            "endpoints": [endpoint],
        }


def _plain_variables(folder: str) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HDM_ENVIRONMENT": "bench",
        "ENV": "bench",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "TZ": "Europe/Paris",
        "POLARS_MAX_THREADS": "1",  # two hosts run at once
        "OPENBLAS_NUM_THREADS": "1",
    }
