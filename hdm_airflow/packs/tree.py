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
#: Levels of folders. Copying and many other tools recurse; Python ends them after about 500 levels.
DEEP = 100
#: Bytes of a path in the pack; with the path of the run's folder, the system allows 4,096.
LONG = 3_000


@dataclass
class Tree:
    """The contents of a pack's folder. Paths are relative, with forward slashes."""

    files: set[str] = field(default_factory=set)
    escaping: list[str] = field(default_factory=list)  # links that lead out of the pack
    broken: list[str] = field(default_factory=list)  # links without a target, or to each other
    looping: list[str] = field(default_factory=list)  # links to a folder that contains them
    doubled: list[str] = field(default_factory=list)  # links to other folders of the pack
    special: list[str] = field(default_factory=list)  # pipes, sockets, devices
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # folder, reason
    deep: set[str] = field(default_factory=set)  # folders directly in the pack with paths that a run cannot copy
    large: bool = False


def walk(root: Path) -> Tree:
    """Every file of a pack, sorted by whether a run can copy it.

    An absolute link counts as escaping even if it leads back inside: from a run's private copy it would lead to the
    original.
    """
    tree = Tree()
    for count, (relative, entry) in enumerate(entries(root, tree)):
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


def entries(root: Path, tree: Tree) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything in a folder, with its relative path, however much there is.

    Args:
        root: the folder.
        tree: receives what is too deep or unreadable.
    """
    waiting = [(str(root), "", 0)]  # a list, not recursion: folders nest deeper than Python calls
    while waiting:
        folder, prefix, depth = waiting.pop()
        try:
            with os.scandir(folder) as found:
                inner = sorted(found, key=lambda entry: entry.name)
            if not os.access(folder, os.X_OK):  # we may list its names, but not open its files
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            tree.unreadable.append((prefix.rstrip("/"), error.strerror or "unreadable"))
            continue
        folders = []
        for entry in inner:  # before the folders in it, or LARGE might stop the walk before the Readme
            relative = prefix + entry.name
            if depth > DEEP or len(os.fsencode(relative)) > LONG:
                tree.deep.add(relative.partition("/")[0])
                continue
            yield relative, entry
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{relative}/", depth + 1))
        waiting += reversed(folders)


def _sort_link(tree: Tree, relative: str, path: str, real_root: str) -> None:
    target = os.path.realpath(path)
    inside = target == real_root or target.startswith(real_root + os.sep)
    if os.path.isabs(os.readlink(path)) or not inside:
        tree.escaping.append(relative)
        return
    if (os.path.realpath(os.path.dirname(path)) + os.sep).startswith(target + os.sep):
        tree.looping.append(relative)
        return
    try:
        mode = os.stat(path).st_mode
    except OSError:
        tree.broken.append(relative)
    else:
        if stat.S_ISREG(mode):
            tree.files.add(relative)
        elif stat.S_ISDIR(mode):
            tree.doubled.append(relative)
