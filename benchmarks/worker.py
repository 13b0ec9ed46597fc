"""Worker: runs tasks of a Dag file as Airflow's executors do, each in its own processes.

Real are the supervisor that forks the task's process, the task runner that parses the Dag file, the log that passes as
JSON through a socket to the supervisor and into the task's log file, and the memory of both processes. There is no
scheduler and no API server; `_answer` gives the API server's answers at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of a task."""

    began: float  # when `execute` was called, as time.time()
    seconds: float  # from the call of `execute` to its return, including the operator's imports
    peak: float  # MB: highest memory of the task's process, including memory shared with the worker
    start: float  # MB when `execute` was called
    log: Path  # the task's log file

    @property
    def lines(self) -> list[str]:
        """The log's lines, as a reader sees them."""
        return [json.loads(line).get("event", "") for line in self.log.read_bytes().splitlines()]


class Worker:
    """Runs tasks.

    Args:
        home: AIRFLOW_HOME, with the Dag files in `dags/`; made when missing.
        variables: additional environment variables of the worker.
    """

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self.home = home
        self.variables = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            **variables,
        }
        (home / "dags").mkdir(parents=True, exist_ok=True)

    def run(self, dag_file: str, task_id: str) -> Execution:
        """Run a task of the Dag `bench` until it ends.

        Raises:
            AssertionError: if it fails or is skipped.
        """
        return self.result(self.start(dag_file, task_id))

    def start(self, dag_file: str, task_id: str) -> subprocess.Popen[bytes]:
        """Start a task."""
        command = [sys.executable, "-m", "benchmarks.worker", dag_file, task_id]
        return subprocess.Popen(
            command, cwd=_ROOT, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def result(self, running: subprocess.Popen[bytes]) -> Execution:
        """Wait until a task ends."""
        output = running.communicate()[0].decode("utf-8", "replace")
        log = self.home / "logs" / f"{running.pid}.log"
        measured = log.with_suffix(".json")
        ended = log.read_text("utf-8", "replace")[-5_000:] if log.exists() else ""
        assert measured.exists(), f"{output}\n{ended}"
        found = json.loads(measured.read_bytes())
        assert not found.pop("failure"), f"{output}\n{ended}"
        return Execution(log=log, **found)


def main(dag_file: str, task_id: str) -> int:
    """Act as a worker with one task."""
    from airflow.executors import local_executor, workloads  # noqa: F401  # a real worker has imported them
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels import _generated as api
    from airflow.sdk.execution_time import supervisor, task_runner

    logs = Path(os.environ["AIRFLOW_HOME"], "logs")
    log_name = f"{os.getpid()}.log"
    execute = task_runner._execute_task  # noqa: SLF001  # nothing public is around every operator's `execute`

    def measured(*arguments: object, **named: object) -> object:
        """In the task's process, around the operator's `execute`."""
        failure, start, clock, began = "", _memory("VmRSS"), time.time(), time.perf_counter()
        try:
            return execute(*arguments, **named)
        except BaseException as error:
            failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            found = {"began": clock, "seconds": time.perf_counter() - began, "start": start, "peak": _memory("VmHWM")}
            (logs / log_name).with_suffix(".json").write_text(json.dumps({**found, "failure": failure}))

    task_runner._execute_task = measured  # noqa: SLF001  # nothing public exists for it
    instance = api.TaskInstance(
        id=uuid4(),
        task_id=task_id,
        dag_id="bench",
        run_id="night",
        try_number=time.time_ns() // 1_000_000_000,  # the ledger wants a new one each time
        dag_version_id=uuid4(),
    )
    return supervisor.supervise_task(
        client=Client(base_url=None, dry_run=True, token="", transport=httpx.MockTransport(_answer)),
        ti=instance,
        bundle_info=workloads.BundleInfo(name="dags-folder"),
        dag_rel_path=dag_file,
        token="",
        log_path=log_name,
    )


def _answer(request: httpx.Request) -> httpx.Response:
    """The API server's answer."""
    if not request.url.path.endswith("/run"):
        return httpx.Response(200, json={"message": "ok", "xcoms": [], "ok": True})
    moment = "2026-01-05T02:00:00Z"
    times = dict.fromkeys(
        ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date"), moment
    )
    names = {"dag_id": "bench", "run_id": "night", "run_type": "scheduled", "state": "running"}
    rest: dict[str, Any] = {"end_date": None, "partition_key": None, "consumed_asset_events": []}
    return httpx.Response(200, json={"dag_run": {**times, **names, **rest}, "max_tries": 0, "should_retry": False})


def _memory(name: str) -> float:
    """MB of this process: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
