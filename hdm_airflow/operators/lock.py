"""Waiting for the locks of a pack run: one attempt at a time per pack and metric date."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from psycopg import Error

from hdm_airflow.base import runs
from hdm_airflow.base.hook import Base, told
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import BaseError
from hdm_airflow.packs.pack import Pack

log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two tries
_HEARTBEAT = 20.0  # seconds between two signs of life


def take(
    base: Base, attempt: runs.Attempt, pack: Pack, *, deadline: float, check: Callable[[], None] = lambda: None
) -> None:
    """Take the pack's lock and share those of the packs it requires, for the session of `base`.

    While a metric pack's lock is shared its metrics do not change. With a lock in hand, a `running` row under it is
    one whose worker died: it is closed.

    Args:
        base: whose session holds the locks.
        attempt: whose they are.
        pack: what it requires is locked too.
        deadline: when to stop waiting for whoever holds one, on the monotonic clock.
        check: called between two tries; what it raises ends the waiting.

    Raises:
        BaseError: somebody held a lock all that time.
    """
    base.execute(queries("runs")["keep_session"])
    wait = partial(_wait, deadline, check)
    wait(f"another run of {pack.task_id}", partial(runs.try_lock, base, attempt))
    stale = runs.close_stale(base, attempt.kind, attempt.pack, attempt.metric_date)
    for name in sorted(requirement.name for requirement in pack.requires):
        wait(f"mp_{name}", partial(runs.try_lock_required, base, name, attempt.metric_date))
        stale += runs.close_stale(base, "metric", name, attempt.metric_date)
    if stale:
        log.warning("%d ledger row(s) of a worker that died were closed", stale)


class Heartbeat:
    """Shows now and then that the session with the locks lives, and keeps it from idling.

    Args:
        base: the session.
        attempt: whose locks they are.
        also: called each time; never waits.
    """

    def __init__(self, base: Base, attempt: runs.Attempt, also: Callable[[], None] = lambda: None) -> None:
        self._base, self._attempt, self._also = base, attempt, also
        self._next = time.monotonic() + _HEARTBEAT
        self._warned = False

    def __call__(self) -> None:
        """Ask the session for a sign of life when it is time to.

        Raises:
            BaseError: it is gone, and with it the locks: another attempt may have begun.
        """
        self._also()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _HEARTBEAT
            with _lock_lost():
                self._base.execute(queries("runs")["heartbeat"])

    def note(self, outcomes: Sequence[runs.Outcome]) -> bool:
        """Keep what the pack has said of endpoints so far in the ledger.

        Returns:
            Whether it was: a full disk or the like is no reason to end the pack while the session lives.

        Raises:
            BaseError: as above.
        """
        with _lock_lost():
            try:
                runs.note(self._base, self._attempt, outcomes)
            except Error as error:
                if self._base.closed:
                    raise
                if not self._warned:
                    log.warning("what the pack has reported could not be noted in the ledger: %s", told(error))
                self._warned = True
                return False
        return True


@contextmanager
def _lock_lost() -> Iterator[None]:
    try:
        yield
    except Error as error:
        what = f"the lock of the pack was lost: the connection to the HDM base ended ({type(error).__name__})"
        raise BaseError(what, "HDM base", "see its log; the pack was ended, and a retry runs it again") from None


def _wait(deadline: float, check: Callable[[], None], holder: str, try_lock: Callable[[], bool]) -> None:
    told = False
    while not try_lock():
        if time.monotonic() > deadline:
            raise BaseError(
                f"{holder} did not end in time", "lock of the pack", "see what it does: airflow hdm runs list"
            )
        if not told:
            log.info("waiting for %s of this metric date to end", holder)
            told = True
        time.sleep(_INTERVAL)
        check()
