"""Waiting for the locks of a pack run: one attempt at a time per pack and metric date."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from hdm_airflow.base import runs
from hdm_airflow.base.hook import Base
from hdm_airflow.errors import BaseError
from hdm_airflow.packs.pack import Pack

log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two tries


def take(base: Base, attempt: runs.Attempt, pack: Pack, *, patience: float) -> None:
    """Take the pack's lock and share those of the packs it requires, for the session of `base`.

    While a metric pack's lock is shared its metrics do not change. With our own in hand, a `running` row is one
    whose worker died: it is closed.

    Args:
        base: whose session holds the locks.
        attempt: whose they are.
        pack: what it requires is locked too.
        patience: seconds to wait for whoever holds one.

    Raises:
        BaseError: somebody held a lock all that time.
    """
    deadline = time.monotonic() + patience
    _wait(f"another run of {pack.task_id}", partial(runs.try_lock, base, attempt), deadline)
    for name in sorted(requirement.name for requirement in pack.requires):
        _wait(f"mp_{name}", partial(runs.try_lock_required, base, name, attempt.metric_date), deadline)
    if stale := runs.close_stale(base, attempt):
        log.warning("%d ledger row(s) of a worker that died were closed", stale)


def _wait(holder: str, try_lock: Callable[[], bool], deadline: float) -> None:
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
