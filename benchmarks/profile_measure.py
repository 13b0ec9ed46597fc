"""Usage of a command: seconds, memory of its processes, processor time of a server's processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The usage of one command."""

    began: float  # seconds since the epoch, just before the process started
    seconds: float  # from start to end
    peak: float  # MB: highest resident size of each of its processes, added up; never below this process's own
    server: float  # seconds of processor time of all processes of the watched servers
    output: str


class CommandError(Exception):
    """A command ended with a nonzero exit code; the text is its output."""


def run(
    command: Sequence[str],
    *,
    variables: Mapping[str, str],
    folder: Path | None = None,
    server: int = 0,
    timeout: float = 1800,
) -> Usage:
    """Run a command until it ends, and measure its usage.

    Args:
        command: program and arguments.
        variables: all its environment variables.
        folder: where it is run.
        server: process id of a server whose processor time is measured meanwhile; 0: of none.
        timeout: seconds after which it is killed.

    Raises:
        CommandError: if it ends with an exit code other than 0.
    """
    before = processor_seconds(server) if server else 0.0
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        wall, began = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        watch = _Watch(process.pid)
        watch.start()
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        watch.stop()
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise CommandError(f"{command[0]} ended with {process.returncode}: {text[-3000:]}")
    server_seconds = processor_seconds(server) - before if server else 0.0
    peak = max(watch.peak, usage.ru_maxrss) / 1024
    return Usage(began=wall, seconds=seconds, peak=peak, server=server_seconds, output=text)


class _Watch(threading.Thread):
    """Adds up the highest resident sizes of a process and its descendants, in KB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended, self._sizes = pid, threading.Event(), dict[int, int]()

    @property
    def peak(self) -> int:
        return sum(self._sizes.values())

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            for pid in _tree(self._pid):
                self._sizes[pid] = max(self._sizes.get(pid, 0), _resident(pid))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def processor_seconds(server: int) -> float:
    """Seconds of processor time that a server and its processes, including ended ones, have used so far.

    The sessions of a client that has left may still be ending: they are waited for.
    """
    last = -1.0
    while True:
        ticks = 0
        for pid in _tree(server):
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(field) for field in fields[11 : 15 if pid == server else 13])
        if ticks == last:
            return ticks / _TICKS
        last = ticks
        time.sleep(0.1)


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found, index = [pid], 0
    while index < len(found):
        for task in _listed(Path(f"/proc/{found[index]}/task")):
            with suppress(OSError):
                children = (task / "children").read_text().split()
                found += [int(child) for child in children]
        index += 1
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _resident(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
