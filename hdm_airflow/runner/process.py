"""The child process of a pack run: started under a guard, its output read line by line, ended when time is up."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hdm_airflow.runner import guard
from hdm_airflow.runner.masking import Masker

#: Seconds between SIGTERM and SIGKILL: Airflow sends its own SIGKILL 5 s after on_kill.
GRACE = 3.0
LINE_LIMIT = 1 << 20  # bytes; the rest of a longer line is dropped, and the log says so
_CHUNK = 1 << 18
_TICK = 0.25  # seconds between two looks at clock and report file

Ended = Literal["exit", "timeout", "killed"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How the process ended."""

    exit_code: int  # 128 + n where signal n ended it
    ended: Ended  # by itself, by our timeout, or because the task was killed


class Child:
    """One running command and everything it starts.

    Args:
        command: what to run.
        folder: its working directory.
        variables: its whole environment.
        leftovers: folders that the guard removes if this process dies.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, variables: dict[str, str], leftovers: Sequence[Path]
    ) -> None:
        self._variables = variables
        control, self._control = os.pipe()
        folders = [str(len(leftovers)), *map(str, leftovers)]
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(control), str(GRACE), *folders, *command]
        try:
            self._process = subprocess.Popen(
                guarded,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[control],
                start_new_session=True,
            )
        finally:
            os.close(control)
        self._ended: Ended = "exit"

    def wait(
        self, *, log: Callable[[str], None], mask: Masker, timeout: float | None, tick: Callable[[], None]
    ) -> Result:
        """Pass its output on until it has ended.

        Args:
            log: called with each masked line.
            mask: takes the secrets out.
            timeout: seconds after which it is ended.
            tick: called some times a second.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        lines = _Lines(log, mask)
        assert self._process.stdout is not None  # noqa: S101  # stdout=PIPE
        try:
            for chunk in self._chunks(self._process.stdout):
                lines.feed(chunk)
                tick()
                if deadline is not None and time.monotonic() > deadline:
                    self.end("timeout")
                    deadline = None
            code = self._process.wait()
            if code < 0:  # somebody killed the guard
                end_strays(self._variables)
            lines.close()
        finally:
            self.close()
        return Result(exit_code=code if code >= 0 else 128 - code, ended=self._ended)

    def end(self, why: Ended) -> None:
        """Tell the guard to end everything; safe to call from a signal handler, and more than once."""
        if self._ended == "exit" and self._process.returncode is None and self._control >= 0:
            self._ended = why
            with suppress(BrokenPipeError):  # the guard is gone: `wait` ends what it has left
                os.write(self._control, b"T")

    def close(self) -> None:
        """Let go of it; what still runs is ended by the guard, which sees the control pipe close."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait()

    def _chunks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Its output as it comes, b"" at each quiet tick, until the guard has ended and the pipe is empty."""
        os.set_blocking(stream.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            is_open = True
            while True:
                over = self._process.poll() is not None
                ready = selector.select(0 if over else _TICK) if is_open else []
                chunk = stream.read(_CHUNK) if ready else None
                if ready and not chunk:  # the pack closed its output; it may run on
                    selector.unregister(stream)
                    is_open = False
                elif not ready and over:
                    return
                elif not is_open:
                    time.sleep(_TICK)
                yield chunk or b""


class _Lines:
    """Cuts chunks into lines, masks them, many at a time, and logs them."""

    def __init__(self, log: Callable[[str], None], mask: Masker) -> None:
        self._log, self._mask = log, mask
        self._rest = b""
        self._dropped = 0

    def feed(self, chunk: bytes) -> None:
        if not chunk:
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

    def _grow(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._rest)
        self._rest += piece[:room]
        self._dropped += max(0, len(piece) - room)

    def _flush(self) -> None:
        rest, dropped = self._rest, self._dropped
        self._rest, self._dropped = b"", 0
        if dropped:  # the cut may fall into a secret: leave out what could be its beginning
            text = rest.decode("utf-8", "replace")
            text = self._mask(text)[: max(0, len(text) - self._mask.longest)]
            self._log(f"{text} ... [{dropped:,} bytes of this line left out]")
        else:
            self._emit(rest)

    def _emit(self, block: bytes) -> None:
        for line in self._mask(block.decode("utf-8", "replace")).split("\n"):
            self._log(line.rstrip("\r"))


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
