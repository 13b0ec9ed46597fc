"""Child: a program that runs under a guard, whose output is read, and which is ended when its time is up."""

from __future__ import annotations

import json
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import cgroup_tree, guard, process_tree
from hdm_airflow.runner.processes.cgroup import Cgroup
from hdm_airflow.runner.processes.output import Output
from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.sandbox import Confinement

_logger = logging.getLogger(__name__)

#: Seconds between SIGTERM and SIGKILL: Airflow sends its own SIGKILL 5 s after on_kill.
GRACE = 3.0
_CHUNK = 1 << 11  # bytes; between two heartbeats, all may be line ends, and logging a line takes up to 60 us
_TICK = 0.25  # seconds between two checks of clock and report file
_PIPE = 1 << 20  # bytes that the pipe may hold when the guard has ended; whatever follows is from an orphan
#: Seconds in which at least the last output is logged when time is up.
_LAST_WORDS = 1.0
#: Seconds; a guard that has not ended this long after the request has itself been stopped.
_OVERDUE = GRACE + process_tree.GIVE_UP + 5.0

EndReason = Literal["exit", "timeout", "killed", "limit", "unguarded"]


@dataclass(frozen=True, kw_only=True)
class ChildResult:
    """How the process ended."""

    exit_code: int  # 128 + n if signal n ended it
    end_reason: EndReason  # by itself, our timeout, a kill of the task, a limit; unguarded: processes may still run
    limit_exceeded: str = ""  # the limit and how much was used, as a sentence; '' if none


class Child:
    """One running command and everything it starts.

    Args:
        command: what to run.
        folder: its working directory.
        variables: all variables that it gets.
        run_folder: the run's folder, which is in use until the guard has ended; None if the command uses none.
        confinement: the files it may see, and its limits.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: dict[str, str],
        run_folder: RunFolder | None = None,
        confinement: Confinement,
    ) -> None:
        self._variables = variables
        self._limits = confinement.limits
        self._end_reason: EndReason = "exit"
        self._overdue = math.inf  # monotonic clock
        self._hurry = False  # its end was requested, perhaps after it had ended
        self._is_over = False  # all that could be done to end its processes has been done
        self._group: Cgroup | None = None
        holding = run_folder.holding if run_folder else ()
        orders: guard.Orders = {
            "command": list(command),
            "rules": confinement.rules(),
            "control": -1,
            "grace": GRACE,
            "folder": str(run_folder.root) if run_folder else "",
            "holding": list(holding),
            "limits": confinement.total_limits,
            "cgroup": [],
        }
        self._control, control = socket.socketpair()
        # Airflow's time limit raises an exception anywhere; its traceback keeps this object until the task ends.
        with control, ExitStack() as undo:
            undo.callback(self._control.close)
            self._control.setblocking(False)
            orders["control"] = control.fileno()
            self._process = subprocess.Popen(
                guard.COMMAND,
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[control.fileno(), *holding],
                start_new_session=True,
            )
            undo.callback(self.close)
            undo.callback(_stream(self._process.stdin).close)  # first: the guard may wait for the rest of its orders
            self._give(orders)
            undo.pop_all()

    def wait(
        self, *, log: Callable[[str], None], mask: Masker, timeout: float | None, heartbeat: Callable[[], None]
    ) -> ChildResult:
        """Log its output until it has ended.

        Args:
            log: called with each masked line.
            mask: removes the secrets.
            timeout: seconds after which it is ended; None for no limit.
            heartbeat: called several times a second; an exception from it ends the program.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        stream = _stream(self._process.stdout)
        os.set_blocking(stream.fileno(), False)
        output = Output(log, mask, self._limits.output)
        try:
            for chunk in self._until_guard_speaks(stream):
                output.feed(chunk)
                heartbeat()
                if time.monotonic() > deadline:
                    self.end("timeout")
                if time.monotonic() > self._overdue:
                    self._process.kill()
            words = self._hear()
            overdue = time.monotonic() + _OVERDUE
            while guard.ENDED not in words and self._process.poll() is None:  # processes may still run, and stop it
                if guard.HELP in words:
                    self._kill_descendants()
                if time.monotonic() > overdue:
                    self._process.kill()
                heartbeat()
                time.sleep(_TICK)
            code = self._process.wait()
            exceeded, trusted = self._understand([*words, *self._hear()])
            if not trusted:
                trusted = self._end_orphans() and code < 0  # a guard that lives to say so has seen worse
            self._is_over = True
            enough = time.monotonic() + _LAST_WORDS
            for chunk in _drain(stream):
                output.feed(chunk)
                heartbeat()
                if time.monotonic() > (enough if self._hurry else max(enough, deadline)):
                    output.refuse("the time is up")
            output.close()
        finally:
            self.close()
        end_reason: EndReason = "limit" if exceeded and self._end_reason == "exit" else self._end_reason
        return ChildResult(
            exit_code=code if code >= 0 else 128 - code,
            end_reason=end_reason if trusted else "unguarded",
            limit_exceeded=exceeded,
        )

    def end(self, reason: EndReason) -> None:
        """Ask the guard to end everything; safe in a signal handler, and when called again."""
        self._hurry = True
        if self._end_reason == "exit" and self._process.returncode is None and self._control.fileno() >= 0:
            self._end_reason, self._overdue = reason, time.monotonic() + _OVERDUE
            with suppress(BrokenPipeError):  # the guard is gone: `wait` kills the orphans
                self._control.send(b"T")

    def close(self) -> None:
        """Close its pipes; the guard sees the control socket close and ends everything that still runs."""
        self._control.close()
        if self._process.stdout:
            self._process.stdout.close()
        try:
            self._process.wait(_OVERDUE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._is_over:  # an exception: what the guard could not end is unknown
            self._end_orphans()
            self._is_over = True
        if self._group:
            self._group.remove()
            self._group.close()

    def _give(self, orders: guard.Orders) -> None:
        """Make the control group while the guard starts, and send the guard its orders."""
        self._group = cgroup_tree.create(orders["limits"])
        if self._group:
            orders["cgroup"] = self._group.folders
        else:
            _logger.debug("this process cannot make control groups, so the guard counts what the program uses")
        left = json.dumps(orders).encode()
        with suppress(BrokenPipeError), _stream(self._process.stdin) as stdin:  # already killed: `wait` notices
            while left:  # a signal can cut a write short
                left = left[stdin.write(left) :]

    def _hear(self) -> list[str]:
        """The lines that the guard has written to the control socket since."""
        try:
            return self._control.recv(1 << 10).decode("ascii").splitlines()
        except OSError:  # none
            return []

    def _understand(self, words: list[str]) -> tuple[str, bool]:
        """What the guard reported: the limit exceeded, as a sentence or ''; whether all processes have ended."""
        limits = [line.removeprefix(guard.LIMIT).split() for line in words if line.startswith(guard.LIMIT)]
        exceeded = [self._limits.exceeded(name, float(used)) for name, used in limits]
        return "".join(exceeded), guard.ENDED in words

    def _kill_descendants(self) -> None:
        """Kill everything below a guard that cannot read /proc."""
        with suppress(process_tree.BlindError):  # neither can we
            process_tree.signal_all(process_tree.descendants(self._process.pid), signal.SIGKILL)

    def _end_orphans(self) -> bool:
        """End what the guard has not ended; return whether that is certain: the kernel knows all of a control group."""
        kill_orphans(self._variables)
        return self._group is not None and self._group.end()

    def _until_guard_speaks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Yield its output as it comes, and b"" at each quiet tick, until the guard reports its end or has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(stream, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(_TICK)}
                if self._control in ready:
                    return
                chunk = b""
                if stream in ready:
                    chunk = stream.read(_CHUNK)
                    if not chunk:  # the pack closed its output; it may run on
                        selector.unregister(stream)
                yield chunk


def _drain(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what is left in a pipe, up to _PIPE bytes: an orphan may hold it open and write forever."""
    room = _PIPE
    while room > 0 and (chunk := stream.read(min(_CHUNK, room))):  # b"" at the end; None if the pipe is empty
        room -= len(chunk)
        yield chunk


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was requested as a pipe, and so is not None."""
    assert stream is not None  # noqa: S101  # for mypy
    return stream


def kill_orphans(variables: Mapping[str, str]) -> None:
    """Kill every process that has this run's context in its variables: the last resort, on Linux."""
    context = variables.get("HDM_CONTEXT")
    for process in Path("/proc").glob("[0-9]*") if context else ():
        with suppress(OSError):  # it has just ended, or belongs to another user
            if f"HDM_CONTEXT={context}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def dying_with_parent() -> Iterator[None]:
    """On Linux, let this process be killed if its parent dies while the context lasts.

    If SIGKILL ends Airflow's supervisor, the task process would otherwise live on, and the pack with it.
    """
    guard.prctl(guard.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        yield
    finally:
        guard.prctl(guard.PR_SET_PDEATHSIG, 0)
