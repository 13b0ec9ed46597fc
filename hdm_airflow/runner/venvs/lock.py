"""Lock: the lock of one venv, shared by the runs that use it, exclusive for building and removing it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def acquire(path: Path, *, exclusive: bool) -> int | None:
    """Take a lock without waiting.

    Args:
        path: the lock's file; created if missing.
        exclusive: whether no other process may hold the lock at the same time.

    Returns:
        A descriptor, which releases the lock when closed; None if another process's lock prevents it.

    Raises:
        OSError: if the file cannot be created.
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
        os.close(descriptor)  # the file has been removed since: a lock on it excludes no one


def _open(path: Path) -> int:
    """Open the file, read-only if it exists: the store may be on a full disk, or in an image.

    Without a sandbox, a pack may have put a pipe there, which must not block.
    """
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
