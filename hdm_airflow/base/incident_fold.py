"""Incident fold: from the alerts and the ledger of each metric date to the states and events of incidents.

The state of an incident is a fold over metric dates, from the oldest to the newest. It begins at the first date of
which the ledger has news, from the state that the stored events show for the date before. Dates after the last one with
news are folded only for incidents that have changed until then. Everything happens in the base, in temporary tables;
only what differs from the stored incidents is written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

#: More alerts than that of one rule on one endpoint and metric date are nothing that people can look at.
MANY = 10_000
_LIMIT = 20  # flaws of one metric date
_UNPROCESSED = "the pack could not process it"  # what the ledger names as incomplete
#: What is read of each metric date: query -> its table.
_BY_DATE = {"alerts": "fold_alert", "not_judged": "fold_not_judged", "incomplete": "fold_incomplete"}


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """Alerts of one rule on one endpoint and metric date that are not as they should be."""

    metric_date: date
    endpoint: str  # slug
    rule_id: str
    alerts: int
    made_up: int  # of these, with a level that is none of the three


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What a fold has done."""

    events: dict[str, int] = field(default_factory=dict)  # kind -> number of new ones
    dates: list[date] = field(default_factory=list)  # of which the ledger had news
    flaws: list[Flaw] = field(default_factory=list)
    more_flaws: dict[date, int] = field(default_factory=dict)  # how many of a date are not among them


class OvertakenError(Exception):
    """The pack has begun to run on one of the dates meanwhile: the transaction must be rolled back and repeated.

    Args:
        slugs: of the endpoints where it has. They are left to the derivation that follows that run.
    """

    def __init__(self, slugs: Sequence[str]) -> None:
        super().__init__(slugs)
        self.slugs = slugs


def fold(
    base: BaseConnection, rule_pack: str, *, reopen_days: int, only: str | None = None, without: Collection[str] = ()
) -> Folded:
    """Derive what the ledger has new of a rule pack, within a transaction that holds the lock of its incidents.

    Args:
        base: a session of the owner.
        rule_pack: the pack's name.
        reopen_days: an incident that is found again after at most so many days is reopened.
        only: slug of the only endpoint; None: all.
        without: slugs of endpoints to leave out.

    Raises:
        OvertakenError: if it must be repeated, without some endpoints.
    """
    return _Fold(base, rule_pack, reopen_days, only, without).run()


class _Fold:
    def __init__(
        self, base: BaseConnection, rule_pack: str, reopen_days: int, only: str | None, without: Collection[str]
    ) -> None:
        self._base = base
        self._values: dict[str, Any] = {
            "rule_pack": rule_pack,
            "reopen_days": reopen_days,
            "only": only,
            "without": list(without),
            "unprocessed": _UNPROCESSED,
            "many": MANY,
            "limit": _LIMIT,
        }

    def run(self) -> Folded:
        self._do("tune")
        self._base.execute(queries("incident_fold")["tables"])
        self._do("ledger", analyze="fold_ledger")
        self._do("take", analyze="fold_run")
        self._do("begin")
        self._do("leave", analyze="fold_endpoint")
        self._do("before")
        self._do("former", analyze="fold_former")
        self._do("nights", analyze="fold_night")
        self._do("rewind")
        self._do("live", analyze="fold_incident")
        nights = self._base.execute(queries("incident_fold")["dates"]).fetchall()
        flaws: list[Flaw] = []
        more_flaws: dict[date, int] = {}
        for night in nights:
            self._fold_date(night["date"])
            if night["pending"]:
                found, rules = self._flaws(night["date"])
                flaws += found
                if rules > len(found):
                    more_flaws[night["date"]] = rules - len(found)
            if night["last"]:
                self._keep_changed(night["last"])
        events = self._store()
        dates = self._base.execute('SELECT DISTINCT "date" FROM fold_run ORDER BY "date"').fetchall()
        self._do("mark")
        overtaken = self._base.execute(queries("incident_fold")["overtaken"], self._values).fetchall()
        if overtaken:
            raise OvertakenError([row["endpoint"] for row in overtaken])
        return Folded(events=events, dates=[row["date"] for row in dates], flaws=flaws, more_flaws=more_flaws)

    def _fold_date(self, metric_date: date) -> None:
        self._values["date"] = metric_date
        self._base.execute(queries("incident_fold")["empty"])
        for name, table in _BY_DATE.items():
            self._do(name, analyze=table)
        if self._do("enter"):
            self._analyze("fold_incident")
        self._do("step", analyze="fold_step")
        self._do("cover")
        self._do("events")
        self._do("count")
        self._do("people")

    def _keep_changed(self, slugs: list[str]) -> None:
        """Go on with the incidents of these endpoints that the last date with news has changed."""
        self._values["last"] = slugs
        self._do("keep", analyze="fold_kept")
        self._do("keep_former")
        self._base.execute(queries("incident_fold")["empty_all"])
        self._do("fill", analyze="fold_incident")
        self._do("fill_former", analyze="fold_former")
        self._base.execute(queries("incident_fold")["empty_kept"])

    def _flaws(self, metric_date: date) -> tuple[list[Flaw], int]:
        """The first flaws of a date, and how many it has."""
        rows = self._base.execute(queries("incident_fold")["flaws"], self._values, prepare=False).fetchall()
        rules = {row.pop("rules") for row in rows}
        return [Flaw(metric_date=metric_date, **row) for row in rows], max(rules, default=0)

    def _store(self) -> dict[str, int]:
        """Write what differs."""
        self._analyze("fold_event")
        for name in ("add", "change", "withdraw", "correct", "correct_people"):
            self._do(name)
        told = self._base.execute(queries("incident_fold")["tell"], self._values, prepare=False)
        events = {row["kind"]: row["events"] for row in told}
        self._do("totals")
        self._do("recount")
        return events

    def _do(self, name: str, *, analyze: str = "") -> int:
        """Execute a query and return the number of rows.

        It is planned each time: a plan that suits one metric date may not suit another.
        """
        rows = self._base.execute(queries("incident_fold")[name], self._values, prepare=False).rowcount
        if analyze:
            self._analyze(analyze)
        return rows

    def _analyze(self, table: str) -> None:
        from psycopg.sql import SQL, Identifier

        self._base.execute(SQL("ANALYZE {}").format(Identifier(table)))
