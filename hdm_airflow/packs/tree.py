"""The files of one pack, found by a walk that follows no link, and the faults among them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Each run copies the whole folder: with more entries than this, copying costs too much.
LARGE = 10_000


@dataclass
class Tree:
    """The contents of a pack's folder. Paths are relative, with forward slashes."""

    files: set[str] = field(default_factory=set)
    escaping: list[str] = field(default_factory=list)  # links that lead out of the pack
    broken: list[str] = field(default_factory=list)  # links without a target, or in a loop
    special: list[str] = field(default_factory=list)  # pipes, sockets, devices
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # folder, reason
    large: bool = False


def walk(root: Path) -> Tree:
    """Every file of a pack, sorted by whether a run can copy it.

    An absolute link counts as escaping even if it leads back inside: from a run's private copy it would lead to the
    original.
    """
    tree = Tree()
    for count, (relative, entry) in enumerate(_entries(str(root), "", tree)):
        if count > LARGE:
            tree.large = True
            break
        if entry.is_symlink():
            _sort_link(tree, relative, entry.path, os.path.realpath(root))
        elif entry.is_file(follow_symlinks=False):
            tree.files.add(relative)
        elif not entry.is_dir(follow_symlinks=False):
            tree.special.append(relative)
    return tree


def _entries(folder: str, prefix: str, tree: Tree) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if not os.access(folder, os.X_OK):  # we may list its names, but not open its files
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        tree.unreadable.append((prefix.rstrip("/"), error.strerror or "unreadable"))
        return
    for entry in entries:  # before the folders in it, or LARGE might stop the walk before the Readme
        yield prefix + entry.name, entry
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{prefix}{entry.name}/", tree)


def _sort_link(tree: Tree, relative: str, path: str, real_root: str) -> None:
    target = os.path.realpath(path)
    inside = target == real_root or target.startswith(real_root + os.sep)
    if os.path.isabs(os.readlink(path)) or not inside:
        tree.escaping.append(relative)
        return
    try:
        mode = os.stat(path).st_mode
    except OSError:
        tree.broken.append(relative)
    else:
        if stat.S_ISREG(mode):
            tree.files.add(relative)
