"""Incidents: what the alerts of one rule and object on successive metric dates have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from hdm_airflow.base import incident_deactivation, incident_flaws, incident_fold, incident_lock
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_TRIES = 5  # of a derivation that another attempt overtakes
_SHOWN = 5  # endpoints in an error
_LATER = "the results are stored; a retry, or the next run of the pack, derives the incidents"
_FINDER = "hdm"  # the actor of what nobody did by a command


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a derivation has done."""

    events: dict[str, int] = field(default_factory=dict)  # kind -> number of new ones
    warnings: list[str] = field(default_factory=list)  # what is not as it should be; no values of rows


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An incident that was opened or reopened on a metric date."""

    id: int
    endpoint: str  # slug
    rule_id: str
    table: str  # '': no single one
    column: str  # '': no single one
    level: str  # of its alert on that date
    kind: str  # opened or reopened
    message: str | None  # of that alert


def derive(base: BaseConnection, rule_pack: str, *, reopen_days: int) -> Derived:
    """Derive the incidents of a rule pack on all endpoints from what the ledger has new, in one transaction.

    Repeating it writes nothing. If it is interrupted anywhere, everything is as before, and the next one does the work.
    If the base refuses a statement, each endpoint gets a transaction of its own: one must not hinder the others. Then a
    warning has the reason.

    Args:
        base: a session of the owner, in autocommit mode.
        rule_pack: the pack's name.
        reopen_days: an incident that is found again after at most so many days is reopened.

    Raises:
        HdmBaseError: if another session changes these incidents for too long, or if the base refuses a statement.
    """
    from psycopg import Error

    from hdm_airflow.base.hook import server_message

    if not _is_due(base, rule_pack):
        return Derived()
    try:
        return _derive(base, rule_pack, reopen_days)
    except Error as error:
        if base.closed:
            raise
        derived = _derive_each(base, rule_pack, reopen_days)
        what = "its incidents could not be derived for all endpoints at once, so they were for each"
        warning = printable(f"rule pack {rule_pack}: {what}: {server_message(error)}")
        return replace(derived, warnings=[warning, *derived.warnings])


def opened(base: BaseConnection, rule_pack: str, slugs: Iterable[str], metric_date: date, level: str) -> list[Opened]:
    """Read the incidents opened or reopened on a metric date that still have an alert, without those muted then.

    Args:
        base: the connection.
        rule_pack: the pack's name.
        slugs: of the endpoints.
        metric_date: the date.
        level: this one, of `alerts.LEVELS`, and all that are more severe.

    Returns:
        The most severe first.
    """
    values = {"rule_pack": rule_pack, "slugs": list(slugs), "date": metric_date, "level": level}
    return [Opened(**row) for row in base.execute(queries("incidents")["opened"], values)]


def _is_due(base: BaseConnection, rule_pack: str) -> bool:
    pending = base.execute(queries("incidents")["is_pending"], {"rule_pack": rule_pack}).fetchone()
    return pending is not None or bool(_deactivated(base, rule_pack))


def _derive_each(base: BaseConnection, rule_pack: str, reopen_days: int) -> Derived:
    """Derive the incidents of one endpoint after the other.

    Raises:
        HdmBaseError: if that fails on some; it names them.
    """
    from psycopg import Error

    from hdm_airflow.base.hook import server_message

    pending = base.execute(queries("incidents")["pending"], {"rule_pack": rule_pack}).fetchall()
    events: Counter[str] = Counter()
    warnings: list[str] = []
    failed: dict[str, Error] = {}
    for slug in sorted({*(row["endpoint"] for row in pending), *_deactivated(base, rule_pack)}):
        try:
            derived = _derive(base, rule_pack, reopen_days, slug)
        except Error as error:
            if base.closed:
                raise
            failed[slug] = error
        else:
            events.update(derived.events)
            warnings += derived.warnings
    if failed:
        named = ", ".join(list(failed)[:_SHOWN]) + (", ..." if len(failed) > _SHOWN else "")
        what = f"the incidents of rule pack {rule_pack} could not be derived on {len(failed)} endpoint(s): {named}: "
        raise HdmBaseError(what + server_message(next(iter(failed.values()))), "HDM base", _LATER)
    return Derived(events=dict(events), warnings=warnings)


def _derive(base: BaseConnection, rule_pack: str, reopen_days: int, only: str | None = None) -> Derived:
    """Derive the incidents of all endpoints, or of one, without those on which an attempt begins meanwhile."""
    from psycopg.errors import LockNotAvailable

    without: set[str] = set()
    for _ in range(_TRIES):
        try:
            with base.transaction():
                incident_lock.take(base, rule_pack)
                folded = incident_fold.fold(base, rule_pack, reopen_days=reopen_days, only=only, without=without)
                events = dict(folded.events)
                for slug in _deactivated(base, rule_pack):
                    if only in {None, slug}:
                        closed = incident_deactivation.close(base, [(rule_pack, slug)], actor=_FINDER)
                        events["closed"] = events.get("closed", 0) + closed
                warnings = incident_flaws.messages(base, rule_pack, folded, strays=only is None)
                return Derived(events=events, warnings=warnings)
        except LockNotAvailable:
            what = f"the incidents of rule pack {rule_pack} could not be derived: timed out waiting for a lock"
            raise HdmBaseError(what, "HDM base", _LATER) from None
        except incident_fold.OvertakenError as overtaken:
            without.update(overtaken.slugs)  # these attempts derive what is pending there
    what = f"the incidents of rule pack {rule_pack} could not be derived: other runs of the pack began again and again"
    raise HdmBaseError(what, "HDM base", _LATER)


def _deactivated(base: BaseConnection, rule_pack: str) -> list[str]:
    """The endpoints with open incidents for which the pack is no longer activated, in no form of the slug.

    A rename that was interrupted has not moved the activation yet.
    """
    values = {"rule_pack": rule_pack}
    found = [row["endpoint"] for row in base.execute(queries("incidents")["unactivated"], values)]
    if not found:
        return []
    active = {canonical(row["slug"]) for row in base.execute(queries("incidents")["activated"], values)}
    return [slug for slug in found if slug not in active and not _is_being_renamed(base, slug)]


def _is_being_renamed(base: BaseConnection, slug: str) -> bool:
    rows = base.execute(queries("rename")["last_steps_to"], {"new": slug})
    return any(row["action"] == "endpoint rename" for row in rows)
