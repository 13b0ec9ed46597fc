"""Removal: removes a run's folder, whatever the pack has done to it.

The guard uses it too (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
from itertools import count

#: The file in a run's folder that is locked while the run lasts.
LOCK = ".lock"


def remove(root: str) -> None:
    """Remove a folder, even if parts of it are not accessible, or folders are nested without limit.

    Its lock is removed last, so that the next run's sweep finds a folder that could not be removed now.

    Raises:
        OSError: if something in it cannot be removed.
    """
    import shutil

    os.chmod(root, 0o700)
    with contextlib.suppress(RecursionError):  # it is recursive up to Python 3.12
        for name in os.listdir(root):
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)
    _flatten(root)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(root, LOCK))
    os.rmdir(root)


def _flatten(root: str) -> None:
    """Empty a folder of any depth: each folder in it is moved to its top, so that no path becomes too long."""
    numbers = count()
    while folders := _emptied(root, but=LOCK):
        for folder in folders:
            for below in _emptied(folder):
                while os.path.lexists(to := os.path.join(root, f".{next(numbers)}")):
                    pass
                os.rename(below, to)
            os.rmdir(folder)


def _emptied(folder: str, but: str = "") -> list[str]:
    """Remove everything from a folder except folders and one file; return the folders, made writable."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):  # not the target of a link
                os.chmod(entry.path, 0o700)
                found.append(entry.path)
            elif entry.name != but:
                os.unlink(entry.path)
    return found
