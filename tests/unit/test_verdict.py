"""The verdict: what an exit code and reports mean for each endpoint."""

from __future__ import annotations

from datetime import date

import pytest

from hdm_airflow.base.runs import Outcome
from hdm_airflow.operators.verdict import interrupted, line, outcomes, sentence, summary
from hdm_airflow.runner.report import Report, Reports
from hdm_airflow.runner.run import RunResult

SLUGS = ("a", "b")
KILLED = {"exit_code": 143, "end_reason": "killed"}
TIMEOUT = {"exit_code": 137, "end_reason": "timeout"}
UNGUARDED = {"exit_code": 0, "end_reason": "unguarded"}
LIMIT = {"exit_code": 137, "end_reason": "limit", "limit_exceeded": "it used more than 2 GB of memory"}


def of(
    reports: dict[str, Report],
    *,
    exit_code: int = 0,
    end_reason: str = "exit",
    limit_exceeded: str = "",
    timeout: float = 90,
) -> list[Outcome]:
    ran = RunResult(
        exit_code=exit_code, end_reason=end_reason, reports=Reports(endpoints=reports), limit_exceeded=limit_exceeded
    )
    return outcomes(ran, SLUGS, timeout)


OK, PARTIAL = Report(status="ok"), Report(status="partial", message="one table", incomplete=("visits",))
FAILED, SKIPPED = Report(status="failed", message="no rights"), Report(status="skipped", message="empty")

TABLE = [
    # what a says, what b says, how it ended, statuses, reasons
    (None, None, {}, ("success", "success"), ("unreported", "unreported")),
    (None, None, {"exit_code": 1}, ("failed", "failed"), ("exit code 1", "exit code 1")),
    (None, None, {"exit_code": 99}, ("skipped", "skipped"), ("nothing to do", "nothing to do")),
    (None, None, KILLED, ("failed", "failed"), ("killed", "killed")),
    (None, None, TIMEOUT, ("failed", "failed"), ("timeout of 90 s", "timeout of 90 s")),
    (None, None, LIMIT, ("failed", "failed"), ("2 GB of memory", "2 GB of memory")),
    (None, None, UNGUARDED, ("failed", "failed"), ("could not be watched", "could not be watched")),
    (OK, PARTIAL, UNGUARDED, ("failed", "failed"), ("could not be watched", "one table; its processes could not be")),
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
    (OK, PARTIAL, TIMEOUT, ("success", "failed"), ("", "one table; stopped after its timeout of 90 s")),
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


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ({}, "unreported: judged by the exit code alone"),
        ({"exit_code": 99}, "the pack had nothing to do (exit code 99)"),
        ({"exit_code": 1}, "the bootstrap script ended with exit code 1"),
        (KILLED, "the task was killed"),
        (TIMEOUT, "stopped after its timeout of 90 s"),
        (LIMIT, "stopped: it used more than 2 GB of memory"),
    ],
)
def test_ledger_says_why_a_pack_that_reported_nothing_ended_so(ending, reason) -> None:
    """The reason is all that remains of the run once its log is gone."""
    assert [one.reason for one in of({}, **ending)] == [reason, reason]


@pytest.mark.parametrize(
    ("exit_code", "signal"),
    [
        (137, " (SIGKILL: killed, perhaps because the machine ran out of memory)"),
        (152, " (SIGXCPU: it used up its processor time)"),
        (153, " (SIGXFSZ: a file grew beyond its limit)"),
        (143, " (SIGTERM)"),
        (128, ""),  # no signal has the number 0
        (255, ""),  # nor 127
        (15, ""),  # a program's own exit code
    ],
)
def test_exit_code_of_a_shell_names_the_signal_that_ended_its_program(exit_code, signal) -> None:
    """Few know by heart that 137 is the kernel's way to say that memory ran out."""
    assert of({}, exit_code=exit_code)[0].reason == f"the bootstrap script ended with exit code {exit_code}{signal}"


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "0 s"), (12.345, "12.3 s"), (90.04, "90 s"), (3600.0, "3600 s")])
def test_timeout_is_said_to_a_tenth_of_a_second(seconds, said) -> None:
    """It is what was left of the task's own time, down to nothing, and seldom a round number."""
    assert of({}, **TIMEOUT, timeout=seconds)[0].reason == f"stopped after its timeout of {said}"


def test_endpoint_without_a_report_names_the_report_lines_that_could_not_be_read() -> None:
    """One of them may have been its own: how many there were, those that were only counted too, and the first."""
    problems = ["report line 2: the line is not JSON", "report line 4: the endpoint is none of this run"]
    ran = RunResult(exit_code=0, end_reason="exit", reports=Reports(endpoints={"a": OK}, problems=problems, dropped=5))
    a, b = outcomes(ran, SLUGS, 90)
    assert (a.status, a.reason) == ("success", "")
    assert b.status == "failed"
    assert b.reason == "not reported: 7 bad report line(s), first: report line 2: the line is not JSON"


def test_endpoint_without_a_report_is_failed_as_not_reported_where_every_line_was_good() -> None:
    """The pack forgot it, and nothing else is to be said."""
    assert of({"a": OK})[1].reason == "not reported"


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


def test_run_cut_short_keeps_what_was_reported_of_a_failure() -> None:
    """What the pack said of it comes first, then what ended the run; the numbers stand."""
    reports = Reports(endpoints={"a": Report(status="partial", message="one table", metrics=3, incomplete=("visits",))})
    a, b = interrupted(reports, SLUGS, "no disk")
    assert (a.status, a.reason, a.reported) == ("failed", "one table; no disk", True)
    assert (a.metrics, a.incomplete) == (3, ("visits",))
    assert (b.status, b.reason, b.reported) == ("failed", "no disk", False)


def test_summary_counts_and_names_what_is_no_success() -> None:
    """It goes to XCom: counts and reasons, bounded, no data."""
    done = of({"a": Report(status="ok", metrics=3, alerts=1), "b": FAILED})
    found = summary(date(2026, 1, 31), done, {"c": "why"}, ["d", "e"])
    assert found["reasons"] == {"b": "failed: no rights"}
    counts = {key: found[key] for key in ("success", "failed", "gated", "kept", "metrics", "alerts", "unreported")}
    assert counts == {"success": 1, "failed": 1, "gated": 1, "kept": 2, "metrics": 3, "alerts": 1, "unreported": 0}
    assert sentence(found) == "metric date 2026-01-31: 1 success, 1 failed, 1 gated, 2 kept"


def test_summary_counts_each_status_apart() -> None:
    """Each has its own colour in the log, and its own meaning for the task."""
    statuses = ["success"] * 5 + ["partial"] * 4 + ["failed"] * 3 + ["skipped"] * 2
    done = [Outcome(endpoint=f"slug-{n}", status=status, reported=True) for n, status in enumerate(statuses)]
    found = summary(date(2026, 1, 31), done, (), ())
    assert {status: found[status] for status in statuses} == {"success": 5, "partial": 4, "failed": 3, "skipped": 2}
    assert sentence(found) == "metric date 2026-01-31: 5 success, 4 partial, 3 failed, 2 skipped"


def test_summary_counts_as_unreported_the_successes_that_only_an_exit_code_vouches_for() -> None:
    """They count as successes all the same; what failed without a report, or was reported, is not among them."""
    done = [
        Outcome(endpoint="reported", status="success", reported=True),
        *(Outcome(endpoint=slug, status="success") for slug in ("taken", "also taken")),
        *(Outcome(endpoint=slug, status="failed") for slug in ("crashed", "killed", "lost")),
        Outcome(endpoint="idle", status="skipped"),
    ]
    found = summary(date(2026, 1, 31), done, (), ())
    assert (found["success"], found["unreported"]) == (3, 2)
    assert sentence(found) == "metric date 2026-01-31: 3 success, 3 failed, 1 skipped, 2 unreported"


def test_summary_adds_up_what_was_counted_and_nothing_else() -> None:
    """A pack need not count: that is no number, and no fault."""
    done = [
        Outcome(endpoint="a", status="success", metrics=3, alerts=1),
        Outcome(endpoint="b", status="partial", metrics=4, alerts=0),
        Outcome(endpoint="c", status="success"),
    ]
    found = summary(date(2026, 1, 31), done, (), ())
    assert (found["metrics"], found["alerts"]) == (7, 1)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(endpoint="a", status="success"), "a: success"),
        (Outcome(endpoint="a", status="success", metrics=12345, alerts=0), "a: success, metrics 12,345, alerts 0"),
        (Outcome(endpoint="a", status="success", alerts=1_000), "a: success, alerts 1,000"),
        (Outcome(endpoint="a", status="failed", reason="no rights"), "a: failed: no rights"),
        (
            Outcome(endpoint="a", status="partial", reason="one table", metrics=7, alerts=2, incomplete=("visits",)),
            "a: partial, metrics 7, alerts 2: one table",
        ),
    ],
)
def test_line_of_an_endpoint_has_its_name_its_status_what_was_counted_and_why(outcome: Outcome, said: str) -> None:
    """One line per endpoint in the task's log: what was not counted, or needs no reason, takes no place in it."""
    assert line(outcome) == said


def test_summary_stays_small_however_many_endpoints_fail() -> None:
    """XCom is a row in Airflow's database."""
    done = [Outcome(endpoint=f"slug-{number}", status="failed", reason="x" * 100) for number in range(5_000)]
    found = summary(date(2026, 1, 31), done, (), ())
    assert found["failed"] == 5_000
    assert len(found["reasons"]) == 100


def test_nothing_done_is_said() -> None:
    """An empty line in a log explains nothing."""
    assert sentence(summary(date(2026, 1, 31), [], (), ())) == "metric date 2026-01-31: nothing"
