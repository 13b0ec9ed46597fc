"""Verdict: the outcome of each endpoint and of the task, from the pack's exit code and its reports."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from hdm_airflow.base.runs import Outcome, Status
from hdm_airflow.printable import printable
from hdm_airflow.runner.report import Report, Reports
from hdm_airflow.runner.run import SKIPPED, RunResult

_STATUS: dict[str, Status] = {"ok": "success", "partial": "partial", "failed": "failed", "skipped": "skipped"}
KILLED = "the task was killed"  # the reason of a run that Airflow ended
_SHOWN = 100  # maximum number of endpoints in the summary, which is sent to XCom
_SIGNALLED = 128  # a shell adds this to a signal's number
_MEANING = {
    "SIGKILL": ": killed, perhaps because the machine ran out of memory",
    "SIGXCPU": ": it used up its processor time",
    "SIGXFSZ": ": a file grew beyond its limit",
}


def outcomes(ran: RunResult, slugs: Iterable[str], timeout: float | None) -> list[Outcome]:
    """The outcome of a finished run on each endpoint.

    The last report of an endpoint counts. If the run failed, every endpoint that was not reported ok fails. If the pack
    reported nothing at all, the exit code decides, and a success is marked as unreported.

    Args:
        ran: the run.
        slugs: its endpoints.
        timeout: the run's time limit in seconds, for the reason.
    """
    why = fault(ran, timeout)
    if ran.end_reason == "unguarded":  # what still runs may change what has been reported
        ended = interrupted(ran.reports, slugs, why)
        return [replace(one, status="failed", reason=one.reason or why) for one in ended]
    if why:
        return interrupted(ran.reports, slugs, why)
    return [_outcome(slug, ran) for slug in slugs]


def interrupted(reports: Reports | None, slugs: Iterable[str], reason: str) -> list[Outcome]:
    """The outcome of an interrupted run on each endpoint: success if it was reported ok, otherwise failed."""
    reported = reports.endpoints if reports else {}
    return [_interrupted(slug, reported.get(slug), reason) for slug in slugs]


def summary(
    metric_date: date, done: Sequence[Outcome], gated: Collection[str], kept: Collection[str]
) -> dict[str, Any]:
    """The summary for XCom: counts, and the reasons of all endpoints without success; no secrets, no data."""
    counts = Counter(outcome.status for outcome in done)
    poor = [one for one in done if one.status != "success"]
    return {
        "metric_date": metric_date.isoformat(),
        "success": counts["success"],
        "partial": counts["partial"],
        "failed": counts["failed"],
        "skipped": counts["skipped"],
        "gated": len(gated),
        "kept": len(kept),
        "unreported": sum(one.status == "success" and not one.reported for one in done),
        "metrics": sum(one.metrics or 0 for one in done),
        "alerts": sum(one.alerts or 0 for one in done),
        "reasons": {one.endpoint: f"{one.status}: {one.reason}" for one in poor[:_SHOWN]},
    }


def line(outcome: Outcome) -> str:
    """One endpoint's outcome for the log."""
    counts = [
        f"{name} {count:,}"
        for count, name in ((outcome.metrics, "metrics"), (outcome.alerts, "alerts"))
        if count is not None
    ]
    parts = outcome.endpoint, ", ".join([outcome.status, *counts]), outcome.reason
    return printable(": ".join(part for part in parts if part))


def sentence(summary: dict[str, Any]) -> str:
    """The summary as one line for the log."""
    names = ("success", "partial", "failed", "skipped", "gated", "kept", "unreported")
    counts = [f"{summary[name]} {name}" for name in names if summary[name]]
    return f"metric date {summary['metric_date']}: {', '.join(counts) or 'nothing'}"


def fault(ran: RunResult, timeout: float | None) -> str:
    """Why a run failed as a whole; '' if it did not.

    Args:
        ran: the run.
        timeout: its time limit in seconds.
    """
    if ran.end_reason == "timeout":
        return f"stopped after its timeout of {round(timeout or 0, 1):g} s"
    if ran.end_reason == "killed":
        return KILLED
    if ran.end_reason == "limit":
        return f"stopped: {ran.limit_exceeded}"
    if ran.end_reason == "unguarded":
        return f"its processes could not be watched or stopped (exit code {ran.exit_code}): see the task log"
    if ran.exit_code in (0, SKIPPED):
        return ""
    return f"the bootstrap script ended with exit code {ran.exit_code}{_signal(ran.exit_code)}"


def _signal(exit_code: int) -> str:
    """The signal that ended the program, from the shell's exit code; '' if there is none."""
    try:
        name = signal.Signals(exit_code - _SIGNALLED).name
    except ValueError:
        return ""
    return f" ({name}{_MEANING.get(name, '')})"


def _outcome(slug: str, ran: RunResult) -> Outcome:
    reports = ran.reports
    report = reports.endpoints.get(slug)
    if report is not None:
        return _reported(slug, report)
    if ran.exit_code == SKIPPED:
        return Outcome(endpoint=slug, status="skipped", reason="the pack had nothing to do (exit code 99)")
    if reports.silent:
        return Outcome(endpoint=slug, status="success", reason="unreported: judged by the exit code alone")
    count = len(reports.problems) + reports.dropped
    bad = f": {count} bad report line(s), first: {reports.problems[0]}" if count else ""
    return Outcome(endpoint=slug, status="failed", reason=f"not reported{bad}")


def _interrupted(slug: str, report: Report | None, reason: str) -> Outcome:
    if report is None:
        return Outcome(endpoint=slug, status="failed", reason=reason)
    outcome = _reported(slug, report)
    if outcome.status == "success":
        return outcome
    return replace(outcome, status="failed", reason="; ".join(part for part in (outcome.reason, reason) if part))


def _reported(slug: str, report: Report) -> Outcome:
    return Outcome(
        endpoint=slug,
        status=_STATUS[report.status],
        reason=report.message,
        reported=True,
        metrics=report.metrics,
        alerts=report.alerts,
        incomplete=report.incomplete,
        dbversion=report.version,
    )
