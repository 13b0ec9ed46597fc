"""Execution: a pack run between its first and its last ledger row, closed exactly once however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from hdm_airflow.base import runs
from hdm_airflow.base.hook import BaseConnection, HdmHook, explained
from hdm_airflow.errors import HdmBaseError, HdmError
from hdm_airflow.operators import verdict
from hdm_airflow.operators.lock import LockKeeper
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.report import Reports
from hdm_airflow.runner.run import PackProcess
from hdm_airflow.runner.venvs.store import VenvStore

_PATIENCE = 60.0  # seconds to try to write the end of a run
_PAUSE = 2.0  # seconds between two tries
_IN_USE = 20.0, 2.0  # seconds to wait for a row that somebody else has locked: at most in one try, and at least
_NOTED = 1.0  # seconds between two notes of what was reported ok; the first is made at once
_REASON_LIMIT = 300  # characters


class Execution:
    """Runs a job and keeps the ledger true about it.

    Args:
        hook: the HDM base. The end is written on a connection of its own: the one that began may have been lost.
        attempt: whose rows they are.
        ids: of its rows, as they were reserved: slug -> id.
        log: called with each line of output.
        heartbeat: called several times a second, and told what the pack newly says; what it raises ends the run.
        keep: leave the run's folder behind, without its secrets.
    """

    def __init__(
        self,
        hook: HdmHook,
        attempt: runs.Attempt,
        ids: Mapping[str, int],
        log: Callable[[str], None],
        *,
        heartbeat: LockKeeper,
        keep: bool = False,
    ) -> None:
        self._hook, self._attempt, self._ids, self._log = hook, attempt, ids, log
        self._keep, self._heartbeat = keep, heartbeat
        self._run: PackProcess | None = None
        self._beginning = False  # its `running` rows are being written
        self._begun = False  # whether the ledger has `running` rows of it, for all we know
        self._aborted = ""  # the reason, where nothing could be written yet
        self._closing = False  # somebody writes the end, or has
        self._outcomes: list[runs.Outcome] | None = None  # what the ledger was told, and says itself
        self._noted: dict[str, runs.Outcome] = {}  # slug -> what it was told before the end
        self._next_note = 0.0

    @property
    def outcomes(self) -> tuple[runs.Outcome, ...]:
        """What the ledger was told; nothing before the end."""
        return tuple(self._outcomes or ())

    def run(self, base: BaseConnection, make_job: Callable[[], Job], store: VenvStore) -> list[runs.Outcome]:
        """Prepare and run the job.

        Args:
            base: the connection that holds the pack's lock.
            make_job: what can fail before the pack starts belongs to the run, too.
            store: where environments come from.

        Returns:
            One outcome per endpoint, as the ledger has it.
        """
        try:
            self._beginning = True
            if self._outcomes is not None:  # aborted before there was anything to run
                return self._outcomes
            with explained(self._hook):  # the ledger has the reason as people read it
                runs.start(base, self._attempt, self._ids)
                self._begun, self._beginning = True, False
                if self._aborted:
                    return self._close(self._interrupted(self._aborted), patient=False)
                job = make_job()
                self._run = PackProcess(job, store, self._log, keep=self._keep, heartbeat=self._beat)
                if self._closing or self._aborted:  # while the job was made
                    self._run.kill()
                try:
                    ran = self._run.run()
                finally:
                    self._heartbeat.abandon()
                for problem in _problems(ran.reports):
                    self._log(problem)
                return self._close(verdict.outcomes(ran, self._ids, job.timeout))
        except BaseException as error:  # Airflow's timeout is no Exception, and its rows must not stay `running`
            self._beginning = False
            self._close(self._interrupted(_reason(error)))
            raise

    def abort(self, reason: str) -> None:
        """From a signal handler: write the ledger while there is time, then end the pack's processes."""
        if self._beginning:  # its rows are not there yet, and would come after their end: `run` closes them at once
            self._aborted = reason
            return
        try:
            self._close(self._interrupted(reason), patient=False)
        finally:
            if self._run:
                self._run.kill()

    def _beat(self) -> None:
        """Keep the lock, and tell the ledger what was reported ok: nobody could after a SIGKILL."""
        self._heartbeat()
        if self._run is None or time.monotonic() < self._next_note or self._closing:
            return
        told = {one.endpoint: one for one in self._interrupted("it still runs") if one.status == "success"}
        news = [one for slug, one in told.items() if one != self._noted.get(slug)]
        news += [runs.Outcome(endpoint=slug, status="failed") for slug in self._noted if slug not in told]
        if news:
            self._next_note = time.monotonic() + _NOTED
            self._heartbeat.note(news)
            self._noted = told

    def _interrupted(self, reason: str) -> list[runs.Outcome]:
        reports = self._run.reports if self._run else None
        return verdict.interrupted(reports, self._ids, reason)

    def _close(self, outcomes: list[runs.Outcome], *, patient: bool = True) -> list[runs.Outcome]:
        """Write the end, unless that was done or given up before."""
        if not self._closing:
            self._closing = True
            try:
                self._outcomes = self._written(outcomes, time.monotonic() + (_PATIENCE if patient else 0))
            except BaseException as error:
                # Nobody tries again after a minute in vain. A signal handler has no minute, and whoever was
                # interrupted by a timeout has not tried for long enough.
                self._closing = patient and isinstance(error, HdmBaseError)
                raise
        return self._outcomes or []

    def _written(self, outcomes: list[runs.Outcome], deadline: float) -> list[runs.Outcome]:
        """The outcomes as the ledger has them then; hours of a run shall not be lost to a restart of the base."""
        while True:
            left = deadline - time.monotonic()
            last = left <= 0
            try:
                with self._hook.session() as base:
                    runs.limit_closing(base, max(min(left, _IN_USE[0]), _IN_USE[1]))
                    return self._tell(base, outcomes)
            except HdmBaseError as error:
                if last:
                    raise
                self._log(f"the ledger could not be written, trying again: {error.what}")
            time.sleep(_PAUSE)

    def _tell(self, base: BaseConnection, outcomes: list[runs.Outcome]) -> list[runs.Outcome]:
        kept = runs.close(base, self._attempt, self._ids, outcomes, begun=self._begun)
        for before, now in zip(outcomes, kept, strict=True):
            if before != now:
                self._log(f"the ledger keeps {now.status} for {now.endpoint} ({now.reason}), not {before.status}")
        return kept


def _problems(reports: Reports) -> list[str]:
    more = [f"... and {reports.dropped} more bad report lines"] if reports.dropped else []
    return [f"warning: {problem}" for problem in reports.problems] + more


def _reason(error: BaseException) -> str:
    if isinstance(error, HdmError):
        return " ".join(error.what.split())[:_REASON_LIMIT]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"ended by {type(error).__name__}"
