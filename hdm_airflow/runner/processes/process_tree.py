"""Process tree: finds and ends every process that this one has started, directly or indirectly.

Part of the guard (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

#: Seconds after the first SIGKILL until the guard gives up on a process that does not end (stuck in the kernel).
GIVE_UP = 10.0
_PAUSE = 0.01  # seconds between two looks at the remaining processes
_NEAR = 4  # process ids after that of a dead process, one of which its child has


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


def end_all(pack: int, status: int | None, grace: float) -> tuple[int, int]:
    """End every descendant: SIGTERM, then after `grace` seconds SIGKILL, repeated until none is left.

    Returns:
        The pack's wait status, and how many processes had to be ended.
    """
    first = list(descendants())
    signal_all(first, signal.SIGTERM if grace else signal.SIGSTOP)  # stopped, no process forks while others are killed
    if sys.platform != "linux":
        os.killpg(0, signal.SIGTERM)  # the guard itself ignores it
    ended, deadline = len(first), time.monotonic() + grace
    while True:
        late = reap(pack)
        status = late if status is None else status
        if childless() if sys.platform == "linux" else status is not None:
            return (status if status is not None else 0), ended
        left = list(descendants())
        if time.monotonic() >= deadline + GIVE_UP:
            with contextlib.suppress(OSError):
                os.write(2, f"hdm: these processes could not be killed: {left}\n".encode())
            return (status if status is not None else signal.SIGKILL), ended
        if time.monotonic() >= deadline:
            signal_all(left, signal.SIGKILL)
            if sys.platform == "linux":
                late, caught = chase(pack)
                status, ended = late if status is None else status, ended or len(left) or int(caught)
                continue
            os.killpg(0, signal.SIGKILL)
        time.sleep(_PAUSE)


def childless() -> bool:
    """Whether no process is left, for certain: a process that keeps forking may escape every reading of /proc."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # a descendant becomes our child when its parent ends
        return True
    return False


def chase(pack: int) -> tuple[int | None, bool]:
    """For a moment, kill the child of each process that dies: a process that forks and exits at once escapes otherwise.

    Returns:
        The pack's wait status if it has died in the meantime, and whether any process was killed.
    """
    found, caught, end = None, False, time.monotonic() + _PAUSE
    while time.monotonic() < end and not childless():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == pack:
            found = status
        for near in range(pid + 1, pid + 1 + _NEAR) if pid else ():
            if parent(near) == os.getpid():
                signal_all([near], signal.SIGKILL)
                caught = True
    return found, caught


def parent(pid: int) -> int:
    """The parent of a process; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(*, dead: bool = False) -> dict[int, list[bytes]]:
    """Every process below the guard, with the fields of /proc/PID/stat from the state on.

    Outside Linux there are none: the process group is signalled as a whole, and usage is not watched.

    Args:
        dead: include zombies.
    """
    children: dict[int, list[int]] = {}
    every: dict[int, list[bytes]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
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
    found: dict[int, list[bytes]] = {}
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found.update((pid, every[pid]) for pid in below)
        queue += below
    return found
