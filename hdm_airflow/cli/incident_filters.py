"""Which incidents the filters of `airflow hdm incidents` mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base import activation, endpoints, incident_list
from hdm_airflow.base.incident_list import Filter
from hdm_airflow.cli import judged
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.incident_list import State

_WHETHER = {None: None, "yes": True, "no": False}
#: Options that choose incidents.
OPTIONS = (
    "level",
    "pack",
    "endpoint",
    "table",
    "rule",
    "assignee",
    "acknowledged",
    "muted",
    "judged",
    "since",
    "group",
)


def stated(args: Namespace) -> list[str]:
    """The filters on the command line, such as `--level`."""
    return [f"--{name}" for name in OPTIONS if getattr(args, name) is not None]


def find(base: BaseConnection, args: Namespace, state: State | None) -> Filter:
    """The filter that they mean.

    Raises:
        ConfigurationError: if there is no such endpoint, rule pack or incident.
    """
    if args.group is not None:
        check_id(base, args.group)
    fresh = _WHETHER[args.judged]
    return Filter(
        state=state,
        level=args.level,
        pack=_pack(base, args.pack) if args.pack else None,
        endpoint=endpoints.find_slug(base, args.endpoint) if args.endpoint else None,
        table=args.table,
        rule=args.rule,
        assignee=args.assignee,
        since=args.since,
        acknowledged=_WHETHER[args.acknowledged],
        muted=_WHETHER[args.muted],
        not_judged=None if fresh is None else not fresh,
        group=args.group,
    )


def check_id(base: BaseConnection, incident: int) -> None:
    """Check that there is an incident.

    Raises:
        ConfigurationError: if there is none.
    """
    if not incident_list.ids(base, Filter(ids=(incident,), state=None)):
        what, hint = f"there is no incident {incident}", "list them: airflow hdm incidents list --state all"
        raise ConfigurationError(what, "hdm_incident", hint)


def _pack(base: BaseConnection, text: str) -> str:
    active = {name for kind, name, _ in activation.activated(base) if kind == "rule"}
    return judged.find_pack(text, active | set(incident_list.rule_packs(base)))
