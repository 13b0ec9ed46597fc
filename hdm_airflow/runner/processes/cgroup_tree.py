"""Cgroup tree: where on this machine this process can make control groups, and what dead runs have left there.

On most machines only root, or a service with `Delegate=yes` in systemd, may make groups. Without one, the guard counts
processes itself. See cgroup.py for the two versions of control groups.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping

from hdm_airflow.runner.processes.cgroup import HEADROOM, Cgroup, most_tasks, write

_PREFIX = "hdm-"  # of names of groups
_YOUNG = 60.0  # seconds in which a group may not have been locked yet
_SWEEP = 0.2  # seconds to wait for the end of killed processes that a dead run left behind
_OLD_HIERARCHIES = ("pids", "memory", "cpuacct")  # of version 1
_DELEGATED = ("user.delegate", "trusted.delegate")  # attributes with which systemd marks what it has handed over


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
                    write(os.path.join(folder, name), str(value).encode())
        with contextlib.suppress(OSError):
            if made and all(map(_accepts_processes, made)):
                found = Cgroup(made, limits)
    finally:
        for folder in made if found is None else ():
            with contextlib.suppress(OSError):
                os.rmdir(folder)
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


def _kernel_limits(limits: Mapping[str, float]) -> dict[str, int]:
    """File of a group -> what to write to it."""
    found: dict[str, int] = {}
    if "processes" in limits:
        found["pids.max"] = int(most_tasks(limits))
    if "memory" in limits:
        found["memory.max"] = found["memory.limit_in_bytes"] = int(limits["memory"] + HEADROOM)
        found["memory.oom.group"] = 1
    return found


def _accepts_processes(folder: str) -> bool:
    """Whether processes can enter a new group: in version 2, not if the one above is divided by threads."""
    with contextlib.suppress(FileNotFoundError):  # version 1
        return _text(folder, "cgroup.type").strip() == "domain"
    return True


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
                    write(os.path.join(folder, "cgroup.subtree_control"), b"+" + name.encode())


def _text(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()
