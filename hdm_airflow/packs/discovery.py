"""Finding the packs in a packs folder, in every layout that is in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from hdm_airflow.packs.manifest import Kind
from hdm_airflow.packs.pack import MANIFEST, SCRIPT

KIND_FOLDERS: dict[str, Kind] = {
    "metric-packs": "metric",
    "hdm-metric-packs": "metric",
    "rule-packs": "rule",
    "hdm-rule-packs": "rule",
}
_DEPTH = 6  # levels of folders in the packs folder; no layout in use is deeper
_MOST = 5_000  # folders that are listed; links that lead to each other could otherwise multiply them without limit
_IGNORED = {"__pycache__", "node_modules"}
_DOCUMENTS = (".md", ".rst", ".txt")  # allowed next to packs

Sort = Literal["folder", "broken", "file"]  # broken: a link whose target does not exist


class Found(NamedTuple):
    """A folder that is, or should be, a pack."""

    folder: str  # relative to the packs folder, with forward slashes
    path: Path
    kind: Kind | None  # from the folders above it


class Stray(NamedTuple):
    """A file or folder in a packs folder that is not a pack."""

    path: str  # relative to the packs folder, with forward slashes
    message: str
    hint: str
    code: str = "folder-stray"


class _Search:
    """One search: where it began, what it found besides packs, and how many folders it listed."""

    def __init__(self, root: Path, strays: list[Stray]) -> None:
        self.above_root = frozenset(map(str, Path(os.path.realpath(root)).parents))
        self.strays = strays
        self.listed = 0


def discover(root: Path, strays: list[Stray]) -> Iterator[Found]:
    """Every pack in root, in path order.

    A folder with a manifest or a bootstrap script is a pack and is not searched further. Inside a kind folder
    (`metric-packs`, `hdm-rule-packs`, ...), a folder with neither is a broken pack unless it contains packs. A folder
    that cannot be listed, or a link there without a target, is a broken pack too: if a pack disappears with a mount,
    somebody must notice.

    Args:
        root: the packs folder.
        strays: receives other folders that contain no pack, and files where a pack's folder is expected.

    Raises:
        OSError: if root cannot be listed.
    """
    search = _Search(root, strays)
    yield from _below(search, root, "", None, search.above_root, strays)


def _below(
    search: _Search, folder: Path, relative: str, kind: Kind | None, above: frozenset[str], strays: list[Stray]
) -> Iterator[Found]:
    above |= {os.path.realpath(folder)}
    search.listed += 1
    for name, sort in _listed(folder):
        path, below = folder / name, f"{relative}/{name}".lstrip("/")
        if sort == "folder":
            yield from _one(search, path, below, kind, above, strays)
        elif name in KIND_FOLDERS or (sort == "broken" and kind):
            yield Found(folder=below, path=path, kind=KIND_FOLDERS.get(name, kind))
        elif sort == "broken":
            hint = "remove it, or correct it"
            strays.append(Stray(path=below, message="the link's target does not exist", hint=hint))
        elif kind and not name.endswith(_DOCUMENTS):
            message = "this is a file, not the folder of a pack"
            strays.append(Stray(path=below, message=message, hint="unpack it, or move it out"))


def _one(
    search: _Search, path: Path, relative: str, kind: Kind | None, above: frozenset[str], strays: list[Stray]
) -> Iterator[Found]:
    own_kind = KIND_FOLDERS.get(path.name)
    itself = Found(folder=relative, path=path, kind=own_kind or kind)
    if own_kind is None and _looks_like_pack(path):
        yield itself
        return
    if os.path.realpath(path) in above:
        message = "the link leads to a folder that contains it; without .airflowignore, Airflow then loads no Dag"
        strays.append(Stray(path=relative, message=message, hint="remove the link", code="folder-loop"))
        return
    if len(above - search.above_root) > _DEPTH:
        strays.append(Stray(path=relative, message="the folders are nested too deeply", hint="remove a level"))
        return
    if search.listed >= _MOST:
        if search.listed == _MOST:
            search.listed += 1
            message = "the packs folder has too many folders; packs in this one and in later ones are not found"
            hint = "remove links and folders that are not packs"
            search.strays.append(Stray(path=relative, message=message, hint=hint, code="folder-loop"))
        return
    inner: list[Stray] = []
    try:
        below = list(_below(search, path, relative, own_kind or kind, above, inner))
    except OSError:
        yield itself
        return
    if own_kind is not None or (below and kind is None) or any(_looks_like_pack(found.path) for found in below):
        strays += inner
        yield from below
    elif kind is not None:
        yield itself  # folders in it, such as process/, belong to it
    else:
        hint = f"add a {MANIFEST}, or move it out of the packs folder"
        strays.append(Stray(path=relative, message="this folder is not a pack and contains none", hint=hint))


def _listed(folder: Path) -> list[tuple[str, Sort]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry.name, _sort(entry))
            for entry in entries
            if not entry.name.startswith(".") and entry.name not in _IGNORED
        )


def _sort(entry: os.DirEntry[str]) -> Sort:
    try:
        if entry.is_dir():
            return "folder"
    except OSError:  # links in a loop, or a target that we may not reach
        return "broken"
    return "broken" if entry.is_symlink() and not os.path.exists(entry.path) else "file"


def _looks_like_pack(path: Path) -> bool:
    return _may_exist(path / MANIFEST) or _may_exist(path / SCRIPT)


def _may_exist(path: Path) -> bool:
    """Whether a file exists or might exist: in a folder that can be listed but not entered, this is unknown."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
