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

from hdm_airflow.runner import record
from hdm_airflow.runner.environments import Environment
from hdm_airflow.runner.interpreter import build_variables
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.process import Child
from hdm_airflow.runner.sandbox import Confinement
from hdm_airflow.runner.supervision import Supervision

#: Under the environment's own Python: files that are no Python of its version are passed over. Others write them whole.
_PROGRAM = """
import compileall, os, sys
folder, workers, marker = sys.argv[1:]
os.nice(19)
compileall.compile_dir(folder, quiet=2, workers=int(workers))
os.sync()
open(marker, "w").close()
"""


@contextmanager
def beside(environment: Environment, confinement: Confinement) -> Iterator[None]:
    """Settle an environment while the context lasts, at the lowest priority; the next run goes on where this one ends.

    Args:
        environment: held by the caller.
        confinement: what the program is kept from.
    """
    with _claim(environment.path) as is_ours:
        if not is_ours:
            yield
            return
        child = Child(
            _command(environment, workers=1),
            folder=environment.path,
            variables=build_variables(),
            leftovers=[],
            confinement=confinement,
        )
        try:
            yield
        finally:
            child.end("killed")
            child.wait(log=lambda _: None, mask=Masker([]), timeout=None, tick=lambda: None)


def settle(environment: Environment, supervision: Supervision) -> None:
    """Settle an environment now, on all processors; one that is settled, or being settled, is left to itself."""
    with _claim(environment.path) as is_ours:
        if is_ours:
            supervision.run(
                _command(environment, workers=0),
                folder=environment.path,
                variables=build_variables(),
                log=lambda _: None,
                mask=Masker([]),
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


def _command(environment: Environment, *, workers: int) -> list[str]:
    """The program, with how many processes compile; 0: one per processor."""
    python = str(environment.path / "bin" / "python")
    marker = str(environment.path / record.SETTLED)
    return [python, "-I", "-c", _PROGRAM, str(environment.path / "lib"), str(workers), marker]
