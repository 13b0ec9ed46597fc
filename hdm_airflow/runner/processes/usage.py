"""Usage: how much memory, processor time, disk space and processes a pack uses in total; the limit exceeded.

Part of the guard (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import errno
import math
import os
import time

from hdm_airflow.runner.processes.counting import Counting, removed_usage
from hdm_airflow.runner.processes.process_tree import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hdm_airflow.runner.processes.cgroup import Cgroup
    from hdm_airflow.runner.processes.segments import Segments

_INTERVAL = 0.25  # seconds between two checks
_SHARE = 30  # a check is followed by a pause of at least this many times its own length
_DISK_SHARES = 10, 100  # the same for the walk through the folder: at least, and preferably
_DISK_REST = 5.0  # seconds; the preferred pause after a walk is no longer than this
_DISK_SLICE = 0.025  # seconds; the next check continues a longer walk: at its priority, the guard holds up the machine
#: Threads per process that `processes` allows, as in the kernel's own limit, which root does not have.
THREADS = 4
_QUICK = {"memory", "cpu", "processes"}  # everything but the disk


class Watch:
    """Checks from time to time what all processes of the pack use together.

    Args:
        limits: memory, cpu, disk, processes.
        folder: the run's own.
        group: the control group of the pack; its counts replace our own.
        segments: the shared memory of the pack.
    """

    def __init__(self, limits: dict[str, float], folder: str, group: Cgroup | None, segments: Segments) -> None:
        self.limits, self.folder, self.group, self.segments = limits, folder, group, segments
        self.pause = _INTERVAL if limits or not segments.private else 60.0  # seconds until the next check
        self._counting = Counting(segments)
        self._walk: _Walk | None = None
        self.next_walk = 0.0

    def look(self) -> str:
        """Return the limit exceeded and the usage, for example `memory 2147483648`; '' if none is exceeded.

        Raises:
            BlindError: if /proc cannot be read.
        """
        began = time.monotonic()
        used = self.used()
        if self.limits:
            self.pause = max(_INTERVAL, _SHARE * (time.monotonic() - began))
        used.update(self.on_disk())  # it has its own pause: a slow walk must not delay the other checks
        return self._exceeded(used)

    def last_look(self) -> str:
        """As `look`, after all processes have ended: the limits that the kernel enforced since."""
        return self._exceeded(self.group.enforced() if self.group else {})

    def used(self) -> dict[str, float]:
        """The usage of everything that has a limit and is quick to measure."""
        found = self.group.used() if self.group else {}
        missing = _QUICK & self.limits.keys() - found.keys()
        tasks = found.get("processes", 0)
        if tasks > self.limits.get("processes", math.inf):  # threads, not processes
            missing.add("processes")
        if missing or self.segments.has_new:
            counted = self._counting.used(missing)
            counted["processes"] = max(counted["processes"], max(tasks, counted["threads"]) // THREADS)
            found.update((name, counted[name]) for name in missing)
        return {**found, **(self.group.enforced() if self.group else {})}

    def on_disk(self) -> dict[str, float]:
        """The disk usage, if that has a limit, and a walk through the folder has just ended; else {}."""
        if "disk" not in self.limits or time.monotonic() < self.next_walk:
            return {}
        walk = self._walk = self._walk or _Walk(self.folder)
        if not walk.proceed(_DISK_SLICE, self.limits["disk"]):
            return {}
        self._walk = None
        began = time.monotonic()
        found = {"disk": walk.found + removed_usage(descendants(), self.folder)}
        took = walk.took + time.monotonic() - began
        least, most = (share * took for share in _DISK_SHARES)
        self.next_walk = walk.began + took + max(least, min(most, _DISK_REST))  # after slices, perhaps at once
        return found

    def _exceeded(self, used: dict[str, float]) -> str:
        over = [f"{name} {value:.0f}" for name, value in used.items() if value > self.limits.get(name, value)]
        return over[0] if over else ""


class _Walk:
    """Adds up what a folder takes on disk, in several parts."""

    def __init__(self, folder: str) -> None:
        self.began, self.took = time.monotonic(), 0.0  # seconds
        self.found = 0.0  # bytes
        self._sizes = sizes(folder)

    def proceed(self, seconds: float, enough: float) -> bool:
        """Go on for some time; return whether the walk has ended, or has found more than enough."""
        began, is_over = time.monotonic(), True
        for size in self._sizes:
            self.found += size
            if self.found > enough or time.monotonic() - began > seconds:
                is_over = self.found > enough
                break
        self.took += time.monotonic() - began
        return is_over


def sizes(folder: str) -> Iterator[float]:
    """Yield the bytes that each file in a folder takes on disk; infinity if its paths are too long for the system."""
    folders = [folder]  # os.walk is recursive up to Python 3.11: a pack may nest folders too deeply for that
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    yield blocks(entry)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                yield math.inf


def blocks(entry: os.DirEntry[str]) -> int:
    """Bytes that a file takes on disk; 0 for a folder."""
    try:
        return 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
