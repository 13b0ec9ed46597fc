"""Usage: what all processes of a pack take together, of memory, processor, disk and processes.

Part of the guard (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import time

from hdm_airflow.runner.lineage import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_INTERVAL = 0.25  # seconds between two looks at what is used
_SHARE = 30  # a look is followed by at least so many times its own length of rest
_DISK_SHARE = 100  # the same for the walk through the folder
_MUCH_SHARED = 1 << 24  # bytes: from here on it is worth asking whether it is files or memory, which takes longer
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
        processes = descendants()
        found: dict[str, float] = {"processes": len(processes)}
        if "memory" in self.limits:
            found["memory"] = sum(map(own_memory, processes))
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
        found = {"disk": float(disk_usage(self.folder) + removed_usage(descendants(), self.folder))}
        self.next_walk = time.monotonic() + _DISK_SHARE * (time.monotonic() - began)
        return found


def own_memory(pid: int) -> int:
    """Bytes of memory that a process shares with no file; of what it shares with other processes, its part."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared = map(int, file.read().split()[:3])
    except (OSError, ValueError):
        return 0  # it has just ended
    parts = []
    if shared * _PAGE > _MUCH_SHARED:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            parts = [int(line.split()[1]) for line in file if line.startswith((b"Pss_Anon:", b"Pss_Shmem:"))]
    return sum(parts) * 1024 if parts else (resident - shared) * _PAGE


def disk_usage(folder: str) -> int:
    """Bytes that a folder takes on disk."""
    total, folders = 0, [folder]  # os.walk calls itself, up to Python 3.11: a pack may make folders deeper than that
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:  # removed meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def removed_usage(pids: Iterable[int], folder: str) -> int:
    """Bytes of files on the folder's disk that are removed already, and that some process still has open."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return 0
    sizes: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{name}")
                    if not found.st_nlink and found.st_dev == device and stat.S_ISREG(found.st_mode):
                        sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())
