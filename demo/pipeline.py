"""The demo's Dag runs, started with Airflow's API and followed until they end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from rich.live import Live
from rich.table import Table

from demo.services import Airflow, ServiceError

DAG = "hdm_pipeline"
_DESCRIPTION = "Settings of hdm_airflow: the environments with their HDM bases (docs: reference/settings)"
_POLL = 1.0  # seconds
_PARSE_SECONDS = 60.0
_RUN_SECONDS = 1800.0
_STYLES = {"success": "green", "failed": "red", "running": "cyan", "skipped": "magenta", "upstream_failed": "red"}


def prepare(airflow: Airflow, connections: list[dict[str, Any]], variable: str) -> None:
    """Create the connections and the Variable `hdm` as a user would in the UI, then wait for the Dag."""
    for connection in connections:
        airflow.call("POST", "/connections", connection)
    airflow.call("POST", "/variables", {"key": "hdm", "value": variable, "description": _DESCRIPTION})
    deadline = time.monotonic() + _PARSE_SECONDS
    while not _exists(airflow):
        if time.monotonic() > deadline:
            errors = airflow.call("GET", "/importErrors")["import_errors"]
            raise ServiceError(f"Airflow did not load the Dag {DAG}: {errors}", str(airflow.log), "read the log")
        time.sleep(_POLL)
    airflow.call("PATCH", f"/dags/{DAG}", {"is_paused": False})


def run(airflow: Airflow, metric_date: date) -> tuple[str, str]:
    """Start a run for a metric date and show its tasks until it ends.

    Returns:
        The run's id and state.

    Raises:
        ServiceError: if the run does not end in time.
    """
    conf = {"logical_date": None, "conf": {"metric_date": metric_date.isoformat()}}
    run_id = airflow.call("POST", f"/dags/{DAG}/dagRuns", conf)["dag_run_id"]
    path = f"/dags/{DAG}/dagRuns/{run_id}"
    deadline = time.monotonic() + _RUN_SECONDS
    with Live(refresh_per_second=4, transient=False) as display:
        for state in _states(airflow, path):
            display.update(_table(metric_date, state, airflow.call("GET", f"{path}/taskInstances")["task_instances"]))
            if state in {"success", "failed"}:
                break
            if time.monotonic() > deadline:
                what = f"the run {run_id} did not end within {_RUN_SECONDS:g} s"
                raise ServiceError(what, airflow.url, "see the run's tasks in Airflow")
    display.console.print()
    return run_id, state


def _states(airflow: Airflow, path: str) -> Iterator[str]:
    while True:
        yield airflow.call("GET", path)["state"]
        time.sleep(_POLL)


def _exists(airflow: Airflow) -> bool:
    found = airflow.call("GET", f"/dags?dag_id_pattern={DAG}")["dags"]
    return any(dag["dag_id"] == DAG for dag in found)


def _table(metric_date: date, state: str, tasks: list[dict[str, Any]]) -> Table:
    counts = Counter(task["state"] or "waiting" for task in tasks)
    done = sum(counts[name] for name in ("success", "failed", "skipped", "upstream_failed"))
    table = Table(title=f"metric date {metric_date}: {state}, {done} of {len(tasks)} done", title_justify="left")
    table.add_column("task")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    for task in sorted(tasks, key=lambda one: (one["start_date"] or "~", one["task_id"])):
        style = _STYLES.get(task["state"] or "", "dim")
        seconds = f"{task['duration']:.1f}" if task["duration"] else ""
        table.add_row(task["task_id"], f"[{style}]{task['state'] or 'waiting'}[/]", seconds)
    return table
