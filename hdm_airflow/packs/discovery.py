"""Finding the packs below a packs folder, in every layout that is in use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hdm_airflow.packs.manifest import Kind
from hdm_airflow.packs.pack import MANIFEST, SCRIPT

KIND_FOLDERS: dict[str, Kind] = {
    "metric-packs": "metric",
    "hdm-metric-packs": "metric",
    "rule-packs": "rule",
    "hdm-rule-packs": "rule",
}
_DEPTH = 6  # folders below the packs folder; deeper nesting is nobody's layout
_IGNORED = {"__pycache__", "node_modules"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A folder that is, or should be, a pack."""

    folder: str  # below the packs folder, with forward slashes
    path: Path
    kind: Kind | None  # as the folders above tell


Report = Callable[[str, str, str], None]  # folder, message, hint


def discover(root: Path, report_stray: Report) -> Iterator[Found]:
    """Every pack below root, in path order.

    A folder with a manifest or a bootstrap script is a pack and is not searched further. Inside a kind folder
    (`metric-packs`, `hdm-rule-packs`, ...) a folder without either is a broken pack, unless packs lie below it.
    So is a folder that cannot be listed.

    Args:
        root: the packs folder.
        report_stray: called with each folder elsewhere in which there is no pack.

    Raises:
        OSError: root cannot be listed.
    """
    yield from _below(root, "", None, frozenset(), report_stray)


def _below(
    folder: Path, relative: str, kind: Kind | None, above: frozenset[str], report_stray: Report
) -> Iterator[Found]:
    real = os.path.realpath(folder)
    if real in above or len(above) > _DEPTH:
        report_stray(relative, "the folders are nested without end or too deeply", "remove the link or a level")
        return
    for name in _folders(folder):
        below = f"{relative}/{name}".lstrip("/")
        yield from _one(folder / name, below, kind, above | {real}, report_stray)


def _one(path: Path, relative: str, kind: Kind | None, above: frozenset[str], report_stray: Report) -> Iterator[Found]:
    own_kind = KIND_FOLDERS.get(path.name)
    itself = Found(folder=relative, path=path, kind=kind)
    if own_kind is None and _looks_like_pack(path):
        yield itself
        return
    try:
        below = list(_below(path, relative, own_kind or kind, above, report_stray))
    except OSError:
        yield itself
        return
    if below or own_kind is not None:
        yield from below
    elif kind is not None:
        yield itself
    else:
        hint = f"add a {MANIFEST}, or move it out of the packs folder"
        report_stray(relative, "this folder is no pack and holds none", hint)


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.name not in _IGNORED and entry.is_dir()
        )


def _looks_like_pack(path: Path) -> bool:
    return os.path.lexists(path / MANIFEST) or os.path.lexists(path / SCRIPT)
