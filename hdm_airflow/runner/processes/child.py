"""The child process of a pack run: started under a guard, its output read, ended when time is up."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import guard, process_tree
from hdm_airflow.runner.processes.output import Output
from hdm_airflow.runner.processes.sandbox import Confinement

#: Seconds between SIGTERM and SIGKILL: Airflow sends its own SIGKILL 5 s after on_kill.
GRACE = 3.0
_CHUNK = 1 << 16
_TICK = 0.25  # seconds between two looks at clock and report file
_PIPE = 1 << 20  # bytes that may wait in the pipe when the guard has ended: what comes later is a stray's
#: Seconds after which a guard that was told to end has been stopped itself.
_OVERDUE = GRACE + process_tree.GIVE_UP + 5.0

EndReason = Literal["exit", "timeout", "killed", "limit"]


@dataclass(frozen=True, kw_only=True)
class ChildResult:
    """How the process ended."""

    exit_code: int  # 128 + n where signal n ended it
    end_reason: EndReason  # by itself, by our timeout, because the task was killed, or since it used too much
    limit_exceeded: str = ""  # of what it used too much, as a sentence


class Child:
    """One running command and everything it starts.

    Args:
        command: what to run.
        folder: its working directory.
        variables: its whole environment.
        leftovers: folders that the guard removes if this process dies.
        confinement: what it is kept from.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: dict[str, str],
        leftovers: Sequence[Path],
        confinement: Confinement,
    ) -> None:
        self._variables = variables
        self._limits = confinement.limits
        self._control, control = socket.socketpair()
        self._control.setblocking(False)
        orders: guard.Orders = {
            "command": list(command),
            "rules": confinement.rules(),
            "control": control.fileno(),
            "grace": GRACE,
            "folders": [str(path) for path in leftovers],
            "limits": confinement.total_limits,
        }
        with control:
            self._process = subprocess.Popen(
                guard.COMMAND,
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[control.fileno()],
                start_new_session=True,
            )
        self._end_reason: EndReason = "exit"
        self._overdue = math.inf  # monotonic clock
        with suppress(BrokenPipeError), _stream(self._process.stdin) as stdin:  # killed already: `wait` sees it
            stdin.write(json.dumps(orders).encode())

    def wait(
        self, *, log: Callable[[str], None], mask: Masker, timeout: float | None, heartbeat: Callable[[], None]
    ) -> ChildResult:
        """Pass its output on until it has ended.

        Args:
            log: called with each masked line.
            mask: takes the secrets out.
            timeout: seconds after which it is ended.
            heartbeat: called several times a second.
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
            code = self._process.wait()
            if code < 0:  # somebody killed the guard
                kill_orphans(self._variables)
            for chunk in _drain(stream):
                output.feed(chunk)
                heartbeat()
            output.close()
            exceeded = self._limit_exceeded()
        finally:
            self.close()
        end_reason: EndReason = "limit" if exceeded and self._end_reason == "exit" else self._end_reason
        return ChildResult(exit_code=code if code >= 0 else 128 - code, end_reason=end_reason, limit_exceeded=exceeded)

    def end(self, reason: EndReason) -> None:
        """Tell the guard to end everything; safe to call from a signal handler, and more than once."""
        if self._end_reason == "exit" and self._process.returncode is None and self._control.fileno() >= 0:
            self._end_reason, self._overdue = reason, time.monotonic() + _OVERDUE
            with suppress(BrokenPipeError):  # the guard is gone: `wait` ends what it has left
                self._control.send(b"T")

    def close(self) -> None:
        """Let go of it; what still runs is ended by the guard, which sees the control socket close."""
        self._control.close()
        if self._process.stdout:
            self._process.stdout.close()
        try:
            self._process.wait(_OVERDUE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            kill_orphans(self._variables)

    def _limit_exceeded(self) -> str:
        """Of what the pack used too much; '' where the guard says nothing of it."""
        try:
            name, used = self._control.recv(1 << 10).decode("ascii").split()
        except (OSError, ValueError):  # nothing was said
            return ""
        return self._limits.exceeded(name, float(used))

    def _until_guard_speaks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Its output as it comes, and b"" at each quiet tick, until the guard says its last word or has ended."""
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
    """What still waits in a pipe, up to _PIPE bytes: a stray may hold the other end open, and go on writing."""
    room = _PIPE
    while room > 0 and (chunk := stream.read(min(_CHUNK, room))):  # b"" at the end; None: nothing waits
        room -= len(chunk)
        yield chunk


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was asked for as a pipe, and so is there."""
    assert stream is not None  # noqa: S101
    return stream


def kill_orphans(variables: Mapping[str, str]) -> None:
    """Kill every process that has this run's context in its environment: the last resort, on Linux."""
    context = variables.get("HDM_CONTEXT")
    for process in Path("/proc").glob("[0-9]*") if context else ():
        with suppress(OSError):  # it has just ended, or is another user's
            if f"HDM_CONTEXT={context}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def dying_with_parent() -> Iterator[None]:
    """On Linux, this process is killed when its parent dies, as long as the context lasts.

    Airflow's supervisor may be killed by SIGKILL; the task process would live on, and with it the pack.
    """
    guard.prctl(guard.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        yield
    finally:
        guard.prctl(guard.PR_SET_PDEATHSIG, 0)
