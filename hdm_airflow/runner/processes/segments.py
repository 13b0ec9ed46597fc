"""Segments: the System V shared memory of one run, which stays in the kernel after the process that created it.

Part of the guard (see guard.py): standard library only, and quick to import. As root, the guard enters an IPC namespace
of its own: whatever a pack creates there, semaphores and message queues included, is invisible to others and vanishes
with its last process. Otherwise a segment belongs to the run if its creator was seen among the run's processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_CLONE_NEWIPC = 0x08000000
_IPC_RMID = 0
#: Columns of /proc/sysvipc/shm.
_ID, _CREATOR, _CREATOR_USER, _RESIDENT, _SWAPPED = 1, 4, 9, 14, 15


class Segments:
    """The segments of the run, from the creation of this object on.

    Args:
        private: all that this process sees belong to the run.
    """

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self._others = set(_listed())
        self._own: set[int] = set()

    @property
    def has_new(self) -> bool:
        """Whether there are segments that `look` has not seen."""
        return not self.private and not self._others.issuperset(set(_listed()) - self._own)

    def look(self, pids: Collection[int]) -> int:
        """Note which new segments belong to the run, and return the bytes of memory in all its segments.

        Args:
            pids: the run's processes, now and at the look before.
        """
        listed = _listed()
        for number, (creator, user, _) in listed.items():
            if number not in self._others and number not in self._own:
                mine = self.private or (creator in pids and user == os.getuid())
                (self._own if mine else self._others).add(number)
        self._own &= listed.keys()  # the kernel never uses the id of a removed segment again soon
        return sum(listed[number][2] for number in self._own)

    def remove(self) -> None:
        """Remove the run's segments."""
        for number in () if self.private else self._own:
            ctypes.CDLL(None).shmctl(number, _IPC_RMID, None)


def enter_namespace() -> bool:
    """Give this process and its children an IPC namespace of their own; return whether that was permitted."""
    return sys.platform == "linux" and not ctypes.CDLL(None).unshare(_CLONE_NEWIPC)


def _listed() -> dict[int, tuple[int, int, int]]:
    """Each segment's creator (process id), creator (user id) and bytes in memory."""
    found: dict[int, tuple[int, int, int]] = {}
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/sysvipc/shm", "rb") as file:
        for line in file.readlines()[1:]:
            row = list(map(int, line.split()))
            found[row[_ID]] = row[_CREATOR], row[_CREATOR_USER], row[_RESIDENT] + row[_SWAPPED]
    return found
