"""Metric pack `basic`: measures every column of every table of each endpoint, and stores what it found.

One failed table does not stop its endpoint, one failed endpoint does not stop the others. Nothing printed or
reported holds a value: a database's error text may quote a row, so errors are told by class and code.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import dialects
import hdm
import levels
import metrics
import settings
import store
import tables
import versions
from dialects.dialect import OverflowInDatabaseError, describe

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from dialects.dialect import Dialect


class NothingMeasuredError(Exception):
    """Every table of the endpoint failed; the message holds no value."""


# Errors whose text this pack wrote itself, so that it may be shown.
TELLABLE = (settings.SettingsError, dialects.ConnectError, NothingMeasuredError)


def main() -> int:
    """Measure every endpoint of the run.

    Returns: the exit code: 1 when nothing could be stored or every endpoint failed. A single failed endpoint is
        told by its report alone, since a bad exit code would fail the partial ones too.
    """
    run = hdm.load()
    if not run.endpoints:
        run.skip("the run has no endpoints: nothing measured")
    try:
        store.check()
    except Exception as error:  # noqa: BLE001 - any failure here is the same: nothing can be stored
        print(f"the HDM base cannot be used: {describe(error)}", flush=True)
        return 1
    failed = 0
    for number, endpoint in enumerate(run.endpoints):
        reason = _attempt(run, endpoint, partial(_progress, run, number))
        if reason:
            failed += 1
            print(f"{endpoint.slug}: failed: {reason}", flush=True)
            run.report(endpoint, "failed", reason)
    return int(failed == len(run.endpoints))


def measure_endpoint(run: hdm.Run, endpoint: hdm.Endpoint, progress: Callable[[float, str], None]) -> None:
    """Measure one endpoint, store its rows, report.

    Raises: one of TELLABLE, or what a driver or the base raises.
    """
    configured = settings.read(endpoint.config)
    for warning in configured.warnings:
        print(f"{endpoint.slug}: {warning}", flush=True)
    dialect = dialects.connect(endpoint, ssl_verify=configured.ssl_verify)
    try:
        with dialect.transaction():
            everything = dialect.tables()
        findings = store.Findings(version=versions.read(dialect, everything))
        findings.existing = {(table.label, column.name) for table in everything for column in table.columns}
        chosen = tables.chosen(everything, configured.schemas, configured.exclude_tables)
        for number, table in enumerate(chosen):
            progress(number / len(chosen), f"{endpoint.database}: {table.label} ({number + 1} of {len(chosen)})")
            try:
                _measure_table(dialect, table, run.date, configured, findings)
            except Exception as error:  # noqa: BLE001 - the next table has a right to its metrics
                findings.unreadable.append(table.label)
                print(f"{endpoint.slug}: table {table.label} not measured: {describe(error)}", flush=True)
    finally:
        dialect.close()
    if chosen and len(findings.unreadable) == len(chosen):
        # What the base knows of this date is better than nothing: it stays.
        raise NothingMeasuredError(f"none of {len(chosen)} tables could be measured")
    rows = store.save(endpoint, run.date, findings)
    run.report(
        endpoint,
        "partial" if findings.unreadable else "ok",
        "; ".join([_summary(len(everything), len(chosen), len(findings.unreadable)), *configured.warnings]),
        metrics=rows,
        incomplete=findings.unreadable,
        version=findings.version,
    )


def _attempt(run: hdm.Run, endpoint: hdm.Endpoint, progress: Callable[[float, str], None]) -> str:
    """Measure one endpoint; why that failed, in words that may be shown, or ""."""
    try:
        measure_endpoint(run, endpoint, progress)
    except TELLABLE as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the next endpoint has a right to its run
        return describe(error)
    return ""


def _measure_table(
    dialect: Dialect, table: tables.Table, date: dt.date, configured: settings.Settings, found: store.Findings
) -> None:
    try:
        measured, of_columns = _read_table(dialect, table, date, configured, wide=False)
    except OverflowInDatabaseError:
        measured, of_columns = _read_table(dialect, table, date, configured, wide=True)
    for column, values in measured.columns.items():
        found.metrics[table.label, column] = values
    for column, frequencies in of_columns.items():
        found.levels[table.label, column] = frequencies


def _read_table(
    dialect: Dialect, table: tables.Table, date: dt.date, configured: settings.Settings, *, wide: bool
) -> tuple[metrics.TableMetrics, dict[str, levels.Levels]]:
    with dialect.transaction():
        refined = table.with_kinds(dialect.kinds(table))
        measured = metrics.measure(dialect, refined, date, wide=wide)
        return measured, levels.of_table(dialect, measured, configured)


def _summary(existing: int, chosen: int, unreadable: int) -> str:
    if not existing:
        return "the database has no tables: nothing measured"
    left_out = f", {existing - chosen} left out by configuration" if existing > chosen else ""
    return f"{chosen - unreadable} of {chosen} tables measured{left_out}"


def _progress(run: hdm.Run, number: int, share: float, message: str) -> None:
    run.progress((number + share) / len(run.endpoints), message)


if __name__ == "__main__":
    sys.exit(main())
