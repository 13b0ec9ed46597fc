"""A stage for PackOperator: packs that tests write, a real HDM base, and the context of a task."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum
from structlog.testing import capture_logs

from hdm_airflow.base import activation, configuration, endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.operators.pack import PackOperator
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.settings import RunOptions

if TYPE_CHECKING:
    from demo.services import Database

ROOT = Path(__file__).parents[2]
MONDAY = date(2026, 1, 5)
#: Reports every endpoint of the run with the status in $1; the pack's Python reads the context.
REPORT_ALL = 'python -c "import hdm, sys; run = hdm.load(); [run.report(e, sys.argv[1]) for e in run.endpoints]" {}\n'
#: Prints each password in every form that is masked, and puts it into the report.
LEAK = """
import base64, hdm, sys
from urllib.parse import quote, quote_plus
run = hdm.load()
for e in run.endpoints:
    p = e.password
    print("plain", p, flush=True)
    sys.stdout.write("split " + p[:4]); sys.stdout.flush(); sys.stdout.write(p[4:] + chr(10)); sys.stdout.flush()
    for before in ("", "x", "ab"):
        print("b64", base64.b64encode((before + p + "tail").encode()).decode())
    print("url", e.url, quote(p), quote_plus(p), quote(p, safe=""))
    run.report(e, "failed", message="login failed for " + p, incomplete=["table " + p])
"""


def endpoint(name: str, **parts: Any) -> Endpoint:
    """An endpoint that nothing connects to."""
    return Endpoint(**{"type": "postgres", "host": "127.0.0.1", "port": "5432", "user": "reader", **parts}, name=name)


@dataclass
class Stage:
    """One packs folder and one HDM base."""

    base: Database
    folder: Path  # of the packs
    store: Path  # of the environments
    lines: list[str] = field(default_factory=list)  # what the tasks logged
    tries: int = 0
    summary: dict[str, Any] = field(default_factory=dict)  # the last run's, in XCom

    def pack(
        self, name: str, script: str, *, kind: str = "metric", files: dict[str, str] | None = None, **keys: Any
    ) -> None:
        """Write a pack whose bootstrap script is `script`."""
        folder = self.folder / f"{kind}-packs" / name
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"name": name, "version": "1.0.0", "author": "test", "description": "test", **keys}
        (folder / "properties.json").write_text(json.dumps(manifest))
        (folder / "bootstrap-script.sh").write_bytes(b"#!/bin/bash\n" + script.encode())
        (folder / "Readme.md").write_text(f"# {name}\n")
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)

    def operator(self, task_id: str, **arguments: Any) -> PackOperator:
        """The operator of a pack; keys of RunOptions among the arguments are its options."""
        pack = Catalog.scan(self.folder).find(task_id)
        # where the tests' packs leave traces, and where the server's programs may be: both may be hidden folders
        arguments.setdefault("sandbox", {"write": [str(self.folder.parent)], "read": [str(ROOT)]})
        options = {name: arguments.pop(name) for name in RunOptions.model_fields if name in arguments}
        options["venvs"] = {"folder": str(self.store)}
        return PackOperator(task_id=task_id, pack=pack, options=options, **arguments)

    def run(
        self, task_id: str, *, day: date = MONDAY, context: dict[str, Any] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Execute a pack's task once, as another try. Return its XCom values, even if it raises."""
        operator = self.operator(task_id, **arguments)
        return self.execute(operator, day=day, context=context)

    def execute(
        self, operator: PackOperator, *, day: date = MONDAY, context: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Execute an operator."""
        self.tries += 1
        pushed: dict[str, Any] = {}
        try:
            with capture_logs() as entries:
                operator.execute(self.context(operator, pushed, day, **(context or {})))
        finally:
            self.lines += [_text(entry) for entry in entries]
            self.summary = pushed.get("summary", {})
        return self.summary

    def context(self, operator: PackOperator, pushed: dict[str, Any], day: date, **changes: Any) -> dict[str, Any]:
        """The part of Airflow's task context that a pack run uses."""
        moment = datetime(day.year, day.month, day.day, 2, tzinfo=timezone.utc)
        instance = SimpleNamespace(
            dag_id="stage",
            run_id=changes.pop("run_id", f"run {day}"),
            task_id=operator.task_id,
            try_number=self.tries,
            xcom_push=lambda *, key, value: pushed.update({key: value}),
        )
        run = SimpleNamespace(logical_date=moment, run_after=moment, run_type="scheduled")
        return {
            "ti": instance,
            "dag_run": run,
            "dag": SimpleNamespace(timezone=pendulum.timezone("UTC")),
            "params": {},
            **changes,
        }

    def activate(self, task_id: str, *places: Endpoint, conn_id: str | None = None, register: bool = True) -> None:
        """Register endpoints and activate a pack for them."""
        kind = "metric" if task_id.startswith("mp_") else "rule"
        with HdmHook().session() as base:
            for place in places:
                if register:
                    endpoints.add(base, place, conn_id, actor="test")
                one = endpoints.Registered(id=0, endpoint=place, conn_id=conn_id)
                activation.change(base, [(kind, task_id[3:], one.endpoint.slug)], active=True, actor="test")

    def configure(self, task_id: str, value: Any, *, version: str | None = None, place: Endpoint | None = None) -> None:
        """Store a configuration, external or of one endpoint."""
        kind = "metric" if task_id.startswith("mp_") else "rule"
        with HdmHook().session() as base:
            configuration.write(
                base, kind, task_id[3:], json.dumps(value), actor="test", version=version, slug=place and place.slug
            )

    def ledger(self, task_id: str, *columns: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger, oldest first: endpoint's database name, status, and the columns asked for."""
        kind = "metric" if task_id.startswith("mp_") else "rule"
        with self.base.connect() as connection:
            rows = connection.execute(
                f"SELECT endpoint, status{''.join(f', {column}' for column in columns)} FROM hdm_pack_run "
                "WHERE kind = %s AND pack = %s ORDER BY id",
                [kind, task_id[3:]],
            ).fetchall()
        return [(row[0].split(":")[0], *row[1:]) for row in rows]

    @property
    def log(self) -> str:
        """Everything logged so far."""
        return "\n".join(self.lines)


def _text(entry: Any) -> str:
    """A log entry as a reader sees it."""
    arguments = entry.get("positional_args", ())
    return str(entry["event"] % arguments if arguments else entry["event"])
