"""Execution: a pack run between its first and its last ledger row, closed exactly once however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import BaseError, HdmError
from hdm_airflow.operators import verdict
from hdm_airflow.runner.environments import EnvironmentStore
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.report import Reports
from hdm_airflow.runner.run import PackRun

_PATIENCE = 60.0  # seconds to try to write the end of a run
_PAUSE = 2.0  # seconds between two tries
_REASON_LIMIT = 300  # characters


class Execution:
    """Runs a job and keeps the ledger true about it.

    Args:
        hook: the HDM base. The end is written on a connection of its own: the one that began may have been lost.
        attempt: whose rows they are.
        slugs: the endpoints, each with a `running` row.
        log: called with each line of output.
        keep: leave the run's folder behind, without its secrets.
        heartbeat: called some times a second; what it raises ends the run.
    """

    def __init__(
        self,
        hook: HdmHook,
        attempt: runs.Attempt,
        slugs: Sequence[str],
        log: Callable[[str], None],
        *,
        keep: bool = False,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self._hook, self._attempt, self._slugs, self._log = hook, attempt, slugs, log
        self._keep, self._heartbeat = keep, heartbeat
        self._run: PackRun | None = None
        self._outcomes: list[runs.Outcome] | None = None  # what the ledger was told

    @property
    def outcomes(self) -> tuple[runs.Outcome, ...]:
        """What the ledger was told; nothing before the end."""
        return tuple(self._outcomes or ())

    def run(self, make_job: Callable[[], Job], store: EnvironmentStore) -> list[runs.Outcome]:
        """Prepare and run the job.

        Args:
            make_job: what can fail before the pack starts belongs to the run, too.
            store: where environments come from.

        Returns:
            One outcome per endpoint, as written to the ledger.
        """
        try:
            job = make_job()
            self._run = PackRun(job, store, self._log, keep=self._keep, heartbeat=self._heartbeat)
            if self._outcomes is not None:  # aborted while the job was made
                self._run.kill()
            ran = self._run.run()
            for problem in _problems(ran.reports):
                self._log(problem)
            return self._close(verdict.outcomes(ran, self._slugs, job.timeout))
        except BaseException as error:  # Airflow's timeout is no Exception, and its rows must not stay `running`
            self._close(self._interrupted(_reason(error)))
            raise

    def abort(self, reason: str) -> None:
        """From a signal handler: write the ledger while there is time, then end the pack's processes."""
        try:
            self._close(self._interrupted(reason), patience=0)
        finally:
            if self._run:
                self._run.kill()

    def _interrupted(self, reason: str) -> list[runs.Outcome]:
        reports = self._run.reports if self._run else None
        return verdict.interrupted(reports, self._slugs, reason)

    def _close(self, outcomes: list[runs.Outcome], *, patience: float = _PATIENCE) -> list[runs.Outcome]:
        if self._outcomes is None:
            self._outcomes = outcomes
            deadline = time.monotonic() + patience
            while not self._write(outcomes, last=time.monotonic() >= deadline):
                time.sleep(_PAUSE)
        return self._outcomes

    def _write(self, outcomes: list[runs.Outcome], *, last: bool) -> bool:
        """Whether the ledger took them; hours of a run shall not be lost to a restart of the base."""
        try:
            with self._hook.session() as base:
                runs.finish(base, self._attempt, outcomes)
        except BaseError as error:
            if last:
                raise
            self._log(f"the ledger could not be written, trying again: {error.what}")
            return False
        return True


def _problems(reports: Reports) -> list[str]:
    more = [f"... and {reports.dropped} more bad report lines"] if reports.dropped else []
    return [f"warning: {problem}" for problem in reports.problems] + more


def _reason(error: BaseException) -> str:
    if isinstance(error, HdmError):
        return " ".join(error.what.split())[:_REASON_LIMIT]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"ended by {type(error).__name__}"
