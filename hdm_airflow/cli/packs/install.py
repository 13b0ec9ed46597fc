"""`airflow hdm packs install`: copies the reference packs out of this package."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import hdm_airflow
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import put, say, show
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack
from hdm_airflow.packs.tree import Tree, entries

if TYPE_CHECKING:
    from argparse import Namespace

ALL = "all"
_IGNORED = ("__pycache__", "*.pyc")  # running a pack leaves these behind; they do not count as changes


@command
def install(args: Namespace) -> int:
    """Copy the packs that are missing, and report each."""
    catalog = Catalog.scan(_reference_packs())
    if args.list_packs:
        show([_row(pack) for pack in catalog.packs], args.output)
        return 0
    packs = _choose(catalog, args.name)
    folder = packs_folder(args.folder)
    changed = [pack for pack in packs if _state(pack, folder) == "changed"]
    if changed and not args.force:
        places = ", ".join(str(folder / pack.folder) for pack in changed)
        hint = "compare them; --force replaces them and keeps the old folders, renamed"
        raise ConfigurationError(f"{len(changed)} installed pack(s) differ: nothing was changed", places, hint)
    for pack in packs:
        _install(pack, folder)
    return 0


def _reference_packs() -> Path:
    """The folder of the reference packs: inside the installed package, or next to it in a checkout."""
    package = Path(hdm_airflow.__file__).parent
    for place in (package / "reference_packs", package.parent / "dags" / "packs"):
        if place.is_dir():
            return place
    hint = "reinstall hdm-airflow"
    raise ConfigurationError("the reference packs are missing from this installation", str(package), hint)


def _row(pack: Pack) -> dict[str, str]:
    description = pack.manifest.description if pack.manifest else ""
    return {"task_id": pack.task_id, "version": pack.version, "description": description}


def _choose(catalog: Catalog, name: str | None) -> Sequence[Pack]:
    found = [pack for pack in catalog.packs if name in (ALL, pack.name, pack.task_id)]
    if not found:
        known = ", ".join(dict.fromkeys(pack.name for pack in catalog.packs))
        what = f"there is no reference pack {name!r}" if name else "no pack is named"
        raise ConfigurationError(what, "NAME", f"choose one of: {known}, or {ALL}")
    return found


def _state(pack: Pack, folder: Path) -> str:
    target = folder / pack.folder
    if not target.exists() and not target.is_symlink():
        return "missing"
    return "same" if target.is_dir() and _is_same(pack.path, target) else "changed"


def _is_same(one: Path, other: Path) -> bool:
    """Whether two folders have the same files with the same content and execute permission."""
    names = _files(one)
    if names != _files(other):
        return False
    return all(
        filecmp.cmp(one / name, other / name, shallow=False)
        and not ((one / name).stat().st_mode ^ (other / name).stat().st_mode) & 0o100
        for name in names
    )


def _files(folder: Path) -> list[Path]:
    ignored = shutil.ignore_patterns(*_IGNORED)
    found, tree = [], Tree()
    for name, entry in entries(folder, tree):
        relative = Path(name)
        if not ignored(str(folder), list(relative.parts)) and not entry.is_dir(follow_symlinks=False):
            found.append(relative)
    return sorted([*found, *map(Path, tree.deep)])


def _install(pack: Pack, folder: Path) -> None:
    target = folder / pack.folder
    state = _state(pack, folder)
    if state == "same":
        say(f"{target} is already installed, unchanged")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent) as aside:
            copy = Path(aside) / target.name
            shutil.copytree(pack.path, copy, ignore=shutil.ignore_patterns(*_IGNORED))
            if state == "changed":
                kept = target.with_name(f".{target.name}-{datetime.now().astimezone():%Y%m%dT%H%M%S%f}")
                target.rename(kept)  # hidden: no scan reads it as a pack
                say(f"the old folder is now {kept}")
            copy.rename(target)
    except OSError as error:
        hint = "choose a folder that you may write to"
        raise ConfigurationError(f"the pack cannot be copied: {error.strerror}", str(target), hint) from None
    put(str(target))
    say(f"{pack.task_id} {pack.version} was installed")
