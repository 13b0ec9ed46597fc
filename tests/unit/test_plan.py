"""The plan: on which endpoints an attempt runs, which it keeps, and which fail or wait."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hdm_airflow.base.assignments import Assignments
from hdm_airflow.base.configuration import NONE, Configuration, Configurations, encode
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.gate import Gate
from hdm_airflow.base.runs import Run, Status
from hdm_airflow.errors import HdmError
from hdm_airflow.operators.plan import Plan, make, one_line
from hdm_airflow.packs.pack import Requirement

ENDPOINTS = [Endpoint(name=name, type="sqlite", host=f"/{name}.db") for name in ("a", "b", "c")]
A, B, C = (endpoint.slug for endpoint in ENDPOINTS)
NIGHT = datetime(2026, 1, 31, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def run(pack: str, slug: str, status: Status = "success", *, hour: int = 0, took: float | None = 0.5) -> Run:
    """A run that started so many hours after two at night and took so many hours; None: it is still running."""
    started = NIGHT + hour * HOUR
    return Run(
        kind="metric",
        pack=pack,
        endpoint=slug,
        environment="prod",
        status=status,
        reported=True,
        reason=None,
        incomplete=("patients",) if status == "partial" else (),
        started_at=started,
        finished_at=None if took is None else started + took * HOUR,
    )


def plan(
    *slugs: str,
    own: tuple[Run, ...] = (),
    metrics: tuple[Run, ...] = (),
    requires: tuple[Requirement, ...] = (),
    configurations: dict[str, str] | None = None,
    external: Configuration = NONE,
    fault: str = "",
    partial: bool = False,
    resumed: bool = False,
) -> Plan:
    registered = {
        endpoint.slug: Registered(id=number, endpoint=endpoint, conn_id=None)
        for number, endpoint in enumerate(ENDPOINTS)
    }
    stored = Configurations(table="hdm_pack_rule_conf", pack="basic", endpoints=configurations or {})
    assigned = Assignments(slugs=slugs or (A, B, C), endpoints=registered, required=frozenset(), configurations=stored)
    gate = Gate(
        requires=requires,
        activated=frozenset(),
        runs={(one.pack, one.endpoint): one for one in metrics},
        accepts_partial=partial,
        require_reports=False,
    )
    return make(assigned, external, fault, gate, {one.endpoint: one for one in own}, resumed=resumed)


def ran(planned: Plan) -> list[str]:
    return [item.slug for item in planned.run]


BASIC = (Requirement(name="basic"),)
MEASURED = tuple(run("basic", slug) for slug in (A, B, C))


def test_first_attempt_runs_every_endpoint() -> None:
    """Nothing has succeeded yet."""
    planned = plan()
    assert ran(planned) == [A, B, C]
    assert (planned.broken, planned.gated, planned.kept, planned.empty) == ({}, {}, (), False)


def test_without_activation_the_plan_is_empty() -> None:
    """That is not a success, and the task says so."""
    assigned = Assignments(
        slugs=(), endpoints={}, required=frozenset(), configurations=Configurations(table="t", pack="basic")
    )
    gate = Gate(requires=(), activated=frozenset(), runs={}, accepts_partial=False, require_reports=False)
    assert make(assigned, NONE, "", gate, {}, resumed=False).empty


@pytest.mark.parametrize("status", ["failed", "partial", "skipped", "running"])
def test_retry_runs_what_has_not_succeeded(status: Status) -> None:
    """One database of a hundred was down: the ninety-nine others are not measured twice."""
    planned = plan(own=(run("own", A), run("own", B, status), run("own", C)))
    assert ran(planned) == [B]
    assert planned.kept == (A, C)


def test_endpoint_activated_since_is_run_too() -> None:
    """It has not succeeded either."""
    planned = plan(own=(run("own", A), run("own", B)))
    assert (ran(planned), planned.kept) == ([C], (A, B))


def test_run_older_than_its_metrics_is_run_again() -> None:
    """The metric pack was cleared and measured anew: what was judged before is out of date."""
    own = tuple(run("own", slug, hour=2) for slug in (A, B, C))
    newer = (run("basic", A), run("basic", B, hour=3), run("basic", C))
    planned = plan(own=own, metrics=newer, requires=BASIC)
    assert (ran(planned), planned.kept) == ([B], (A, C))


def test_run_that_began_before_its_metrics_were_finished_is_out_of_date() -> None:
    """It may have judged the half of them."""
    own = tuple(run("own", slug, hour=2) for slug in (A, B, C))
    metrics = (run("basic", A, hour=1, took=1.5), run("basic", B, hour=1), run("basic", C, hour=1, took=1.0))
    assert ran(plan(own=own, metrics=metrics, requires=BASIC)) == [A]


def test_when_all_have_succeeded_all_are_run_again() -> None:
    """Somebody cleared a green task on purpose."""
    planned = plan(own=tuple(run("own", slug, hour=2) for slug in (A, B, C)), metrics=MEASURED, requires=BASIC)
    assert (ran(planned), planned.kept) == ([A, B, C], ())


def test_gated_endpoints_are_neither_run_nor_kept() -> None:
    """They wait, with the reason."""
    planned = plan(metrics=(run("basic", A), run("basic", B, "failed")), requires=BASIC)
    assert ran(planned) == [A]
    assert planned.gated == {B: "mp_basic failed", C: "mp_basic is not activated here"}


def test_what_was_not_measured_goes_along_with_its_endpoint() -> None:
    """And with no other."""
    metrics = (run("basic", A, "partial"), run("basic", B), run("basic", C))
    items = {item.slug: item.incomplete for item in plan(metrics=metrics, requires=BASIC, partial=True).run}
    assert items == {A: ("patients",), B: (), C: ()}


def test_slug_without_an_endpoint_fails_alone() -> None:
    """The original matched zero databases and called it a success."""
    planned = plan(A, "gone:mysql:db:3306:hdm:false")
    assert ran(planned) == [A]
    assert planned.broken == {
        "gone:mysql:db:3306:hdm:false": "the activated slug matches no endpoint (hdm_core_dblist)"
    }


def test_external_configuration_that_cannot_be_read_does_not_hide_what_the_gate_says() -> None:
    """An endpoint that waits for its metrics would not run with a good configuration either."""
    planned = plan(metrics=(run("basic", A), run("basic", B, "failed"), run("basic", C)), requires=BASIC, fault="bad")
    assert (list(planned.broken), list(planned.gated)) == ([A, C], [B])


def test_bad_endpoint_configuration_fails_that_endpoint() -> None:
    """The others run with theirs."""
    planned = plan(configurations={A: encode('{"limit": 1}'), B: "{}"})
    assert ran(planned) == [A, C]
    assert list(planned.broken) == [B]
    assert f"hdm_pack_rule_conf basic:{B}" in planned.broken[B]


def test_bad_external_configuration_fails_all() -> None:
    """What the pack was told for all of them, nobody knows."""
    planned = plan(fault="the configuration is not base64")
    assert ran(planned) == []
    assert planned.broken == dict.fromkeys((A, B, C), "the configuration is not base64")
    assert not planned.empty


def test_bad_external_configuration_does_not_undo_what_has_succeeded() -> None:
    """Those are not run, so there is nothing to fail."""
    planned = plan(own=(run("own", A), run("own", B)), fault="not base64")
    assert (list(planned.broken), planned.kept) == ([C], (A, B))


def test_each_endpoint_gets_both_configurations_merged() -> None:
    """The original stored one per endpoint, and no pack ever read it."""
    external = Configuration(value={"limit": 5, "mode": "all"}, source="external")
    planned = plan(external=external, configurations={B: encode('{"limit": 1}')})
    configs = {item.slug: item.config for item in planned.run}
    assert configs == {A: {"limit": 5, "mode": "all"}, B: {"limit": 1, "mode": "all"}, C: {"limit": 5, "mode": "all"}}
    assert planned.run[1].config_sources == ("external", f"hdm_pack_rule_conf basic:{B}")
    assert planned.external is external


def test_no_endpoint_is_in_two_places() -> None:
    """Each gets one row in the ledger."""
    planned = plan(
        A, B, C, "gone:x:y:z:u:false",
        own=(run("own", A, hour=2),),
        metrics=(run("basic", A), run("basic", B), run("basic", "gone:x:y:z:u:false")),
        requires=BASIC,
    )  # fmt: skip
    places = [*ran(planned), *planned.broken, *planned.gated, *planned.kept]
    assert sorted(places) == sorted([A, B, C, "gone:x:y:z:u:false"])


def test_error_becomes_one_line_of_the_ledger() -> None:
    """With its place, and without its hint: the row says what is wrong, documentation what to do."""
    assert one_line(HdmError("one\ntwo", "some table", "do it")) == "one two (some table)"
    assert one_line(HdmError("one\n  two")) == "one two"


def test_attempt_after_one_that_was_cut_short_does_what_is_left_of_it() -> None:
    """Nobody asked for all of them again: where nothing is left, nothing is run."""
    a, b, c = (run("basic", slug) for slug in (A, B, C))
    assert ran(plan(own=(a, b), resumed=True)) == [C]
    done = plan(own=(a, b, c), resumed=True)
    assert (ran(done), done.kept, done.empty) == ([], (A, B, C), False)
    assert ran(plan(own=(a, b, c))) == [A, B, C]
