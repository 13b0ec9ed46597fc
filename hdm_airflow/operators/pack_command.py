"""PackCommand: one command to a pack, which answers with one JSON value instead of running."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from hdm_airflow.base import runs
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.credentials.chain import Chain
from hdm_airflow.credentials.sources import open_chain
from hdm_airflow.errors import ConfigurationError, HdmError, PackFailedError
from hdm_airflow.operators import base_access, plan, targets, verdict
from hdm_airflow.operators.attempt import Conditions, Log
from hdm_airflow.operators.plan import Plan
from hdm_airflow.packs.finding import listed
from hdm_airflow.packs.pack import MANIFEST, Pack
from hdm_airflow.runner.job import Command, Job, Target
from hdm_airflow.runner.run import SKIPPED, PackProcess, RunResult
from hdm_airflow.runner.venvs.store import VenvStore

_MESSAGE = 10_000  # characters of the text with which a pack refuses a command


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks, and for when: a command has no row in the ledger, so this is only for the pack."""

    environment: str  # name of the HDM environment
    metric_date: date
    dag_id: str
    run_id: str


class PackCommand:
    """Asks a pack for one answer. Unlike an attempt, it takes no lock, passes no gate and writes no row of the ledger.

    So any number of commands can run at once, also while the pack itself runs.

    Args:
        pack: the pack.
        command: what it is asked; its manifest must declare the name.
        conditions: as of a run.
        caller: who asks.
        log: receives each masked line of the pack's output, and warnings.
        endpoints: slugs of activated endpoints, which the pack receives with their passwords; no others.
    """

    def __init__(
        self,
        pack: Pack,
        command: Command,
        conditions: Conditions,
        caller: Caller,
        log: Log,
        *,
        endpoints: Collection[str] = (),
    ) -> None:
        self.pack = pack
        self.command = command
        self.conditions = conditions
        self.caller = caller
        self.log = log
        self.endpoints = endpoints
        self._process: PackProcess | None = None
        self._aborted = ""  # the reason

    @property
    def begun(self) -> bool:
        """Whether the pack was started, or its venv was being built."""
        return self._process is not None

    def run(self) -> Any:
        """Ask the pack, and return its answer: a value of JSON, without secrets.

        Raises:
            ConfigurationError: if the pack is quarantined or does not know the command, or the configuration is wrong.
            PackFailedError: if the pack fails, is stopped, or gives no valid answer.
            HdmError: if the base, a password or a venv cannot be had.
        """
        check(self.pack, self.command)
        chain = open_chain(
            self.conditions.options.credentials,
            environment=self.caller.environment,
            pack=self.pack,
            warn=self._warn,
        )
        with chain:
            job = self._prepare(chain)
            store = VenvStore(self.conditions.options.venvs)
            self._process = PackProcess(job, store, self._hear, heartbeat=chain.pass_on_warnings)
            if self._aborted:  # while the process was being made
                self._process.kill()
            ran = self._process.run()
        for warning in ran.reports.warnings:
            self._hear(warning)
        return self._answer(ran, job)

    def abort(self, reason: str) -> bool:
        """End the pack's processes; `run` then raises. For signal handlers.

        Returns:
            Whether there was something to end.
        """
        self._aborted = reason
        if self._process is None:
            return False
        self._process.kill()
        return True

    # The steps, in the order of `run` ---------------------------------------------------------------------------

    def _prepare(self, chain: Chain) -> Job:
        """The job; the connection to the base is closed before the pack starts."""
        hook = base_access.load(self.conditions.conn_id)
        with hook.session() as base:
            planned = plan.read_for_command(base, self.pack, self.endpoints)
            if planned.external.warning:
                self._warn(planned.external.warning)
            heartbeat = partial(self._raise_if_late, time.monotonic() + self.conditions.left())
            return self._job(hook, base, planned, self._find(base, planned, chain, heartbeat))

    def _find(
        self, base: BaseConnection, planned: Plan, chain: Chain, heartbeat: Callable[[], None]
    ) -> tuple[Target, ...]:
        """The endpoints named, with their passwords."""
        if not planned.run:  # no source is asked
            return ()
        versions = runs.dbversions(base, planned.slugs)
        found, refused = targets.find(planned.run, chain, versions, heartbeat)
        if refused:
            faults = "\n".join(f"  {slug}: {why}" for slug, why in refused.items())
            what = f"the password of {len(refused)} endpoint(s) could not be looked up:\n{faults}"
            raise HdmError(what, self.pack.folder, "find out more: airflow hdm endpoints test")
        return tuple(found)

    def _job(self, hook: HdmHook, base: BaseConnection, planned: Plan, found: tuple[Target, ...]) -> Job:
        conditions, caller = self.conditions, self.caller
        access = base_access.prepare(
            hook,
            base,
            self.pack,
            pack_conn_id=conditions.pack_conn_id,
            seconds=conditions.left(),
            heartbeat=self._raise_if_aborted,
            log=self._hear,
        )
        return Job(
            pack=self.pack,
            environment=caller.environment,
            metric_date=caller.metric_date,
            run_id=caller.run_id,
            dag_id=caller.dag_id,
            task_id=self.pack.task_id,
            try_number=1,
            base=access,
            config=planned.external.value,
            config_source=planned.external.source,
            targets=found,
            timezone=conditions.timezone,
            timeout=conditions.left(),
            limits=conditions.limits(self.pack),
            sandbox=conditions.options.sandbox,
            command=self.command,
        )

    def _answer(self, ran: RunResult, job: Job) -> Any:
        asked = f"the command {self.command.name} of {self.pack.task_id}"
        answer = ran.answer
        why = verdict.fault(ran, job.timeout)
        if ran.exit_code == SKIPPED:
            why = why or f"the bootstrap script ended with exit code {SKIPPED}"
        if ran.end_reason == "killed":
            why = self._aborted or why
        if why and answer and isinstance(answer.value, str) and answer.value.strip():
            raise PackFailedError(f"{asked} failed: {answer.value.strip()[:_MESSAGE]}", self.pack.folder)
        if why or answer is None:
            raise PackFailedError(f"{asked} failed: {why}", self.pack.folder, "see the output of the pack")
        if answer.fault:
            hint = "correct what the pack writes to HDM_ANSWER (docs: reference/pack-contract)"
            raise PackFailedError(f"{asked} {answer.fault}", self.pack.folder, hint)
        return answer.value

    def _hear(self, line: str) -> None:
        self.log.info("%s", line)

    def _warn(self, text: str) -> None:
        self.log.warning("%s", text)

    def _raise_if_aborted(self) -> None:
        if self._aborted:
            raise PackFailedError(self._aborted, self.pack.folder, "nothing ran; start it again")

    def _raise_if_late(self, deadline: float) -> None:
        self._raise_if_aborted()
        if time.monotonic() > deadline:
            hint = "find the slow source: airflow hdm endpoints test"
            raise HdmError("timed out before all passwords were looked up", self.pack.folder, hint)


def check(pack: Pack, command: Command) -> None:
    """Refuse what must not start the pack.

    Raises:
        ConfigurationError: if the pack is quarantined, does not declare the command, or an argument is not JSON.
    """
    if pack.errors:
        raise ConfigurationError(f"the pack in {pack.folder} is quarantined:\n{listed(pack.findings)}")
    declared = pack.manifest.commands if pack.manifest else ()
    if command.name not in declared:
        known = f"it understands: {', '.join(declared)}" if declared else "it understands no command"
        what = f"{pack.task_id} has no command {command.name!r}; {known}"
        hint = "choose one of these" if declared else 'a pack declares what it understands: "commands": ["..."]'
        raise ConfigurationError(what, f"{pack.folder}/{MANIFEST}", hint)
    try:
        json.dumps(dict(command.arguments), allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        what = f"the arguments of the command {command.name} are not values of JSON ({type(error).__name__})"
        hint = "give an object of finite numbers, texts, lists and objects"
        raise ConfigurationError(what, pack.task_id, hint) from None
