"""The child process of a pack run: started under a guard, its output read line by line, ended when time is up."""

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
from hdm_airflow.runner.processes.sandbox import Confinement

#: Seconds between SIGTERM and SIGKILL: Airflow sends its own SIGKILL 5 s after on_kill.
GRACE = 3.0
LINE_LIMIT = 1 << 15  # bytes; the rest of a longer line is dropped, and the log says so
_CHUNK = 1 << 16
_TICK = 0.25  # seconds between two looks at clock and report file
_PIPE = 1 << 20  # bytes that may wait in the pipe when the guard has ended: what comes later is a stray's
_OVERDUE = (
    GRACE + process_tree.GIVE_UP + 5.0
)  # seconds after which a guard that was told to end has been stopped itself


Ended = Literal["exit", "timeout", "killed", "limit"]


@dataclass(frozen=True, kw_only=True)
class ChildResult:
    """How the process ended."""

    exit_code: int  # 128 + n where signal n ended it
    ended: Ended  # by itself, by our timeout, because the task was killed, or since it used too much
    excess: str = ""  # of what it used too much, as a sentence


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
            "limits": confinement.of_all_processes,
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
        self._ended: Ended = "exit"
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
        deadline = None if timeout is None else time.monotonic() + timeout
        lines = _Lines(log, mask, self._limits.output)
        try:
            for chunk in self._chunks(_stream(self._process.stdout)):
                lines.feed(chunk)
                heartbeat()
                if deadline is not None and time.monotonic() > deadline:
                    self.end("timeout")
                    deadline = None
                if time.monotonic() > self._overdue:
                    self._process.kill()
            code = self._process.wait()
            lines.close()
            excess = self._excess()
        finally:
            self.close()
        ended: Ended = "limit" if excess and self._ended == "exit" else self._ended
        return ChildResult(exit_code=code if code >= 0 else 128 - code, ended=ended, excess=excess)

    def end(self, why: Ended) -> None:
        """Tell the guard to end everything; safe to call from a signal handler, and more than once."""
        if self._ended == "exit" and self._process.returncode is None and self._control.fileno() >= 0:
            self._ended, self._overdue = why, time.monotonic() + _OVERDUE
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
            end_strays(self._variables)

    def _excess(self) -> str:
        """Of what the pack used too much; '' where the guard says nothing of it."""
        try:
            name, used = self._control.recv(1 << 10).decode("ascii").split()
        except (OSError, ValueError):  # nothing was said
            return ""
        return self._limits.told(name, float(used))

    def _chunks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Its output as it comes, b"" at each quiet heartbeat, until the guard has ended and the pipe is empty."""
        os.set_blocking(stream.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            is_over, is_open, room = False, True, _PIPE
            while True:
                ready = {key.fileobj for key, _ in selector.select(0 if is_over else _TICK)}
                chunk = stream.read(_CHUNK) if stream in ready else None
                if stream in ready and not chunk:  # the pack closed its output; it may run on
                    selector.unregister(stream)
                    is_open = False
                elif is_over and not chunk:
                    return
                if self._control in ready:  # the guard says its last word, or has ended: nothing more is written
                    selector.unregister(self._control)
                    if self._process.wait() < 0:  # somebody killed the guard
                        end_strays(self._variables)
                    is_over = True
                if is_over and not (is_open and room > 0):
                    return
                room -= len(chunk or b"") if is_over else 0
                yield chunk or b""


class _Lines:
    """Cuts chunks into lines, masks them, many at a time, and logs them, up to a number of bytes."""

    def __init__(self, log: Callable[[str], None], mask: Masker, limit: int | None) -> None:
        self._log, self._mask = log, mask
        self._rest = b""
        self._dropped = 0
        self._limit = limit
        self._room = math.inf if limit is None else limit  # bytes that the log still takes
        self._refused = 0

    def feed(self, chunk: bytes) -> None:
        if not chunk:
            return
        if self._room < 0:
            self._refused += len(chunk)
            return
        self._room -= len(chunk)
        if self._room < 0:
            self._log(f"the log takes no more of this output: its limit is {self._limit:,} bytes (limits.output)")
            self._refused += len(chunk)
            return
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._grow(chunk)
            return
        first, _, others = head.partition(b"\n")
        self._grow(first)
        self._flush()
        if others or b"\n" in head:
            self._emit(others)
        self._grow(tail)

    def close(self) -> None:
        if self._rest or self._dropped:
            self._flush()
        if self._refused:
            self._log(f"{self._refused:,} bytes of output were left out")

    def _grow(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._rest)
        self._rest += piece[:room]
        self._dropped += max(0, len(piece) - room)

    def _flush(self) -> None:
        if self._dropped:
            self._log(self._shortened())  # a logger's own copies are enough: nothing else holds the text meanwhile
        else:
            rest, self._rest = self._rest, b""
            self._emit(rest)

    def _shortened(self) -> str:
        """What is kept of a line that is too long."""
        text = self._mask(self._rest.decode("utf-8", "replace"))
        dropped, self._rest, self._dropped = self._dropped, b"", 0
        # the cut may fall into a secret: leave out what could be its beginning
        return f"{text[: max(0, len(text) - self._mask.longest)]} ... [{dropped:,} bytes of this line left out]"

    def _emit(self, block: bytes) -> None:
        for line in self._mask(block.decode("utf-8", "replace")).split("\n"):
            self._log(line.rstrip("\r"))


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was asked for as a pipe, and so is there."""
    assert stream is not None  # noqa: S101
    return stream


def end_strays(variables: Mapping[str, str]) -> None:
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
