"""PackAttempt: one attempt of one pack, for PackOperator and `airflow hdm packs run` alike."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Protocol

from hdm_airflow.base import incident_list, incidents, packs, runs
from hdm_airflow.base.hook import BaseConnection, HdmHook, explained
from hdm_airflow.credentials.sources import PATIENCE, open_chain
from hdm_airflow.errors import ConfigurationError, HdmError, PackFailedError
from hdm_airflow.operators import alarm, base_access, lock, plan, targets, verdict
from hdm_airflow.operators.execution import Execution
from hdm_airflow.operators.part import Part
from hdm_airflow.operators.plan import Plan
from hdm_airflow.packs import content
from hdm_airflow.packs.finding import listed
from hdm_airflow.packs.limits import Limits
from hdm_airflow.packs.pack import Pack
from hdm_airflow.printable import printable
from hdm_airflow.runner.job import Job, Target
from hdm_airflow.runner.processes.child import dying_with_parent
from hdm_airflow.runner.venvs.store import VenvStore
from hdm_airflow.settings import RunOptions

_LAST = 10  # lines of the pack's output in the message of a failed task
_LINE = 500  # characters of each
_HURRY = 2.0  # seconds to return leases of passwords after an abort: SIGKILL follows after five


class Log(Protocol):
    """The logger of an attempt: Airflow's or the standard library's."""

    def info(self, message: str, /, *values: Any) -> None:
        """Log progress."""

    def warning(self, message: str, /, *values: Any) -> None:
        """Log something that may need attention."""

    def error(self, message: str, /, *values: Any) -> None:
        """Log a failure."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of an attempt, whichever pack it runs."""

    conn_id: str  # Airflow connection of the HDM base
    pack_conn_id: str | None  # connection that the pack uses to reach the base; None: conn_id
    options: RunOptions  # with the timeout of this pack; the manifest may lower its limits
    deadline: float | None = None  # end of the whole attempt on the monotonic clock; None: only `timeout`, for the pack
    timezone: str  # the variable TZ of the pack

    def limits(self, pack: Pack) -> Limits:
        """The limits of the options, lowered by those of the pack's manifest."""
        limits, asked = self.options.limits, pack.manifest and pack.manifest.limits
        return limits.within(asked) if asked else limits

    def left(self) -> float:
        """Seconds that a pack that starts now may run."""
        timeout = self.options.timeout
        return timeout if self.deadline is None else max(0.0, min(timeout, self.deadline - time.monotonic()))


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """How an attempt ended, as in the ledger."""

    metric_date: date
    planned: Plan
    done: tuple[runs.Outcome, ...]  # of endpoints that are neither gated nor kept
    last_lines: tuple[str, ...] = ()  # of the pack's output, masked; it may quote data, so it is for the log only
    fault: HdmError | None = None  # makes it fail even if the pack succeeded: incidents were opened, or not derived

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, and the reasons of all endpoints without success; no secrets, no data."""
        return verdict.summary(self.metric_date, self.done, self.planned.gated, self.planned.kept)

    @property
    def bad(self) -> list[runs.Outcome]:
        """The outcomes that make the attempt fail."""
        return [one for one in self.done if one.status in {"failed", "partial"}]

    @property
    def skip_reason(self) -> str:
        """Why the attempt did nothing at all; '' if it did something."""
        if self.planned.empty:
            return "no endpoint of this run is activated" if self.planned.ignored else "no endpoint is activated"
        if self.planned.kept or any(one.status != "skipped" for one in self.done):
            return ""
        return "no endpoint passed the gate" if self.planned.gated else "the pack skipped every endpoint"


class PackAttempt:
    """Runs a pack on its endpoints: locks, plan, gate, credentials, tables, process, ledger.

    Args:
        pack: the pack to run.
        attempt: its name in the ledger.
        conditions: the conditions under which it runs.
        log: receives the progress and each masked line of the pack's output.
        only: slugs of activated endpoints to run on, even if they have succeeded before; None: all that have not.
        part: what the Dag run is limited to; None: it runs everything.
        keep: keep the run folder, without its secrets.
        dies_with_parent: kill this process if its parent dies.
    """

    def __init__(
        self,
        pack: Pack,
        attempt: runs.Attempt,
        conditions: Conditions,
        log: Log,
        *,
        only: Collection[str] | None = None,
        part: Part | None = None,
        keep: bool = False,
        dies_with_parent: bool = True,
    ) -> None:
        self.pack = pack
        self.attempt = attempt
        self.conditions = conditions
        self.log = log
        self.only = only
        self.part = part
        self.keep = keep
        self.dies_with_parent = dies_with_parent
        self._execution: Execution | None = None
        self._planned: Plan | None = None
        self._early: tuple[runs.Outcome, ...] = ()  # failures before the pack started
        self._aborted = ""  # the reason
        self._last_lines: deque[str] = deque(maxlen=_LAST)
        self._chain = open_chain(
            conditions.options.credentials,
            environment=attempt.environment,
            pack=pack,
            warn=lambda text: log.warning("%s", text),
            patience=lambda: _HURRY if self._aborted else PATIENCE,
        )

    @property
    def result(self) -> AttemptResult | None:
        """The result so far, even if `run` raised an error; None before there is a plan."""
        return self._result(self._planned) if self._planned else None

    def run(self) -> AttemptResult:
        """Run the attempt until it has ended.

        Raises:
            ConfigurationError: if the pack is quarantined or the configuration is wrong: a retry does not help.
            HdmError: if the base or a venv cannot be used: a retry may help.
        """
        self._refuse_quarantined()
        conditions = self.conditions
        hook = base_access.load(conditions.conn_id)
        fate = dying_with_parent() if self.dies_with_parent else nullcontext()
        with fate, hook.session() as base, self._chain:
            deadline = time.monotonic() + conditions.left()
            resumed = lock.take(base, self.attempt, self.pack, deadline=deadline, heartbeat=self._raise_if_aborted)
            planned = self._planned = plan.read(
                base,
                self.attempt,
                self.pack,
                require_reports=conditions.options.require_reports,
                only=self.only,
                part=self.part,
                resumed=resumed,
            )
            self._log_plan(planned)
            self._raise_if_aborted()
            found = self._start(hook, base, planned)
            if self._execution:
                self._raise_if_aborted()  # `abort` ends the execution from here on; before, there was none
                store = VenvStore(conditions.options.venvs)
                self._execution.run(base, partial(self._job, hook, base, planned, found), store)
            result = self._result(planned)
            self._log_result(result)
            if self.pack.kind == "rule" and not self._aborted:
                result = replace(result, fault=self._derive(hook, base, planned))
        return result

    @property
    def begun(self) -> bool:
        """Whether the ledger has rows of it; from then on, every error is a failed run."""
        return self._execution is not None

    def abort(self, reason: str) -> bool:
        """Write the ledger, then end the pack's processes; `run` then returns. For signal handlers.

        Returns:
            Whether there was an execution to end.
        """
        self._aborted = reason
        if self._execution is None:
            return False
        self._execution.abort(reason)
        return True

    def _result(self, planned: Plan) -> AttemptResult:
        done = (*self._early, *(self._execution.outcomes if self._execution else ()))
        lines = tuple(self._last_lines)
        return AttemptResult(metric_date=self.attempt.metric_date, planned=planned, done=done, last_lines=lines)

    def _raise_if_aborted(self) -> None:
        if self._aborted:
            raise PackFailedError(self._aborted, self.pack.folder, "nothing ran; start it again")

    def _raise_if_late(self, deadline: float) -> None:
        """Stop looking up passwords in time: a source may never finish its answer."""
        self._raise_if_aborted()
        if time.monotonic() > deadline:
            hint = "find the slow source: airflow hdm endpoints test"
            raise HdmError("timed out before all passwords were looked up", self.pack.folder, hint)

    # The steps, in the order of `run` ---------------------------------------------------------------------------

    def _refuse_quarantined(self) -> None:
        if self.pack.errors:
            raise ConfigurationError(f"the pack in {self.pack.folder} is quarantined:\n{listed(self.pack.findings)}")

    def _log_plan(self, planned: Plan) -> None:
        if planned.external.warning:
            self.log.warning("%s", planned.external.warning)
        for slug, why in planned.gated.items():
            self.log.warning("not run: %s: %s", printable(why), printable(slug))
        for slug in planned.kept:
            self.log.info("%s has succeeded before and is not run again", printable(slug))
        for slug in planned.ignored:
            self.log.info("not run: %s is not activated on %s", self.pack.task_id, printable(slug))

    def _log_result(self, result: AttemptResult) -> None:
        for outcome in result.done:
            write = self.log.info if outcome.status in {"success", "skipped"} else self.log.error
            write("%s", verdict.line(outcome))
        if not result.planned.empty:
            self.log.info("%s", verdict.sentence(result.summary))

    def _derive(self, hook: HdmHook, base: BaseConnection, planned: Plan) -> HdmError | None:
        """Derive incidents, also from what earlier runs left: one that was killed had no time for it.

        Returns:
            Why the attempt fails although its results are stored. Not raised: it must not hide what the pack did.
        """
        try:
            with explained(hook):
                derived = incidents.derive(base, self.pack.name, reopen_days=self.conditions.options.reopen_days)
                for warning in derived.warnings:
                    self.log.warning("%s", warning)
                if derived.events:
                    told = ", ".join(f"{count:,} {kind}" for kind, count in derived.events.items())
                    self.log.info("incidents: %s", told)
                return self._alarm(base, planned)
        except HdmError as error:
            return error

    def _alarm(self, base: BaseConnection, planned: Plan) -> HdmError | None:
        """Look for incidents on all endpoints of the plan: those that succeeded before make this try fail as well."""
        waiting = incident_list.waiting(base, self.pack.name, self.attempt.metric_date)
        if waiting:
            self.log.warning("%s", printable(alarm.waiting(list(waiting))))
        level = self.conditions.options.fail_on
        if level == "none":
            return None
        opened = incidents.opened(base, self.pack.name, planned.slugs, self.attempt.metric_date, level)
        if opened:
            return alarm.alarm(self.attempt, opened, level)
        unknown = [slug for slug in planned.slugs if waiting.get(slug)]
        return alarm.not_derived(self.attempt, unknown) if unknown else None

    def _start(self, hook: HdmHook, base: BaseConnection, planned: Plan) -> list[Target]:
        """Look up passwords, record the endpoints that cannot run, and prepare the run of the others."""
        versions = runs.dbversions(base, [item.slug for item in planned.run])
        heartbeat = partial(self._raise_if_late, time.monotonic() + self.conditions.left())
        found, refused = targets.find(planned.run, self._chain, versions, heartbeat)
        broken = {**planned.broken, **refused}
        failed = [runs.Outcome(endpoint=slug, status="failed", reason=why) for slug, why in broken.items()]
        gated = [runs.Outcome(endpoint=slug, status="skipped", reason=why) for slug, why in planned.gated.items()]
        runs.finish(base, self.attempt, [*failed, *gated])
        self._early = tuple(failed)
        if found:  # before the first `running` row, so that whatever ends us closes it
            self._raise_if_aborted()  # an abort before this line had nothing to end
            self._record(base, planned)
            ids = runs.reserve(base, [target.slug for target in found])
            self._execution = self._make_execution(hook, base, ids, planned)
            pack = f"{self.pack.task_id} {self.pack.version}"
            rights = "" if self.conditions.pack_conn_id else ", with the rights of the HDM base's owner"
            date = self.attempt.metric_date
            self.log.info("%s runs on %d endpoint(s), metric date %s%s", pack, len(found), date, rights)
        return found

    def _record(self, base: BaseConnection, planned: Plan) -> None:
        """Record the pack in the base, if it has changed."""
        sha256 = content.digest(self.pack.path)
        if sha256 != planned.recorded and (fault := packs.record(base, self.pack, sha256)):
            self.log.warning("the pack could not be recorded in hdm_pack: %s", fault)

    def _hear(self, line: str) -> None:
        """Log a line of the pack's output."""
        self.log.info("%s", line)
        if line.strip() and not line.startswith("progress "):
            self._last_lines.append(line[:_LINE])

    def _make_execution(self, hook: HdmHook, base: BaseConnection, ids: Mapping[str, int], planned: Plan) -> Execution:
        return Execution(
            hook,
            self.attempt,
            ids,
            self._hear,
            keep=self.keep,
            keeper=lock.LockKeeper(
                base, ids, also=self._chain.pass_on_warnings, check=partial(runs.has_lock, attempt=self.attempt)
            ),
            remark=planned.external.warning if planned.external.lost else "",
            # a rule pack's silence about them proves nothing, even if the pack never asks what is missing
            unproven={item.slug: item.unproven for item in planned.run} if self.attempt.kind == "rule" else None,
        )

    def _job(self, hook: HdmHook, base: BaseConnection, planned: Plan, found: list[Target]) -> Job:
        attempt, conditions = self.attempt, self.conditions
        access = base_access.prepare(
            hook,
            base,
            self.pack,
            pack_conn_id=conditions.pack_conn_id,
            seconds=conditions.left(),
            heartbeat=self._raise_if_aborted,
            log=lambda text: self.log.info("%s", text),
        )
        return Job(
            pack=self.pack,
            environment=attempt.environment,
            metric_date=attempt.metric_date,
            run_id=attempt.run_id,
            dag_id=attempt.dag_id,
            task_id=attempt.task_id,
            try_number=attempt.try_number,
            base=access,
            config=planned.external.value,
            config_source=planned.external.source,
            targets=tuple(found),
            timezone=conditions.timezone,
            timeout=conditions.left(),
            limits=conditions.limits(self.pack),
            sandbox=conditions.options.sandbox,
        )
