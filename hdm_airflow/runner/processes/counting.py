"""Counting: the usage of all processes of a pack as far as /proc shows it, if no control group counts it.

Part of the guard (see guard.py): standard library only, and quick to import. What exists only between two checks is not
counted.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat

from hdm_airflow.runner.processes.process_tree import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hdm_airflow.runner.processes.segments import Segments

_MUCH_SHARED = 1 << 24  # bytes; above this, a slower query separates mapped files from shared memory
_SHM = "/dev/shm/"  # noqa: S108  # a prefix of names
_IN_MEMORY = ("/memfd:", _SHM)
_DELETED = " (deleted)"  # the kernel adds it to the name of a removed file
_COUNTED_ELSEWHERE = ("/SYSV", "/dev/zero")  # mapped memory that has the name of a removed file
#: Indexes among the fields of /proc/PID/stat from the state on.
_OWN_TIME, _ALL_TIME, _THREADS, _START = slice(11, 13), slice(11, 15), 17, 19
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Counting:
    """Counts, and remembers what it has seen of processes that have ended since.

    Args:
        segments: the shared memory of the pack.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._before: set[int] = set()  # the processes of the last check
        self._times: dict[tuple[int, bytes], int] = {}  # process and its start -> its own clock ticks
        self._gone = 0  # clock ticks of processes that have ended, when last seen
        self._in_shm: dict[str, int] = {}  # files in /dev/shm that a process had open -> inode

    def used(self, names: Collection[str]) -> dict[str, float]:
        """The number of `processes` and `threads`; of the names `memory` and `cpu`, those given.

        Raises:
            BlindError: if /proc cannot be read.
        """
        processes = descendants(dead=True)
        threads = sum(int(fields[_THREADS]) for fields in processes.values())
        found: dict[str, float] = {"processes": len(processes), "threads": threads}
        segments = self._segments.look(processes.keys() | self._before)
        self._before = set(processes)
        if "memory" in names:
            anonymous, shared = (sum(parts) for parts in zip((0, 0), *map(own_memory, processes), strict=True))
            # The files and segments may also be mapped, and so be among the shared memory.
            found["memory"] = anonymous + max(shared, self._files_in_memory(processes) + segments)
        if "cpu" in names:
            found["cpu"] = self._cpu(processes)
        return found

    def _cpu(self, processes: dict[int, list[bytes]]) -> float:
        """Seconds of processor time, by two methods: a process that nobody waits for is missing in the first."""
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = sum(sum(map(int, fields[_ALL_TIME])) for fields in processes.values())
        now = {(pid, fields[_START]): sum(map(int, fields[_OWN_TIME])) for pid, fields in processes.items()}
        self._gone += sum(own for process, own in self._times.items() if process not in now)
        self._times = now
        return max(waited.ru_utime + waited.ru_stime + ticks / _TICKS, (self._gone + sum(now.values())) / _TICKS)

    def _files_in_memory(self, pids: Iterable[int]) -> int:
        """Bytes of files in memory that a process has open or mapped, or had open and left in /dev/shm."""
        found = {key: file for key, file in files(pids).items() if file.name.startswith(_IN_MEMORY)}
        self._in_shm.update((file.name, inode) for (_, inode), file in found.items() if file.name.startswith(_SHM))
        for name, inode in list(self._in_shm.items()):
            try:
                one = os.stat(name, follow_symlinks=False)
            except OSError:
                one = None
            if one is None or one.st_ino != inode:
                del self._in_shm[name]
            else:
                found[one.st_dev, inode] = File(name, one)
        return sum(file.size for file in found.values())


class File:
    """A file that a process has open or mapped.

    Attributes:
        name: its path, as the kernel shows it.
        size: the bytes that it takes on disk or in memory.
        removed: whether it has no name any more.
    """

    def __init__(self, name: str, status: os.stat_result | None, mapped: int = 0) -> None:
        self.name = name
        self.size = mapped if status is None else status.st_blocks * 512
        self.removed = name.endswith(_DELETED) if status is None else not status.st_nlink


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


def removed_usage(pids: Iterable[int], folder: str) -> int:
    """Bytes of removed files on the folder's disk that a process still has open or mapped."""
    try:
        disk = os.stat(folder).st_dev
    except OSError:
        return 0
    # A union of file systems (overlay) may show a mapped file under the number of another disk.
    return sum(
        file.size
        for (device, _), file in files(pids).items()
        if file.removed and (device == disk or file.name.startswith(folder + "/"))
    )


def files(pids: Iterable[int]) -> dict[tuple[int, int], File]:
    """The files that a process has open, or has mapped and then removed or closed, each by its device and inode."""
    found: dict[tuple[int, int], File] = {}
    guessed: dict[tuple[int, int], File] = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = f"/proc/{pid}/fd/{number}"
                    one = os.stat(path)
                    if stat.S_ISREG(one.st_mode):
                        found[one.st_dev, one.st_ino] = File(os.readlink(path), one)
        with contextlib.suppress(OSError, ValueError):
            _add_mapped(pid, found, guessed)
    return {**guessed, **found}


def _add_mapped(pid: int, found: dict[tuple[int, int], File], guessed: dict[tuple[int, int], File]) -> None:
    """Add the files that a process has mapped and that may not be open: those removed, and those in /dev/shm.

    Their size is known to root. Others see how much of them is mapped.
    """
    with open(f"/proc/{pid}/maps", "rb") as maps:
        text = maps.read()
    if _DELETED.encode() not in text and _SHM.encode() not in text:  # nearly always
        return
    mapped: dict[tuple[int, int], int] = {}
    for line in text.decode(errors="replace").splitlines():
        area, _, _, device, inode, *rest = line.split(None, 5)
        name = rest[0] if rest else ""
        if not name.startswith(_SHM) and (not name.endswith(_DELETED) or name.startswith(_COUNTED_ELSEWHERE)):
            continue
        try:
            one = os.stat(f"/proc/{pid}/map_files/{area}")
            found[one.st_dev, one.st_ino] = File(name, one)
        except OSError:
            start, end = (int(part, 16) for part in area.split("-"))
            major, minor = (int(part, 16) for part in device.split(":"))
            key = os.makedev(major, minor), int(inode)
            mapped[key] = mapped.get(key, 0) + end - start
            guessed[key] = File(name, None, max(mapped[key], guessed[key].size if key in guessed else 0))
