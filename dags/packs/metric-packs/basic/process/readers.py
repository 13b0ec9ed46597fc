"""Threads that read an endpoint's tables, each over its own connection, while the caller stores the results."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING

import levels
import metrics
import rows
from connections import Connection
from engines import ConnectError
from engines.engine import Reading, describe
from store import MeasuredTable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator, Mapping

    from engines.engine import Contents, Engine
    from events import LastNight
    from hdm_profile import Profile
    from key_values import KeyValues
    from progress import Progress
    from settings import Settings
    from tables import Table

MAX_WAITING = 64  # tables read and not yet stored
POLL_SECONDS = 0.25  # seconds between two checks for overdue tables
GRACE_SECONDS = 3.0  # seconds after its time limit, a table is ended here if the server has not ended it
STATEMENTS_PER_TABLE = 3  # at most, each of which the server ends after `statement_seconds`
DISMISS_SECONDS = 10.0  # seconds for the readers to end once their results are no longer needed


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """Options that all readers of one endpoint share."""

    settings: Settings
    date: dt.date  # the metric date
    memory: int  # bytes for each reader
    progress: Progress
    known: Mapping[str, Mapping[str, LastNight]]  # what the base holds of an earlier date, by table and column
    key_values: KeyValues | None = None  # takes the values of columns that may refer to a key


@dataclass(frozen=True)
class Result:
    """One table, measured or not."""

    table: Table
    measured: MeasuredTable | None
    reason: str = ""  # why it was not measured; contains no value


@dataclass
class _Current:
    """The table that a reader is reading."""

    engine: Engine
    until: float  # its time limit, on the monotonic clock
    profile: Profile | None = None
    is_stopped: bool = False

    def stop(self) -> None:
        self.is_stopped = True
        if self.profile is not None:
            self.profile.stop()
        self.engine.interrupt()


class Readers:
    """Read tables in the given order.

    Args:
        options: for all readers.
        connections: one per reader; the readers close them.
        tables: with the selected columns.
    """

    def __init__(self, options: ReaderOptions, connections: list[Connection], tables: list[Table]) -> None:
        self._options = options
        self._todo = deque(tables)
        self._missing = {table.label: table for table in tables}
        self._results: Queue[Result | None] = Queue(MAX_WAITING)  # None: a reader has ended
        self._is_stopped = False
        self._failures: list[str] = []  # why readers ended early
        self._current: dict[int, _Current] = {}  # by thread
        self._end = time.monotonic() + (options.settings.endpoint_seconds or float("inf"))
        self._threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in connections]

    def results(self, on_wait: Callable[[], None]) -> Generator[Result]:
        """Yield one result per table as soon as it is there, calling `on_wait` in between. Closing ends the readers."""
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        try:
            while working:
                self._stop(lambda current: time.monotonic() > current.until + GRACE_SECONDS)
                self._options.progress.report_if_due()
                on_wait()
                try:
                    result = self._results.get(timeout=POLL_SECONDS)
                except Empty:
                    continue
                if result is None:
                    working -= 1
                else:
                    self._missing.pop(result.table.label)
                    yield result
            yield from (Result(table, None, self._reason()) for table in self._missing.values())
        finally:
            self._dismiss(working)

    def _dismiss(self, working: int) -> None:
        """End the readers that are still working."""
        self._is_stopped = True
        until = time.monotonic() + DISMISS_SECONDS
        while working and time.monotonic() < until:
            self._stop(lambda _: True)
            with suppress(Empty):
                working -= self._results.get(timeout=POLL_SECONDS) is None

    def _stop(self, is_over: Callable[[_Current], bool]) -> None:
        for current in list(self._current.values()):
            if not current.is_stopped and is_over(current):
                current.stop()

    def _reason(self) -> str:
        if time.monotonic() >= self._end:
            return "the endpoint's time limit has expired (endpoint_seconds)"
        return self._failures[0] if self._failures else "the run was stopped"

    # -- in the readers' threads ---------------------------------------------------------------------------------

    def _work(self, connection: Connection) -> None:
        try:
            with connection:
                while (engine := connection.open(self._has_work)) and (table := self._next()):
                    self._results.put(self._measured(engine, table))
        except ConnectError as error:
            self._failures.append(f"the connection was lost: {error}")
        except Exception as error:  # noqa: BLE001  # the table it was reading is reported, too
            self._failures.append(f"its reader thread failed: {describe(error)}")
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
        started = time.monotonic()
        until = min(self._end, started + (self._options.settings.table_seconds or float("inf")))
        reading = Reading(
            date=self._options.date,
            row_limit=self._options.settings.row_limit,
            seconds=until - started if until < float("inf") else None,
            memory=self._options.memory,
            folder=tempfile.gettempdir(),
            watch=self._watch,
            known=self._options.known.get(table.label, {}),
        )
        longest = STATEMENTS_PER_TABLE * self._options.settings.statement_seconds
        self._current[threading.get_ident()] = _Current(engine, min(until, started + longest))
        try:
            contents = engine.read(table, reading)
            measured = self._described(table, contents, started)
            contents.close()
        except Exception as error:  # noqa: BLE001  # the next table is still measured
            reason = self._reason() if time.monotonic() >= self._end else describe(error)
            over = "the table's time limit has expired (table_seconds)"
            return Result(table, None, over if until < self._end and time.monotonic() >= until else reason)
        finally:
            self._current.pop(threading.get_ident(), None)
            self._options.progress.leave()
        return Result(table, measured)

    def _watch(self, profile: Profile) -> None:
        self._current[threading.get_ident()].profile = profile
        self._options.progress.watch(profile)

    def _described(self, table: Table, contents: Contents, started: float) -> MeasuredTable:
        settings, found, shown = self._options.settings, {}, {}
        across, kinds, binary = contents.across, [], set()
        facts: dict[str, rows.ColumnFacts] = {}
        newest_rows = across.days[across.newest_day] if across.newest_day is not None else 0
        levels_of: dict[str, Callable[[], Mapping[str, int] | None]] = {}  # of the codes
        for declared, stats, profile, index in contents.columns:
            column = metrics.refined(declared, stats)
            sampled = contents.sample_rows is not None
            newest = across.newest.get(column.name)
            values = metrics.of_column(
                *(column, stats, contents.rows, settings),
                sampled=sampled,
                newest=newest and metrics.NewestRows(newest_rows, newest),
            )
            found[column.name] = values
            frequencies = partial(profile.frequencies, index)
            if column.name in across.codes:
                levels_of[column.name] = frequencies if stats.first >= settings.min_count else dict
            kinds.append(column)
            if settings.min_count > 1 and metrics.is_binary(stats):
                binary.add(column.name)
            is_shown = values["is_categorical"]
            of_column = levels.of_column(table, column, values, frequencies, settings) if is_shown else {}
            facts[column.name] = rows.ColumnFacts(stats.values, contents.rows - stats.values, of_column)
            if index in profile.to_keep and self._options.key_values is not None and not sampled:
                self._options.key_values.take(table, column, profile, index)
            if of_column:
                shown[column.name] = of_column
        kinds_of = table if table.columns == tuple(kinds) else replace(table, columns=tuple(kinds))
        of_rows = rows.of_table(
            *(kinds_of, across, self._options.date, settings),
            frequencies=lambda name: levels_of[name](),
            binary=frozenset(binary),
            facts=facts,
        )
        if newest_rows and of_rows.newest_rows is None:
            metrics.hide_newest(found.values())
        return MeasuredTable(
            table=table,
            rows=contents.table_rows,
            sample_rows=contents.sample_rows,
            columns=found,
            levels=shown,
            across=of_rows,
            seconds=time.monotonic() - started,
        )
