"""Removal: takes a run's folder away, whatever the pack has done to it.

Used by the guard, too (see guard.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
from itertools import count

#: The file in a run's folder whose lock says that the run goes on.
LOCK = ".lock"


def remove(root: str) -> None:
    """Remove a folder, also where rights on a part of it were taken away, or folders lie in folders without end.

    Its lock goes last: by it, the next run's sweep finds what could not be removed now.

    Raises:
        OSError: something in it cannot be removed.
    """
    import shutil

    os.chmod(root, 0o700)
    with contextlib.suppress(RecursionError):  # it calls itself, up to Python 3.12
        for name in os.listdir(root):
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)
    _flatten(root)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(root, LOCK))
    os.rmdir(root)


def _flatten(root: str) -> None:
    """Empty a folder of any depth: each folder below it is moved up into it, so that no path gets too long."""
    numbers = count()
    while folders := _emptied(root, but=LOCK):
        for folder in folders:
            for below in _emptied(folder):
                while os.path.lexists(to := os.path.join(root, f".{next(numbers)}")):
                    pass
                os.rename(below, to)
            os.rmdir(folder)


def _emptied(folder: str, but: str = "") -> list[str]:
    """The folders in a folder, made ours to change, when all else in it has been removed, but for one file."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):  # a link's target is not ours to change
                os.chmod(entry.path, 0o700)
                found.append(entry.path)
            elif entry.name != but:
                os.unlink(entry.path)
    return found
