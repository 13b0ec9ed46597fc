"""Incident list: which incidents there are, how each stands now, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

State = Literal["open", "resolved", "closed"]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which incidents. None: whatever they have."""

    ids: tuple[int, ...] | None = None
    state: State | None = "open"
    level: str | None = None  # this one, of `alerts.LEVELS`, and all that are more severe
    pack: str | None = None  # name of the rule pack
    endpoint: str | None = None  # slug
    table: str | None = None  # its exact name; '': incidents of no single table
    rule: str | None = None  # the rule's id
    assignee: str | None = None  # '': nobody
    since: date | None = None  # opened or reopened on this metric date or later
    acknowledged: bool | None = None
    muted: bool | None = None
    not_judged: bool | None = None  # open, and no night since its last alert could judge it
    group: int | None = None  # id of an incident: those with its endpoint, table and opening date

    def values(self) -> dict[str, Any]:
        """The parameters of the queries."""
        return {
            **vars(self),
            "ids": None if self.ids is None else list(self.ids),
            "levels": None if self.level is None else list(LEVELS[: LEVELS.index(self.level) + 1]),
        }


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many incidents a filter chooses."""

    incidents: int
    groups: int  # one endpoint, table and opening date each
    not_judged: int  # of the incidents: nobody has judged them since their last alert
    not_judged_since: date | None  # the earliest metric date of that


@dataclass(frozen=True, kw_only=True)
class Night:
    """What the newest derived metric date of a rule pack on an endpoint has changed."""

    rule_pack: str
    endpoint: str  # slug
    date: date
    opened: int
    reopened: int
    resolved: int
    closed: int


def listed(base: BaseConnection, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """Read incidents, the most severe and newest first, those of one group together.

    Args:
        base: the connection.
        wanted: which incidents.
        limit: maximum number of rows.

    Returns:
        Columns of hdm_incident and of the newest alert (`message`, `observed`, `former`, `threshold`, `alert_on`: its
        metric date). `acknowledged_by`, `acknowledged_on` and `muted_until` (text: a date, or `resolved`) are None if
        they are over. `not_judged_since` also counts metric dates on which the pack has judged nothing.
    """
    return _read(base, "listed", wanted, limit)


def grouped(base: BaseConnection, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """Read groups of incidents, the most severe and newest first.

    Returns:
        Rows with endpoint, table, opened_on, the highest level, the id of an incident that has it, and the numbers of
        incidents, of columns, and of those not judged, acknowledged and muted.
    """
    return _read(base, "grouped", wanted, limit)


def counted(base: BaseConnection, wanted: Filter) -> Count:
    """Count the incidents that a filter chooses."""
    (row,) = _read(base, "counted", wanted)
    return Count(**row)


def ids(base: BaseConnection, wanted: Filter) -> list[int]:
    """Read the ids of the incidents that a filter chooses."""
    return [row["id"] for row in _read(base, "ids", wanted)]


def nights(base: BaseConnection, wanted: Filter) -> list[Night]:
    """Read what the newest metric date has changed, for the pack, endpoint and level of a filter."""
    return [Night(**row) for row in _read(base, "nights", wanted)]


def rule_packs(base: BaseConnection) -> list[str]:
    """Read the names of the rule packs that have incidents."""
    return [row["rule_pack"] for row in base.execute(queries("incident_list")["packs"])]


def pending(base: BaseConnection) -> dict[str, int]:
    """Read the rule packs whose incidents lag behind the ledger, and on how many endpoints."""
    return {row["pack"]: row["endpoints"] for row in base.execute(queries("incident_list")["pending"])}


def waiting(base: BaseConnection, rule_pack: str, metric_date: date) -> dict[str, bool]:
    """Read the endpoints on which a rule pack's incidents lag behind the ledger: slug -> whether on this date."""
    values = {"rule_pack": rule_pack, "date": metric_date}
    rows = base.execute(queries("incident_list")["waiting"], values)
    return {row["endpoint"]: row["on_date"] for row in rows}


def events(base: BaseConnection, incident: int) -> list[dict[str, Any]]:
    """Read what happened to an incident, the oldest metric date first."""
    return base.execute(queries("incident_list")["events"], {"id": incident}).fetchall()


def _read(base: BaseConnection, name: str, wanted: Filter, limit: int | None = None) -> list[dict[str, Any]]:
    query = queries("incident_list")["chosen"] + queries("incident_list")[name]
    with base.transaction():
        base.execute(queries("incident_list")["tune"])
        return base.execute(query, {**wanted.values(), "limit": limit}, prepare=False).fetchall()
