"""The verdict: what an exit code and reports mean for each endpoint."""

from __future__ import annotations

from datetime import date

import pytest

from hdm_airflow.base.runs import Outcome
from hdm_airflow.operators.verdict import interrupted, outcomes, sentence, summary
from hdm_airflow.runner.report import Report, Reports
from hdm_airflow.runner.run import RunResult

SLUGS = ("a", "b")
KILLED = {"exit_code": 143, "end_reason": "killed"}
TIMEOUT = {"exit_code": 137, "end_reason": "timeout"}


def of(reports: dict[str, Report], *, exit_code: int = 0, end_reason: str = "exit") -> list[Outcome]:
    ran = RunResult(exit_code=exit_code, end_reason=end_reason, reports=Reports(endpoints=reports))
    return outcomes(ran, SLUGS, 90)


OK, PARTIAL = Report(status="ok"), Report(status="partial", message="one table", incomplete=("visits",))
FAILED, SKIPPED = Report(status="failed", message="no rights"), Report(status="skipped", message="empty")

TABLE = [
    # what a says, what b says, how it ended, statuses, reasons
    (None, None, {}, ("success", "success"), ("unreported", "unreported")),
    (None, None, {"exit_code": 1}, ("failed", "failed"), ("exit code 1", "exit code 1")),
    (None, None, {"exit_code": 99}, ("skipped", "skipped"), ("nothing to do", "nothing to do")),
    (None, None, KILLED, ("failed", "failed"), ("killed", "killed")),
    (None, None, TIMEOUT, ("failed", "failed"), ("timeout of 90 s", "timeout of 90 s")),
    (OK, OK, {}, ("success", "success"), ("", "")),
    (OK, None, {}, ("success", "failed"), ("", "not reported")),
    (SKIPPED, None, {}, ("skipped", "failed"), ("empty", "not reported")),
    (OK, PARTIAL, {}, ("success", "partial"), ("", "one table")),
    (OK, FAILED, {}, ("success", "failed"), ("", "no rights")),
    (OK, SKIPPED, {}, ("success", "skipped"), ("", "empty")),
    (OK, None, {"exit_code": 1}, ("success", "failed"), ("", "exit code 1")),
    (OK, PARTIAL, {"exit_code": 1}, ("success", "failed"), ("", "one table; the bootstrap script ended")),
    (OK, FAILED, {"exit_code": 2}, ("success", "failed"), ("", "no rights; the bootstrap script ended")),
    (OK, SKIPPED, {"exit_code": 1}, ("success", "failed"), ("", "empty; the bootstrap script ended")),
    (OK, None, {"exit_code": 99}, ("success", "skipped"), ("", "nothing to do")),
    (OK, FAILED, {"exit_code": 99}, ("success", "failed"), ("", "no rights")),
    (OK, None, KILLED, ("success", "failed"), ("", "killed")),
    (OK, PARTIAL, TIMEOUT, ("success", "failed"), ("", "one table; ended after its timeout of 90 s")),
]


@pytest.mark.parametrize(("a", "b", "ending", "statuses", "reasons"), TABLE)
def test_outcomes(a, b, ending, statuses, reasons) -> None:
    """What was reported ok stands; whatever else a run that ended badly leaves behind has failed."""
    found = of({slug: report for slug, report in zip(SLUGS, (a, b), strict=True) if report}, **ending)
    assert tuple(one.endpoint for one in found) == SLUGS
    assert tuple(one.status for one in found) == statuses
    for one, reason in zip(found, reasons, strict=True):
        assert reason in one.reason
        assert bool(one.reason) is bool(reason)
    assert tuple(one.reported for one in found) == (a is not None, b is not None)


def test_success_without_a_report_is_never_shown_as_a_reported_one() -> None:
    """It is the exit code's word alone: the gate may refuse it, and every screen shows it."""
    for outcome in of({}):
        assert (outcome.status, outcome.reported) == ("success", False)
        assert outcome.reason


def test_numbers_and_names_go_into_the_ledger() -> None:
    """As the pack reported them."""
    report = Report(status="partial", metrics=7, alerts=0, incomplete=("visits",), version="2.1")
    outcome = of({"a": report, "b": OK})[0]
    assert (outcome.metrics, outcome.alerts, outcome.incomplete, outcome.dbversion) == (7, 0, ("visits",), "2.1")


def test_run_cut_short_keeps_what_was_reported_ok() -> None:
    """The task is killed, or the worker's disk is full: the rest has failed, and the reason says of what."""
    reports = Reports(endpoints={"a": OK})
    found = interrupted(reports, SLUGS, "the task was killed")
    assert [(one.status, one.reason) for one in found] == [("success", ""), ("failed", "the task was killed")]
    assert {one.status for one in interrupted(None, SLUGS, "no disk")} == {"failed"}


def test_summary_counts_and_names_what_is_no_success() -> None:
    """It goes to XCom: counts and reasons, bounded, no data."""
    done = of({"a": Report(status="ok", metrics=3, alerts=1), "b": FAILED})
    found = summary(date(2026, 1, 31), done, {"c": "why"}, ["d", "e"])
    assert found["reasons"] == {"b": "failed: no rights"}
    counts = {key: found[key] for key in ("success", "failed", "gated", "kept", "metrics", "alerts", "unreported")}
    assert counts == {"success": 1, "failed": 1, "gated": 1, "kept": 2, "metrics": 3, "alerts": 1, "unreported": 0}
    assert sentence(found) == "metric date 2026-01-31: 1 success, 1 failed, 1 gated, 2 kept"


def test_summary_stays_small_however_many_endpoints_fail() -> None:
    """XCom is a row in Airflow's database."""
    done = [Outcome(endpoint=f"slug-{number}", status="failed", reason="x" * 100) for number in range(5_000)]
    found = summary(date(2026, 1, 31), done, (), ())
    assert found["failed"] == 5_000
    assert len(found["reasons"]) == 100


def test_nothing_done_is_said() -> None:
    """An empty line in a log explains nothing."""
    assert sentence(summary(date(2026, 1, 31), [], (), ())) == "metric date 2026-01-31: nothing"
