"""`airflow hdm packs check`: all findings of packs folders and of single packs, without a database."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import put, say, show_json
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import graph, inspection
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.discovery import KIND_FOLDERS
from hdm_airflow.packs.finding import Finding
from hdm_airflow.packs.pack import MANIFEST, SCRIPT
from hdm_airflow.packs.reader import read
from hdm_airflow.runner.home import expanded

if TYPE_CHECKING:
    from argparse import Namespace


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result for one of the folders given."""

    root: Path  # the packs folder that the findings' paths are relative to
    packs: int
    findings: tuple[Finding, ...]


@command
def check(args: Namespace) -> int:
    """Print the findings; returns 1 if there is an error (with --strict: or a warning)."""
    places = [expanded(path).absolute() for path in args.paths] or [packs_folder(None)]
    results = [check_place(place) for place in places]
    if args.output == "json":
        _put_json(results)
    else:
        _put_text(results)
    severities = [finding.severity for result in results for finding in result.findings]
    bad, mild = severities.count("error"), severities.count("warning")
    packs = sum(result.packs for result in results)
    say(f"{_count(packs, 'pack')} checked: {_count(bad, 'error')}, {_count(mild, 'warning')}")
    return int(bool(bad or (args.strict and mild)))


def check_place(place: Path) -> Checked:
    """Check a packs folder, its packs of one kind, or one pack.

    A single pack is checked together with its neighbours, since its dependencies may name them.

    Raises:
        ConfigurationError: if the folder does not exist, or has no pack.
    """
    place = Path(os.path.normpath(place))
    if place.is_dir() and not _is_pack(place) and place.name not in KIND_FOLDERS:
        if place.parent.name not in KIND_FOLDERS:
            return _scan(place)
    elif not place.is_dir():
        raise ConfigurationError("there is no such folder", str(place), "name a packs folder, or the folder of a pack")
    if place.name in KIND_FOLDERS:
        return _scan(place.parent, below=place.name)
    if place.parent.name in KIND_FOLDERS:
        return _scan(place.parent.parent, below=f"{place.parent.name}/{place.name}")
    return _check_alone(place)


def _is_pack(folder: Path) -> bool:
    return (folder / MANIFEST).exists() or (folder / SCRIPT).exists()


def _scan(root: Path, below: str = "") -> Checked:
    catalog = Catalog.scan(root, deep=True)
    packs = [pack.folder for pack in catalog.every if _is_below(pack.folder, below)]
    findings = tuple(finding for finding in catalog.findings if _is_below(finding.pack, below))
    if not packs and not findings:
        hint = "add packs: airflow hdm packs install basic FOLDER, or airflow hdm packs new NAME FOLDER"
        raise ConfigurationError("there is no pack", str(root / below), hint)
    return Checked(root=root, packs=len(packs), findings=findings)


def _is_below(folder: str, below: str) -> bool:
    return not below or folder == below or folder.startswith(f"{below}/")


def _check_alone(folder: Path) -> Checked:
    """Check a pack whose parent folder does not name a kind. Of what is next to it, only packs are read."""
    neighbours = sorted(other for other in folder.parent.iterdir() if other != folder and _is_pack(other))
    drafts = [read(path.name, path, None) for path in (folder, *neighbours)]
    graph.check(drafts)
    inspection.inspect(drafts[0], folder.parent)
    return Checked(root=folder.parent, packs=1, findings=tuple(sorted(drafts[0].findings)))


def _put_text(results: Sequence[Checked]) -> None:
    for result in results:
        for finding in result.findings:
            put(f"{_path(result.root, finding.path)}: {str(finding).removeprefix(finding.path + ': ')}")


def _put_json(results: Iterable[Checked]) -> None:
    rows = [_row(result.root, finding) for result in results for finding in result.findings]
    show_json(rows)


def _row(root: Path, finding: Finding) -> dict[str, Any]:
    return {
        "path": _path(root, finding.path),
        "pack": finding.pack,
        "file": finding.file,
        "place": finding.place,
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint,
    }


def _path(root: Path, path: str) -> str:
    """The path as it can be opened from here: relative if it is below the working directory."""
    full = os.path.normpath(root / path)
    here = f"{Path.cwd()}{os.sep}"
    return full.removeprefix(here)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
