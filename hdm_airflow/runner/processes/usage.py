"""Usage: how much memory, processor time, disk space and processes a pack uses in total.

Part of the guard (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import time

from hdm_airflow.runner.processes.process_tree import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_INTERVAL = 0.25  # seconds between two checks
_SHARE = 30  # a check is followed by a pause of at least this many times its own length
_DISK_SHARES = 10, 100  # the same for the walk through the folder: at least, and preferably
_DISK_REST = 5.0  # seconds; the preferred pause after a walk is no longer than this
_MUCH_SHARED = 1 << 24  # bytes; above this, a slower query tells mapped files from shared memory
_IN_MEMORY = ("/memfd:", "/dev/shm/")  # noqa: S108  # prefixes of names
#: Threads per process that `processes` allows, as in the kernel's own limit, which root does not have.
THREADS = 4
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Checks from time to time what all processes of the pack use together."""

    def __init__(self, limits: dict[str, float], folder: str) -> None:
        self.limits, self.folder = limits, folder
        self.pause = _INTERVAL if limits else 60.0  # seconds until the next check
        self.next_walk = 0.0

    def look(self) -> str:
        """Return the limit exceeded and the usage, for example `memory 2147483648`; '' if none is exceeded."""
        if not self.limits:
            return ""
        began = time.monotonic()
        used = self.used()
        self.pause = max(_INTERVAL, _SHARE * (time.monotonic() - began))
        used.update(self.on_disk())  # it has its own pause: a slow walk must not delay the other checks
        over = [f"{name} {value:.0f}" for name, value in used.items() if value > self.limits.get(name, value)]
        return over[0] if over else ""

    def used(self) -> dict[str, float]:
        """The usage of everything that has a limit and is quick to measure."""
        processes = descendants(dead=True)
        threads = sum(int(fields[17]) for fields in processes.values())
        found: dict[str, float] = {"processes": max(len(processes), threads // THREADS)}
        if "memory" in self.limits:
            anonymous, shared = (sum(parts) for parts in zip((0, 0), *map(own_memory, processes), strict=True))
            found["memory"] = anonymous + max(shared, files_in_memory(processes))  # some of these files are also mapped
        if "cpu" in self.limits:
            gone = resource.getrusage(resource.RUSAGE_CHILDREN)
            ticks = sum(sum(map(int, fields[11:15])) for fields in processes.values())
            found["cpu"] = gone.ru_utime + gone.ru_stime + ticks / _TICKS
        return found

    def on_disk(self) -> dict[str, float]:
        """The disk usage, if that has a limit and it is time for a walk; else {}."""
        began = time.monotonic()
        if "disk" not in self.limits or began < self.next_walk:
            return {}
        found = {"disk": disk_usage(self.folder) + removed_usage(descendants(), self.folder)}
        least, most = (share * (time.monotonic() - began) for share in _DISK_SHARES)
        self.next_walk = time.monotonic() + max(least, min(most, _DISK_REST))
        return found


def own_memory(pid: int) -> tuple[int, int]:
    """Bytes of a process's anonymous memory, and its share of shared memory."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared = map(int, file.read().split()[:3])
    except (OSError, ValueError):
        return 0, 0  # it has just ended
    if shared * _PAGE > _MUCH_SHARED:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            parts = dict(line.split()[:2] for line in file)
            return int(parts.get(b"Pss_Anon:", 0)) * 1024, int(parts.get(b"Pss_Shmem:", 0)) * 1024
    return (resident - shared) * _PAGE, 0


def disk_usage(folder: str) -> float:
    """Bytes that a folder takes on disk; infinite if its paths are too long for the system."""
    total, folders = 0, [folder]  # os.walk is recursive up to Python 3.11: a pack may nest folders too deeply for that
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += blocks(entry)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return float("inf")
            continue  # removed in the meantime
    return total


def blocks(entry: os.DirEntry[str]) -> int:
    """Bytes that a file takes on disk."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def removed_usage(pids: Iterable[int], folder: str) -> int:
    """Bytes of removed files on the folder's disk that a process still has open."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return 0
    return sum(one.st_blocks * 512 for _, one in open_files(pids) if not one.st_nlink and one.st_dev == device)


def files_in_memory(pids: Iterable[int]) -> int:
    """Bytes of files in memory that a process has open."""
    return sum(one.st_blocks * 512 for name, one in open_files(pids) if name.startswith(_IN_MEMORY))


def open_files(pids: Iterable[int]) -> Iterable[tuple[str, os.stat_result]]:
    """Name and status of each file that a process has open; each file once."""
    found: dict[tuple[int, int], tuple[str, os.stat_result]] = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = f"/proc/{pid}/fd/{number}"
                    one = os.stat(path)
                    if stat.S_ISREG(one.st_mode):
                        found[one.st_dev, one.st_ino] = os.readlink(path), one
    return found.values()
