"""Cgroup: the control group of one program, in which the kernel counts, limits and ends all that the program starts.

Part of the guard (see guard.py): standard library only, and quick to import. The task process makes the group, so that
it can end it when the guard cannot; the guard's child enters it before it becomes the program. On most machines only
root, or a service with `Delegate=yes` in systemd, may make groups. Then the guard counts processes itself.

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
_PREFIX = "hdm-"  # of names of groups
_YOUNG = 60.0  # seconds in which a group may not have been locked yet
_GIVE_UP = 5.0  # seconds to wait for the end of killed processes
_SWEEP = 0.2  # the same for a group that dead processes left behind
_PAUSE = 0.01  # seconds between two looks at them
_OLD_HIERARCHIES = ("pids", "memory", "cpuacct")  # of version 1
_DELEGATED = ("user.delegate", "trusted.delegate")  # attributes with which systemd marks what it has handed over
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
    process lives, a lock on its folders keeps `sweep` from ending it.

    Args:
        folders: of the group, one per hierarchy.
        limits: memory, processes: as `create` got them.

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
            _write(os.path.join(folder, "cgroup.procs" if self._is_new else "tasks"), b"0")

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


def create(limits: Mapping[str, float]) -> Cgroup | None:
    """Create a group for a new program; None if this process may not, or the machine has no groups.

    Groups that dead processes left behind are removed on the way.
    """
    group = f"{_PREFIX}{time.time():.0f}-{os.getpid()}-{os.urandom(4).hex()}"
    made: list[str] = []
    found = None
    try:
        for parent in parents():
            sweep(parent)
            folder = os.path.join(parent, group)
            with contextlib.suppress(OSError):
                os.mkdir(folder)
                made.append(folder)
        for name, value in _kernel_limits(limits).items():
            for folder in made:
                with contextlib.suppress(OSError):  # this hierarchy does not have it
                    _write(os.path.join(folder, name), str(value).encode())
        with contextlib.suppress(OSError):
            if made and all(map(_accepts_processes, made)):
                found = Cgroup(made, limits)
    finally:
        for folder in made if found is None else ():
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    return found


def most_tasks(limits: Mapping[str, float]) -> float:
    """How many threads a group may have: with one more, one process too many would run."""
    return THREADS * (limits.get("processes", math.inf) + 1) - 1


def _kernel_limits(limits: Mapping[str, float]) -> dict[str, int]:
    """File of a group -> what to write to it."""
    found: dict[str, int] = {}
    if "processes" in limits:
        found["pids.max"] = int(most_tasks(limits))
    if "memory" in limits:
        found["memory.max"] = found["memory.limit_in_bytes"] = int(limits["memory"] + HEADROOM)
        found["memory.oom.group"] = 1
    return found


def parents() -> list[str]:
    """The folders in which this process may make a group, without leaving the limits it is subject to itself."""
    own, mounts = _own_groups(), _mounts()
    old = [_place(name, own, mounts) for name in _OLD_HIERARCHIES]
    if old[0]:
        return list(dict.fromkeys(filter(None, old)))
    new = _place("", own, mounts)
    above = os.path.dirname(new)  # with systemd's DelegateSubgroup, only a group above ours can have limited ones
    for parent in (above, new):
        if new and (parent == new or _is_delegated(above)) and os.access(parent, os.W_OK):
            _hand_down(parent)
            return [parent]
    return []


def sweep(parent: str) -> None:
    """End and remove the groups in a folder whose task and guard were both killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(_PREFIX):
                with contextlib.suppress(OSError):  # its task or its guard lives
                    _sweep(os.path.join(parent, name), name)


def _sweep(folder: str, name: str) -> None:
    made = name[len(_PREFIX) :].split("-", maxsplit=1)[0]
    if not made.isdecimal() or time.time() < int(made) + _YOUNG:
        return
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)
    left = Cgroup([folder], {})
    try:
        left.end(_SWEEP)  # the next run tries again
    finally:
        left.close()


def _own_groups() -> dict[str, str]:
    """The groups of this process: name of the hierarchy ("" for version 2) -> path."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            found.update((name, path) for name in names.split(","))
    return found


def _mounts() -> dict[str, tuple[str, str]]:
    """Where the hierarchies are mounted: name ("" for version 2) -> the mounted group, the folder."""
    found: dict[str, tuple[str, str]] = {}
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            if kind in ("cgroup", "cgroup2"):
                place = (before.split()[3], before.split()[4])
                found.update((name, place) for name in ([""] if kind == "cgroup2" else options.split(",")))
    return found


def _place(name: str, own: dict[str, str], mounts: dict[str, tuple[str, str]]) -> str:
    """The folder of our own group in a hierarchy; '' if it is not mounted, or our group is outside what is mounted."""
    if name not in own or name not in mounts:
        return ""
    path, (root, folder) = own[name], mounts[name]
    inside = os.path.relpath(path, root)
    return "" if inside.startswith("..") else os.path.normpath(os.path.join(folder, inside))


def _is_delegated(folder: str) -> bool:
    """Whether systemd has handed this group over to a service (`Delegate=yes`)."""
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            return os.getxattr(folder, name) == b"1"
    return False


def _accepts_processes(folder: str) -> bool:
    """Whether processes can enter a new group: in version 2, not if the one above is divided by threads."""
    with contextlib.suppress(FileNotFoundError):  # version 1
        return _text(folder, "cgroup.type").strip() == "domain"
    return True


def _hand_down(folder: str) -> None:
    """Let groups in this one count and limit, unless processes are in this one itself, and it is not the topmost.

    The kernel would then refuse `memory`, but not `pids`: that would divide the group by threads, and no process could
    enter a new group in it (https://docs.kernel.org/admin-guide/cgroup-v2.html#threads).
    """
    with contextlib.suppress(OSError):
        if os.path.exists(os.path.join(folder, "cgroup.type")) and _text(folder, "cgroup.procs"):
            return
        there, handed = (_text(folder, f"cgroup.{name}").split() for name in ("controllers", "subtree_control"))
        for name in ("pids", "memory"):
            if name in there and name not in handed:
                with contextlib.suppress(OSError):
                    _write(os.path.join(folder, "cgroup.subtree_control"), b"+" + name.encode())


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


def _text(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
