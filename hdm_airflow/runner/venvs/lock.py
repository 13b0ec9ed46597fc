"""The lock of one venv: shared by the runs that use it, exclusive for whoever builds or removes it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def acquire(path: Path, *, exclusive: bool) -> int | None:
    """Take a lock, at once or not at all.

    Args:
        path: the lock's file; made when missing.
        exclusive: for nobody else to have one.

    Returns:
        A descriptor, to be closed to let go of it; None where somebody else's lock is in the way.

    Raises:
        OSError: the file cannot be made.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            if _is_current(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody has removed the file since: a lock on it keeps nobody out


def _open(path: Path) -> int:
    """Read-only where it exists: a store may lie on a disk that is full, or in an image."""
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
