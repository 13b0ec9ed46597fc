"""Today: what the newest metric date has brought, and what somebody should look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base import audit, matrix
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_NIGHTS = 7  # metric dates among which the last one without problems is looked for
_CHANGES = 20  # of the audit trail


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
    status: Literal["dead", "failed", "partial", "missing", "running", "skipped"]  # missing: no row of this date
    reason: str  # from the ledger; of dead ones: the worker died
    endpoints: list[str]  # slugs, sorted, the first 20
    count: int  # of all of them
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

    date: date | None  # the newest metric date; None: nothing has run yet
    cells: int
    complete: int  # cells with a success
    problems: list[Problem]  # worst first
    unreachable: list[Unreachable]
    incidents: dict[str, int] = field(
        default_factory=dict
    )  # level -> opened or reopened on the date, without muted ones
    changes: list[audit.Entry]  # since the day before yesterday ended, newest first
    last_all_well: date | None  # None: not among the last metric dates
    running_since: datetime | None  # None: nothing is running


def state(base: BaseConnection, packs: Sequence[tuple[Kind, str]] | None = None, *, limit: int = 50) -> Today:
    """Read the state of the newest metric date that is not after tomorrow. The number of statements is constant.

    Args:
        base: the connection.
        packs: only these; None: all.
        limit: of the problems, and of the unreachable endpoints.
    """
    kinds = None if packs is None else [kind for kind, _ in packs]
    names = None if packs is None else [name for _, name in packs]
    rules = None if packs is None else [name for kind, name in packs if kind == "rule"]
    values: dict[str, Any] = {"kinds": kinds, "packs": names, "rules": rules, "limit": limit, "nights": _NIGHTS}
    row = base.execute(queries("today")["date"], values).fetchone()
    values["date"] = newest = row and row["date"]
    changes = audit.listed(base, since=_yesterday(), limit=_CHANGES)
    values |= matrix.active_in_other_forms(base)
    found = base.execute(queries("today")["state"], values).fetchone()
    assert found is not None  # noqa: S101  # the query always returns a row
    counted = base.execute(queries("today")["incidents"], values).fetchall()
    well = base.execute(queries("today")["last_all_well"], values).fetchone() if newest else None
    return Today(
        date=newest,
        cells=found["cells"],
        complete=found["complete"],
        problems=[_problem(one) for one in found["problems"]],
        unreachable=[Unreachable(**one) for one in found["unreachable"]],
        incidents={one["level"]: one["count"] for one in counted},
        changes=changes,
        last_all_well=well and well["date"],
        running_since=found["running_since"],
    )


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{**row, "run": TaskRun(**row["run"]) if row["run"] else None})


def _yesterday() -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=1)
