"""CeleryWorker: takes tasks of an Airflow from its queue and runs them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import ClassVar

from demo.services.airflow import Airflow
from demo.services.service import Service


class CeleryWorker(Service):
    """One `airflow celery worker`, as on a machine of its own.

    It does not listen on any port: tasks come from the queue, and its log server, which would listen on every
    interface, is off. On one machine, the api-server reads the log files itself.

    Args:
        airflow: the Airflow whose tasks it runs; it must have a queue.
        name: distinguishes it from other workers.
        concurrency: maximum number of tasks at once.
    """

    title: ClassVar[str] = "Celery worker"

    def __init__(self, airflow: Airflow, name: str, *, concurrency: int = 2) -> None:
        super().__init__(airflow.folder / "workers" / name, start_seconds=airflow.start_seconds)
        self.airflow = airflow
        self.name = name
        self.concurrency = concurrency

    @classmethod
    def available(cls) -> str | None:
        """Why a worker cannot run on this machine; None if it can."""
        found = importlib.util.find_spec("airflow.providers.celery")
        return None if found else "pip install apache-airflow-providers-celery redis"

    def _command(self) -> list[str]:
        options = ["--celery-hostname", f"{self.name}@%h", "--concurrency", str(self.concurrency)]
        options += ["--pid", str(self.folder / "pid"), "--skip-serve-logs", "--without-mingle"]
        return [str(Path(sys.executable).parent / "airflow"), "celery", "worker", *options]

    def _prepare(self) -> None:
        self.log.unlink(missing_ok=True)  # readiness is read from it
        (self.folder / "pid").unlink(missing_ok=True)

    def _variables(self) -> dict[str, str]:
        return self.airflow.process_variables()

    def _is_ready(self) -> bool:
        return f"{self.name}@" in (text := self.log.read_text("utf-8", "replace")) and " ready." in text
