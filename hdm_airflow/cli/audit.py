"""`airflow hdm audit list`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from hdm_airflow.admin import audit
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import open_base
from hdm_airflow.cli.console import compact, say, show
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.audit import Change

_SHOWN = 40  # characters of a value in a table


@command
def list_changes(args: Namespace) -> int:
    """List the changes, newest first; json and yaml also have differences."""
    filters = {"--actor": args.actor, "--action": args.action, "--object": args.object}
    filters |= {"--since": args.since, "--before": args.before}
    if args.batch is not None and (given := [name for name, value in filters.items() if value is not None]):
        what = f"--batch is combined with {', '.join(given)}"
        raise ConfigurationError(what, "--batch", "give one or the other: it lists one bulk change")
    with open_base(args) as base:
        if args.batch is not None:
            changes = audit.of_batch(base, args.batch, args.limit)
        else:
            changes = audit.listed(
                base,
                actor=args.actor,
                action=args.action,
                object=args.object,
                since=datetime.combine(args.since, time.min).astimezone() if args.since else None,
                before_id=args.before,
                limit=args.limit,
            )
    show([asdict(one) if args.output in {"json", "yaml"} else _row(one, args.output) for one in changes], args.output)
    if args.batch is None and len(changes) == args.limit:
        say(f"there may be earlier ones: --before {changes[-1].id}")
    if any(one.batch is not None and one.size > 1 for one in changes) and args.batch is None:
        say("the single changes of a bulk change: airflow hdm audit list --batch ID")
    return 0


def _row(change: Change, output: str) -> dict[str, Any]:
    limit = _SHOWN if output == "table" else None
    old, new = (_cell(value, limit) for value in (change.old, change.new))
    only_hidden = change.hidden_changed and old == new
    return {
        "id": change.id,
        "at": change.at,
        "actor": change.actor,
        "action": change.action,
        "object": compact(change.object),
        "changes": change.size,
        "old": old,
        "new": "(hidden values differ)" if only_hidden else new,
    }


def _cell(value: Any, limit: int | None) -> Any:
    return value if value is None or isinstance(value, bool) else compact(value, limit)
