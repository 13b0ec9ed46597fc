"""Runs a reference pack the way contract 1 says: a context, a report, an empty environment, a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.integration.pack_fork import ForkingPack

if TYPE_CHECKING:
    from demo.services import Database, MariaDB

ROOT = Path(__file__).parents[2]
PACKS = ROOT / "dags" / "packs"  # tests change it, to break a pack
_UNCHANGED = PACKS
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


def _lines(folder: Path) -> list[Row]:
    whole = (folder / "report.jsonl").read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def _ended(folder: Path, exit_code: int) -> PackRun:
    """What a run has left in its folder, which is then removed."""
    run = PackRun(exit_code, (folder / "output").read_text("utf-8", "replace"), _lines(folder))
    shutil.rmtree(folder)
    return run


@cache
def _forks() -> dict[tuple[str, str], ForkingPack]:
    return {}


def _forking(pack: str, script: str, variables: dict[str, str]) -> ForkingPack:
    """The process that runs this program for all tests of this session."""
    if (pack, script) not in _forks():
        names = ("PATH", "LANG", "TZ", "PYTHONPATH", "POLARS_MAX_THREADS")
        plain = {name: variables[name] for name in names}
        _forks()[pack, script] = ForkingPack(PACKS / pack / "process", script, plain)
    return _forks()[pack, script]


@dataclass
class StartedPack:
    """A run that has begun; its output goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def lines(self) -> list[Row]:
        """The report so far."""
        return _lines(self.folder)

    @property
    def is_over(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.poll() is not None

    def kill(self) -> PackRun:
        """End all its processes as the machine's crash would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.finish()

    def finish(self, seconds: float = 120) -> PackRun:
        """Wait for its end."""
        try:
            exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        return _ended(self.folder, exit_code)


@dataclass
class Base:
    """An HDM base with the packs' tables, and packs to run against it."""

    database: Database
    folder: Path
    endpoints: list[Row] = field(default_factory=list)
    is_made: bool = False  # whether the database has the tables already
    started: list[StartedPack] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.is_made:
            return
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

    def run(self, pack: str, script: str, date: str, endpoints: Any, **options: Any) -> PackRun:
        """Run one pack to its end; options as those of `start`. A run without any, of a pack as it is, is a fork."""
        if options or PACKS != _UNCHANGED:
            return self.start(pack, script, date, endpoints, **options).finish()
        folder = self._run_folder()
        environment = self._environment(folder, pack, date, endpoints, f"manual__{uuid4().hex}")
        variables = {name: value for name, value in environment.items() if value is not None}
        exit_code = _forking(pack, script, variables).run(variables, folder / "output")
        return _ended(folder, exit_code)

    def _run_folder(self) -> Path:
        folder = self.folder / f"run-{uuid4().hex}"
        (folder / "home").mkdir(parents=True)
        (folder / "report.jsonl").touch()
        return folder

    def start(
        self,
        pack: str,
        script: str,
        date: str,
        endpoints: Any,
        *,
        bootstrap: bool = False,
        run_id: str = "",
        variables: dict[str, str | None] | None = None,
    ) -> StartedPack:
        """Start one pack.

        Args:
            pack: its folder below dags/packs.
            script: its program, where it is not started by the bootstrap script.
            date: the metric date.
            endpoints: those of the run.
            bootstrap: start the bootstrap script.
            run_id: attempts of one run have the same; a run of its own where it is empty.
            variables: replace (None: remove) those of the contract.
        """
        folder = self._run_folder()
        shutil.copytree(PACKS / pack, folder / pack, ignore=shutil.ignore_patterns("__pycache__"))
        environment = self._environment(folder, pack, date, endpoints, run_id or f"manual__{uuid4().hex}")
        environment |= variables or {}
        command = ["bash", "bootstrap-script.sh"] if bootstrap else [sys.executable, script]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder / pack if bootstrap else folder / pack / "process",
                env={name: value for name, value in environment.items() if value is not None},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(StartedPack(process, folder))
        return self.started[-1]

    def close(self) -> None:
        """End what was started and not waited for."""
        for one in self.started:
            if one.process.returncode is None:
                one.kill()

    def _environment(self, folder: Path, pack: str, date: str, endpoints: Any, run_id: str) -> dict[str, str | None]:
        server = self.database.server
        properties = json.loads((PACKS / pack / "properties.json").read_text())
        context = {
            "contract": 1,
            "environment": "test",
            "date": date,
            "pack": {
                "kind": pack.split("-", maxsplit=1)[0],
                "name": properties["name"],
                "version": properties["version"],
            },
            "run": {"id": run_id, "dag_id": "hdm", "task_id": "hdm-test.pack", "try_number": 1},
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
            "HDM_RUN_ID": run_id,
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
            "POLARS_MAX_THREADS": "1",  # of small tables: more threads would wait for each other, busily
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
