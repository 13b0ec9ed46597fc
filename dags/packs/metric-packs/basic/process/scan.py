"""The scan of one endpoint: lists its tables, selects, measures and stores them."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tables
import versions
from connections import Connection
from engines.engine import describe
from key_reader import Catalogue, KeyReader
from key_values import KeyValues
from readers import GRACE_SECONDS, STATEMENTS_PER_TABLE, ReaderOptions, Readers
from store import Store

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    import hdm
    from connections import Hosts
    from engines.engine import Engine
    from progress import Progress
    from settings import Settings
    from tables import Table


KEY_MEMORY = 8  # an eighth of memory_mb, in addition, for the values of keys; as much again while they are read


class NothingMeasuredError(Exception):
    """No table of the endpoint could be measured; the message contains no value."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the scans of one run share."""

    date: dt.date  # the metric date
    run_id: str  # an attempt with the same one resumes where the last one stopped
    hosts: Hosts
    progress: Progress
    endpoints_at_once: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a scan ended."""

    metrics: int  # rows of metric_basic
    version: str  # dbversion
    incomplete: tuple[str, ...]  # tables, and columns as table.column
    summary: str


def scan(job: Job, endpoint: hdm.Endpoint, settings: Settings, log: Callable[[str], None]) -> Outcome:
    """Measure one endpoint.

    Raises: engines.ConnectError, NothingMeasuredError, or what the driver or the base raises.
    """
    with ExitStack() as stack:
        first = stack.enter_context(Connection(endpoint, settings, job.hosts))
        engine = first.open()
        assert engine is not None, "it is always needed"  # noqa: S101  # for the type checker
        with _deadline(engine, settings):
            existing = engine.tables()
            version = versions.read(engine, existing)
            catalogue = _catalogue(engine, settings, log)
        scope = tables.chosen(existing, settings)
        for warning in (*settings.warnings, *scope.warnings):
            log(warning)
        if existing and not scope.tables:
            raise NothingMeasuredError(f"the configuration selects no table, the endpoint has {len(existing)}")
        # An attempt with a different configuration measures everything again.
        with Store(endpoint, job.date, version, f"{job.run_id}#{settings.digest}") as store:
            if not existing and store.has_history:
                raise NothingMeasuredError(
                    "the account no longer sees any table: its rights were revoked, or all tables were dropped"
                )
            if not existing:
                raise NothingMeasuredError(
                    "the account sees no tables: it lacks rights, or the database is empty or not the intended one"
                )
            finished = store.finished()
            todo = sorted((t for t in scope.tables if finished.get(t.label) != len(t.columns)), key=_size)
            if len(todo) < len(scope.tables):
                log(f"skipping {len(scope.tables) - len(todo)} tables that an earlier attempt of this run measured")
            until = time.monotonic() + (settings.endpoint_seconds or float("inf"))
            stack.pop_all()  # from now on its reader owns the connection, and may outlast this call
            memory = (settings.memory_mb << 20) // (KEY_MEMORY * job.endpoints_at_once)
            key_values = KeyValues(memory) if catalogue is not None else None
            failed = _measure(job, endpoint, settings, first, todo, store, log, key_values)
            if todo and len(failed) == len(scope.tables):
                # The rows that the base has of this date stay: they are better than nothing.
                raise NothingMeasuredError(f"none of {len(todo)} tables could be measured")
            if catalogue is not None and key_values is not None:
                measured = [table for table in scope.tables if table.label not in failed]
                connection = Connection(endpoint, settings, job.hosts)
                reader = KeyReader(connection, store.keys, key_values, log, job.progress.report_if_due)
                reader.measure(catalogue, measured, job.date, until - time.monotonic())
            rows = store.complete(existing, failed, len(scope.unreadable))
    unread = {f"{table.label}.{column.name}" for table in existing if table.label in failed for column in table.columns}
    summary = _summary(len(existing), len(scope.tables), len(failed), settings.row_limit)
    return Outcome(
        metrics=rows,
        version=version,
        incomplete=(*failed, *(column for column in scope.unreadable if column not in unread)),
        summary="; ".join([summary, *settings.warnings, *scope.warnings]),
    )


@contextmanager
def _deadline(engine: Engine, settings: Settings) -> Iterator[None]:
    """Close the connection if the server does not list its tables in time."""
    seconds = min(STATEMENTS_PER_TABLE * settings.statement_seconds, settings.endpoint_seconds or float("inf"))
    clock = threading.Timer(seconds + GRACE_SECONDS, engine.interrupt)
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


def _measure(
    job: Job,
    endpoint: hdm.Endpoint,
    settings: Settings,
    first: Connection,
    todo: list[Table],
    store: Store,
    log: Callable[[str], None],
    key_values: KeyValues | None,
) -> list[str]:
    """Read the tables and store their metrics. Return the labels of the tables that failed."""
    readers = min(settings.parallel_tables, settings.connections_per_host, max(1, len(todo)))
    options = ReaderOptions(
        settings=settings,
        date=job.date,
        memory=(settings.memory_mb << 20) // (readers * job.endpoints_at_once),
        progress=job.progress,
        known=store.known(),
        key_values=key_values,
    )
    connections = [first, *(Connection(endpoint, settings, job.hosts) for _ in range(readers - 1))]
    failed = []
    job.progress.plan(endpoint.slug, todo)
    with closing(Readers(options, connections, todo).results(store.flush_due)) as results:
        for result in results:
            if result.measured is None:
                failed.append(result.table.label)
                log(f"table {result.table.label} not measured: {result.reason}")
            else:
                store.add(result.measured)
            job.progress.table_done(endpoint.slug, result.table)
    store.flush()
    for label, error in store.refused.items():
        failed.append(label)
        log(f"table {label} not stored: {describe(error)}")
    return failed


def _catalogue(engine: Engine, settings: Settings, log: Callable[[str], None]) -> Catalogue | None:
    """The endpoint's declared foreign keys. None if none are to be counted, or if they cannot be listed."""
    if not settings.foreign_keys:
        return None
    try:
        return Catalogue(engine.references(), engine.paired)
    except Exception as error:  # noqa: BLE001  # of any driver; the tables are measured all the same
        log(f"foreign keys not measured: {describe(error)}")
        return None


def _size(table: Table) -> tuple[bool, int, str]:
    """Sort key: small tables first, so that most are done when the time expires; views, of unknown size, last."""
    return table.bytes is None, table.bytes or 0, table.label


def _summary(existing: int, chosen: int, failed: int, row_limit: int | None) -> str:
    left_out = f", {existing - chosen} excluded by the configuration" if existing > chosen else ""
    sampled = f"; tables with more than {row_limit} rows were sampled" if row_limit is not None else ""
    return f"{chosen - failed} of {chosen} tables measured{left_out}{sampled}"
