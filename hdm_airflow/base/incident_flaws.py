"""Incident flaws: messages about alerts that are not as they should be. They name packs and rules, no row values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hdm_airflow.base.incident_fold import MANY
from hdm_airflow.base.queries import queries
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.incident_fold import Folded

_LIMIT = 20  # messages of one kind; one more says how many others there are
_NAME_LIMIT = 200  # characters of a rule id or endpoint, as the pack has written it


def messages(base: BaseConnection, rule_pack: str, folded: Folded, *, strays: bool) -> list[str]:
    """Return a message per rule and kind of flaw, of the dates that were folded.

    Args:
        base: the connection.
        rule_pack: the pack's name.
        folded: the fold.
        strays: whether to look for alerts of other endpoints and dates.
    """
    found = list(_of_rules(rule_pack, folded))
    if strays:
        found += [*_strangers(base, rule_pack, folded), *_other_dates(base, rule_pack)]
    return [printable(message) for message in found]


def _of_rules(rule_pack: str, folded: Folded) -> Iterator[str]:
    for flaw in folded.flaws:
        where = f"on {_cut(flaw.endpoint)}, metric date {flaw.metric_date}"
        if not flaw.rule_id:
            yield f"{_alerts(rule_pack, '', flaw.alerts)} {where}; they count as one rule"
        if flaw.made_up:
            what = f"{flaw.made_up:,} alert(s) with a level other than High, Warning and Info"
            yield f"{_rule(rule_pack, flaw.rule_id)}: {what} {where}; they count as High"
        if flaw.alerts > MANY:
            many = f"{flaw.alerts:,} alerts {where}, more than {MANY:,}"
            yield f"{_rule(rule_pack, flaw.rule_id)}: {many}: nobody can look at so many incidents"
    for day, more in folded.more_flaws.items():
        yield f"rule pack {rule_pack}: {more:,} more rule(s) with such alerts on metric date {day}"


def _strangers(base: BaseConnection, rule_pack: str, folded: Folded) -> Iterator[str]:
    values = {"rule_pack": rule_pack, "dates": folded.dates, "limit": _LIMIT}
    rows = base.execute(queries("incidents")["strangers"], values).fetchall()
    for row in rows:
        where = f"for {_cut(row['endpoint'])}, metric date {row['date']}, where it did not run"
        yield f"{_alerts(rule_pack, row['rule_id'], row['alerts'])} {where}; they become no incidents"
    yield from _more(rule_pack, rows, "rule(s) with alerts for endpoints where it did not run")


def _other_dates(base: BaseConnection, rule_pack: str) -> Iterator[str]:
    values = {"rule_pack": rule_pack, "limit": _LIMIT}
    rows = base.execute(queries("incidents")["other_dates"], values).fetchall()
    for row in rows:
        when = f"with the date {row['date']}, on which it never ran" if row["date"] else "without a date"
        yield f"{_alerts(rule_pack, row['rule_id'], row['alerts'])} {when}; they become no incidents"
    yield from _more(rule_pack, rows, "rule(s) with alerts of dates on which it never ran, or without a date")


def _more(rule_pack: str, rows: Sequence[Mapping[str, int]], what: str) -> Iterator[str]:
    """How many rows a query has beyond its limit."""
    if rows and rows[0]["rows"] > len(rows):
        yield f"rule pack {rule_pack}: {rows[0]['rows'] - len(rows):,} more {what}"


def _alerts(rule_pack: str, rule_id: str, alerts: int) -> str:
    return f"{_rule(rule_pack, rule_id)}: {alerts:,} alert(s)" + ("" if rule_id else " without a rule id")


def _rule(rule_pack: str, rule_id: str) -> str:
    return f"rule pack {rule_pack}, rule {_cut(rule_id)}" if rule_id else f"rule pack {rule_pack}"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_LIMIT else f"{name[:_NAME_LIMIT]}..."
