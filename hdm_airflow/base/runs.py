"""The ledger: what every pack run did on every endpoint, and the locks that keep it true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

Status = Literal["running", "success", "partial", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which attempt of which pack a ledger row belongs to."""

    kind: Kind
    pack: str
    pack_version: str
    metric_date: date
    environment: str
    dag_id: str
    run_id: str
    task_id: str
    try_number: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended on one endpoint."""

    endpoint: str  # slug
    status: Status
    reason: str = ""  # one line: why it is not a plain success
    reported: bool = False  # whether the pack itself said so
    metrics: int | None = None
    alerts: int | None = None
    incomplete: tuple[str, ...] = ()  # objects that could not be measured
    dbversion: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """The newest ledger row of a (kind, pack, endpoint, metric date)."""

    kind: Kind
    pack: str
    endpoint: str
    environment: str
    status: Status
    reported: bool
    reason: str | None
    incomplete: tuple[str, ...]
    started_at: datetime
    finished_at: datetime | None


def newest(base: BaseConnection, attempt: Attempt, required: Sequence[str], slugs: Sequence[str]) -> list[Run]:
    """The newest rows for this metric date of the pack itself and of the metric packs it requires."""
    values: dict[str, Any] = {"kind": attempt.kind, "pack": attempt.pack, "date": attempt.metric_date}
    values |= {"required": list(required), "slugs": list(slugs)}
    rows = base.execute(queries("runs")["newest"], values).fetchall()
    return [Run(**{**row, "incomplete": tuple(row["incomplete"] or ())}) for row in rows]


def dbversions(base: BaseConnection, slugs: Sequence[str]) -> dict[str, str]:
    """The database version last reported for each endpoint that has one."""
    rows = base.execute(queries("runs")["dbversions"], {"slugs": list(slugs)})
    return {row["slug"]: row["dbversion"] for row in rows}


def reserve(base: BaseConnection, slugs: Sequence[str]) -> dict[str, int]:
    """Take the ids of the rows that an attempt will write; call it while holding the pack's lock.

    The newest row is the one with the highest id. Whoever loses the lock afterwards, and lives, can thus write nothing
    that is newer than what the attempt says that took over, and knows its own rows from all others.

    Returns:
        Slug -> id.
    """
    found = base.execute(queries("runs")["reserve"], {"count": len(slugs)})
    return dict(zip(slugs, (row["id"] for row in found), strict=True))


def start(base: BaseConnection, attempt: Attempt, ids: Mapping[str, int]) -> None:
    """Write a `running` row for each endpoint.

    Args:
        base: the connection that holds the pack's lock.
        attempt: whose rows they are.
        ids: slug -> id, as reserved.
    """
    with base.transaction(), base.cursor() as cursor:
        cursor.executemany(queries("runs")["start"], _started(attempt, ids))


def finish(base: BaseConnection, attempt: Attempt, outcomes: Iterable[Outcome]) -> None:
    """Write what never began (skipped, failed early), in one transaction, on the connection that holds the lock."""
    values = [{**asdict(attempt), **one} for one in _ended(outcomes)]
    with base.transaction(), base.cursor() as cursor:
        cursor.executemany(queries("runs")["finish"], values)


def close(
    base: BaseConnection, attempt: Attempt, ids: Mapping[str, int], outcomes: Sequence[Outcome], *, begun: bool = True
) -> list[Outcome]:
    """Close this attempt's `running` rows, in one transaction; to repeat it changes nothing.

    Args:
        base: any connection: the one that holds the lock may have been lost.
        attempt: whose rows they are.
        ids: slug -> id, as reserved.
        outcomes: how it ended.
        begun: False where nobody knows whether `start` has written the rows: what is missing is added.

    Returns:
        The outcomes as the ledger has them: where somebody else has closed the row before, that end counts.
    """
    known: list[Outcome] = []
    with base.transaction(), base.cursor() as cursor:
        if not begun:
            cursor.executemany(queries("runs")["start"], _started(attempt, ids))
        values = [{**one, "id": ids[one["endpoint"]]} for one in _ended(outcomes)]
        cursor.executemany(queries("runs")["close"], values, returning=True)
        for outcome in outcomes:
            row = cursor.fetchone()
            known.append(_as_kept(outcome, row))
            cursor.nextset()
    return known


def note(base: BaseConnection, ids: Mapping[str, int], outcomes: Sequence[Outcome]) -> None:
    """Keep what the pack has said of endpoints so far, in their `running` rows: a worker that dies cannot tell.

    Args:
        base: the connection.
        ids: slug -> id, as reserved.
        outcomes: `reported` where the pack has said ok; without it where it has taken that back.
    """
    for values in _ended(outcomes):
        # One statement each, in no transaction: a signal handler that interrupts this thread closes the same rows on
        # another connection, and would wait for a lock that only this thread can release.
        base.execute(queries("runs")["note"], {**values, "id": ids[values["endpoint"]]})


def is_running(base: BaseConnection, kind: Kind, pack: str, metric_date: date) -> bool:
    """Whether there are `running` rows; call it while holding or sharing the pack's lock: their attempt is over."""
    values = {"kind": kind, "pack": pack, "date": metric_date}
    return base.execute(queries("runs")["is_running"], values).fetchone() is not None


def close_stale(base: BaseConnection, kind: Kind, pack: str, metric_date: date) -> int:
    """Close `running` rows of attempts that are over; call it while holding or sharing the pack's lock.

    They have failed, but for the endpoints of which the pack had said ok.

    Returns:
        How many there were.
    """
    values = {"kind": kind, "pack": pack, "date": metric_date}
    return base.execute(queries("runs")["close_stale"], values).rowcount


def close_other_dates(base: BaseConnection, attempt: Attempt) -> int:
    """Close the stale rows of a pack's other dates: nobody may ever run one of these again.

    A date whose lock is taken is left alone: an attempt of it is under way.

    Returns:
        How many rows there were.
    """
    values = {"kind": attempt.kind, "pack": attempt.pack, "date": attempt.metric_date}
    closed = 0
    for row in base.execute(queries("runs")["stale_dates"], values).fetchall():
        metric_date = row["metric_date"]
        if _lock(base, "lock", attempt.kind, attempt.pack, metric_date):
            try:
                closed += close_stale(base, attempt.kind, attempt.pack, metric_date)
            finally:
                base.execute(queries("runs")["unlock"], {"key": _key(attempt.kind, attempt.pack, metric_date)})
    return closed


def limit_closing(base: BaseConnection, seconds: float) -> None:
    """Wait for nobody's row lock for longer than that, in this session."""
    base.execute(queries("runs")["limit_closing"], {"limit": f"{seconds * 1000:.0f}ms"})


def try_lock(base: BaseConnection, attempt: Attempt) -> bool:
    """Try to take the lock of (pack, metric date) for this session: only one attempt at a time runs a pack."""
    return _lock(base, "lock", attempt.kind, attempt.pack, attempt.metric_date)


def try_lock_required(base: BaseConnection, pack: str, metric_date: date) -> bool:
    """Try to share the lock of a metric pack: while it is held, its metrics do not change."""
    return _lock(base, "lock_shared", "metric", pack, metric_date)


def recent(
    base: BaseConnection,
    *,
    limit: int,
    pack: str | None = None,
    endpoint: str | None = None,
    status: str | None = None,
    metric_date: date | None = None,
) -> list[dict[str, Any]]:
    """The ledger's newest rows, newest first, filtered by what is given."""
    values = {"limit": limit, "pack": pack, "endpoint": endpoint, "status": status, "date": metric_date}
    return base.execute(queries("runs")["recent"], values).fetchall()


def _started(attempt: Attempt, ids: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{**asdict(attempt), "endpoint": slug, "id": number} for slug, number in ids.items()]


def _ended(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    from psycopg.types.json import Jsonb

    return [{**asdict(one), "incomplete": Jsonb(list(one.incomplete))} for one in outcomes]


def _as_kept(outcome: Outcome, row: dict[str, Any] | None) -> Outcome:
    if row is None:
        return Outcome(endpoint=outcome.endpoint, status="failed", reason="the ledger has no row for this attempt")
    incomplete = tuple(row["incomplete"] or ())
    kept = Outcome(endpoint=outcome.endpoint, **{**row, "reason": row["reason"] or "", "incomplete": incomplete})
    if (kept.status, kept.reason) == (outcome.status, outcome.reason):
        return kept
    return replace(kept, reason=f"already closed: {kept.reason}")


def _lock(base: BaseConnection, name: str, kind: Kind, pack: str, metric_date: date) -> bool:
    row = base.execute(queries("runs")[name], {"key": _key(kind, pack, metric_date)}).fetchone()
    return bool(row and row["locked"])


def _key(kind: Kind, pack: str, metric_date: date) -> str:
    return f"hdm:{kind}:{pack}:{metric_date.isoformat()}"
