"""`airflow hdm incidents list` and `show`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import activation, alerts, endpoints, incident_list
from hdm_airflow.base.incident_list import Filter
from hdm_airflow.cli import incident_filters, judged
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import open_base
from hdm_airflow.cli.console import compact, put, say, show, show_one, warn
from hdm_airflow.cli.judged import NAMED, counted
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import date

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.incident_list import Count, Night

_PREFIX = PREFIX["rule"]
#: Filters with which the totals of a metric date still say what they say.
_OF_TOTALS = {"--pack", "--endpoint", "--level"}
_NEXT = "next: airflow hdm incidents show ID, then ack, assign, comment, mute, accept or close"


@command
def list_incidents(args: Namespace) -> int:
    """List incidents; say on stderr what the newest night has changed, and what was not judged."""
    programs = args.output in {"json", "yaml"}
    with open_base(args) as base:
        wanted = incident_filters.find(base, args, None if args.state == "all" else args.state)
        read = incident_list.grouped if args.groups else incident_list.listed
        rows = read(base, wanted, args.limit)
        count = incident_list.counted(base, wanted)
        active = _active(base, wanted)
        nights = [one for one in incident_list.nights(base, wanted) if (one.rule_pack, one.endpoint) in active]
        warnings = _not_judged(base, wanted, active)
    if not programs:
        short = [_group(row) if args.groups else _short(row) for row in rows]
        rows = short if args.groups or args.output == "plain" else _once(short)
    show(rows, args.output)
    filters = set(incident_filters.stated(args))
    if filters <= _OF_TOTALS:
        for text in _changed(nights):
            say(text)
    for text in _said(args, count, len(rows), filtered=bool(filters)):
        say(text)
    for text in warnings:
        warn(text)
    return 0


@command
def show_incident(args: Namespace) -> int:
    """Show an incident, its newest alert and what has happened to it."""
    with open_base(args) as base:
        incident_filters.check_id(base, args.id)
        (row,) = incident_list.listed(base, Filter(ids=(args.id,), state=None), 1)
        events = incident_list.events(base, args.id)
        group = incident_list.counted(base, Filter(group=args.id)).incidents
        same = Filter(pack=row["rule_pack"], endpoint=row["endpoint"])
        warnings = _not_judged(base, same, _active(base, same)) if row["state"] == "open" else []
    if args.output in {"json", "yaml"}:
        show_one({**row, "events": events}, args.output)
    else:
        show_one({"state": _state(row), **_without_state(row)}, args.output)
        put("")
        show([_event(event) for event in events], args.output)
    if group > 1:
        say(f"{group:,} open incidents of this table have this date: airflow hdm incidents list --group {args.id}")
    for text in warnings:
        warn(text)
    return 0


def _active(base: BaseConnection, wanted: Filter) -> Collection[tuple[str, str]]:
    """The rule packs and slugs that are activated, and that the filter does not exclude."""
    return {
        (pack, slug)
        for kind, pack, slug in (
            (kind, pack, endpoints.canonical(slug)) for kind, pack, slug in activation.activated(base)
        )
        if kind == "rule" and wanted.pack in (None, pack) and wanted.endpoint in (None, slug)
    }


def _not_judged(base: BaseConnection, wanted: Filter, active: Collection[tuple[str, str]]) -> list[str]:
    """Where the list proves nothing: not judged, judged in part, not derived yet."""
    slugs = [wanted.endpoint] if wanted.endpoint else alerts.endpoints(base, None)
    expected = sorted((pack, slug) for pack, slug in active if slug in set(slugs))
    newest = alerts.newest(base, alerts.packs_with_runs(base), slugs)
    behind = [
        f"the newest runs of {_PREFIX}{pack} on {counted(many, 'endpoint')} are not in these incidents yet: "
        "its next run brings them in"
        for pack, many in incident_list.pending(base).items()
        if wanted.pack in (None, pack)
    ]
    return [
        *judged.not_judged(newest, expected, None),
        *judged.without_packs(slugs, expected, wanted.pack),
        *behind,
    ]


def _changed(nights: Sequence[Night]) -> Iterator[str]:
    """What the newest metric date of each endpoint has changed, the newest first."""
    by_date: dict[date, list[Night]] = defaultdict(list)
    for night in nights:
        by_date[night.date].append(night)
    for day in sorted(by_date, reverse=True):
        found = by_date[day]
        slugs = sorted({one.endpoint for one in found})
        names = f" ({', '.join(slugs)})" if day != max(by_date) and len(slugs) <= NAMED else ""
        parts = {
            name: sum(getattr(one, name) for one in found) for name in ("opened", "reopened", "resolved", "closed")
        }
        told = ", ".join(f"{many:,} {name}" for name, many in parts.items())
        yield f"metric date {day}, {counted(len(slugs), 'endpoint')}{names}: {told}"


def _said(args: Namespace, count: Count, shown: int, *, filtered: bool) -> Iterator[str]:
    """How many incidents there are, what of them nobody judges, and what to do next."""
    noun = "incident" if args.state == "all" else f"{args.state} incident"
    groups = f" in {counted(count.groups, 'group')}" if count.incidents > 1 else ""
    total = count.groups if args.groups else count.incidents
    many = counted(count.incidents, noun) + groups + (" with these filters" if filtered else "")
    yield many if shown == total else f"{many}; the list has the first {shown:,} (--limit)"
    if count.not_judged:
        has = "has" if count.not_judged == 1 else "have"
        since = f"since {count.not_judged_since}" + ("" if count.not_judged == 1 else " or later")
        yield f"{count.not_judged:,} of them {has} not been judged {since}: see list --judged no"
    if count.incidents:
        yield _NEXT


def _state(row: dict[str, Any]) -> str:
    """The state as people read it."""
    if row["state"] != "open":
        return f"{row['state']}{' as ' + row['closed_as'] if row['closed_as'] else ''} on {row['ended_on']}"
    parts = {
        "not judged since": row["not_judged_since"],
        "muted until": row["muted_until"],
        "acknowledged by": row["acknowledged_by"],
        "assigned to": row["assignee"],
    }
    return ", ".join(["open", *(f"{name} {value}" for name, value in parts.items() if value)])


def _short(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "level": row["level"],
        "state": _state(row),
        "since": row["opened_on"],
        "endpoint": row["endpoint"],
        "table": row["table"],
        "column": row["column"],
        "message": row["message"],
    }
    return _in_lines(shown)


def _group(row: dict[str, Any]) -> dict[str, Any]:
    names = {"opened_on": "since", "id": "id", "not_judged": "not judged"}
    return _in_lines({names.get(key, key): value for key, value in row.items()})


def _in_lines(row: dict[str, Any]) -> dict[str, Any]:
    """A line break in a name or message would look like another row."""
    return {key: compact(value) if isinstance(value, str) else value for key, value in row.items()}


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of which those of one group show what they have in common once."""
    common, found, before = ("since", "endpoint", "table"), [], None
    for row in rows:
        group = tuple(row[name] for name in common)
        found.append({**row, **dict.fromkeys(common, '"')} if group == before else row)
        before = group
    return found


def _without_state(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in {"state", "closed_as"} and value not in (None, "")}


def _event(event: dict[str, Any]) -> dict[str, Any]:
    kind = event["kind"]
    what = f"{kind} as {event['closed_as']}" if kind == "closed" and event["closed_as"] else kind
    if event["withdrawn"]:
        what = f"{kind}, without effect: it was not open then"
    shown = {
        "date": event["date"],
        "at": event["at"],
        "event": what,
        "by": event["actor"],
        "level": event["level"],
        "detail": event["detail"],
        "silent": event["silent"],
    }
    return _in_lines(shown)
