"""One pack run from its folder to its reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hdm_airflow.packs.pack import SCRIPT
from hdm_airflow.runner.environments import EnvironmentStore
from hdm_airflow.runner.job import Job
from hdm_airflow.runner.layer import make_layer
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.process import Ended
from hdm_airflow.runner.report import Progress, ReportReader, Reports
from hdm_airflow.runner.supervision import CutShortError, Supervision
from hdm_airflow.runner.workspace import Workspace, workspace, write_context, write_pgpass

SKIPPED = 99  # exit code of a pack that had nothing to do
_PROGRESS_INTERVAL = 2.0  # seconds between two progress lines


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a run ended and what the pack said."""

    exit_code: int
    ended: Ended
    reports: Reports


class PackRun:
    """Runs a job once; `kill` ends it from a signal handler.

    Args:
        job: what to run.
        store: where its environment comes from.
        log: called with each masked line of output, and with what the runner has to say.
        keep: leave the run's folder behind, without its secrets, to look into.
        heartbeat: called some times a second; what it raises ends the run.
    """

    def __init__(
        self,
        job: Job,
        store: EnvironmentStore,
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
        self._killed = False
        self._reader: ReportReader | None = None

    @property
    def reports(self) -> Reports | None:
        """What the pack has said so far; None before it started."""
        return self._reader.reports if self._reader else None

    def run(self) -> Ran:
        """Run it to its end.

        Raises:
            ConfigurationError: the pack cannot be copied.
            EnvironmentBuildError: its environment cannot be built.
        """
        with workspace(self.job.pack.path, keep=self.keep) as place:
            if self.keep:
                self.log(f"the run's folder is kept: {place.root}")
            self._supervision = Supervision(self.job.timeout, [place.root], self.heartbeat)
            if self._killed:
                self._supervision.kill()
            try:
                return self._run(place, self._supervision)
            except CutShortError as error:
                return Ran(exit_code=1, ended=error.ended, reports=Reports())

    def kill(self) -> None:
        """End it with everything it has started; it then ends as 'killed'."""
        self._killed = True
        if self._supervision:
            self._supervision.kill()

    def _run(self, place: Workspace, supervision: Supervision) -> Ran:
        mask = Masker(self.job.secrets)
        variables = self._prepare(place, supervision)
        reader = self._reader = ReportReader(place.report, self.job.slugs, mask)
        try:
            result = supervision.run(
                ["bash", SCRIPT],
                folder=place.pack,
                variables=variables,
                log=self.log,
                mask=mask,
                tick=_ProgressLog(reader, self.log),
            )
        finally:
            reports = reader.close()
        return Ran(exit_code=result.exit_code, ended=result.ended, reports=reports)

    def _prepare(self, place: Workspace, supervision: Supervision) -> dict[str, str]:
        pack = self.job.pack
        python = pack.manifest.python if pack.manifest else None
        environment = self.store.get(place.pack, pack.folder, python, supervision=supervision, log=self.log)
        layer = make_layer(environment, place.layer)
        write_context(place.context, self.job.context())
        if self.job.base.password:
            write_pgpass(place.pgpass, self.job.base.variables, self.job.base.password)
        return self.job.variables(place, [layer, environment.path / "bin"])


class _ProgressLog:
    """Shows the pack's newest progress in the log, at most every two seconds."""

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
