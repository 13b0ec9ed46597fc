"""Removal: removes a file or folder that `rm` could not remove, whatever a pack has done to it.

The janitor starts it (see janitor.py): standard library only, and quick to import.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from itertools import count


def main() -> int:
    """Remove the paths on the command line; print why one cannot be removed, and return 1."""
    failed = 0
    for path in sys.argv[2:]:
        try:
            remove(path)
        except OSError as error:  # files of another user, for example from a container
            failed = 1
            sys.stdout.write(f"{error.strerror}\n")
    return failed


def remove(path: str) -> None:
    """Remove anything, even if parts of it are not accessible, or folders are nested without limit.

    Raises:
        OSError: if something in it cannot be removed; the rest is removed.
    """
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.chmod(path, 0o700)
            _flatten(path)
            os.rmdir(path)
        else:
            os.unlink(path)


def _flatten(root: str) -> None:
    """Empty a folder of any depth: each folder in it is moved to its top, so that no path becomes too long."""
    numbers = count()
    stuck: dict[str, OSError] = {}
    while folders := _emptied(root, stuck):
        for folder in folders:
            try:
                for below in _emptied(folder, stuck):
                    while os.path.lexists(to := os.path.join(root, f".{next(numbers)}")):
                        pass
                    os.rename(below, to)
                os.rmdir(folder)
            except FileNotFoundError:  # another process was faster
                continue
            except OSError as error:
                stuck[folder] = error
    if stuck:
        raise next(iter(stuck.values()))


def _emptied(folder: str, stuck: dict[str, OSError]) -> list[str]:
    """Remove everything from a folder except folders; return these, made writable.

    Args:
        folder: what to empty.
        stuck: whatever cannot be removed is added to it, and left out from then on.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.path in stuck:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):  # not the target of a link
                    os.chmod(entry.path, 0o700)
                    found.append(entry.path)
                else:
                    os.unlink(entry.path)
            except FileNotFoundError:  # another process was faster
                continue
            except OSError as error:
                stuck[entry.path] = error
    return found
