"""The gate: no alert ever comes from missing, stale or partial metrics."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from hdm_airflow.base.gate import Gate
from hdm_airflow.base.runs import Run, Status
from hdm_airflow.packs.pack import Requirement

HERE, THERE = "here:postgres:db:5432:u:false", "there:postgres:db:5432:u:false"
NIGHT = datetime(2026, 1, 31, 2, tzinfo=timezone.utc)


def run(pack: str, slug: str = HERE, status: Status = "success", **changes: object) -> Run:
    stated = {"reported": True, "reason": None, "incomplete": (), "started_at": NIGHT, "finished_at": NIGHT, **changes}
    return Run(environment="prod", kind="metric", pack=pack, endpoint=slug, status=status, **stated)


def gate(
    *requires: Requirement,
    runs: tuple[Run, ...] = (),
    activated: tuple[tuple[str, str], ...] = (("basic", HERE), ("volume", HERE)),
    partial: bool = False,
    require_reports: bool = False,
) -> Gate:
    return Gate(
        requires=requires,
        activated=frozenset(activated),
        runs={(one.pack, one.endpoint): one for one in runs},
        accepts_partial=partial,
        require_reports=require_reports,
    )


BASIC = Requirement(name="basic")
DEFAULT = Requirement(name="basic", explicit=False)
BROKEN = Requirement(name="basic", quarantined=True)


def test_pack_that_requires_nothing_passes() -> None:
    """Metric packs, mostly."""
    assert gate().judge(HERE).passed


def test_endpoint_passes_when_every_required_pack_has_succeeded() -> None:
    """All of them: metrics of one pack do not replace those of another."""
    both = (BASIC, Requirement(name="volume"))
    assert gate(*both, runs=(run("basic"), run("volume"))).judge(HERE).passed
    verdict = gate(*both, runs=(run("basic"),)).judge(HERE)
    assert not verdict.passed
    assert verdict.reason == "mp_volume has not run for this date"


def test_every_reason_is_given_at_once() -> None:
    """After one of them is fixed, the other must not come as a surprise the next night."""
    verdict = gate(BASIC, Requirement(name="volume"), runs=(run("basic", status="failed", reason="no disk"),)).judge(
        HERE
    )
    assert verdict.reason == "mp_basic failed: no disk; mp_volume has not run for this date"


def test_one_failed_endpoint_does_not_stop_the_others() -> None:
    """The ninety-nine others are judged."""
    judge = gate(BASIC, runs=(run("basic", HERE, "failed"), run("basic", THERE))).judge
    assert not judge(HERE).passed
    assert judge(THERE).passed


@pytest.mark.parametrize(
    ("status", "state"),
    [("running", "is running"), ("failed", "failed"), ("skipped", "was skipped"), ("partial", "is partial")],
)
@pytest.mark.parametrize("requirement", [BASIC, DEFAULT])
def test_incomplete_metrics_do_not_pass(status: Status, state: str, requirement: Requirement) -> None:
    """Explicit or by default: a half-measured table looks like a half-empty table."""
    verdict = gate(requirement, runs=(run("basic", status=status, reason="why"),)).judge(HERE)
    assert verdict.reason == f"mp_basic {state}: why"


def test_stale_metrics_are_missing_metrics() -> None:
    """The runs are those of this metric date: yesterday's are not among them."""
    assert gate(BASIC).judge(HERE).reason == "mp_basic has not run for this date"


def test_explicit_dependency_counts_even_if_it_is_not_activated() -> None:
    """The rule pack reads these metrics, and here no pack measures them."""
    assert gate(BASIC, activated=()).judge(HERE).reason == "mp_basic is not activated here"


def test_default_dependency_counts_only_where_it_is_activated() -> None:
    """A rule pack for one hospital must not wait for the metrics of another."""
    assert gate(DEFAULT, activated=()).judge(HERE).passed
    assert gate(DEFAULT, activated=(("basic", THERE),)).judge(HERE).passed
    assert not gate(DEFAULT, activated=(("basic", HERE),)).judge(HERE).passed


def test_nothing_passes_from_a_quarantined_pack() -> None:
    """Not even with a success of this date: it is older than the fault, or of another pack of that name."""
    assert gate(BROKEN, runs=(run("basic"),)).judge(HERE).reason == "mp_basic is quarantined"
    by_default = Requirement(name="basic", explicit=False, quarantined=True)
    assert not gate(by_default, runs=(run("basic"),)).judge(HERE).passed


def test_partial_metrics_pass_for_packs_that_accept_them_with_the_missing_objects() -> None:
    """The rules then skip unmeasured objects instead of reporting them as empty."""
    runs = (run("basic", status="partial", incomplete=("patients", "visits")),)
    verdict = gate(BASIC, runs=runs, partial=True).judge(HERE)
    assert verdict.passed
    assert verdict.incomplete == ("patients", "visits")


def test_partial_metrics_are_refused_with_the_names_of_the_missing_objects() -> None:
    """At most five of them: the reason is one line of a log."""
    names = tuple(f"table_{number}" for number in range(9))
    verdict = gate(BASIC, runs=(run("basic", status="partial", incomplete=names),)).judge(HERE)
    assert verdict.reason == "mp_basic is partial: table_0, table_1, table_2, table_3, table_4"
    assert verdict.incomplete == ()


def test_accepting_partial_metrics_is_not_accepting_failed_ones() -> None:
    """`partial` adds one status to those that pass."""
    for status in ("running", "failed", "skipped"):
        assert not gate(BASIC, runs=(run("basic", status=status),), partial=True).judge(HERE).passed


def test_missing_objects_of_all_required_packs_are_collected() -> None:
    """Only of the packs that count here."""
    runs = (
        run("basic", status="partial", incomplete=("patients",)),
        run("volume", status="partial", incomplete=("visits",)),
    )
    both = (BASIC, Requirement(name="volume"))
    assert gate(*both, runs=runs, partial=True).judge(HERE).incomplete == ("patients", "visits")
    by_default = (BASIC, Requirement(name="volume", explicit=False))
    assert gate(*by_default, runs=runs, partial=True, activated=()).judge(HERE).incomplete == ("patients",)


def test_metrics_without_reports_pass_unless_reports_are_required() -> None:
    """Packs of the original report nothing: there is only the exit code."""
    runs = (run("basic", reported=False),)
    assert gate(BASIC, runs=runs).judge(HERE).passed
    verdict = gate(BASIC, runs=runs, require_reports=True).judge(HERE)
    assert verdict.reason == "mp_basic reported nothing, and require_reports is set"
    assert gate(BASIC, runs=(run("basic"),), require_reports=True).judge(HERE).passed


def test_verdict_is_based_on_the_runs_of_this_endpoint() -> None:
    """A retry checks which of them are newer than its own."""
    runs = (run("basic"), run("basic", THERE), run("other"))
    assert list(gate(BASIC, Requirement(name="volume"), runs=runs).waits_for(HERE)) == [runs[0]]


def test_silence_proves_nothing_about_objects_that_were_not_measured() -> None:
    """The ledger says so for every rule pack, also for one that never asks what is missing."""
    runs = (
        run("basic", status="partial", incomplete=("patients", "visits.start"), metrics=7),
        run("volume", incomplete=("beds",), metrics=1),
    )
    verdict = gate(BASIC, Requirement(name="volume"), runs=runs, partial=True).judge(HERE)
    assert verdict.unproven == verdict.incomplete == ("patients", "visits.start", "beds")


@pytest.mark.parametrize(
    "changes", [{"status": "partial"}, {"metrics": 0}, {"status": "partial", "incomplete": ("beds",), "metrics": 0}]
)
def test_silence_proves_nothing_at_all_after_a_run_without_names_or_without_metrics(changes: dict[str, Any]) -> None:
    """The star is for the ledger: packs get names of objects only."""
    verdict = gate(BASIC, runs=(run("basic", **changes),), partial=True).judge(HERE)
    names = changes.get("incomplete", ())
    assert verdict.passed
    assert (verdict.incomplete, verdict.unproven) == (names, (*names, "*"))


@pytest.mark.parametrize("metrics", [None, 1])
def test_silence_proves_something_after_a_whole_run(metrics: int | None) -> None:
    """Also if the metric pack does not count its metrics, as those of the original."""
    assert gate(BASIC, runs=(run("basic", metrics=metrics),)).judge(HERE).unproven == ()


def test_only_metrics_that_count_here_make_silence_worthless() -> None:
    """A pack that is not activated here, and an endpoint that does not pass, say nothing."""
    empty = (run("basic", metrics=0), run("volume", status="failed"))
    by_default = Requirement(name="basic", explicit=False)
    volume = Requirement(name="volume")
    runs, activated = (empty[0], run("volume")), (("volume", HERE),)
    assert gate(by_default, volume, runs=runs, activated=activated).judge(HERE).unproven == ()
    assert gate(BASIC, volume, runs=empty).judge(HERE).unproven == ()


def test_silence_proves_nothing_where_none_of_the_required_packs_is_activated() -> None:
    """The metrics of former dates stay, and rules that compare them find nothing new. Who requires none is meant."""
    verdict = gate(DEFAULT, Requirement(name="volume", explicit=False), activated=(("basic", THERE),)).judge(HERE)
    assert (verdict.passed, verdict.incomplete, verdict.unproven) == (True, (), ("*",))
    assert gate(activated=()).judge(HERE).unproven == ()


def test_packs_do_not_see_the_star_of_a_metric_pack() -> None:
    """A metric pack has a name that the ledger cannot hold as it is."""
    runs = (run("basic", status="partial", incomplete=("visits", "*"), metrics=7),)
    verdict = gate(BASIC, runs=runs, partial=True).judge(HERE)
    assert (verdict.incomplete, verdict.unproven) == (("visits",), ("visits", "*"))
