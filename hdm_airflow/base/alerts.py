"""Alerts: what rule packs found on a metric date, what of it is new, and where they have not judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.runs import Status
    from hdm_airflow.packs.manifest import Kind

#: The levels of alerts, the most severe first.
LEVELS = ("High", "Warning", "Info")


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest run of a pack on an endpoint, and the newest metric date on which it judged the endpoint."""

    kind: Kind
    pack: str
    endpoint: str  # slug
    metric_date: date
    status: Status
    reason: str | None
    judged: date | None  # of a rule pack, by hdm_whole; at most metric_date
    state: str | None  # of that date: whole or partial


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which alerts to list."""

    pack: str | None = None  # name of the rule pack
    table: str | None = None  # its exact name
    level: str = LEVELS[-1]  # this one and all that are more severe
    new: bool = False  # only those that are new


def endpoints(base: BaseConnection, metric_date: date | None) -> list[str]:
    """Read the slugs of all registered endpoints and, given a date, of those on which rule packs ran then."""
    return [row["slug"] for row in base.execute(queries("alerts")["endpoints"], {"date": metric_date})]


def packs_with_runs(base: BaseConnection) -> list[tuple[Kind, str]]:
    """Read the kind and name of every pack in the ledger."""
    return [(row["kind"], row["pack"]) for row in base.execute(queries("alerts")["packs"])]


def newest(
    base: BaseConnection, packs: Sequence[tuple[Kind, str]], slugs: Sequence[str], metric_date: date | None = None
) -> list[Newest]:
    """Read the newest run of each pack on each endpoint; none where it has not run.

    Args:
        base: the connection.
        packs: kind and name of each.
        slugs: of the endpoints.
        metric_date: only runs of this date.
    """
    kinds, names = [kind for kind, _ in packs], [name for _, name in packs]
    values = {"kinds": kinds, "packs": names, "slugs": list(slugs), "date": metric_date}
    return [Newest(**row) for row in base.execute(queries("alerts")["newest"], values)]


def listed(
    base: BaseConnection, dates: Mapping[str, date], packs: Iterable[str], wanted: Filter, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Read alerts, the most severe first.

    Args:
        base: the connection.
        dates: slug -> the metric date of its alerts.
        packs: the rule packs in the ledger; alerts of others all count as new.
        wanted: which alerts.
        limit: maximum number of rows.

    Returns:
        Rows of hdm_alerts, each with `new`: its pack did not have it on the date that it judged before. And the number
        of alerts without the limit.
    """
    values = {
        "slugs": list(dates),
        "dates": list(dates.values()),
        "packs": list(packs),
        "pack": wanted.pack,
        "table": wanted.table,
        "rank": LEVELS.index(wanted.level) + 1,
        "new": wanted.new,
        "limit": limit,
    }
    rows = base.execute(queries("alerts")["listed"], values).fetchall()
    total = rows[0]["total"] if rows else 0
    for row in rows:
        del row["total"]
    return rows, total
