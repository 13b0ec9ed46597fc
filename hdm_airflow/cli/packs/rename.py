"""`airflow hdm packs rename`: the history of a pack follows its new name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.admin.pack_names import renaming
from hdm_airflow.base import pack_rename
from hdm_airflow.base.rename import without_runs
from hdm_airflow.cli import pack_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import put, say, warn
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.pack_names import Named
    from hdm_airflow.packs.catalog import Catalog
    from hdm_airflow.packs.pack import Pack


@command
def rename(args: Namespace) -> int:
    """Rename a pack in the HDM base, and say what to change in the packs folder."""
    old, new = renaming(args.pack, args.kind, args.new)
    with open_base(args) as base, without_runs(base):
        counts = pack_rename.rename(base, old.kind, old.name, new.name, actor=actor())
    moved = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    say(f"{old.task_id} is now {new.task_id}: {moved or 'no rows'}")
    catalog = pack_names.catalog(args.packs_dir)
    if catalog is None:
        warn(f"the packs folder cannot be read: write {new.name!r} in properties.json and in each depends_on yourself")
    else:
        _advise(catalog, old, new)
    say("its own tables keep their names and rows")
    put(new.task_id)
    return 0


def _advise(catalog: Catalog, old: Named, new: Named) -> None:
    """Warn about everything in the packs folder that does not fit the new name."""
    names = {PREFIX[pack.kind] + pack.name: pack for pack in catalog.every}
    if old.task_id in names:
        place = names[old.task_id].path / "properties.json"
        warn(f'{old.task_id} is still in the packs folder\ndo: write "name": "{new.name}" in {place}')
    elif new.task_id not in names:
        warn(f"there is no {new.task_id} in {catalog.root}")
    if old.kind == "metric":
        for pack in catalog.every:
            if any(one.explicit and one.name == old.name for one in pack.requires):
                warn(f"{pack.task_id} depends on {old.name!r}\ndo: write {new.name!r} in {pack.path}/properties.json")
        _keep_default(names.get(f"rp_{old.name}"), new.name, old.task_id)
    elif f"mp_{old.name}" in names:
        _keep_default(names.get(new.task_id) or names.get(old.task_id), old.name, f"mp_{old.name}")


def _keep_default(pack: Pack | None, metric_pack: str, had: str) -> None:
    """Warn about a rule pack that waited for the metric pack of its name, and now waits for other packs."""
    if pack is not None and pack.manifest is not None and pack.manifest.depends_on is None:
        what = f"{pack.task_id} no longer has the name of {had}, for which it waited by default"
        warn(f'{what}\ndo: add "depends_on": ["{metric_pack}"] to {pack.path}/properties.json')
