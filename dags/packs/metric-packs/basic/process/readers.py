"""Threads that read an endpoint's tables, each over its own connection, while the caller stores what they found."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING

import levels
import metrics
from connections import Connection
from engines import ConnectError
from engines.engine import Reading, describe
from store import MeasuredTable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator

    from engines.engine import Contents, Engine
    from hdm_profile import Profile
    from progress import Progress
    from settings import Settings
    from tables import Table

WAITING = 64  # tables that have been read and not yet stored
PATIENCE = 0.25  # seconds between two looks at what is late
LATE = 3.0  # seconds after its time is over a table is ended here, where the server has not ended it
STATEMENTS = 3  # that a table takes at most, each of which the server ends after `statement_seconds`
FAREWELL = 10.0  # seconds that readers have to end when nobody takes their results any more


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What all readers of one endpoint heed."""

    settings: Settings
    date: dt.date  # the metric date
    memory: int  # bytes for each reader
    progress: Progress


@dataclass(frozen=True)
class Result:
    """One table, measured or not."""

    table: Table
    measured: MeasuredTable | None
    reason: str = ""  # why it was not; holds no value


@dataclass
class _Live:
    """What a reader is at."""

    engine: Engine
    until: float  # it may take
    profile: Profile | None = None
    is_stopped: bool = False

    def stop(self) -> None:
        self.is_stopped = True
        if self.profile is not None:
            self.profile.stop()
        self.engine.interrupt()


class Readers:
    """Read tables in their order.

    Args:
        orders: how.
        connections: one for each reader; the readers close them.
        tables: with the chosen columns.
    """

    def __init__(self, orders: Orders, connections: list[Connection], tables: list[Table]) -> None:
        self._orders = orders
        self._todo = deque(tables)
        self._unanswered = {table.label: table for table in tables}
        self._results: Queue[Result | None] = Queue(WAITING)  # None: a reader has ended
        self._is_stopped = False
        self._losses: list[str] = []  # why a reader ended before its time
        self._live: dict[int, _Live] = {}  # by thread
        self._end = time.monotonic() + (orders.settings.endpoint_seconds or float("inf"))
        self._threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in connections]

    def results(self, idle: Callable[[], None]) -> Generator[Result]:
        """Each table once, as they are ready; `idle` is called now and then. Leaving early ends the readers."""
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        try:
            while working:
                self._stop(lambda live: time.monotonic() > live.until + LATE)
                self._orders.progress.tell()
                idle()
                try:
                    result = self._results.get(timeout=PATIENCE)
                except Empty:
                    continue
                if result is None:
                    working -= 1
                else:
                    self._unanswered.pop(result.table.label)
                    yield result
            yield from (Result(table, None, self._why_not()) for table in self._unanswered.values())
        finally:
            self._dismiss(working)

    def _dismiss(self, working: int) -> None:
        """End the readers that still work."""
        self._is_stopped = True
        until = time.monotonic() + FAREWELL
        while working and time.monotonic() < until:
            self._stop(lambda _: True)
            with suppress(Empty):
                working -= self._results.get(timeout=PATIENCE) is None

    def _stop(self, is_over: Callable[[_Live], bool]) -> None:
        for live in list(self._live.values()):
            if not live.is_stopped and is_over(live):
                live.stop()

    def _why_not(self) -> str:
        if time.monotonic() >= self._end:
            return "the endpoint's time limit has expired (endpoint_seconds)"
        return self._losses[0] if self._losses else "the run was stopped"

    # -- in the readers' threads ---------------------------------------------------------------------------------

    def _work(self, connection: Connection) -> None:
        try:
            with connection:
                while (engine := connection.open(self._has_work)) and (table := self._next()):
                    self._results.put(self._measured(engine, table))
        except ConnectError as error:
            self._losses.append(f"the connection was lost: {error}")
        except Exception as error:  # noqa: BLE001 - the table it had begun is told, too
            self._losses.append(f"its reader thread failed: {describe(error)}")
        finally:
            self._results.put(None)

    def _has_work(self) -> bool:
        return bool(self._todo) and not self._is_stopped and time.monotonic() < self._end

    def _next(self) -> Table | None:
        try:
            return self._todo.popleft() if self._has_work() else None
        except IndexError:  # another reader was faster
            return None

    def _measured(self, engine: Engine, table: Table) -> Result:
        began = time.monotonic()
        until = min(self._end, began + (self._orders.settings.table_seconds or float("inf")))
        reading = Reading(
            date=self._orders.date,
            row_limit=self._orders.settings.row_limit,
            seconds=until - began if until < float("inf") else None,
            memory=self._orders.memory,
            folder=tempfile.gettempdir(),
            watch=self._watch,
        )
        longest = STATEMENTS * self._orders.settings.statement_seconds
        self._live[threading.get_ident()] = _Live(engine, min(until, began + longest))
        try:
            contents = engine.read(table, reading)
            measured = self._described(table, contents, began)
            contents.close()
        except Exception as error:  # noqa: BLE001 - the next table has a right to its metrics
            reason = self._why_not() if time.monotonic() >= self._end else describe(error)
            over = "the table's time limit has expired (table_seconds)"
            return Result(table, None, over if until < self._end and time.monotonic() >= until else reason)
        finally:
            self._live.pop(threading.get_ident(), None)
            self._orders.progress.leave()
        return Result(table, measured)

    def _watch(self, profile: Profile) -> None:
        self._live[threading.get_ident()].profile = profile
        self._orders.progress.watch(profile)

    def _described(self, table: Table, contents: Contents, began: float) -> MeasuredTable:
        settings, found, shown = self._orders.settings, {}, {}
        for declared, stats, profile, index in contents.columns:
            column = metrics.refined(declared, stats)
            sampled = contents.sample_rows is not None
            values = metrics.of_column(column, stats, contents.rows, settings, sampled=sampled)
            found[column.name] = values
            frequencies = partial(profile.frequencies, index)
            of_column = levels.of_column(table, column, values, frequencies, settings)
            if of_column:
                shown[column.name] = of_column
        return MeasuredTable(
            table=table,
            rows=contents.table_rows,
            sample_rows=contents.sample_rows,
            columns=found,
            levels=shown,
            seconds=time.monotonic() - began,
        )
