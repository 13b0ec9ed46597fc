"""Run: one pack run, from the pack's folder to its reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import SCRIPT
from hdm_airflow.runner import answer
from hdm_airflow.runner.answer import Answer
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import sandbox, sandbox_support
from hdm_airflow.runner.processes.child import EndReason
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.report import Progress, ReportReader, Reports
from hdm_airflow.runner.venvs import precompile
from hdm_airflow.runner.venvs.layer import make_layer
from hdm_airflow.runner.venvs.store import Venv, VenvStore
from hdm_airflow.runner.workspace import Workspace, workspace, write_context, write_pgpass

SKIPPED = 99  # exit code of a pack that had nothing to do
_PROGRESS_INTERVAL = 2.0  # seconds between two progress lines
#: Seconds that the report is read after the pack's end: at least, even if time is up, and at most.
_READING = 1.0, 30.0


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended and what the pack reported."""

    exit_code: int
    end_reason: EndReason
    reports: Reports
    limit_exceeded: str = ""  # the limit and how much was used, as a sentence; '' if none
    answer: Answer | None = None  # to a command; None of a run, or if it was ended early


class PackProcess:
    """Runs a job once; a signal handler can end it with `kill`.

    Args:
        job: what to run.
        store: where its venv comes from.
        log: called with each masked line of output, and with the runner's own messages.
        keep: keep the run's folder for inspection, without its secrets.
        heartbeat: called several times a second; an exception from it ends the run.
    """

    def __init__(
        self,
        job: Job,
        store: VenvStore,
        log: Callable[[str], None],
        *,
        keep: bool = False,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self.job = job
        self.store = store
        self.log = log
        self.keep = keep
        self.heartbeat = heartbeat
        self._supervision: Supervision | None = None
        self._held = ExitStack()  # the lock of its venv
        self._killed = False
        self._reader: ReportReader | None = None

    @property
    def reports(self) -> Reports | None:
        """What the pack has reported so far; None before it started."""
        return self._reader.reports if self._reader else None

    def run(self) -> RunResult:
        """Run the job and wait until it ends.

        Raises:
            ConfigurationError: if the pack cannot be copied, or needs a sandbox that the kernel does not support.
            VenvBuildError: if its venv cannot be built, or the disk is full.
        """
        made = workspace(self.job.pack.path, keep=self.keep, heartbeat=self.heartbeat)
        with made as place, ExitStack() as self._held:
            if self.keep:
                self.log(f"the run's folder is kept: {place.root}")
            sandbox_in_force = sandbox.in_force(self.job.sandbox, hide=[self.job.pack.packs_folder, self.store.root])
            if self.job.sandbox.mode == "auto" and (shortcoming := sandbox_support.shortcoming()):
                self.log(str(shortcoming))
            self._supervision = Supervision(self.job.timeout, place, self.heartbeat, sandbox_in_force)
            if self._killed:
                self._supervision.kill()
            try:
                return self._run(place, self._supervision)
            except CutShortError as error:
                return RunResult(exit_code=1, end_reason=error.end_reason, reports=Reports())

    def kill(self) -> None:
        """End the run and everything it has started; its end reason is then 'killed'."""
        self._killed = True
        if self._supervision:
            self._supervision.kill()

    def _run(self, place: Workspace, supervision: Supervision) -> RunResult:
        mask = Masker(self.job.secrets)
        venv = self._prepare(place, supervision)
        self._held.enter_context(precompile.in_background(venv, supervision))
        variables = self.job.variables(place, place.layer / "bin")
        sandbox_in_force = supervision.sandbox
        granted = self._grants(sandbox_in_force, place, venv, variables) if sandbox_in_force else None
        reader = self._reader = ReportReader(place.report, self.job.slugs, mask)
        try:
            result = supervision.run(
                ["bash", SCRIPT],
                folder=place.pack,
                variables=variables,
                log=self.log,
                mask=mask,
                heartbeat=_ProgressLog(reader, self.log),
                confinement=sandbox.Confinement(limits=self.job.limits, grants=granted),
            )
        finally:
            reports = reader.close(go_on=_Reading(supervision))
        return RunResult(
            exit_code=result.exit_code,
            end_reason=result.end_reason,
            reports=reports,
            limit_exceeded=result.limit_exceeded,
            answer=answer.read(place.answer, mask) if self.job.command and result.end_reason == "exit" else None,
        )

    def _prepare(self, place: Workspace, supervision: Supervision) -> Venv:
        pack = self.job.pack
        python = pack.manifest.python if pack.manifest else None
        using = self.store.use(place.pack, pack.folder, python, supervision=supervision, log=self.log)
        venv = self._held.enter_context(using)
        try:
            make_layer(venv, place.layer)
            write_context(place.context, self.job.context())
            if self.job.base.password:
                write_pgpass(place.pgpass, self.job.base.variables, self.job.base.password)
        except OSError as error:
            what = f"cannot write to the run's folder: {error.strerror}"
            raise VenvBuildError(what, str(place.root), "free space there, or set TMPDIR to another folder") from error
        return venv

    def _grants(
        self, setting: sandbox.Sandbox, place: Workspace, venv: Venv, variables: dict[str, str]
    ) -> sandbox.Grants:
        """The files that the pack may see: its folder, its Python, its venv, and endpoints that are files."""
        files = [Path(target.host) for target in self.job.targets if os.path.isabs(target.host)]
        return sandbox.grants(
            setting,
            own=place.root,
            variables=variables,
            read=[venv.interpreter.prefix, venv.path],
            write=[path for file in files if file.is_file() for path in sandbox.with_companions(setting, file)],
        )


class _Reading:
    """Whether there is time to read on in the report after the pack's end."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._least, self._most = (time.monotonic() + seconds for seconds in _READING)

    def __call__(self) -> bool:
        self._supervision.heartbeat()
        now = time.monotonic()
        if now < self._least:
            return True
        return not self._supervision.killed and now < min(self._most, self._supervision.deadline)


class _ProgressLog:
    """Logs the pack's latest progress, at most every two seconds."""

    def __init__(self, reader: ReportReader, log: Callable[[str], None]) -> None:
        self._reader, self._log = reader, log
        self._shown: Progress | None = None
        self._next = 0.0

    def __call__(self) -> None:
        progress = self._reader.poll().progress
        now = time.monotonic()
        if progress != self._shown and progress is not None and now >= self._next:
            self._shown, self._next = progress, now + _PROGRESS_INTERVAL
            self._log(f"progress {progress.share:.0%} {progress.message}".rstrip())
