"""`airflow hdm config history`, `restore` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.admin import configuration
from hdm_airflow.cli import pack_names
from hdm_airflow.cli.command import DECLINED, command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.config import MISSING, find_place
from hdm_airflow.cli.console import agreed, say, show, warn

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.audit import Change


@command
def history(args: Namespace) -> int:
    """List the changes of a configuration; json and yaml also have the whole texts."""
    pack = pack_names.find_one(args)
    with open_base(args) as base:
        version, slug = find_place(base, pack, args, gone=True)
        changes = configuration.history(
            base, pack.kind, pack.name, version=version, slug=slug, limit=args.limit, running=pack
        )
    show([_row(one, whole=args.output in {"json", "yaml"}) for one in changes], args.output)
    if not changes:
        say(f"{pack.task_id} has no history for {slug or f'version {version}'}")
    return 0


@command
def restore(args: Namespace) -> int:
    """Store a configuration again as it was after or before a change."""
    pack = pack_names.find_one(args)
    with open_base(args) as base:
        version, slug = find_place(base, pack, args)
        saved = configuration.restore(
            base,
            pack.kind,
            pack.name,
            args.change,
            actor=actor(),
            version=version,
            slug=slug,
            before=args.before,
            running=pack,
        )
    for warning in saved.warnings:
        warn(warning)
    when = "before" if args.before else "after"
    say(f"{pack.task_id} is configured for {slug or f'version {version}'} as {when} the change {args.change}")
    return 0


@command
def remove(args: Namespace) -> int:
    """Remove a configuration, after confirmation."""
    pack = pack_names.find_one(args)
    with open_base(args) as base:
        version, slug = find_place(base, pack, args, gone=True)
        what = f"the configuration of {pack.task_id} for {slug or f'version {version}'}"
        if not args.yes and not agreed(f"Remove {what}?", slug or pack.task_id):
            say("nothing was removed")
            return DECLINED
        found = configuration.remove(
            base, pack.kind, pack.name, actor=actor(), version=version, slug=slug, running=pack
        )
    if not found:
        say(f"{pack.task_id} has no configuration for {slug or f'version {version}'}")
        return MISSING
    say(f"{what} was removed; config history has it")
    return 0


def _row(change: Change, *, whole: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": change.id, "at": change.at, "actor": change.actor, "action": change.action}
    if whole:
        values = {"old": change.old, "new": change.new, "difference": change.difference}
        return {**shown, **values, "hidden_changed": change.hidden_changed}
    nothing = "(only the layout differs)" if change.old != change.new else "(nothing differs)"
    only_hidden = "(only hidden values differ)" if change.hidden_changed else nothing
    return {**shown, "difference": change.difference or only_hidden}
