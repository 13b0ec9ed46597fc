"""Site: an endpoint's server, an HDM base on a separate server, and venvs for programs, to time packs.

The pack runs as it does for users: in a copy without .pyc files of its own, in a compiled venv that is built from its
requirements.txt, in its own process, under contract 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.profile_measure import CommandError, Usage, run

if TYPE_CHECKING:
    from demo.services import Database, Postgres

ROOT = Path(__file__).parents[1]
PACKS = ROOT / "dags" / "packs"
SDK = ROOT / "hdm_airflow" / "sdk"
MIGRATIONS = ROOT / "hdm_airflow" / "base" / "migrations" / "versions"
DATE = "2026-09-29"
_OURS = ("metric_basic", "metric_basic_%")  # tables of the pack, in LIKE's terms


@dataclass(frozen=True, kw_only=True)
class Site:
    """Two servers and a folder, removed when the context ends."""

    folder: Path
    server: Postgres  # of the endpoint
    base: Database  # the HDM base, on another server
    venvs: dict[str, Path] = field(default_factory=dict)

    def venv(self, name: str, packages: Sequence[str]) -> Path:
        """The Python of a venv with these packages, which is created if it is new."""
        if name not in self.venvs:
            folder = self.folder / "venvs" / name
            uv = str(Path(sys.executable).with_name("uv"))
            options = ["--quiet", "--python", str(folder / "bin" / "python"), "--compile-bytecode"]
            _silent([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
            _silent([uv, "pip", "install", *options, *packages], folder=self._pack())
            self.venvs[name] = folder / "bin" / "python"
        return self.venvs[name]

    def program(self, python: Path, name: str, *arguments: str, watch: bool = False) -> Usage:
        """Run a rival's program, a module next to this one."""
        command = [str(python), str(Path(__file__).with_name(f"{name}.py")), *arguments]
        return run(command, variables=self._variables(python), server=self.server.pid if watch else 0)

    def measure(self, endpoint: Mapping[str, Any], config: Mapping[str, Any] | None = None, date: str = DATE) -> Usage:
        """Run the pack on one endpoint; the processor time is that of the endpoint's server, where it is PostgreSQL.

        Raises:
            CommandError: if it ends with an error, or does not measure everything.
        """
        python = self.venv("pack", ["-r", "requirements.txt"])
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            variables = self._variables(python) | self._contract(Path(name), endpoint, config or {}, date)
            usage = run(
                [str(python), "metric_basic.py"],
                variables=variables,
                folder=self._pack() / "process",
                server=self.server.pid,
            )
            lines = [json.loads(line) for line in (Path(name) / "report.jsonl").read_text().splitlines()]
        statuses = [line["status"] for line in lines if "endpoint" in line]
        assert statuses == ["ok"], f"{statuses}: {lines[-1:]} {usage.output[-2000:]}"
        return usage

    def stored(self, endpoint: Mapping[str, Any], date: str = DATE) -> tuple[int, int]:
        """The number of an endpoint's columns with metrics in the base, and the sum of their values, empty included."""
        query = 'SELECT count(*), sum(value_counts + na_values) FROM metric_basic WHERE endpoint = %s AND "date" = %s'
        with self.base.connect() as connection:
            columns, values = connection.execute(query, [endpoint["slug"], date]).fetchone()
        return columns, int(values or 0)

    def forget(self) -> None:
        """Empty the pack's tables."""
        with self.base.connect() as connection:
            for table in self._tables():
                connection.execute(f"TRUNCATE {table}")

    def repeat(self, days: int) -> None:
        """Add this many earlier dates to the pack's tables, with the numbers of their present date."""
        with self.base.connect(autocommit=True) as connection:
            for table, columns in self._tables().items():
                names = ", ".join(f'"{column}"' for column in columns)
                values = ", ".join(f'"{column}"' if column != "date" else '"date" - day' for column in columns)
                connection.execute(
                    f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, generate_series(1, {days}) AS day"
                )
                connection.execute(f"VACUUM ANALYZE {table}")

    def forget_night(self) -> None:
        """Remove the measured date; keep earlier dates."""
        with self.base.connect(autocommit=True) as connection:
            for table in self._tables():
                connection.execute(f'DELETE FROM {table} WHERE "date" = %s', [DATE])
                connection.execute(f"VACUUM ANALYZE {table}")

    def _tables(self) -> dict[str, list[str]]:
        """The pack's tables that have dates, with their columns."""
        query = """SELECT c.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position)
            FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER' AND c.is_identity = 'NO'
              AND (c.table_name LIKE %s OR c.table_name LIKE %s)
            GROUP BY 1 HAVING bool_or(c.column_name = 'date')"""
        with self.base.connect() as connection:
            return dict(connection.execute(query, _OURS).fetchall())

    def _pack(self) -> Path:
        """The pack's copy."""
        folder = self.folder / "pack"
        if not folder.exists():
            shutil.copytree(PACKS / "metric-packs" / "basic", folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def _variables(self, python: Path) -> dict[str, str]:
        path = os.pathsep.join([str(python.parent), "/usr/local/bin", "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(self.folder), "TMPDIR": str(self.folder), "LANG": "C.UTF-8", "TZ": "UTC"}

    def _contract(
        self, folder: Path, endpoint: Mapping[str, Any], config: Mapping[str, Any], date: str
    ) -> dict[str, str]:
        """The context, the report and the variables of contract 1."""
        server, run_id = self.base.server, f"bench-{uuid4().hex}"
        manifest = json.loads((self._pack() / "properties.json").read_text())
        pack = {"kind": "metric", "name": manifest["name"], "version": manifest["version"]}
        base = {"host": server.host, "port": server.port, "user": server.user, "database": self.base.name}
        one = {"id": run_id, "dag_id": "hdm", "task_id": "hdm-prod.mp_basic", "try_number": 1}
        context = {"contract": 1, "environment": "prod", "date": date, "pack": pack, "run": one, "base": base}
        context |= {"config": {}, "config_source": "", "endpoints": [{**endpoint, "config": dict(config)}]}
        (folder / "context.json").write_text(json.dumps(context))
        (folder / "report.jsonl").touch()
        passwords = folder / "pgpass"
        passwords.touch(mode=0o600)
        passwords.write_text(f"{server.host}:{server.port}:{self.base.name}:{server.user}:{server.password}\n")
        return {
            "HDM_CONTEXT": str(folder / "context.json"),
            "HDM_REPORT": str(folder / "report.jsonl"),
            "HDM_ENVIRONMENT": "prod",
            "ENV": "prod",
            "HDM_DATE": date,
            "HDM_RUN_ID": run_id,
            "HDM_PACK": pack["name"],
            "HDM_PACK_VERSION": pack["version"],
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGDATABASE": self.base.name,
            "PGPASSFILE": str(passwords),
            "PYTHONPATH": str(SDK),
            "PYTHONDONTWRITEBYTECODE": "1",  # as the runner says: the pack's own modules are compiled at each start
        }


def endpoint(database: str, kind: str, server: Any = None, host: str = "") -> dict[str, Any]:
    """A database as an endpoint of the context file; SQLite's host is the file."""
    found: dict[str, Any] = {"database": database, "type": kind, "host": host, "port": "", "user": ""}
    if server:
        found |= {"host": server.host, "port": server.port, "user": server.user}
    slug = ":".join([*(str(value) for value in found.values()), "false"])
    found |= {"password": server.password if server else None, "ssl": False, "url": "", "version": "0.0"}
    return {"slug": slug, **found, "config": {}, "config_sources": [], "incomplete": []}


@contextmanager
def site() -> Iterator[Site]:
    """Start the servers, fill the base."""
    from demo.services import Postgres

    with (
        tempfile.TemporaryDirectory(prefix="hdm-bench-") as name,
        Postgres(Path(name) / "endpoint") as server,
        Postgres(Path(name) / "base") as other,
    ):
        base = other.create_database("hdm")
        with base.connect() as connection:
            for script in sorted(MIGRATIONS.glob("*.sql")) + sorted(PACKS.glob("*/*/create-table/*.sql")):
                connection.execute(script.read_text())
        with server_settings(server) as connection:
            # count only the processor time of the client's reads
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("ALTER SYSTEM SET log_line_prefix = '%n %d '")  # seconds since the epoch, database
        yield Site(folder=Path(name), server=server, base=base)


@contextmanager
def server_settings(server: Postgres) -> Iterator[Any]:
    """A connection on which to change a server's settings, which are read again at the end."""
    from demo.services import Database

    with Database(server, "postgres").connect(autocommit=True) as connection:
        yield connection
        connection.execute("SELECT pg_reload_conf()")


def _silent(command: Sequence[str], folder: Path | None = None) -> None:
    ended = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise CommandError(f"{command[:3]} ended with {ended.returncode}: {ended.stderr[-1000:]}")
