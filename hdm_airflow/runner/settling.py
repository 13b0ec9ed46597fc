"""Settling: a fresh environment is compiled and put on the disk for good, while its first run goes on.

Neither is needed to start: uv leaves no `.pyc` files, so that imports take longer until they are there, and the disk
may take its time until the next power failure. Together they take many times as long as the build itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hdm_airflow.runner import record, sandbox
from hdm_airflow.runner.environments import Environment
from hdm_airflow.runner.interpreter import build_variables
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.process import Child
from hdm_airflow.runner.sandbox import Confinement
from hdm_airflow.runner.supervision import CutShortError, Supervision

_PATIENCE = 60.0  # seconds that a run which is over waits for it; the next one goes on where it ends
#: Under the Python that the environment stands on, without `site`: its own would run what a package has put beside it.
#: Files that are no Python of its version are passed over, and so are tests: they take half of the time, and nobody
#: imports them. Each `.pyc` is written whole.
_PROGRAM = """
import compileall, os, re, sys
folder, marker = sys.argv[1:]
os.nice(19)
compileall.compile_dir(folder, quiet=2, workers=0, rx=re.compile(re.escape(folder) + ".*/tests?/"))
os.sync()
open(marker, "w").close()
"""


@contextmanager
def beside(environment: Environment, supervision: Supervision) -> Iterator[None]:
    """Settle an environment while the context lasts, at the lowest priority, and wait for its end.

    Args:
        environment: held by the caller.
        supervision: its time limit and its end are the settling's, too.
    """
    with _claim(environment.path) as is_ours:
        if not is_ours:
            yield
            return
        child = Child(
            _command(environment),
            folder=environment.path,
            variables=build_variables(),
            leftovers=[],
            confinement=_confinement(environment, supervision),
        )
        try:
            yield
            with suppress(CutShortError):  # the run is over all the same
                supervision.check()
                child.wait(log=_nothing, mask=Masker([]), timeout=_PATIENCE, tick=supervision.check)
        finally:
            child.close()


def settle(environment: Environment, supervision: Supervision) -> None:
    """Settle an environment now; one that is settled, or being settled, is left to itself."""
    with _claim(environment.path) as is_ours:
        if is_ours:
            supervision.run(
                _command(environment),
                folder=environment.path,
                variables=build_variables(),
                log=_nothing,
                mask=Masker([]),
                confinement=_confinement(environment, supervision),
            )


@contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Whether it is for us to settle an environment: it is not, and nobody else is at it."""
    if record.is_settled(path) or not os.access(path, os.W_OK):  # in an image, a store may be read-only
        yield False
        return
    descriptor = os.open(path / record.FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        claimed = False
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            claimed = True
        yield claimed
    finally:
        os.close(descriptor)


def _confinement(environment: Environment, supervision: Supervision) -> Confinement:
    if supervision.sandbox is None:
        return Confinement()
    python = environment.interpreter.prefix
    return Confinement(
        grants=sandbox.grants(supervision.sandbox, own=environment.path, variables={}, read=[python], write=[])
    )


def _command(environment: Environment) -> list[str]:
    marker = str(environment.path / record.SETTLED)
    return [environment.interpreter.path, "-I", "-S", "-c", _PROGRAM, str(environment.path / "lib"), marker]


def _nothing(line: str) -> None:
    """What it says is not for the task's log: packages carry files of other Pythons."""
