"""Lock: one attempt at a time per pack and metric date."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial

from psycopg import Error

from hdm_airflow.base import runs, version
from hdm_airflow.base.background_query import BackgroundQuery
from hdm_airflow.base.hook import BaseConnection, server_message
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.packs.pack import Pack

log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two tries
_LIVENESS = 20.0  # seconds between two checks that the session lives
#: Seconds after which a session that does not answer counts as lost. Together with _LIVENESS this is less than the
#: minute after which the server considers us dead and frees the lock (`keep_session` in sql/runs.sql).
_ANSWER = 30.0
_AGAIN = 1.0  # seconds until a refused note is written again
#: Seconds after which an attempt that lost its lock has surely stopped: its worker notices within one second, and the
#: pack is killed within three. If the worker died, its guard takes as long.
_ENDING = 5.0
_POOL_HINT = "connect to the server itself, or to a pool that keeps sessions; the pack was stopped, and a retry runs it"
_HINT = "see the PostgreSQL server's log; the pack was stopped, and a retry runs it again"


def take(
    base: BaseConnection,
    attempt: runs.Attempt,
    pack: Pack,
    *,
    deadline: float,
    heartbeat: Callable[[], None] = lambda: None,
) -> bool:
    """Take the pack's lock and share the locks of the packs it requires, for the session of `base`.

    While a metric pack's lock is shared, its metrics do not change. Once a lock is held, any `running` row under it
    belongs to a worker that died or lost the lock: it is closed after the pack's processes have had time to end. Rows
    of the pack's other dates are closed too if their locks are free.

    Args:
        base: its session holds the locks.
        attempt: the attempt that takes them.
        pack: the packs it requires are locked too.
        deadline: when to stop waiting for a lock, on the monotonic clock.
        heartbeat: called between two tries; an error that it raises ends the wait.

    Returns:
        Whether an earlier try of this task was interrupted.

    Raises:
        HdmBaseError: if the base has another version than this release needs, or a lock is not free before the
            deadline.
    """
    row = base.execute(queries("runs")["keep_session"]).fetchone()
    version.require(row["versions"] if row else (), "HDM base")
    wait = partial(_wait, deadline, heartbeat)
    if not (row and row["locked"]):
        wait("the rename of an endpoint or a pack", partial(runs.try_lock_endpoints, base), of="")
    wait(f"another run of {pack.task_id}", partial(runs.try_lock, base, attempt))
    resumed = runs.is_interrupted(base, attempt)
    stale = _close_stale(base, attempt.kind, attempt.pack, attempt.metric_date, heartbeat)
    stale += runs.close_other_dates(base, attempt)
    for name in sorted(requirement.name for requirement in pack.requires):
        wait(f"mp_{name}", partial(runs.try_lock_required, base, name, attempt.metric_date))
        stale += _close_stale(base, "metric", name, attempt.metric_date, heartbeat)
    if stale:
        log.warning("closed %d ledger row(s) of a worker that died or lost the HDM base", stale)
    return resumed


class LockKeeper:
    """Checks that the session with the locks is alive, and notes the pack's reports in the ledger.

    Its calls never wait: they use background queries, one at a time. While a query runs, no other code may use the
    session; after `abandon`, the caller may.

    Args:
        base: the session.
        ids: slug -> reserved id of the attempt's row.
        also: called each time; must not wait.
        check: asks the base whether the session still has the lock; called in a thread of its own.
    """

    def __init__(
        self,
        base: BaseConnection,
        ids: Mapping[str, int],
        also: Callable[[], None] = lambda: None,
        *,
        check: Callable[[BaseConnection], bool] = runs.is_alive,
    ) -> None:
        self._base, self._ids, self._also, self._check = base, ids, also, check
        self._query: BackgroundQuery | None = None
        self._next = time.monotonic() + _LIVENESS
        self._waiting: dict[str, runs.Outcome] = {}  # slug -> outcome to note
        self._under_way: dict[str, runs.Outcome] = {}  # the same, in the query that runs
        self._not_before = 0.0  # when the next note may be written, on the monotonic clock
        self._refusal: Error | None = None  # the base's answer to the last note
        self._warned = False

    def __call__(self) -> None:
        """Read the base's answer, and send the next query if one is due.

        Raises:
            HdmBaseError: if the session is gone or does not answer: its locks are lost, and another attempt may have
                started.
        """
        self._also()
        self._go_on()

    def note(self, outcomes: Sequence[runs.Outcome]) -> None:
        """Note in the ledger, now or soon, the outcomes that the pack has reported so far.

        If the base refuses the note, it is written again later: a full disk is not a reason to end the pack.

        Raises:
            HdmBaseError: if the session is gone or does not answer.
        """
        self._waiting |= {one.endpoint: one for one in outcomes}
        self._go_on()

    def abandon(self) -> None:
        """End the running query, whatever the base does; no part of it runs afterwards."""
        if self._query:
            self._query.abandon()

    def _go_on(self) -> None:
        if self._query is None or self._is_answered(self._query):
            now = time.monotonic()
            notes = self._waiting if now >= self._not_before else {}
            if notes or now >= self._next or self._is_addressed():
                self._next = now + _LIVENESS
                self._ask(notes)

    def _is_addressed(self) -> bool:
        """Whether the server sent an unexpected message: usually it has ended the session, which frees the locks."""
        with _lock_lost():
            line = select.poll()
            line.register(self._base.fileno(), select.POLLIN)
            return bool(line.poll(0))

    def _ask(self, notes: dict[str, runs.Outcome]) -> None:
        if notes:
            self._under_way, self._waiting = notes, {}
        self._query = BackgroundQuery(self._base, partial(self._write, list(notes.values())))
        self._query.start()

    def _write(self, notes: list[runs.Outcome]) -> None:
        """The query, which runs in its own thread."""
        if not notes:
            if not self._check(self._base):
                what = "the pack's lock was lost: the session of the HDM base no longer has it"
                raise HdmBaseError(what, "HDM base", _POOL_HINT)
            return
        try:
            runs.note(self._base, self._ids, notes)
        except Error as error:
            if self._base.closed:
                raise
            self._refusal = error

    def _is_answered(self, query: BackgroundQuery) -> bool:
        with _lock_lost():
            if not query.is_done():
                if query.seconds > _ANSWER:
                    what = f"the pack's lock was lost: the HDM base has not answered for {_ANSWER:.0f} s"
                    raise HdmBaseError(what, "HDM base", _HINT)
                return False
        self._query = None
        if self._refusal:
            if not self._warned:
                log.warning(
                    "the pack's reports cannot be recorded yet; trying again: %s", server_message(self._refusal)
                )
            self._warned, self._refusal = True, None
            self._waiting = {**self._under_way, **self._waiting}
            self._not_before = time.monotonic() + _AGAIN
        return True


@contextmanager
def _lock_lost() -> Iterator[None]:
    try:
        yield
    except Error as error:
        what = f"the pack's lock was lost: the connection to the HDM base ended ({type(error).__name__})"
        raise HdmBaseError(what, "HDM base", _HINT) from None


def _close_stale(base: BaseConnection, kind: Kind, pack: str, metric_date: date, heartbeat: Callable[[], None]) -> int:
    """Close the rows that the lock's previous holder left open, once its pack can no longer be running.

    If that holder is still alive, it closes its rows itself in the meantime, with the true outcome.
    """
    if not runs.is_running(base, kind, pack, metric_date):
        return 0
    log.info(
        "the previous run of %s lost its worker or its lock; waiting %.0f s for its processes to end", pack, _ENDING
    )
    end = time.monotonic() + _ENDING
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _INTERVAL))
        heartbeat()
    return runs.close_stale(base, kind, pack, metric_date)


def _wait(
    deadline: float,
    heartbeat: Callable[[], None],
    holder: str,
    try_lock: Callable[[], bool],
    of: str = " of this metric date",
) -> None:
    logged = False
    while not try_lock():
        if time.monotonic() > deadline:
            raise HdmBaseError(
                f"{holder} did not end in time", "lock of the pack", "see what it is doing: airflow hdm runs list"
            )
        if not logged:
            log.info("waiting for %s%s to end", holder, of)
            logged = True
        time.sleep(_INTERVAL)
        heartbeat()
