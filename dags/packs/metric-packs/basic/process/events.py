"""The event column of a table: the date that says when a row happened, or when it was loaded.

The choice is made before the rows are read. It depends on names, declarations and what the base holds of earlier dates.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from patterns import words
from privacy import is_personal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tables import Column

# Words of names. The first group that has one of the name's words decides; columns without such words come after it.
LOADED = frozenset(
    {
        *("load", "loaded", "loading", "ingest", "ingested", "ingestion", "insert", "inserted", "insertion"),
        *("import", "imported", "etl", "integration", "chargement", "insere"),
    }
)
RECORDED = frozenset(
    {
        *("create", "created", "creation", "record", "recorded", "recording", "register", "registered"),
        *("registration", "entry", "entered", "filing", "filed", "reported", "charted", "creee", "cree", "saisie"),
        *("enregistrement",),
    }
)
HAPPENED = frozenset(
    {
        *("event", "start", "started", "begin", "admission", "admitted", "admit", "visit", "visited", "encounter"),
        *("occurred", "occurrence", "performed", "collected", "collection", "taken", "sampled", "measured"),
        *("measurement", "observation", "specimen", "exam", "order", "ordered", "time", "timestamp", "at", "date"),
        *("day", "on", "debut", "entree", "prelevement", "examen", "acte", "jour", "sejour"),
    }
)
CHANGED = frozenset({"update", "updated", "modified", "modification", "change", "changed", "last", "maj", "modif"})
# They say how something ended: of all dates, the last choice.
OVER = frozenset(
    {
        *("discharge", "discharged", "finish", "finished", "stop", "stopped", "closed", "cancel", "canceled"),
        *("cancelled", "deleted", "delete", "archived", "released", "sortie"),
    }
)
# They say until when a row holds, or what is planned, not when it happened.
NOT_EVENTS = frozenset(
    {
        *("valid", "validity", "until", "expiry", "expire", "expires", "expired", "expiration", "end", "ended"),
        *("ending", "due", "planned", "plan", "scheduled", "schedule", "expected", "estimated", "target"),
        *("deadline", "next", "review", "followup", "retired", "fin", "echeance", "prevu", "prevue", "validite"),
        *("limite",),
    }
)

MAX_PERCENT_MISSING = 50
MAX_STALE_DAYS = 400  # dates may be rounded down to their year (round_dates)


class LastNight(NamedTuple):
    """What the base holds of one column's most recent earlier date."""

    date: dt.date
    percent_na_values: float | None
    latest: dt.date | None  # of dates
    levels_count: int | None
    is_categorical: bool | None


def chosen(columns: Iterable[Column], known: Mapping[str, LastNight]) -> Column | None:
    """The event column; None if no column may be one.

    Of several, columns with few nulls and recent dates come first, then the more telling names, then columns that are
    declared not null, then the order of the declaration.

    Args:
        columns: of the table, in its order.
        known: by name; empty on the first date.
    """
    candidates = [column for column in columns if is_candidate(column)]
    return min(candidates, key=lambda column: _rank(column, known.get(column.name)), default=None)


def is_candidate(column: Column) -> bool:
    """Whether it holds dates that may say when a row happened."""
    return column.has_dates and not is_personal(column) and not NOT_EVENTS.intersection(words(column.name))


def _rank(column: Column, known: LastNight | None) -> tuple[bool, int, bool]:
    """The lower, the better."""
    return known is not None and _is_useless(known), _name_rank(column.name), not column.required


def _is_useless(known: LastNight) -> bool:
    if (known.percent_na_values or 0) > MAX_PERCENT_MISSING or known.latest is None:
        return True
    return known.date - known.latest > dt.timedelta(days=MAX_STALE_DAYS)


def _name_rank(name: str) -> int:
    found = set(words(name))
    if OVER & found:
        return 5
    if CHANGED & found:
        return 4
    ranks = enumerate((LOADED, RECORDED, HAPPENED))
    return next((rank for rank, group in ranks if group & found), 3)
