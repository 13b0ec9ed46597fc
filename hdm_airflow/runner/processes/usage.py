"""Usage: what all processes of a pack take together, of memory, processor, disk and processes.

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

_INTERVAL = 0.25  # seconds between two looks at what is used
_SHARE = 30  # a look is followed by at least so many times its own length of rest
_DISK_SHARES = 10, 100  # the same for the walk through the folder: at least, and where that is not for too long
_DISK_REST = 5.0  # seconds
_MUCH_SHARED = 1 << 24  # bytes: from here on it is worth asking whether it is files or memory, which takes longer
_IN_MEMORY = ("/memfd:", "/dev/shm/")  # noqa: S108
#: Threads for each process that `processes` allows: the kernel's own limit, which root has not, counts them likewise.
THREADS = 4
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks now and then at what all processes of the pack use together."""

    def __init__(self, limits: dict[str, float], folder: str) -> None:
        self.limits, self.folder = limits, folder
        self.pause = _INTERVAL if limits else 60.0  # seconds until the next look
        self.next_walk = 0.0

    def look(self) -> str:
        """`limit used`, for example `memory 2147483648`, where something is used up; '' where nothing is."""
        if not self.limits:
            return ""
        began = time.monotonic()
        used = self.used()
        self.pause = max(_INTERVAL, _SHARE * (time.monotonic() - began))
        used.update(self.on_disk())  # after a rest of its own: a slow walk must not put the other looks off
        over = [f"{name} {value:.0f}" for name, value in used.items() if value > self.limits.get(name, value)]
        return over[0] if over else ""

    def used(self) -> dict[str, float]:
        """What is used of each thing that has a limit and can be told quickly."""
        processes = descendants(dead=True)
        threads = sum(int(fields[17]) for fields in processes.values())
        found: dict[str, float] = {"processes": max(len(processes), threads // THREADS)}
        if "memory" in self.limits:
            anonymous, shared = (sum(parts) for parts in zip((0, 0), *map(own_memory, processes), strict=True))
            found["memory"] = anonymous + max(shared, files_in_memory(processes))  # of these, some are mapped
        if "cpu" in self.limits:
            gone = resource.getrusage(resource.RUSAGE_CHILDREN)
            ticks = sum(sum(map(int, fields[11:15])) for fields in processes.values())
            found["cpu"] = gone.ru_utime + gone.ru_stime + ticks / _TICKS
        return found

    def on_disk(self) -> dict[str, float]:
        """What is used of the disk, where that has a limit and it is time for a walk."""
        began = time.monotonic()
        if "disk" not in self.limits or began < self.next_walk:
            return {}
        found = {"disk": disk_usage(self.folder) + removed_usage(descendants(), self.folder)}
        least, most = (share * (time.monotonic() - began) for share in _DISK_SHARES)
        self.next_walk = time.monotonic() + max(least, min(most, _DISK_REST))
        return found


def own_memory(pid: int) -> tuple[int, int]:
    """Bytes of memory that a process shares with no file; and its part of what it shares with other processes."""
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
    """Bytes that a folder takes on disk; endless where its paths get longer than a path may be."""
    total, folders = 0, [folder]  # os.walk calls itself, up to Python 3.11: a pack may make folders deeper than that
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
            continue  # removed meanwhile
    return total


def blocks(entry: os.DirEntry[str]) -> int:
    """Bytes that a file takes on disk."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def removed_usage(pids: Iterable[int], folder: str) -> int:
    """Bytes of files on the folder's disk that are removed already, and that some process still has open."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return 0
    return sum(one.st_blocks * 512 for _, one in open_files(pids) if not one.st_nlink and one.st_dev == device)


def files_in_memory(pids: Iterable[int]) -> int:
    """Bytes of the files in memory that some process has open."""
    return sum(one.st_blocks * 512 for name, one in open_files(pids) if name.startswith(_IN_MEMORY))


def open_files(pids: Iterable[int]) -> Iterable[tuple[str, os.stat_result]]:
    """The name and the facts of each file that some process has open, once."""
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
