"""What every command shares: access to Airflow's connections, narration on stderr, errors in three lines."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

from hdm_airflow.cli.console import say, surviving_readers
from hdm_airflow.errors import HdmError
from hdm_airflow.printable import coloured

if TYPE_CHECKING:
    from argparse import Namespace

DECLINED = 1  # exit code: not confirmed
USAGE = 2  # exit code: wrong usage or configuration
INTERRUPTED = 130  # exit code of any program that Ctrl-C ends
_FAREWELL = 5.0  # seconds for threads that have ended; they need a millisecond
_GLANCE = 0.002  # seconds
_TASKS = Path("/proc/self/task")  # of the kernel: a folder per thread

Command = Callable[["Namespace"], int]


def command(function: Command) -> Callable[[Namespace], None]:
    """Turn a function that returns an exit code into a command."""

    @wraps(function)
    def run(args: Namespace) -> None:
        # Otherwise Airflow's SDK ignores the metadata database, where the web pages keep connections.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
        before = _threads()
        with narration(verbose=args.verbose):
            code = _run(function, args)
        _await_end(before)
        if code:
            sys.exit(code)

    return run


def _run(function: Command, args: Namespace) -> int:
    try:
        return function(args)
    except HdmError as error:
        if args.verbose:
            with surviving_readers():
                traceback.print_exc()
        say(str(error))
        return USAGE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    finally:
        with surviving_readers():
            sys.stdout.flush()


def _threads() -> set[Path]:
    """The threads of this process as the kernel knows them; none where it does not say."""
    try:
        return set(_TASKS.iterdir())
    except OSError:
        return set()


def _await_end(before: set[Path]) -> None:
    """Wait until the threads that have ended since are gone for the kernel, too; one that hangs has not ended.

    Before Python 3.13 a thread is joined before it frees what OpenSSL holds for it. The exit handlers of the process
    free that as well: at the same time, the command would be aborted although it has done all its work.
    """
    deadline = time.monotonic() + _FAREWELL
    while _threads() - before - _living() and time.monotonic() < deadline:
        time.sleep(_GLANCE)


def _living() -> set[Path]:
    """The threads that Python runs."""
    return {_TASKS / str(one.native_id) for one in threading.enumerate()}


@contextmanager
def narration(*, verbose: bool) -> Iterator[None]:
    """Log our own messages to stderr as plain lines, and only warnings and errors of Airflow (all, if verbose)."""
    redirect_stdout_log_handlers_to_stderr()
    root, ours, narrator = logging.getLogger(), logging.getLogger("hdm_airflow"), _Narrator()
    before = root.level, ours.level, ours.propagate
    root.setLevel(logging.DEBUG if verbose else logging.WARNING)
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.propagate = False
    ours.addHandler(narrator)
    try:
        yield
    finally:
        ours.removeHandler(narrator)
        root.setLevel(before[0])
        ours.setLevel(before[1])
        ours.propagate = before[2]


class _Narrator(logging.Handler):
    """Writes a record's message to stderr, with its level if that is a warning or worse."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        with surviving_readers():  # a pack's lines keep their colours
            sys.stderr.write(f"{level}{coloured(record.getMessage())}\n")
            sys.stderr.flush()
