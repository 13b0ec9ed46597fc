"""News: what has happened to incidents since the last decision, and what could not be judged, for many filters.

A decision is one transaction: it collects the news in temporary tables, answers what each subscription asks of them,
and keeps up to which event it knows. Whoever decides holds `messages.alone`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base import matrix, today
from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.subscriptions import Filter

#: Changes, in the order of messages.
CHANGES = ("opened", "reopened", "raised", "due", "over")
Change = Literal["opened", "reopened", "raised", "due", "over"]
_NAMED = 5  # endpoints per cause
_TABLES = ("news", "news_open", "news_not_judged")


@dataclass(frozen=True, kw_only=True)
class Line:
    """An incident that is news, with its last alert."""

    incident: int
    change: Change
    level: str
    former_level: str | None  # if it has risen
    state: str  # open, resolved or closed, as it stands now
    closed_as: str | None
    rule_pack: str
    endpoint: str  # slug
    table: str  # '': no single one
    column: str  # '': no single one
    opened_on: dt.date
    ended_on: dt.date | None
    message: str | None  # of the alert, as the next
    observed: str | None
    former: str | None
    threshold: str | None
    affected_rows: int | None
    affected_patients: int | None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something could not be judged."""

    cause: str  # no run, failed, skipped, never run; of single checks: incomplete, or a kind of hdm_not_judged
    reason: str  # as the ledger or the rule pack says; may be ''
    endpoints: int
    checks: int  # 0: the whole endpoints
    fresh: bool  # whole endpoints, at least one of which was judged at the last decision
    named: list[str]  # slugs of the first endpoints


@dataclass(frozen=True, kw_only=True)
class News:
    """A decision under way."""

    digest: int  # its id
    date: dt.date | None  # the newest metric date; None: nothing has run
    oldest: dt.datetime | None  # event that is news; None: there are none


def settle(base: BaseConnection) -> int:
    """Return the id of the newest event, when no session has one with a lower id that is yet to be seen.

    Raises:
        HdmBaseError: if a session that writes events takes too long.
    """
    from psycopg.errors import LockNotAvailable

    try:
        with base.transaction():
            base.execute(queries("news")["limit"])
            base.execute(queries("news")["settle"])
            row = base.execute(queries("news")["last_event"]).fetchone()
    except LockNotAvailable:
        what = "the news could not be read: timed out waiting for a session that changes incidents"
        raise HdmBaseError(what, "HDM base", "nothing is lost: a retry, or the next run, reads it") from None
    assert row is not None  # noqa: S101  # the query always returns a row
    found: int = row["id"]
    return found


def collect(base: BaseConnection, until: int, *, with_alerts: bool) -> News:
    """Collect what is news, within the transaction of the decision.

    Args:
        base: the connection.
        until: as `settle` returned it.
        with_alerts: whether a filter asks what only alerts say.
    """
    statements = queries("news")
    newest = today.newest_date(base)
    former = base.execute(statements["former"], {"date": newest}).fetchone() or {"event": 0, "date": None}
    values: dict[str, Any] = {"after": former["event"], "until": until, "former": former["date"], "date": newest}
    values |= matrix.active_in_other_forms(base)
    base.execute(queries("incident_fold")["tune"])
    base.execute(statements["tables"])
    base.execute(statements["pairs"])
    base.execute("ANALYZE news_pair")
    base.execute(statements["news"], values, prepare=False)
    base.execute("ANALYZE news")
    if with_alerts:
        base.execute(statements["hashed"])
        base.execute(statements["news_alerts"], prepare=False)
        base.execute(statements["open_alerts"], prepare=False)
        base.execute(statements["unhashed"])
    else:
        base.execute(statements["open"], prepare=False)
    base.execute(statements["not_judged"], values, prepare=False)
    base.execute(statements["index"])
    for table in _TABLES:
        base.execute(f"ANALYZE {table}".encode())
    base.execute(statements["told"])
    digest = base.execute(statements["digest"], values).fetchone()
    oldest = base.execute(statements["oldest"]).fetchone()
    assert digest is not None and oldest is not None  # noqa: S101, PT018  # both always return a row
    return News(digest=digest["id"], date=newest, oldest=oldest["at"])


def lines(base: BaseConnection, wanted: Filter, *, since: dt.datetime | None, resolved: bool, limit: int) -> list[Line]:
    """Read the incidents that are news for a filter, in the order of messages.

    Args:
        base: the connection.
        wanted: the filter.
        since: only those of this time or later; None: all.
        resolved: whether what is over is news.
        limit: at most so many.
    """
    query = queries("news")["chosen"] + queries("news")["lines"]
    values = {**_values(wanted), "since": since, "resolved": resolved, "limit": limit}
    return [Line(**row) for row in base.execute(query, values, prepare=False)]


def counts(base: BaseConnection, wanted: Filter, *, since: dt.datetime | None, resolved: bool) -> dict[str, int]:
    """Count them by change, with the arguments of `lines`."""
    query = queries("news")["chosen"] + queries("news")["counts"]
    values = {**_values(wanted), "since": since, "resolved": resolved}
    return {row["change"]: row["incidents"] for row in base.execute(query, values, prepare=False)}


def still_open(base: BaseConnection, wanted: Filter) -> int:
    """Count the open incidents of a filter, news or not."""
    row = base.execute(queries("news")["still_open"], _values(wanted), prepare=False).fetchone()
    return int(row["incidents"]) if row else 0


def causes(base: BaseConnection, wanted: Filter) -> list[Cause]:
    """Read why something could not be judged, for the rule pack and endpoint of a filter, whole endpoints first."""
    values = {**_values(wanted), "named": _NAMED}
    return [Cause(**row) for row in base.execute(queries("news")["causes"], values, prepare=False)]


def finish(base: BaseConnection, news: News, messages: int) -> None:
    """Keep how many messages a decision has made."""
    base.execute(queries("news")["counted"], {"digest": news.digest, "messages": messages})


def _values(wanted: Filter) -> dict[str, Any]:
    return {
        "pack": wanted.pack,
        "endpoint": wanted.endpoint,
        "rank": LEVELS.index(wanted.level) + 1,
        "classes": list(wanted.classes) or None,
        "tags": list(wanted.tags) or None,
        "owner": wanted.owner,
    }
