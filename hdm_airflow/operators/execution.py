"""Execution: one run of a pack and its ledger rows, which are closed exactly once however the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from hdm_airflow.base import runs
from hdm_airflow.base.hook import BaseConnection, HdmHook, explained
from hdm_airflow.errors import HdmBaseError, HdmError
from hdm_airflow.operators import verdict
from hdm_airflow.operators.lock import LockKeeper
from hdm_airflow.operators.phase import Event, Phase, Progress
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.report import Reports
from hdm_airflow.runner.run import PackProcess, RunResult
from hdm_airflow.runner.venvs.store import VenvStore

_PATIENCE = 60.0  # seconds during which writing the end of a run is tried
_PAUSE = 2.0  # seconds between two tries
_IN_USE = 20.0, 2.0  # seconds that one try waits for a row that another session has locked: maximum, minimum
_NOTED = 1.0  # seconds between two notes of endpoints reported ok; the first is written at once
_REASON_LIMIT = 300  # characters


class Execution:
    """Runs a job and keeps its ledger rows up to date.

    Args:
        hook: the HDM base. The end is written on a new connection, because the first one may be lost.
        attempt: the attempt that the rows belong to.
        ids: slug -> reserved id of its row.
        log: called with each line of output.
        keeper: keeps the lock and notes the pack's reports in the ledger; called several times a second; an error
            that it raises ends the run.
        keep: keep the run folder, without its secrets.
    """

    def __init__(
        self,
        hook: HdmHook,
        attempt: runs.Attempt,
        ids: Mapping[str, int],
        log: Callable[[str], None],
        *,
        keeper: LockKeeper,
        keep: bool = False,
    ) -> None:
        self._hook, self._attempt, self._ids, self._log = hook, attempt, ids, log
        self._keep, self._keeper = keep, keeper
        self._run: PackProcess | None = None
        self._progress = Progress()
        self._abort_reason = ""
        self._outcomes: list[runs.Outcome] = []  # as in the ledger; none before the end
        self._noted: dict[str, runs.Outcome] = {}  # slug -> outcome that the ledger already has before the end
        self._next_note = 0.0

    @property
    def outcomes(self) -> tuple[runs.Outcome, ...]:
        """The outcomes as in the ledger; none before the end."""
        return tuple(self._outcomes)

    def run(self, base: BaseConnection, make_job: Callable[[], Job], store: VenvStore) -> list[runs.Outcome]:
        """Prepare and run the job.

        Args:
            base: the connection that holds the pack's lock.
            make_job: called when the rows are in the ledger, so that an error in it is a failed run.
            store: provides the job's venv.

        Returns:
            One outcome per endpoint, as in the ledger.
        """
        try:
            _, phase = self._progress.follow(Event.START)
            if phase is Phase.CLOSED:  # aborted before the start
                return self._outcomes
            with explained(self._hook):  # the ledger gets the explanation of an error, not the driver's text
                runs.start(base, self._attempt, self._ids)
                self._follow(Event.STARTED, lambda: self._interrupted(self._abort_reason), patient=False)
                if self._progress.phase is not Phase.RUNNING:  # aborted in the meantime
                    return self._outcomes
                job = make_job()
                ran = self._run_pack(job, store)
                return self._follow(Event.END, lambda: verdict.outcomes(ran, self._ids, job.timeout))
        except BaseException as error:  # Airflow's timeout is not an Exception; rows must not stay `running`
            reason = _reason(error)
            self._follow(Event.END, lambda: self._interrupted(reason))
            raise

    def abort(self, reason: str) -> None:
        """Write the ledger while there is time, then end the pack's processes. For signal handlers."""
        self._abort_reason = reason
        try:
            self._follow(Event.ABORT, lambda: self._interrupted(reason), patient=False)
        finally:
            if self._run:
                self._run.kill()

    def _run_pack(self, job: Job, store: VenvStore) -> RunResult:
        self._run = PackProcess(job, store, self._log, keep=self._keep, heartbeat=self._beat)
        if self._progress.phase is not Phase.RUNNING:  # aborted while `make_job` ran
            self._run.kill()
        try:
            ran = self._run.run()
        finally:
            self._keeper.abandon()
        for problem in _problems(ran.reports):
            self._log(problem)
        return ran

    def _beat(self) -> None:
        """Keep the lock, and note in the ledger which endpoints are ok: after a SIGKILL it would be too late."""
        self._keeper()
        if time.monotonic() < self._next_note or self._progress.phase is not Phase.RUNNING:
            return
        ok = {one.endpoint: one for one in self._interrupted("it still runs") if one.status == "success"}
        news = [one for slug, one in ok.items() if one != self._noted.get(slug)]
        news += [runs.Outcome(endpoint=slug, status="failed") for slug in self._noted if slug not in ok]
        if news:
            self._next_note = time.monotonic() + _NOTED
            self._keeper.note(news)
            self._noted = ok

    def _interrupted(self, reason: str) -> list[runs.Outcome]:
        reports = self._run.reports if self._run else None
        return verdict.interrupted(reports, self._ids, reason)

    def _follow(
        self, event: Event, end: Callable[[], list[runs.Outcome]], *, patient: bool = True
    ) -> list[runs.Outcome]:
        """Record an event, and write the end if the event leads to it.

        Args:
            event: the event.
            end: returns the outcomes to write; called only if they are written.
            patient: keep trying for a minute; False in a signal handler, which does not have that long.

        Returns:
            The outcomes as in the ledger.
        """
        before, phase = self._progress.follow(event)
        if phase.is_writing and (event is Event.END or not before.is_writing):
            try:
                deadline = time.monotonic() + (_PATIENCE if patient else 0)
                self._outcomes = self._write(end(), deadline, begun=phase is Phase.CLOSING)
            except BaseException as error:
                refused = patient and isinstance(error, HdmBaseError)
                self._progress.follow(Event.REFUSED if refused else Event.INTERRUPTED)
                raise
            self._progress.follow(Event.WRITTEN)
        return self._outcomes

    def _write(self, outcomes: list[runs.Outcome], deadline: float, *, begun: bool) -> list[runs.Outcome]:
        """Write the end; try again until the deadline, because a restart of the base must not lose hours of work."""
        while True:
            left = deadline - time.monotonic()
            last = left <= 0
            try:
                with self._hook.session() as base:
                    runs.limit_closing(base, max(min(left, _IN_USE[0]), _IN_USE[1]))
                    return self._close_rows(base, outcomes, begun=begun)
            except HdmBaseError as error:
                if last:
                    raise
                self._log(f"the ledger could not be written, trying again: {error.what}")
            time.sleep(_PAUSE)

    def _close_rows(self, base: BaseConnection, outcomes: list[runs.Outcome], *, begun: bool) -> list[runs.Outcome]:
        kept = runs.close(base, self._attempt, self._ids, outcomes, begun=begun)
        for before, now in zip(outcomes, kept, strict=True):
            if before != now:
                entry = f"{now.status} for {now.endpoint} ({now.reason})"
                self._log(f"the ledger already has {entry}; this attempt's {before.status} is discarded")
        return kept


def _problems(reports: Reports) -> list[str]:
    more = [f"... and {reports.dropped} more bad report lines"] if reports.dropped else []
    return [f"warning: {problem}" for problem in reports.problems] + more


def _reason(error: BaseException) -> str:
    if isinstance(error, HdmError):
        return " ".join(error.what.split())[:_REASON_LIMIT]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"internal error: {type(error).__name__}"
