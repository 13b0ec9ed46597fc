"""Threads: the pages' own, so that a slow HDM base never takes those of Airflow's pages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from hdm_airflow.errors import HdmError

DEADLINE = 6.0  # seconds until a visitor gets an answer, whatever the base does
_MOST = 12  # threads
_PATIENCE = 2.0  # seconds to wait for a free one
_POLL = 0.02

_Result = TypeVar("_Result")

#: Released by the thread itself: one that nobody waits for any more still counts.
_free = threading.BoundedSemaphore(_MOST)


class BusyError(HdmError):
    """The answer would take too long: all threads are busy, or the base is slow."""


class LateError(BusyError):
    """The deadline has passed. The work goes on: an act may be done after all."""


async def run(work: Callable[[], _Result]) -> _Result:
    """Run blocking work in a thread, but wait no longer than the deadline.

    Raises:
        BusyError: if there is no thread, or no answer in time.
    """
    with anyio.move_on_after(DEADLINE) as scope:
        await _thread()
        job = _Job(work)
        try:
            return await to_thread.run_sync(job.run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
        finally:
            job.give_up()
    if scope.cancelled_caught:
        what = f"no answer within {DEADLINE:g} s"
        hint = "try again; if it lasts, see what the server of the HDM base is doing: SELECT * FROM pg_stat_activity"
        raise LateError(what, "the HDM base", hint)
    raise AssertionError  # the scope either returns or was cancelled


async def _thread() -> None:
    """Wait for a free thread; anyio's own limiters count abandoned threads as free ones."""
    with anyio.move_on_after(_PATIENCE):
        while not _free.acquire(blocking=False):  # noqa: ASYNC110  # a thread frees it, which knows no event loop
            await anyio.sleep(_POLL)
        return
    hint = "try again in a few seconds; if it lasts, the HDM base is slow or down"
    raise BusyError(f"all {_MOST} threads of these pages are busy", "Airflow's API server", hint)


class _Job(Generic[_Result]):
    """Work that frees its thread once, whether it ends, or nobody waits for it before it has begun."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self.work = work
        self._begun = threading.Lock()  # taken once

    def run(self) -> _Result:
        """Do the work."""
        if not self._begun.acquire(blocking=False):
            raise BusyError("nobody waits for this answer any more")
        try:
            return self.work()
        finally:
            _free.release()

    def give_up(self) -> None:
        """Free the thread if the work has not begun."""
        if self._begun.acquire(blocking=False):
            _free.release()
