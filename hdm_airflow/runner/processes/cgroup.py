"""Cgroup: the control group of one program, in which the kernel counts, limits and ends all that the program starts.

Part of the guard (see guard.py): standard library only, and quick to import. The task process makes the group (see
cgroup_tree.py), so that it can end it when the guard cannot; the guard's child enters it before it becomes the program.

Two kinds are supported: one group in version 2 (https://docs.kernel.org/admin-guide/cgroup-v2.html), or one in each of
the hierarchies `pids`, `memory` and `cpuacct` of version 1, which many systems still use for these.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import math
import os
import signal
import struct
import time

from hdm_airflow.runner.processes.usage import THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The memory, beyond the limit, that the kernel lets a group use: page cache, which the limit does not count. The guard
#: ends the program at the limit itself; the kernel stops one that is faster.
HEADROOM = 256 << 20
_GIVE_UP = 5.0  # seconds to wait for the end of killed processes
_PAUSE = 0.01  # seconds between two looks at them
_READ = (
    "pids.current", "pids.peak", "pids.events", "memory.stat", "memory.events", "memory.peak", "memory.swap.current",
    "memory.oom_control", "memory.failcnt", "memory.max_usage_in_bytes", "cpu.stat", "cpuacct.usage",
)  # fmt: skip
_WRITTEN = ("pids.max", "cgroup.kill")
_SYS_CLONE3 = 435  # the same on every architecture
_CLONE_INTO_CGROUP = 1 << 33


class Cgroup:
    """A group that exists.

    Its files are opened at once: a process whose limit of open files is lowered to 0 can still use them. While this
    process lives, a lock on its folders keeps other runs from ending it.

    Args:
        folders: of the group, one per hierarchy.
        limits: memory, processes: of the program.

    Raises:
        OSError: if it does not exist.
    """

    def __init__(self, folders: list[str], limits: Mapping[str, float]) -> None:
        self.folders, self._most_tasks = folders, most_tasks(limits)
        self._locks: list[int] = []
        self._files: dict[str, int] = {}
        self._list = -1
        try:
            for folder in folders:
                self._locks.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                fcntl.flock(self._locks[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._files.update((name, self._open(name, os.O_RDONLY)) for name in _READ)
            self._files.update((name, self._open(name, os.O_WRONLY)) for name in _WRITTEN)
            self._list = os.open(os.path.join(folders[0], "cgroup.procs"), os.O_RDONLY)
        except BaseException:
            self.close()
            raise
        self._is_new = os.path.exists(os.path.join(folders[0], "cgroup.events"))  # version 2
        self._is_inside = False

    def fork(self) -> int:
        """Fork, if possible into the group; return 0 in the child, which must then call `enter`."""
        if self._is_new:
            with contextlib.suppress(OSError):  # an old kernel, or forbidden in a container
                pid = _clone_into(self._locks[0])
                self._is_inside = pid == 0
                return pid
        return os.fork()

    def enter(self) -> None:
        """Move this process, which has only one thread, into the group.

        Raises:
            OSError: if the kernel refuses.
        """
        for folder in () if self._is_inside else self.folders:
            # In version 1, a thread can move by itself; moving a process waits about 10 ms for a lock of the system.
            write(os.path.join(folder, "cgroup.procs" if self._is_new else "tasks"), b"0")

    def pids(self) -> list[int]:
        """Its processes; most kernels leave out dead ones."""
        with contextlib.suppress(OSError):
            # Version 1 answers a second reading of an open file with the first one's list.
            listed = os.open(os.path.join(self.folders[0], "cgroup.procs"), os.O_RDONLY)
            try:
                return [int(line) for line in _all(listed).split()]
            finally:
                os.close(listed)
        with contextlib.suppress(OSError):  # there is no descriptor left
            return [int(line) for line in _all(self._list).split()]
        return []

    def used(self) -> dict[str, float]:
        """What the kernel counts: `memory`, `cpu`, and as `processes` their threads, dead processes included."""
        counts = {"processes": self._number("pids.current"), "memory": self._memory(), "cpu": self._cpu()}
        return {name: value for name, value in counts.items() if value is not None}

    def enforced(self) -> dict[str, float]:
        """How much it used of each limit at which the kernel refused a new thread, or killed a process."""
        found: dict[str, float] = {}
        peak = self._number("pids.peak") or self._number("pids.current") or 0
        if self._table("pids.events").get("max") and peak >= self._most_tasks:  # else a group above this one refused
            found["processes"] = (self._most_tasks + 1) // THREADS
        new, old = self._table("memory.events"), self._table("memory.oom_control")
        killed = new.get("oom") and new.get("oom_kill")
        if killed or (old.get("oom_kill") and self._number("memory.failcnt")):
            found["memory"] = self._number("memory.peak") or self._number("memory.max_usage_in_bytes") or HEADROOM
        return found

    def kill(self) -> None:
        """Kill every process; from now on none of them can start another."""
        self._write("pids.max", b"0")
        if not self._write("cgroup.kill", b"1"):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def end(self, seconds: float = _GIVE_UP) -> bool:
        """Kill every process until none is left, and remove the group. Return whether that succeeded in time."""
        deadline = time.monotonic() + seconds
        while not self.remove():
            self.kill()
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True

    def remove(self) -> bool:
        """Remove the group; return whether it is gone. The kernel refuses as long as a process is in it."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not any(map(os.path.exists, self.folders))

    def close(self) -> None:
        """Close its files, and give up the lock."""
        for descriptor in (*self._locks, *self._files.values(), self._list):
            if descriptor >= 0:
                os.close(descriptor)
        self._locks, self._files, self._list = [], {}, -1

    def _memory(self) -> int | None:
        """Bytes of private memory: all but page cache; None if nothing counts them."""
        used = self._table("memory.stat")
        if not used:
            return None
        if "total_rss" in used:  # version 1; it does not count reclaimable kernel memory separately
            return used["total_rss"] + used.get("total_shmem", 0) + used.get("total_swap", 0)
        kernel = used.get("kernel", 0) - used.get("slab_reclaimable", 0)
        swap = self._number("memory.swap.current") or 0
        return used["anon"] + used["shmem"] + used.get("sock", 0) + max(0, kernel) + swap

    def _cpu(self) -> float | None:
        """Seconds of processor time of all processes it ever had; None if nothing counts them."""
        used = self._table("cpu.stat").get("usage_usec")
        if used is not None:
            return used / 1e6
        nanoseconds = self._number("cpuacct.usage")
        return None if nanoseconds is None else nanoseconds / 1e9

    def _open(self, name: str, flags: int) -> int:
        """A descriptor of the first file of this name; -1 if there is none."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                return os.open(os.path.join(folder, name), flags)
        return -1

    def _write(self, name: str, text: bytes) -> bool:
        try:
            return os.write(self._files[name], text) > 0
        except OSError:
            return False

    def _number(self, name: str) -> int | None:
        try:
            return int(_all(self._files[name]))
        except (OSError, ValueError):
            return None

    def _table(self, name: str) -> dict[str, int]:
        """The numbers in a file with one name and one number per line; {} if there is no such file."""
        try:
            lines = [line.split() for line in _all(self._files[name]).decode().splitlines()]
            return {line[0]: int(line[1]) for line in lines}
        except (OSError, ValueError, IndexError):
            return {}


def most_tasks(limits: Mapping[str, float]) -> float:
    """How many threads a group may have: with one more, one process too many would run."""
    return THREADS * (limits.get("processes", math.inf) + 1) - 1


def _clone_into(group: int) -> int:
    """Fork into a group of version 2; a process that is moved later waits for a lock of the whole system.

    Raises:
        OSError: if the kernel refuses; there is then no child.
    """
    # flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    arguments = struct.pack("=11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
    library = ctypes.PyDLL(None, use_errno=True)  # holds Python's own lock, as a fork must
    library.syscall.restype = ctypes.c_long
    library.PyOS_BeforeFork()
    pid = int(library.syscall(ctypes.c_long(_SYS_CLONE3), arguments, ctypes.c_size_t(len(arguments))))
    if pid == 0:
        library.PyOS_AfterFork_Child()
        return 0
    library.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return pid


def _all(descriptor: int) -> bytes:
    """What a file of the kernel says now."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))


def write(path: str, text: bytes) -> None:
    """Write to a file of the kernel."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
