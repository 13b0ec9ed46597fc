"""Process tree: finds and ends every process that this one has started, directly or indirectly.

Part of the guard (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hdm_airflow.runner.processes.cgroup import Cgroup

#: Seconds after the first SIGKILL until the guard gives up on a process that does not end (stuck in the kernel).
GIVE_UP = 10.0
_HELPLESS = 1.0  # seconds; the same if it cannot see any process
_PAUSE = 0.01  # seconds between two looks at the remaining processes
_NEAR = 4  # process ids after that of a dead process, one of which its child has
_GROUP = 2  # index of the process group among the fields of /proc/PID/stat from the state on
_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)  # when the guard started


class BlindError(Exception):
    """/proc does not show which processes there are."""


class Ended:
    """How the processes ended.

    Attributes:
        status: the pack's wait status.
        count: how many processes had to be ended.
        is_over: whether no process is left.
        left: those that could not be ended.
        blind: why the guard could not see them; '' if it could.
        helpless: whether it still cannot see them.
    """

    def __init__(self, status: int | None) -> None:
        self.status, self.count, self.is_over = status, 0, False
        self.left: list[int] = []
        self.blind, self.helpless = "", False


def reap(pack: int) -> int | None:
    """Collect every dead child; return the pack's wait status if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == pack:
            found = status


def end_all(pack: int, status: int | None, grace: float, group: Cgroup | None, alarm: int) -> Ended:
    """End every descendant: SIGTERM, then after `grace` seconds SIGKILL, repeated until none is left.

    Args:
        pack: its process id, which is also that of its process group.
        status: its wait status; None if it has not ended.
        grace: seconds between SIGTERM and SIGKILL; 0 for SIGKILL at once.
        group: its control group.
        alarm: a descriptor that becomes readable when a child dies.
    """
    ended = Ended(status)
    if grace:
        first = _visible(ended, group)
        ended.count = len(first)
        signal_all(first, signal.SIGTERM)
        if ended.blind or sys.platform != "linux":
            _signal_pack(pack, signal.SIGTERM, ended)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and not update(pack, ended):
            wait_for_death(alarm, _PAUSE)
    deadline = time.monotonic() + GIVE_UP
    while not update(pack, ended) and time.monotonic() < deadline:
        ended.count = max(ended.count, len(group.pids()) if group else 0)
        if group:
            group.kill()
        _signal_pack(pack, signal.SIGKILL, ended)
        left = _visible(ended, group)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # a stopped process cannot fork while others are killed
            _signal_groups(left, number)
            signal_all(left, number)
        if ended.helpless:
            deadline = min(deadline, time.monotonic() + _HELPLESS)
        caught = chase(pack, ended, alarm) if sys.platform == "linux" else 0
        ended.count = ended.count or len(left) or caught
        wait_for_death(alarm, _PAUSE)
    if not update(pack, ended):
        ended.left = list(_visible(ended, group))
    return ended


def update(pack: int, ended: Ended) -> bool:
    """Collect dead children; return whether no process is left."""
    late = reap(pack)
    if ended.status is None:
        ended.status = late
        if late is not None and sys.platform != "linux":  # the last moment in which the group's id is surely its own
            with contextlib.suppress(OSError):
                os.killpg(pack, signal.SIGKILL)
    ended.is_over = childless() if sys.platform == "linux" else ended.status is not None
    return ended.is_over


def _visible(ended: Ended, group: Cgroup | None) -> dict[int, list[bytes]]:
    """Every living process, by both ways of finding them; fields as from `descendants` for those that it finds."""
    found: dict[int, list[bytes]] = {pid: [] for pid in (group.pids() if group else ())}
    for _ in range(2):
        try:
            found.update(descendants())
            ended.helpless = False
            break
        except BlindError as error:
            ended.blind, ended.helpless = str(error), True
            with contextlib.suppress(OSError, ValueError):  # only root may raise the limit again
                resource.setrlimit(resource.RLIMIT_NOFILE, _FILES)
    return found


def _signal_pack(pack: int, number: int, ended: Ended) -> None:
    """Signal the pack's process group at once: none of it can escape by forking.

    Once the pack has been reaped, its id, and so that of the group, may belong to someone else.
    """
    if ended.status is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pack, number)


def _signal_groups(processes: dict[int, list[bytes]], number: int) -> None:
    """Signal the process groups of these processes, except our own."""
    for group in {int(fields[_GROUP]) for fields in processes.values() if fields} - {os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def childless() -> bool:
    """Whether no process is left, for certain: a process that keeps forking may escape every reading of /proc."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # a descendant becomes our child when its parent ends
        return True
    return False


def chase(pack: int, ended: Ended, alarm: int) -> int:
    """For a moment, kill the child of each process that dies: a process that forks and exits at once escapes otherwise.

    Returns:
        How many processes were killed.
    """
    caught, end = 0, time.monotonic() + _PAUSE
    while time.monotonic() < end and not childless():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == pack:
            ended.status = status
        if not pid:  # not a busy loop: at a high priority, it would keep processes from dying
            wait_for_death(alarm, _PAUSE / 10)
        for near in range(pid + 1, pid + 1 + _NEAR) if pid else ():
            if parent(near) == os.getpid():
                signal_all([near], signal.SIGKILL)
                caught += 1
    return caught


def wait_for_death(alarm: int, seconds: float) -> None:
    """Wait until a child dies, but not longer than this."""
    ready, _, _ = select.select([alarm], [], [], seconds)
    if ready:
        os.read(alarm, 1 << 16)


def parent(pid: int) -> int:
    """The parent of a process; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(of: int = 0, *, dead: bool = False) -> dict[int, list[bytes]]:
    """Every process below this one, with the fields of /proc/PID/stat from the state on.

    Outside Linux there are none: the process group is signalled as a whole, and usage is not watched.

    Args:
        of: another process, if not this one.
        dead: include zombies.

    Raises:
        BlindError: if /proc does not even show this process.
    """
    if sys.platform != "linux":
        return {}
    children: dict[int, list[int]] = {}
    every: dict[int, list[bytes]] = {}
    try:
        names = os.listdir("/proc")
        with open("/proc/self/stat", "rb") as file:
            own = int(file.read().split()[0])
    except OSError as error:
        raise BlindError(f"/proc cannot be read: {error.strerror}") from error
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it has just ended
            if dead or fields[0] != b"Z":
                every[int(name)] = fields
                children.setdefault(int(fields[1]), []).append(int(name))
    if own != os.getpid() or own not in every:
        raise BlindError("/proc cannot be read: it does not show the guard itself")
    found: dict[int, list[bytes]] = {}
    queue = [of or own]
    while queue:
        below = children.get(queue.pop(), [])
        found.update((pid, every[pid]) for pid in below)
        queue += below
    return found
