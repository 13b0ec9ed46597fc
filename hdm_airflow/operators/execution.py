"""Execution: a pack run between its first and its last ledger row, closed exactly once however it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import HdmError
from hdm_airflow.operators import verdict
from hdm_airflow.runner.environments import EnvironmentStore
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.report import Reports
from hdm_airflow.runner.run import PackRun


class Execution:
    """Runs a job and keeps the ledger true about it.

    Args:
        hook: the HDM base. The end is written on a connection of its own: the one that began may have been lost.
        attempt: whose rows they are.
        slugs: the endpoints, each with a `running` row.
        log: called with each line of output.
        keep: leave the run's folder behind, without its secrets.
        dies_with_parent: be killed when the process that started this one dies.
    """

    def __init__(
        self,
        hook: HdmHook,
        attempt: runs.Attempt,
        slugs: Sequence[str],
        log: Callable[[str], None],
        *,
        keep: bool = False,
        dies_with_parent: bool = True,
    ) -> None:
        self._hook, self._attempt, self._slugs, self._log = hook, attempt, slugs, log
        self._keep, self._dies_with_parent = keep, dies_with_parent
        self._run: PackRun | None = None
        self._outcomes: list[runs.Outcome] | None = None  # what the ledger was told

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
            self._run = PackRun(job, store, self._log, keep=self._keep, dies_with_parent=self._dies_with_parent)
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
            self._close(self._interrupted(reason))
        finally:
            if self._run:
                self._run.kill()

    def _interrupted(self, reason: str) -> list[runs.Outcome]:
        reports = self._run.reports if self._run else None
        return verdict.interrupted(reports, self._slugs, reason)

    def _close(self, outcomes: list[runs.Outcome]) -> list[runs.Outcome]:
        if self._outcomes is None:
            self._outcomes = outcomes
            with self._hook.session() as base:
                runs.finish(base, self._attempt, outcomes)
        return self._outcomes


def _problems(reports: Reports) -> list[str]:
    more = [f"... and {reports.dropped} more bad report lines"] if reports.dropped else []
    return [f"warning: {problem}" for problem in reports.problems] + more


def _reason(error: BaseException) -> str:
    if isinstance(error, HdmError):
        return error.what.splitlines()[0]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"ended by {type(error).__name__}"
