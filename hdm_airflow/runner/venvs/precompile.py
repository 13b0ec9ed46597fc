"""Precompile: compiles a new venv and flushes it to the disk, during its first run.

The run can start without either: until there are `.pyc` files, which uv does not write, imports take longer, and
flushing matters only at a power failure. Together they take many times as long as the build itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import sandbox
from hdm_airflow.runner.processes.child import Child
from hdm_airflow.runner.processes.sandbox import Confinement
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.venvs import record
from hdm_airflow.runner.venvs.interpreter import build_variables
from hdm_airflow.runner.venvs.store import Venv

_PATIENCE = 60.0  # seconds that a finished run waits for it; the next run continues it
#: A package may hold a module of any size, which the compiler would read whole.
_LIMITS = Limits(memory=1 << 31)
#: Runs under the Python that the venv is based on, without `site`: the venv's own Python would run code of its
#: packages. It skips files that this Python cannot compile, and tests, which take half of the time and are not
#: imported. Each `.pyc` is written atomically.
_PROGRAM = """
import compileall, os, re, sys
folder, marker = sys.argv[1:]
os.nice(19)
compileall.compile_dir(folder, quiet=2, workers=0, rx=re.compile(re.escape(folder) + ".*/tests?/"))
os.sync()
open(marker, "w").close()
"""


@contextmanager
def in_background(venv: Venv, supervision: Supervision) -> Iterator[None]:
    """Precompile a venv while the context lasts, at the lowest priority, and wait for the end of that.

    Args:
        venv: the venv; the caller holds its lock.
        supervision: its time limit and kill switch apply here too.
    """
    with _claim(venv.path) as is_ours:
        if not is_ours:
            yield
            return
        child = Child(
            _command(venv),
            folder=venv.path,
            variables=build_variables(),
            confinement=_confinement(venv, supervision),
        )
        try:
            yield
            with suppress(CutShortError):  # the run is over anyway
                supervision.raise_if_cut_short()
                child.wait(log=_ignore, mask=Masker([]), timeout=_PATIENCE, heartbeat=supervision.raise_if_cut_short)
        finally:
            child.close()


def precompile(venv: Venv, supervision: Supervision) -> None:
    """Precompile a venv now, unless it already is, or another process is precompiling it."""
    with _claim(venv.path) as is_ours:
        if is_ours:
            supervision.run(
                _command(venv),
                folder=venv.path,
                variables=build_variables(),
                log=_ignore,
                mask=Masker([]),
                confinement=_confinement(venv, supervision),
            )


@contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Whether we are to precompile a venv: it is not precompiled, and no other process is at work on it."""
    if record.is_precompiled(path) or not os.access(path, os.W_OK):  # a store in an image may be read-only
        yield False
        return
    descriptor = os.open(path / record.FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        claimed = False
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            claimed = True
        yield claimed
    finally:
        os.close(descriptor)


def _confinement(venv: Venv, supervision: Supervision) -> Confinement:
    if supervision.sandbox is None:
        return Confinement(limits=_LIMITS)
    python = venv.interpreter.prefix
    return Confinement(
        limits=_LIMITS, grants=sandbox.grants(supervision.sandbox, own=venv.path, variables={}, read=[python], write=[])
    )


def _command(venv: Venv) -> list[str]:
    marker = str(venv.path / record.PRECOMPILED)
    return [venv.interpreter.path, "-I", "-S", "-c", _PROGRAM, str(venv.path / "lib"), marker]


def _ignore(line: str) -> None:
    """Keep its output out of the task log: packages contain files for other Pythons."""
