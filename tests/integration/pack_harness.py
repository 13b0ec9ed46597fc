"""Runs a reference pack the way contract 1 says: a context, a report, an empty environment, a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from demo.services import Database, MariaDB

ROOT = Path(__file__).parents[2]
PACKS = ROOT / "dags" / "packs"
SDK = ROOT / "hdm_airflow" / "sdk"
MIGRATIONS = ROOT / "hdm_airflow" / "base" / "migrations" / "versions"

Row = dict[str, Any]


@dataclass
class PackRun:
    """How a run ended."""

    exit_code: int
    output: str  # standard output and standard error
    lines: list[Row]  # of the report, in order

    @property
    def reports(self) -> dict[str, Row]:
        """The last line of each endpoint."""
        return {line["endpoint"]: line for line in self.lines if "endpoint" in line}

    @property
    def text(self) -> str:
        """Everything that somebody could read afterwards."""
        return self.output + json.dumps(self.lines, ensure_ascii=False)

    def only(self) -> Row:
        """The report of the run's one endpoint."""
        (line,) = self.reports.values()
        return line


@dataclass
class Base:
    """An HDM base with the packs' tables, and packs to run against it."""

    database: Database
    folder: Path
    endpoints: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        scripts = sorted(MIGRATIONS.glob("*.sql")) + sorted(PACKS.glob("*/*/create-table/*.sql"))
        with self.database.connect() as connection:
            for script in scripts:
                connection.execute(script.read_text().encode())

    def execute(self, query: str, *values: Any) -> None:
        """Run a statement."""
        with self.database.connect() as connection:
            connection.execute(query.encode(), values or None)

    def rows(self, query: str, *values: Any) -> list[Row]:
        """The rows of a query, by column name."""
        from psycopg.rows import dict_row

        with self.database.connect(row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def metrics(self, date: str, endpoint: Row | None = None) -> dict[tuple[str, str], Row]:
        """The rows of metric_basic of one date, by table and column."""
        found = self.rows('SELECT * FROM metric_basic WHERE "date" = %s', date)
        chosen = [row for row in found if endpoint is None or row["endpoint"] == endpoint["slug"]]
        by_place = {(row["table"], row["column"]): row for row in chosen}
        assert len(by_place) == len(chosen)
        return by_place

    def levels(self, date: str, table: str, column: str) -> dict[str, int]:
        """The stored levels of one column."""
        query = 'SELECT * FROM metric_basic_levels WHERE "date" = %s AND "table" = %s AND "column" = %s'
        return {row["value"]: row["frequency"] for row in self.rows(query, date, table, column)}

    def alerts(self, date: str) -> list[Row]:
        """The alerts of one date, in a fixed order."""
        return self.rows('SELECT * FROM hdm_alerts WHERE "date" = %s ORDER BY rule_id::bigint, "table", "column"', date)

    def measure(self, date: str, *endpoints: Row, **options: Any) -> PackRun:
        """Run metric pack basic."""
        return self.run("metric-packs/basic", "metric_basic.py", date, endpoints or self.endpoints, **options)

    def judge(self, date: str, *endpoints: Row, **options: Any) -> PackRun:
        """Run rule pack basic."""
        return self.run("rule-packs/basic", "rule_basic.py", date, endpoints or self.endpoints, **options)

    def run(
        self,
        pack: str,
        script: str,
        date: str,
        endpoints: Any,
        *,
        bootstrap: bool = False,
        variables: dict[str, str | None] | None = None,
    ) -> PackRun:
        """Run one pack; `variables` replace (None: remove) those of the contract."""
        folder = self.folder / f"run-{uuid4().hex}"
        (folder / "home").mkdir(parents=True)
        shutil.copytree(PACKS / pack, folder / "pack", ignore=shutil.ignore_patterns("__pycache__"))
        report = folder / "report.jsonl"
        report.touch()
        environment = self._environment(folder, pack, date, endpoints) | (variables or {})
        command = ["bash", "bootstrap-script.sh"] if bootstrap else [sys.executable, script]
        result = subprocess.run(
            command,
            cwd=folder / "pack" if bootstrap else folder / "pack" / "process",
            env={name: value for name, value in environment.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        shutil.rmtree(folder)
        return PackRun(result.returncode, result.stdout, lines)

    def _environment(self, folder: Path, pack: str, date: str, endpoints: Any) -> dict[str, str | None]:
        server = self.database.server
        properties = json.loads((folder / "pack" / "properties.json").read_text())
        context = {
            "contract": 1,
            "environment": "test",
            "date": date,
            "pack": {
                "kind": pack.split("-", maxsplit=1)[0],
                "name": properties["name"],
                "version": properties["version"],
            },
            "run": {"id": "manual", "dag_id": "hdm", "task_id": "hdm-test.pack", "try_number": 1},
            "base": {
                "host": server.host,
                "port": server.port,
                "user": server.user,
                "database": self.database.name,
            },
            "config": {},
            "config_source": "",
            "endpoints": list(endpoints),
        }
        (folder / "context.json").write_text(json.dumps(context))
        passwords = folder / "pgpass"
        passwords.write_text(f"{server.host}:{server.port}:{self.database.name}:{server.user}:{server.password}\n")
        passwords.chmod(0o600)
        return {
            "HDM_CONTEXT": str(folder / "context.json"),
            "HDM_REPORT": str(folder / "report.jsonl"),
            "HDM_ENVIRONMENT": "test",
            "ENV": "test",
            "HDM_DATE": date,
            "HDM_RUN_ID": "manual",
            "HDM_PACK": properties["name"],
            "HDM_PACK_VERSION": properties["version"],
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGDATABASE": self.database.name,
            "PGPASSFILE": str(passwords),
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), str(server.bin_dir), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "home"),
            "LANG": "C.UTF-8",
            "TZ": "Europe/Paris",
            "PYTHONPATH": str(SDK),
        }


def postgres_endpoint(database: Database, **changes: Any) -> Row:
    """A PostgreSQL database as an endpoint of the context file."""
    server = database.server
    return _endpoint(
        database=database.name,
        type="postgres",
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        **changes,
    )


def mariadb_endpoint(server: MariaDB, database: str, **changes: Any) -> Row:
    """A MariaDB database as an endpoint of the context file."""
    return _endpoint(
        database=database,
        type="MariaDB",
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        **changes,
    )


def sqlite_endpoint(path: Path, **changes: Any) -> Row:
    """A SQLite file as an endpoint of the context file."""
    return _endpoint(database=path.stem, type="sqlite3", host=str(path), port="", user="", password=None, **changes)


def _endpoint(**values: Any) -> Row:
    endpoint = {"ssl": False, "url": "", "version": "0.0", "config": {}, "config_sources": [], "incomplete": []}
    endpoint |= values
    parts = [str(endpoint[key]) for key in ("database", "type", "host", "port", "user")]
    return {"slug": ":".join([*parts, "false"]), **endpoint}
