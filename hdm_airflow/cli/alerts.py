"""`airflow hdm alerts list`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import activation, alerts, endpoints
from hdm_airflow.cli import judged
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import open_base
from hdm_airflow.cli.console import compact, say, show, warn
from hdm_airflow.cli.judged import NAMED, counted

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import date

    from hdm_airflow.base.alerts import Newest


@command
def list_alerts(args: Namespace) -> int:
    """List the alerts of each endpoint's newest judged date, and say on stderr what was not judged."""
    with open_base(args) as base:
        slugs = [endpoints.find_slug(base, args.endpoint)] if args.endpoint else alerts.endpoints(base, args.date)
        active = [
            (pack, endpoints.canonical(slug)) for kind, pack, slug in activation.activated(base) if kind == "rule"
        ]
        known = alerts.packs_with_runs(base)
        packs = {name for kind, name in known if kind == "rule"}
        pack = judged.find_pack(args.pack, packs | {name for name, _ in active}) if args.pack else None
        newest = alerts.newest(base, known, slugs, args.date)
        dates = _dates(slugs, newest, pack, args.date)
        wanted = alerts.Filter(pack=pack, table=args.table, level=args.level, new=args.new)
        rows, total = alerts.listed(base, dates, packs, wanted, args.limit)
    expected = [(name, slug) for name, slug in active if slug in set(slugs) and pack in (None, name)]
    show([_whole(row) if args.output in {"json", "yaml"} else _short(row) for row in rows], args.output)
    for text in _said(dates, rows, total, wanted):
        say(text)
    unjudged = list(judged.not_judged(newest, expected, args.date))
    for text in unjudged:
        warn(text)
    if unjudged:
        say("do: see why with airflow hdm runs list; there, no alert does not mean that all is well")
    for text in judged.without_packs(slugs, expected, pack):
        warn(text)
    return 0


def _dates(slugs: Sequence[str], newest: Sequence[Newest], pack: str | None, stated: date | None) -> dict[str, date]:
    """The date of each endpoint's alerts: the stated one, else the newest that a rule pack has judged."""
    if stated:
        return dict.fromkeys(slugs, stated)
    found: dict[str, date] = {}
    for one in newest:
        if one.judged and pack in (None, one.pack):
            found[one.endpoint] = max(one.judged, found.get(one.endpoint, one.judged))
    return found


def _said(
    dates: Mapping[str, date], rows: Sequence[Mapping[str, Any]], total: int, wanted: alerts.Filter
) -> Iterator[str]:
    """What the list covers: its dates, whose endpoints are named unless the date is the newest, and its alerts."""
    by_date: dict[date, list[str]] = defaultdict(list)
    for slug, day in dates.items():
        by_date[day].append(slug)
    for day in sorted(by_date, reverse=True):
        slugs = by_date[day]
        names = f": {', '.join(slugs)}" if day != max(by_date) or len(slugs) <= NAMED else ""
        yield f"metric date {day}, {counted(len(slugs), 'endpoint')}{names}"
    filtered = wanted != alerts.Filter()
    many = counted(total, "new alert" if wanted.new else "alert") + (" with these filters" if filtered else "")
    if len(rows) < total:
        yield f"{many}; the list has the first {len(rows):,}: --limit shows more" + (
            "" if wanted.new else ", --new only new ones"
        )
    elif rows and not wanted.new:
        yield f"{many}, {sum(row['new'] for row in rows):,} of them new"
    else:
        yield many


def _short(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "date": row["date"],
        "endpoint": row["endpoint"],
        "level": row["alert_level"],
        "table": row["table"],
        "column": row["column"],
        "new": row["new"],
        "message": row["alert_message"],
    }
    # A line break in a name or message would look like another row.
    return {key: compact(value) if isinstance(value, str) else value for key, value in shown.items()}


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    names = {"alert_level": "level", "alert_message": "message", "alert_class": "class", "alert_scope": "scope"}
    return {names.get(key, key): value for key, value in row.items()}
