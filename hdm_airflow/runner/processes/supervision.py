"""Supervision: runs the programs of one pack run under one time limit and one kill switch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes.child import Child, ChildResult, EndReason
from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.sandbox import Confinement, Sandbox


class CutShortError(Exception):
    """The timeout or a kill ended the run before the pack itself had started."""

    def __init__(self, end_reason: EndReason) -> None:
        super().__init__(end_reason)
        self.end_reason: EndReason = end_reason


class Supervision:
    """Starts programs one after another.

    Args:
        timeout: seconds for all of them together; None for no limit.
        folder: the run's folder, for the programs' temporary files.
        heartbeat: called several times a second; an exception from it ends the program.
        sandbox: the setting in force; None if programs run without a sandbox.
    """

    def __init__(
        self,
        timeout: float | None,
        folder: RunFolder,
        heartbeat: Callable[[], None],
        sandbox: Sandbox | None = None,
    ) -> None:
        self.deadline = math.inf if timeout is None else time.monotonic() + timeout  # on the monotonic clock
        self.folder = folder
        self.heartbeat = heartbeat
        self.sandbox = sandbox
        self._child: Child | None = None
        self.killed = False

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: Mapping[str, str],
        log: Callable[[str], None],
        mask: Masker,
        heartbeat: Callable[[], None] = lambda: None,
        confinement: Confinement,
    ) -> ChildResult:
        """Run one program and wait until it ends.

        Args:
            command: what to run.
            folder: its working directory.
            variables: all variables that it gets.
            log: called with each masked line of its output.
            mask: removes the secrets.
            heartbeat: called several times a second, in addition to the one for all programs.
            confinement: the files it may see, and its limits.

        Raises:
            CutShortError: if time was up, or the run was killed, before the program started.
        """
        self.raise_if_cut_short()
        child = self._child = Child(
            command,
            folder=folder,
            variables=dict(variables),
            run_folder=self.folder,
            confinement=confinement,
        )
        if self.killed:
            child.end("killed")
        left = max(0.0, self.deadline - time.monotonic())

        def both() -> None:
            self.heartbeat()
            heartbeat()

        return child.wait(log=log, mask=mask, timeout=left, heartbeat=both)

    def raise_if_cut_short(self) -> None:
        """Check time limit and kill switch while no program runs.

        Raises:
            CutShortError: if time is up, or the run was killed.
        """
        self.heartbeat()
        if self.killed:
            raise CutShortError("killed")
        if time.monotonic() > self.deadline:
            raise CutShortError("timeout")

    def kill(self) -> None:
        """End the running program and any that would start later; safe in a signal handler."""
        self.killed = True
        if self._child:
            self._child.end("killed")
