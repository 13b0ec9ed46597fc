"""Execution: one run of a pack and its ledger rows, which are closed exactly once however the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from hdm_airflow.base import runs
from hdm_airflow.base.background_query import BackgroundQuery
from hdm_airflow.base.hook import BaseConnection, HdmHook, explained
from hdm_airflow.errors import HdmBaseError, HdmError
from hdm_airflow.operators import verdict
from hdm_airflow.operators.lock import LockKeeper
from hdm_airflow.operators.phase import Event, Phase, Progress
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.run import PackProcess, RunResult
from hdm_airflow.runner.venvs.store import VenvStore

_PATIENCE = 60.0  # seconds during which writing the end of a run is tried, because hours of work may depend on it
_HASTE = 4.0  # the same for a pack that has not started
_PAUSE = 2.0  # seconds between two tries
_IN_USE = 20.0, 2.0  # seconds that one try waits for a row that another session has locked: maximum, minimum
_ANSWER = 30.0  # seconds after which a session that does not answer is given up
_QUICK = 1.5  # seconds after which a signal handler has no time left for a second way to write the end
_NOTED = 1.0  # seconds between two notes of endpoints reported ok; the first is written at once
_REASON_LIMIT = 300  # characters

_Close = Callable[[BaseConnection], list[runs.Outcome]]  # writes the end on a connection, and returns what it keeps


class Execution:
    """Runs a job and keeps its ledger rows up to date.

    Args:
        hook: the HDM base.
        attempt: the attempt that the rows belong to.
        ids: slug -> reserved id of its row.
        log: called with each line of output.
        keeper: keeps the lock and notes the pack's reports in the ledger; called several times a second; an error
            that it raises ends the run.
        keep: keep the run folder, without its secrets.
        remark: added to the reason of each endpoint in the ledger.
        unproven: slug -> objects that the ledger has as incomplete from the start, whatever the pack reports.
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
        remark: str = "",
        unproven: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._hook, self._attempt, self._ids, self._log = hook, attempt, ids, log
        self._remark, self._unproven = remark, unproven or {}
        self._keep, self._keeper = keep, keeper
        self._base: BaseConnection | None = None  # the session with the pack's lock
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
        self._base = base
        try:
            _, phase = self._progress.follow(Event.START)
            if phase is Phase.CLOSED:  # aborted before the start
                return self._outcomes
            with explained(self._hook):  # the ledger gets the explanation of an error, not the driver's text
                runs.start(base, self._attempt, self._ids, self._unproven)
                self._follow(Event.STARTED, lambda: self._interrupted(self._abort_reason), patient=False)
                if self._progress.phase is not Phase.RUNNING:  # aborted in the meantime
                    return self._outcomes
                job = make_job()
                ran = self._run_pack(job, store)
                return self._follow(Event.END, lambda: verdict.outcomes(ran, self._ids, job.timeout))
        except BaseException as error:  # Airflow's timeout is not an Exception; rows must not stay `running`
            reason = _reason(error)
            try:
                self._follow(Event.END, lambda: self._interrupted(reason))
            except HdmBaseError as refusal:
                if str(refusal) == str(error):  # the same fault, such as a full disk, stopped both: one error is enough
                    raise error from None
                raise
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
        for warning in ran.reports.warnings:
            self._log(warning)
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
            self._keeper.note([self._with_unproven(one) for one in news])
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
            patient: keep trying, for a minute if the pack has started; False in a signal handler, which does not have
                that long.

        Returns:
            The outcomes as in the ledger.
        """
        before, phase = self._progress.follow(event)
        if phase.is_writing and (event is Event.END or not before.is_writing):
            try:
                patience = (_PATIENCE if self._run else min(_PATIENCE, _HASTE)) if patient else 0
                write = self._write if patient else self._write_in_haste
                self._outcomes = write(self._remarked(end()), time.monotonic() + patience, begun=phase is Phase.CLOSING)
            except BaseException as error:
                refused = patient and isinstance(error, HdmBaseError)
                self._progress.follow(Event.REFUSED if refused else Event.INTERRUPTED)
                raise
            self._progress.follow(Event.WRITTEN)
        return self._outcomes

    def _remarked(self, outcomes: list[runs.Outcome]) -> list[runs.Outcome]:
        outcomes = [self._with_unproven(one) for one in outcomes]
        if not self._remark:
            return outcomes
        return [replace(one, reason="; ".join(filter(None, (one.reason, self._remark)))) for one in outcomes]

    def _with_unproven(self, outcome: runs.Outcome) -> runs.Outcome:
        unproven = self._unproven.get(outcome.endpoint)
        if not unproven:
            return outcome
        return replace(outcome, incomplete=tuple(dict.fromkeys((*outcome.incomplete, *unproven))))

    def _write(self, outcomes: list[runs.Outcome], deadline: float, *, begun: bool) -> list[runs.Outcome]:
        """Write the end; try again until the deadline, because a restart of the base must not lose hours of work.

        The session with the lock comes first: it works even if the base's password has changed. It takes turns with new
        connections, which work even if the base has moved or the session has become read-only.
        """
        logged, on_session = "", True
        while True:
            left = deadline - time.monotonic()
            close = partial(self._close, outcomes, max(min(left, _IN_USE[0]), _IN_USE[1]), begun)
            try:
                if on_session and self._base is not None and not self._base.closed:
                    return self._compared(outcomes, self._on_session(self._base, close, _ANSWER))
                return self._compared(outcomes, self._on_new_connection(self._newest_hook(), close))
            except HdmBaseError as error:
                if left <= 0:
                    raise
                if error.what != logged:
                    self._log(f"the ledger could not be written, trying again: {error.what}")
                    logged = error.what
            on_session = not on_session
            time.sleep(_PAUSE)

    def _write_in_haste(self, outcomes: list[runs.Outcome], _deadline: float, *, begun: bool) -> list[runs.Outcome]:
        """Write the end once, without asking Airflow for the connection again, which a signal handler must not do."""
        began = time.monotonic()
        close = partial(self._close, outcomes, _IN_USE[1], begun)
        try:
            kept = self._on_new_connection(self._hook, close)
        except HdmBaseError:
            late = time.monotonic() - began > _QUICK
            if late or self._base is None or self._base.closed:
                raise
            kept = self._on_session(self._base, close, _QUICK)  # perhaps only the password has changed
        return self._compared(outcomes, kept)

    def _close(
        self,
        outcomes: list[runs.Outcome],
        patience: float,
        begun: bool,
        base: BaseConnection,
    ) -> list[runs.Outcome]:
        runs.limit_closing(base, patience)
        return runs.close(base, self._attempt, self._ids, outcomes, begun=begun)

    def _on_session(self, base: BaseConnection, close: _Close, seconds: float) -> list[runs.Outcome]:
        """Write the end on a session, within some seconds: in a thread, because the server may be frozen."""
        kept: list[runs.Outcome] = []
        query = BackgroundQuery(base, lambda: kept.extend(close(base)))
        with explained(self._hook):
            try:
                query.start()
                if not query.is_done(seconds):
                    what = f"the HDM base has not answered for {seconds:.0f} s"
                    raise HdmBaseError(what, self._hook.where, "see what the server is doing")
            finally:
                query.abandon()
        return kept

    def _on_new_connection(self, hook: HdmHook, close: _Close) -> list[runs.Outcome]:
        with hook.session(probed=False) as base:
            return close(base)

    def _newest_hook(self) -> HdmHook:
        """The base as Airflow's connection describes it now: its password or host may have changed since the start."""
        hook = HdmHook(self._hook.conn_id)
        try:
            hook.load()
        except HdmError as error:
            self._log(f"the connection of the HDM base is used as it was at the start: {error.what}")
            return self._hook
        return hook

    def _compared(self, outcomes: list[runs.Outcome], kept: list[runs.Outcome]) -> list[runs.Outcome]:
        for before, now in zip(outcomes, kept, strict=True):
            if before != now:
                entry = f"{now.status} for {now.endpoint} ({now.reason})"
                self._log(f"the ledger already has {entry}; this attempt's {before.status} is discarded")
        return kept


def _reason(error: BaseException) -> str:
    if isinstance(error, HdmError):
        return " ".join(error.what.split())[:_REASON_LIMIT]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"internal error: {type(error).__name__}"
