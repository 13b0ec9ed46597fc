"""RulesSite: an HDM base with made-up metrics and rules, and rule pack basic to run on it, for `make bench-rules`.

The pack runs as it does for users: in a copy, in a venv built from its requirements.txt, in its own process, under
contract 1, on a separate PostgreSQL server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.profile_measure import Usage, run

if TYPE_CHECKING:
    from demo.services import Database, Postgres

ROOT = Path(__file__).parents[1]
PACKS = ROOT / "dags" / "packs"
SDK = ROOT / "hdm_airflow" / "sdk"
MIGRATIONS = ROOT / "hdm_airflow" / "base" / "migrations" / "versions"
DATE = "2026-09-29"
SLUG = "hospital:postgres:db.example:5432:reader:false"
DATABASE = "hospital"
COLUMNS_PER_TABLE = 50
FILLED = 30  # metrics that are not null: rows are about as wide as those of numbers
# Metrics that the rules name; of n, the number of the column, so that about one value in a hundred exceeds 990.
METRICS = ("value_counts", "na_values", "levels_count", "highest_frequency", "percent_na_values", "sndHighestFrequency")

FILL = """
INSERT INTO metric_basic (endpoint, "database", dbversion, "table", "column", "date", {names})
SELECT %(slug)s, %(database)s, '1.0', 'table_' || n / %(per_table)s, 'column_' || n, %(date)s::date - day, {values}
FROM generate_series(0, %(days)s - 1) AS day, generate_series(0, %(columns)s - 1) AS n"""
COMPLETE = """
INSERT INTO metric_basic_version (endpoint, "database", dbversion, "date", tables_count, columns_count)
SELECT %(slug)s, %(database)s, '1.0', %(date)s::date - day, %(columns)s / %(per_table)s, %(columns)s
FROM generate_series(0, %(days)s - 1) AS day"""
RULES = """
INSERT INTO rule_basic (rule_name, rule_content, alert_message, endpoint, "database", "table", "column")
SELECT 'limit', json_build_object('metric', (%(metrics)s::text[])[1 + n %% %(kinds)s], 'condition', '>',
        'conditionValue', 990 - n %% 7)::text,
    'The metric is too high', %(slug)s, %(database)s, 'table_' || n / %(per_table)s, 'column_' || n
FROM generate_series(0, %(columns)s - 1) AS n"""
PATTERNS = """
INSERT INTO rule_basic (rule_name, rule_content, alert_message, "table", "column")
SELECT 'limit ' || n, json_build_object('metric', (%(metrics)s::text[])[1 + n %% %(kinds)s], 'condition', '>',
        'conditionValue', 998 + n %% 3)::text,
    'The metric is too high', '*', '*'
FROM generate_series(0, %(rules)s - 1) AS n"""
INCIDENTS = """
INSERT INTO hdm_incident (rule_pack, endpoint, rule_id, "table", "column", state, level, first_on, opened_on)
SELECT 'basic', endpoint, id_rule::text, "table", "column", 'open', 'Warning', %(date)s::date - 1, %(date)s::date - 1
FROM rule_basic"""


@dataclass
class RulesSite:
    """A base on a server, and the pack in a venv."""

    folder: Path
    server: Postgres
    base: Database

    @classmethod
    def create(cls, folder: Path, server: Postgres, name: str) -> RulesSite:
        """A new base with the tables of both packs basic."""
        base = server.create_database(name)
        with base.connect() as connection:
            for script in (*sorted(MIGRATIONS.glob("*.sql")), *sorted(PACKS.glob("*/basic/create-table/*.sql"))):
                connection.execute(script.read_text().encode())
        site = cls(folder, server, base)
        site.program()  # built now, not while something is measured
        return site

    def measure(self, columns: int, days: int) -> None:
        """Fill in metrics of an endpoint with so many columns, on so many dates."""
        values = self._values(columns, days=days)
        with self.base.connect(autocommit=True) as connection:
            rows = connection.execute(
                "SELECT metric, type FROM metric_basic_metric WHERE describes = 'column' AND type <> 'text'"
                " ORDER BY position"
            ).fetchall()
            made = {
                "bigint": "(n::bigint * 7919 + day) % 1000",
                "double precision": "(n::bigint * 7919 + day) % 1000 + 0.25",
            }
            numbers = {name: made[kind] for name, kind in rows[:FILLED] if kind in made}
            numbers |= {f"delta_{name}": "day % 3" for name in METRICS}
            numbers["percent_na_values"] = "(n::bigint * 7919 + day) % 1000"
            names = ", ".join(f'"{name}"' for name in numbers)
            statement = (
                FILL.replace("%", "%%")
                .replace("%%(", "%(")
                .format(names=names, values=", ".join(numbers.values()).replace("%", "%%"))
            )
            connection.execute(statement, values)
            connection.execute(COMPLETE, values)
            connection.execute("VACUUM ANALYZE metric_basic")

    def column_rules(self, columns: int) -> None:
        """One rule per column."""
        self._rules(RULES, self._values(columns))

    def pattern_rules(self, rules: int) -> None:
        """Rules that cover all columns."""
        self._rules(PATTERNS, self._values(0, rules=rules))

    def breached_rule(self) -> None:
        """One rule that every column breaches."""
        self._rules(PATTERNS.replace("998 + n %% 3", "-1"), self._values(0, rules=1))

    def forget_rules(self) -> None:
        """Without rules."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute("TRUNCATE rule_basic, rule_basic_result, rule_basic_member, hdm_not_judged, hdm_alerts")

    def forget_results(self) -> None:
        """As before the first run of the date."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute("TRUNCATE rule_basic_result, rule_basic_member, hdm_not_judged, hdm_alerts")

    def open_incidents(self) -> None:
        """One per column rule, opened on the day before."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute(INCIDENTS, {"date": DATE})
            connection.execute("VACUUM ANALYZE hdm_incident")

    def forget_incidents(self) -> None:
        """Without incidents."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute("TRUNCATE hdm_incident CASCADE")

    def forget_metrics(self) -> None:
        """As if half of the columns were not measured."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute(
                """DELETE FROM metric_basic
                WHERE "date" = %s AND substr("column", length('column_') + 1)::integer %% 2 = 0""",
                [DATE],
            )
            connection.execute("VACUUM ANALYZE metric_basic")

    def judge(self) -> Usage:
        """Run the pack without its shipped rules; the processor time is the server's.

        Raises:
            CommandError: if it ends with an error.
        """
        pack, folder = self._pack(), self.folder / f"run-{uuid4().hex}"
        folder.mkdir()
        variables = self._contract(folder)
        command = [str(self.program()), "rule_basic.py"]
        usage = run(command, variables=variables, folder=pack / "process", server=self.server.pid)
        lines = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
        assert lines[-1]["status"] == "ok", f"{lines[-1]} {usage.output[-2000:]}"
        shutil.rmtree(folder)
        return usage

    def statements(self) -> int:
        """The number of statements that one run of the pack sends, as the server logs them."""
        with self.base.connect(autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {self.base.name} SET log_statement = 'all'")
        before = self._logged()
        self.judge()
        found = self._logged() - before
        with self.base.connect(autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {self.base.name} RESET log_statement")
        return found

    def stored(self) -> tuple[int, int]:
        """The number of alerts, and of outcomes."""
        with self.base.connect() as connection:
            query = "SELECT count(*) FROM hdm_alerts WHERE rule_pack = 'basic'"
            alerts = connection.execute(query).fetchone()[0]
            query = "SELECT coalesce(sum(ok + breached + not_judged), 0)::bigint FROM rule_basic_result"
            return alerts, connection.execute(query).fetchone()[0]

    def stored_every(self, step: int) -> int:
        """The number of alerts of the rules whose numbers are multiples of a step."""
        query = "SELECT count(*) FROM hdm_alerts WHERE rule_pack = 'basic' AND rule_id::bigint %% %s = 0"
        with self.base.connect() as connection:
            return int(connection.execute(query, [step]).fetchone()[0])

    def _logged(self) -> int:
        text = self.server.log.read_text(errors="replace")
        return text.count("LOG:  statement: ") + text.count("LOG:  execute ")

    def _rules(self, statement: str, values: dict[str, Any]) -> None:
        with self.base.connect(autocommit=True) as connection:
            connection.execute(statement, values)
            connection.execute("VACUUM ANALYZE rule_basic")

    def _values(self, columns: int, **more: int) -> dict[str, Any]:
        known = {"slug": SLUG, "database": DATABASE, "date": DATE, "per_table": COLUMNS_PER_TABLE, "columns": columns}
        return {**known, "metrics": list(METRICS), "kinds": len(METRICS), **more}

    def _pack(self) -> Path:
        folder = self.folder / "rule-pack"
        if not folder.exists():
            shutil.copytree(PACKS / "rule-packs" / "basic", folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def program(self) -> Path:
        """The Python of a venv with the pack's packages, in the versions of constraints.txt."""
        folder = self.folder / "rule-venv"
        python = folder / "bin" / "python"
        if not folder.exists():
            uv = str(Path(sys.executable).with_name("uv"))
            options = ["--quiet", "--python", str(python), "--compile-bytecode", "-c", str(ROOT / "constraints.txt")]
            requirements = str(self._pack() / "requirements.txt")
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
            subprocess.run([uv, "pip", "install", *options, "-r", requirements], check=True)
        return python

    def _contract(self, folder: Path) -> dict[str, str]:
        """The variables of contract 1, and the files that they name."""
        server, manifest = self.server, json.loads((self._pack() / "properties.json").read_text())
        endpoint = {"slug": SLUG, "database": DATABASE, "type": "postgres", "host": "db.example", "port": "5432"}
        endpoint |= {"user": "reader", "password": "", "ssl": False, "config": {"generate": False}}
        context = {
            "contract": 1,
            "environment": "bench",
            "date": DATE,
            "pack": {"kind": "rule", "name": manifest["name"], "version": manifest["version"]},
            "config": {},
            "endpoints": [endpoint],
        }
        (folder / "context.json").write_text(json.dumps(context))
        (folder / "report.jsonl").touch()
        passwords = folder / "pgpass"
        passwords.write_text(f"{server.host}:{server.port}:{self.base.name}:{server.user}:{server.password}\n")
        passwords.chmod(0o600)
        return {
            "HDM_CONTEXT": str(folder / "context.json"),
            "HDM_REPORT": str(folder / "report.jsonl"),
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGDATABASE": self.base.name,
            "PGPASSFILE": str(passwords),
            "PATH": os.pathsep.join([str(self.program().parent), "/usr/bin", "/bin"]),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONPATH": str(SDK),
        }
