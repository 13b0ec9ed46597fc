"""`airflow hdm packs list` and `show`."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from hdm_airflow.admin import pack_names
from hdm_airflow.base import activation, configuration
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import open_base, packs_folder
from hdm_airflow.cli.console import say, show_one, warn
from hdm_airflow.cli.console import show as show_rows
from hdm_airflow.errors import HdmError
from hdm_airflow.packs import files
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import CREATE_TABLE, PREFIX, Pack, Requirement
from hdm_airflow.packs.selection import choose
from hdm_airflow.settings import Settings
from hdm_airflow.variable import UnreachableVariableError

_FEW = 2  # packs that are listed one by one, even if they are required by default
_TABLE = re.compile(r"(?im)^\s*create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?([^\s(]+)")


@command
def list_all(args: Namespace) -> int:
    """List the selected packs, quarantined ones last."""
    catalog = Catalog.scan(packs_folder(args.packs_dir), deep=True)
    packs = choose(catalog.every, args.select or (), args.exclude or ()) if catalog.every else ()
    rows = [
        {
            "kind": pack.kind,
            "name": pack.name,
            "version": pack.version,
            "task_id": pack.task_id,
            "tags": list(pack.tags),
            "requires": _requirements(pack.requires),
            "state": state(pack),
            "folder": pack.folder,
        }
        for pack in packs
    ]
    show_rows(rows, args.output)
    if any(pack.findings for pack in packs):
        say(f"details: airflow hdm packs check {catalog.root}")
    if not args.packs_dir or args.environment or args.conn_id:
        _compare(args, catalog)
    return 0


@command
def show(args: Namespace) -> int:
    """Show one pack: manifest, packs it requires, packs that require it, findings, tables."""
    catalog = Catalog.scan(packs_folder(args.packs_dir), deep=True)
    pack = catalog.find(args.name)
    scripts, tables = _tables(pack)
    stated = pack.manifest.model_dump(mode="json", exclude_defaults=True) if pack.manifest else {}
    facts: dict[str, Any] = {
        "task_id": pack.task_id,
        "kind": pack.kind,
        "name": pack.name,
        "version": pack.version,
        "state": state(pack),
        "folder": pack.folder,
        "path": str(pack.path),
        **{key: value for key, value in stated.items() if key not in {"kind", "name", "version"}},
        "requires": [_requirement(one) for one in pack.requires],
        "required_by": [other.task_id for other in catalog.every if pack in catalog.upstream(other)],
        "sql_scripts": scripts,
        "tables": tables,
        "findings": [str(finding) for finding in pack.findings],
    }
    if args.output in {"json", "yaml"}:
        facts["readme"] = pack.readme
    show_one(facts, args.output)
    return 0


def state(pack: Pack) -> str:
    """Whether the pack can run, in one word."""
    if pack.errors:
        return "quarantined"
    count = len(pack.findings)
    return f"{count} warning{'s' if count > 1 else ''}" if count else "ok"


def _compare(args: Namespace, catalog: Catalog) -> None:
    """Warn of names in the HDM bases that no pack has. Without a base, packs are listed all the same."""
    environments: list[str | None] = [args.environment]
    if not args.environment and not args.conn_id:
        try:
            environments = [*Settings.load().environments]
        except UnreachableVariableError:
            return  # packs_folder has warned
    present = pack_names.task_ids(catalog)
    for name in environments:
        label = f" of {name}" if name else ""
        try:
            with open_base(Namespace(environment=name, conn_id=args.conn_id)) as base:
                marked = {PREFIX[kind] + pack for kind, pack, _ in activation.activated(base)}
                configured = {PREFIX[row["kind"]] + row["pack_name"] for row in configuration.every(base)}
        except HdmError as error:
            say(f"not compared with the HDM base{label}: {error.what}")
            continue
        for task_id in sorted((marked | configured) - present):
            uses = " and ".join(
                use for use, names in (("activated", marked), ("configured", configured)) if task_id in names
            )
            hint = f"airflow hdm packs rename {task_id} NEW, or remove it (docs: how-to/rename-or-remove-a-pack)"
            what = f"{task_id} is {uses} in the HDM base{label}, but the packs folder has no pack of this name"
            warn(f"{what}\ndo: {hint}")


def _requirements(required: Sequence[Requirement]) -> list[str]:
    """The packs that a pack requires; several that it requires by default are one entry."""
    if len(required) < _FEW or any(one.explicit for one in required):
        return [_requirement(one) for one in required]
    broken = [f"mp_{one.name}" for one in required if one.quarantined]
    return [f"all {len(required)} metric packs (default)", *(f"{name} (quarantined)" for name in broken)]


def _requirement(one: Requirement) -> str:
    notes = [note for note, applies in (("default", not one.explicit), ("quarantined", one.quarantined)) if applies]
    return f"mp_{one.name}" + (f" ({', '.join(notes)})" if notes else "")


def _tables(pack: Pack) -> tuple[list[str], list[str]]:
    """The pack's create-table scripts, and the tables that they create."""
    folder = pack.path / CREATE_TABLE
    scripts, tables = [], []
    for path in sorted(folder.glob("*.sql")) if folder.is_dir() else ():
        scripts.append(f"{CREATE_TABLE}/{path.name}")
        try:
            text, _ = files.decode(files.read_bytes(path))
        except files.Unreadable:
            continue  # reported as a finding
        tables += [name.strip('"') for name in _TABLE.findall(text)]
    return scripts, tables
