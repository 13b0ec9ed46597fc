"""Waiting for the locks of a pack run: one attempt at a time per pack and metric date."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial

from psycopg import Error

from hdm_airflow.base import runs
from hdm_airflow.base.background_query import BackgroundQuery
from hdm_airflow.base.hook import BaseConnection, told
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.packs.pack import Pack

log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two tries
_HEARTBEAT = 20.0  # seconds between two signs of life
#: Seconds after which a session that does not answer counts as lost. With the former it makes less than the minute
#: after which the server takes us for dead and frees the lock (`keep_session` in sql/runs.sql).
_ANSWER = 30.0
_AGAIN = 1.0  # seconds until a note is tried again that was refused
#: Seconds after which nothing runs any more of an attempt that has lost its lock: its worker notices that within one,
#: and the pack is killed within three. The guard of a worker that died takes as long.
_ENDING = 5.0
_HINT = "see its log; the pack was ended, and a retry runs it again"


def take(
    base: BaseConnection,
    attempt: runs.Attempt,
    pack: Pack,
    *,
    deadline: float,
    heartbeat: Callable[[], None] = lambda: None,
) -> bool:
    """Take the pack's lock and share those of the packs it requires, for the session of `base`.

    While a metric pack's lock is shared its metrics do not change. With a lock in hand, a `running` row under it is
    one whose worker died or has lost the lock: it is closed, when the pack's processes have had time to end. So are
    those of the pack's other dates, where nobody holds their locks.

    Args:
        base: whose session holds the locks.
        attempt: whose they are.
        pack: what it requires is locked too.
        deadline: when to stop waiting for whoever holds one, on the monotonic clock.
        heartbeat: called between two tries; what it raises ends the waiting.

    Returns:
        Whether the former attempt of the pack and date was cut short.

    Raises:
        HdmBaseError: somebody held a lock all that time.
    """
    base.execute(queries("runs")["keep_session"])
    wait = partial(_wait, deadline, heartbeat)
    wait(f"another run of {pack.task_id}", partial(runs.try_lock, base, attempt))
    resumed = runs.is_running(base, attempt.kind, attempt.pack, attempt.metric_date)
    stale = _close_stale(base, attempt.kind, attempt.pack, attempt.metric_date, heartbeat)
    stale += runs.close_other_dates(base, attempt)
    for name in sorted(requirement.name for requirement in pack.requires):
        wait(f"mp_{name}", partial(runs.try_lock_required, base, name, attempt.metric_date))
        stale += _close_stale(base, "metric", name, attempt.metric_date, heartbeat)
    if stale:
        log.warning("%d ledger row(s) of a worker that died were closed", stale)
    return resumed


class LockKeeper:
    """Shows now and then that the session with the locks lives, and keeps in the ledger what the pack has said.

    Its calls never wait: what they ask of the base is an query, one at a time. While one is under way the session is
    the query's; from `abandon` on it is the caller's again.

    Args:
        base: the session.
        ids: of the attempt's rows, as they were reserved: slug -> id.
        also: called each time; never waits.
    """

    def __init__(self, base: BaseConnection, ids: Mapping[str, int], also: Callable[[], None] = lambda: None) -> None:
        self._base, self._ids, self._also = base, ids, also
        self._query: BackgroundQuery | None = None
        self._next = time.monotonic() + _HEARTBEAT
        self._waiting: dict[str, runs.Outcome] = {}  # slug -> what is to be noted
        self._under_way: dict[str, runs.Outcome] = {}
        self._not_before = 0.0  # monotonic clock: when to note anything again
        self._refusal: Error | None = None  # of the last note
        self._warned = False

    def __call__(self) -> None:
        """Go on: see what the base has answered, and ask what is to be asked.

        Raises:
            HdmBaseError: the session is gone or does not answer, and with it the locks: another attempt may have begun.
        """
        self._also()
        self._go_on()

    def note(self, outcomes: Sequence[runs.Outcome]) -> None:
        """Keep what the pack has said of endpoints so far in the ledger, now or soon.

        It is tried again where the base refuses: a full disk or the like is no reason to end the pack.

        Raises:
            HdmBaseError: as above.
        """
        self._waiting |= {one.endpoint: one for one in outcomes}
        self._go_on()

    def abandon(self) -> None:
        """End what is under way: nothing of it is left afterwards, whatever the base does."""
        if self._query:
            self._query.abandon()

    def _go_on(self) -> None:
        if self._query is None or self._is_answered(self._query):
            now = time.monotonic()
            notes = self._waiting if now >= self._not_before else {}
            if notes or now >= self._next or self._is_addressed():
                self._next = now + _HEARTBEAT
                self._ask(notes)

    def _is_addressed(self) -> bool:
        """Whether the server says something unasked: mostly that it has ended the session, which frees the locks."""
        with _lock_lost():
            line = select.poll()
            line.register(self._base.fileno(), select.POLLIN)
            return bool(line.poll(0))

    def _ask(self, notes: dict[str, runs.Outcome]) -> None:
        if notes:
            self._under_way, self._waiting = notes, {}
        self._query = BackgroundQuery(self._base, partial(self._tell, list(notes.values())))
        self._query.start()

    def _tell(self, notes: list[runs.Outcome]) -> None:
        """The query, in its thread."""
        if not notes:
            self._base.execute(queries("runs")["heartbeat"])
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
                    what = f"the lock of the pack was lost: the HDM base has not answered for {_ANSWER:.0f} s"
                    raise HdmBaseError(what, "HDM base", _HINT)
                return False
        self._query = None
        if self._refusal:
            if not self._warned:
                log.warning("what the pack has reported could not be noted in the ledger: %s", told(self._refusal))
            self._warned, self._refusal = True, None
            self._waiting = {**self._under_way, **self._waiting}
            self._not_before = time.monotonic() + _AGAIN
        return True


@contextmanager
def _lock_lost() -> Iterator[None]:
    try:
        yield
    except Error as error:
        what = f"the lock of the pack was lost: the connection to the HDM base ended ({type(error).__name__})"
        raise HdmBaseError(what, "HDM base", _HINT) from None


def _close_stale(base: BaseConnection, kind: Kind, pack: str, metric_date: date, heartbeat: Callable[[], None]) -> int:
    """Close what the former holder of a lock has left open, once nothing of its pack can be running.

    Where it lives it closes its rows by itself in that time, and knows better how it ended.
    """
    if not runs.is_running(base, kind, pack, metric_date):
        return 0
    log.info("the former run of %s has lost its worker or its lock: its processes have %.0f s to end", pack, _ENDING)
    end = time.monotonic() + _ENDING
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _INTERVAL))
        heartbeat()
    return runs.close_stale(base, kind, pack, metric_date)


def _wait(deadline: float, heartbeat: Callable[[], None], holder: str, try_lock: Callable[[], bool]) -> None:
    told = False
    while not try_lock():
        if time.monotonic() > deadline:
            raise HdmBaseError(
                f"{holder} did not end in time", "lock of the pack", "see what it does: airflow hdm runs list"
            )
        if not told:
            log.info("waiting for %s of this metric date to end", holder)
            told = True
        time.sleep(_INTERVAL)
        heartbeat()
