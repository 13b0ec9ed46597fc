"""Today: what the newest metric date has brought, and what somebody should look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base import audit, matrix
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

#: The last metric date without problems is looked for among so many earlier ones, or fewer if there are many cells:
#: each row is read, and a page cannot wait.
_NIGHTS = 14
_ROWS = 500_000
_CHANGES = 20  # of the audit trail
_NAMED = 20  # endpoints of a problem


Status = Literal["dead", "failed", "partial", "missing", "running", "skipped"]  # missing: no row of this date
#: Of missing ones: they have never run, only with earlier dates, or the pack has no row of this date at all.
Last = Literal["none", "old", "pack old", ""]


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """An attempt, as Airflow names it."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a pack on some endpoints, for one reason."""

    kind: Kind
    pack: str
    status: Status
    reason: str  # from the ledger; of dead ones: the worker died
    endpoints: list[str]  # slugs, sorted, the first 20
    count: int  # of all of them
    last: Last
    run: TaskRun | None  # of one of them; None: missing


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """An endpoint on which every metric pack that is active there has failed."""

    endpoint: str  # slug
    reason: str  # of most of them
    packs: list[str]  # as tasks name them: mp_basic


@dataclass(frozen=True, kw_only=True)
class Today:
    """The state of a base. Cells are those of registered endpoints where a pack is active."""

    date: dt.date | None  # the newest metric date; None: nothing has run yet
    cells: int
    complete: int  # cells with a success
    problems: list[Problem]  # worst first
    unreachable: list[Unreachable]
    incidents: dict[str, int] = field(
        default_factory=dict
    )  # level -> opened or reopened on the date, without muted ones
    changes: list[audit.Entry]  # since the day before yesterday ended, newest first
    last_all_well: dt.date | None  # None: not in the last two weeks; if there are 500,000 cells, not `date`
    running_since: dt.datetime | None  # None: nothing is running


def state(
    base: BaseConnection,
    packs: Sequence[tuple[Kind, str]] | None = None,
    *,
    endpoint: str | None = None,
    limit: int = 50,
) -> Today:
    """Read the state of the newest metric date that is not after tomorrow. The number of statements is constant.

    Args:
        base: the connection.
        packs: only these; None: all.
        endpoint: only this one, by its slug; None: all. The date is that of all.
        limit: of the problems, and of the unreachable endpoints.
    """
    rules = None if packs is None else [name for kind, name in packs if kind == "rule"]
    values: dict[str, Any] = {**_named(packs), "rules": rules, "endpoint": endpoint, "limit": limit, "named": _NAMED}
    values |= matrix.active_in_other_forms(base)
    with base.transaction():
        base.execute(queries("matrix")["memory"])
        values["date"] = newest = newest_date(base, packs)
        found = base.execute(queries("today")["state"], values).fetchone()
        assert found is not None  # noqa: S101  # the query always returns a row
        counted = base.execute(queries("today")["incidents"], values).fetchall()
        well = newest if found["cells"] and found["cells"] == found["complete"] else None
        values["nights"] = min(_NIGHTS, _ROWS // max(found["cells"], 1) - 1)
        if newest and not well:
            row = base.execute(queries("today")["last_all_well"], values).fetchone()
            well = row["date"] if row else None
        changes = audit.listed(base, object=endpoint, since=_yesterday(), limit=_CHANGES)
    return Today(
        date=newest,
        cells=found["cells"],
        complete=found["complete"],
        problems=[_problem(one) for one in found["problems"]],
        unreachable=[Unreachable(**one) for one in found["unreachable"]],
        incidents={one["level"]: one["count"] for one in counted},
        changes=changes,
        last_all_well=well,
        running_since=found["running_since"],
    )


def endpoints(base: BaseConnection, problem: Problem, date: dt.date | None, *, limit: int) -> list[str]:
    """Read the endpoints of a problem, also those that it does not name; [] if it is none any more.

    Args:
        base: the connection.
        problem: of which only what is wrong counts, and with which pack.
        date: the metric date.
        limit: at most so many.
    """
    values: dict[str, Any] = {**_named([(problem.kind, problem.pack)]), "date": date, "endpoint": None, "named": limit}
    values |= {"limit": None, **matrix.active_in_other_forms(base)}
    found = base.execute(queries("today")["state"], values).fetchone()
    assert found is not None  # noqa: S101  # the query always returns a row
    same = (_problem(one) for one in found["problems"])
    return next((one.endpoints for one in same if _what(one) == _what(problem)), [])


def newest_date(base: BaseConnection, packs: Sequence[tuple[Kind, str]] | None = None) -> dt.date | None:
    """Read the newest metric date that is not after tomorrow; None if nothing has run.

    Args:
        base: the connection.
        packs: of these; None: of any.
    """
    row = base.execute(queries("today")["date"], _named(packs)).fetchone()
    found: dt.date | None = row["date"] if row else None
    return found


def _named(packs: Sequence[tuple[Kind, str]] | None) -> dict[str, Any]:
    if packs is None:
        return {"kinds": None, "packs": None}
    return {"kinds": [kind for kind, _ in packs], "packs": [name for _, name in packs]}


def _what(problem: Problem) -> tuple[str, ...]:
    return problem.status, problem.reason, problem.last


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{**row, "run": TaskRun(**row["run"]) if row["run"] else None})


def _yesterday() -> dt.datetime:
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - dt.timedelta(days=1)
