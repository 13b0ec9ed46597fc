"""The demo's incidents: what became of each fault, night by night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_STAYS = ("opened", "open", "not judged", "open", "usual")
#: What the nights after the first must make of each fault: rule, table and column, then a word for each night.
EXPECTED: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("more nulls", "patients", "postcode"): ("opened", "open", "not judged", "resolved", "reopened"),
    ("empty column", "stays", "drg"): ("opened", "open", "not judged", "resolved", ""),
    ("dropped table", "allergies", ""): ("opened", "gone", "", "", ""),
    ("retyped column", "stays", "severity"): ("opened", "usual", "", "", ""),
    ("dates far back", "patients", "birth_date"): _STAYS,
    ("dates far ahead", "prescriptions", "ends_on"): _STAYS,
    ("duplicates in key column", "prescriptions", "prescription_id"): _STAYS,
}
_STYLES = {"opened": "red", "reopened": "red", "open": "yellow", "not judged": "magenta", "resolved": "green"}


@dataclass(frozen=True, kw_only=True)
class Life:
    """One incident."""

    rule: str
    table: str
    column: str  # '' = no single column
    level: str
    nights: tuple[str, ...]  # what it was after each night; '' = neither open nor news


def lives(base: BaseConnection, slug: str, dates: Sequence[date]) -> list[Life]:
    """Read the incidents of rule pack basic on an endpoint that somebody has to look at: High and Warning.

    Args:
        base: a connection.
        slug: of the endpoint.
        dates: the nights, in their order.
    """
    judged = base.execute(
        "SELECT \"date\" FROM hdm_whole WHERE kind = 'rule' AND pack = 'basic' AND endpoint = %s", [slug]
    )
    usable = {row["date"] for row in judged}
    rows = base.execute(
        """SELECT incident.id, rule_name AS rule, incident."table", incident."column", incident.level,
            event."date", event.kind, event.state, event.closed_as
        FROM hdm_incident AS incident
        JOIN hdm_incident_event AS event ON event.incident = incident.id
        JOIN rule_basic ON id_rule::text = incident.rule_id
        WHERE incident.endpoint = %s AND incident.rule_pack = 'basic' AND incident.level <> 'Info' AND NOT withdrawn
        ORDER BY incident."table", incident."column", incident.id, event."date", event.id""",
        [slug],
    )
    events: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("id", "rule", "table", "column", "level"))
        events.setdefault(key, []).append(row)
    return [
        Life(rule=rule, table=table, column=column, level=level, nights=tuple(_words(found, dates, usable)))
        for (_, rule, table, column, level), found in events.items()
    ]


def _words(events: Sequence[dict[str, Any]], dates: Sequence[date], usable: set[date]) -> list[str]:
    words, state, unjudged = [], "", False
    for night in dates:
        news = [event for event in events if event["date"] == night]
        for event in news:
            state = event["state"]
            unjudged = event["kind"] == "not judged" or (unjudged and event["kind"] == "level")
        if news and news[-1]["kind"] in {"opened", "reopened", "resolved", "closed"}:
            words.append(news[-1]["closed_as"] or news[-1]["kind"])
        elif state == "open":
            words.append("not judged" if unjudged or night not in usable else "open")
        else:
            words.append("")
    return words


def wrong(found: Sequence[Life]) -> list[str]:
    """What differs from EXPECTED, a line each."""
    known = {(one.rule, one.table, one.column): one.nights for one in found}
    return [
        f"{rule} on {table}.{column} is {', '.join(known.get((rule, table, column), ('missing',)))}; "
        f"it must be {', '.join(EXPECTED.get((rule, table, column), ('missing',)))}"
        for rule, table, column in {**EXPECTED, **known}
        if known.get((rule, table, column)) != EXPECTED.get((rule, table, column))
    ]


def show(console: Console, found: Sequence[Life], dates: Sequence[date], endpoint: str) -> None:
    """Print a table: an incident per row, a night per column."""
    table = Table("level", title=f"Incidents of {endpoint}")
    for header in ("where", "rule"):
        table.add_column(header, overflow="fold")
    for day in dates:
        table.add_column(f"{day:%d %b}", no_wrap=True)
    for one in found:
        words = [f"[{_STYLES.get(word, 'default')}]{word}[/]" for word in one.nights]
        table.add_row(one.level, ".".join(filter(None, (one.table, one.column))), one.rule, *words)
    console.print(table)
