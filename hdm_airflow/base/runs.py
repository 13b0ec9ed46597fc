"""Runs: the ledger of what every pack did on every endpoint, and the locks that keep it true."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_T = TypeVar("_T")

Status = Literal["running", "success", "partial", "failed", "skipped"]
_NO_NAMES: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The attempt of a pack that a ledger row belongs to."""

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
    reported: bool = False  # whether the pack itself reported this
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
    metrics: int | None = None  # as reported; None if the pack did not report it


def newest(base: BaseConnection, attempt: Attempt, required: Sequence[str], slugs: Sequence[str]) -> list[Run]:
    """Read the newest rows of this metric date, for the pack and for the metric packs that it requires."""
    values: dict[str, Any] = {"kind": attempt.kind, "pack": attempt.pack, "date": attempt.metric_date}
    values |= {"required": list(required), "slugs": list(slugs)}
    return list(map(_run, base.execute(queries("runs")["newest"], values)))


def of_this_run(base: BaseConnection, attempt: Attempt, slugs: Sequence[str]) -> list[Run]:
    """Read the newest row of each endpoint that this task has written in this Dag run, in all its tries."""
    values = {**asdict(attempt), "slugs": list(slugs)}
    return list(map(_run, base.execute(queries("runs")["of_this_run"], values)))


def lost(
    base: BaseConnection,
    packs: Sequence[str],
    slugs: Sequence[str],
    metric_date: date,
    activated: Collection[tuple[str, str]],
) -> frozenset[str]:
    """Find endpoints where a metric pack has measured before, but no longer does: it was deactivated, or removed.

    A rule pack that judges whatever has been measured no longer finds there what rested on these metrics.

    Args:
        base: the connection.
        packs: names of all metric packs of the packs folder.
        slugs: of the endpoints.
        metric_date: only earlier dates count. Where the metrics of this date are there, nothing is lost.
        activated: (metric pack, slug) that are activated.
    """
    idle = [(pack, slug) for pack in packs for slug in slugs if (pack, slug) not in activated]
    values: dict[str, Any] = {"packs": list(packs), "slugs": list(slugs), "date": metric_date}
    values |= {"idle_packs": [pack for pack, _ in idle], "idle_slugs": [slug for _, slug in idle]}
    return frozenset(row["slug"] for row in base.execute(queries("runs")["lost"], values))


def dbversions(base: BaseConnection, slugs: Sequence[str]) -> dict[str, str]:
    """Read the database version that was last reported for each endpoint. Endpoints without one are left out."""
    rows = base.execute(queries("runs")["dbversions"], {"slugs": list(slugs)})
    return {row["slug"]: row["dbversion"] for row in rows}


def reserve(base: BaseConnection, slugs: Sequence[str]) -> dict[str, int]:
    """Reserve the ids of the rows that an attempt will write. Call it while holding the pack's lock.

    The newest row is the one with the highest id. If an attempt loses its lock but goes on, its rows have lower ids
    than those of the attempt that takes over, so they never count. It also recognises its own rows by their ids.

    Returns:
        Slug -> id.
    """
    found = base.execute(queries("runs")["reserve"], {"count": len(slugs)})
    return dict(zip(slugs, (row["id"] for row in found), strict=True))


def start(
    base: BaseConnection, attempt: Attempt, ids: Mapping[str, int], incomplete: Mapping[str, Sequence[str]] = _NO_NAMES
) -> None:
    """Write a `running` row for each endpoint.

    Args:
        base: the connection that holds the pack's lock.
        attempt: that the rows belong to.
        ids: slug -> id, as reserved.
        incomplete: slug -> objects that cannot be processed, as is known before the start.
    """
    with base.transaction(), base.cursor() as cursor:
        cursor.executemany(queries("runs")["start"], _started(attempt, ids, incomplete))


def finish(base: BaseConnection, attempt: Attempt, outcomes: Iterable[Outcome]) -> None:
    """Write rows for endpoints that never started (skipped, failed early), in one transaction.

    Args:
        base: the connection that holds the pack's lock.
        attempt: that the rows belong to.
        outcomes: one per endpoint.
    """

    def write(ended: Sequence[Outcome]) -> None:
        values = [{**asdict(attempt), **one} for one in _ended(sorted(ended, key=_by_slug))]
        with base.transaction(), base.cursor() as cursor:
            cursor.executemany(queries("runs")["finish"], values)

    _storable(write, list(outcomes))


def close(
    base: BaseConnection, attempt: Attempt, ids: Mapping[str, int], outcomes: Sequence[Outcome], *, begun: bool = True
) -> list[Outcome]:
    """Close this attempt's `running` rows, in one transaction. Repeating it changes nothing.

    Args:
        base: any connection; the one that holds the lock may be lost.
        attempt: that the rows belong to.
        ids: slug -> id, as reserved.
        outcomes: how it ended.
        begun: False if `start` may not have written all rows: the missing ones are added.

    Returns:
        The outcomes in the ledger. If another attempt has already closed a row, that outcome counts.
    """

    def write(ended: Sequence[Outcome]) -> list[Outcome]:
        known: dict[int, Outcome] = {}
        with base.transaction(), base.cursor() as cursor:
            if not begun:
                cursor.executemany(queries("runs")["start"], _started(attempt, ids, _NO_NAMES))
            order = sorted(range(len(ended)), key=lambda number: _by_slug(ended[number]))
            values = [{**one, "id": ids[one["endpoint"]]} for one in _ended(ended[number] for number in order)]
            cursor.executemany(queries("runs")["close"], values, returning=True)
            for number in order:
                kept = _as_kept(ended[number], cursor.fetchone())
                known[number] = outcomes[number] if kept == ended[number] else kept
                cursor.nextset()
        return [known[number] for number in range(len(ended))]

    return _storable(write, outcomes)


def note(base: BaseConnection, ids: Mapping[str, int], outcomes: Sequence[Outcome]) -> None:
    """Note in the `running` rows what the pack has reported so far, in case the worker dies.

    Args:
        base: the connection.
        ids: slug -> id, as reserved.
        outcomes: `reported` if the pack has reported ok; not `reported` if it has withdrawn that.
    """
    _storable(partial(_note, base, ids), outcomes)


def _note(base: BaseConnection, ids: Mapping[str, int], outcomes: Sequence[Outcome]) -> None:
    for values in _ended(outcomes):
        # One statement each, without a transaction: a signal handler that interrupts this thread closes the same rows
        # on another connection. It would wait for a lock that only this thread can release.
        base.execute(queries("runs")["note"], {**values, "id": ids[values["endpoint"]]})


def is_running(base: BaseConnection, kind: Kind, pack: str, metric_date: date) -> bool:
    """Return whether there are `running` rows of attempts that are over.

    Call it while holding or sharing the pack's lock: otherwise the attempt may still run.
    """
    values = {"kind": kind, "pack": pack, "date": metric_date}
    return base.execute(queries("runs")["is_running"], values).fetchone() is not None


def is_interrupted(base: BaseConnection, attempt: Attempt) -> bool:
    """Return whether there are `running` rows of an earlier try of the same task. Call it while holding the lock."""
    return base.execute(queries("runs")["is_interrupted"], asdict(attempt)).fetchone() is not None


def close_stale(base: BaseConnection, kind: Kind, pack: str, metric_date: date) -> int:
    """Close `running` rows of attempts that are over.

    Call it while holding or sharing the pack's lock: otherwise the attempt may still run. A row becomes
    `success` if the pack had reported its endpoint ok, else `failed`.

    Returns:
        The number of rows.
    """
    values = {"kind": kind, "pack": pack, "date": metric_date}
    with base.transaction(), base.cursor() as cursor:
        stale = cursor.execute(queries("runs")["stale"], values).fetchall()
        if stale:
            cursor.executemany(queries("runs")["close_stale"], stale)
        return len(stale)


def close_other_dates(base: BaseConnection, attempt: Attempt) -> int:
    """Close the stale rows of a pack's other dates, which may never run again.

    A date whose lock is taken is left alone: an attempt is running.

    Returns:
        The number of rows.
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
    """Limit how long this session waits for a lock."""
    base.execute(queries("runs")["limit_closing"], {"limit": f"{seconds * 1000:.0f}ms"})


def is_alive(base: BaseConnection) -> bool:
    """Return True if the server answers."""
    row = base.execute(queries("runs")["check_alive"]).fetchone()
    return bool(row and row["answer"])


def has_lock(base: BaseConnection, attempt: Attempt) -> bool:
    """Return whether the server's session still has the lock that `try_lock` took."""
    values = {"key": _key(attempt.kind, attempt.pack, attempt.metric_date)}
    row = base.execute(queries("runs")["has_lock"], values).fetchone()
    return bool(row and row["answer"])


def try_lock(base: BaseConnection, attempt: Attempt) -> bool:
    """Try to take the lock of (pack, metric date) for this session: one attempt at a time runs a pack."""
    return _lock(base, "lock", attempt.kind, attempt.pack, attempt.metric_date)


def try_lock_required(base: BaseConnection, pack: str, metric_date: date) -> bool:
    """Try to share the lock of a metric pack: while this session holds it, the metrics do not change."""
    return _lock(base, "lock_shared", "metric", pack, metric_date)


def try_lock_endpoints(base: BaseConnection) -> bool:
    """Try to keep endpoints and packs from being renamed while this session lives."""
    row = base.execute(queries("runs")["share_rename"]).fetchone()
    return bool(row and row["locked"])


def recent(
    base: BaseConnection,
    *,
    limit: int,
    pack: str | None = None,
    endpoint: str | None = None,
    status: str | None = None,
    metric_date: date | None = None,
) -> list[dict[str, Any]]:
    """Read the newest rows of the ledger, newest first, with the given filters."""
    values = {"limit": limit, "pack": pack, "endpoint": endpoint, "status": status, "date": metric_date}
    return base.execute(queries("runs")["recent"], values).fetchall()


def _run(row: dict[str, Any]) -> Run:
    return Run(**{**row, "incomplete": tuple(row["incomplete"] or ())})


def _started(attempt: Attempt, ids: Mapping[str, int], incomplete: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    from psycopg.types.json import Jsonb

    return [
        {**asdict(attempt), "endpoint": slug, "id": number, "incomplete": Jsonb(list(incomplete.get(slug, ())))}
        for slug, number in sorted(ids.items())
    ]


def _ended(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    from psycopg.types.json import Jsonb

    return [{**asdict(one), "incomplete": Jsonb(list(one.incomplete))} for one in outcomes]


def _by_slug(outcome: Outcome) -> str:
    """The order in which all attempts write: two dates of one pack change the same rows of hdm_pack_state."""
    return outcome.endpoint


def _storable(write: Callable[[Sequence[Outcome]], _T], outcomes: Sequence[Outcome]) -> _T:
    """Write outcomes; if the base's encoding lacks a character of their texts, with ASCII and escapes."""
    from psycopg.errors import UntranslatableCharacter

    try:
        return write(outcomes)
    except UntranslatableCharacter:
        return write([_in_ascii(one) for one in outcomes])


def _in_ascii(outcome: Outcome) -> Outcome:
    def escaped(text: str) -> str:
        return text.encode("ascii", "backslashreplace").decode("ascii")

    incomplete = tuple(map(escaped, outcome.incomplete))
    dbversion = outcome.dbversion and escaped(outcome.dbversion)
    return replace(outcome, reason=escaped(outcome.reason), incomplete=incomplete, dbversion=dbversion)


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
