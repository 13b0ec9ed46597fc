"""The state of a base on the newest metric date, for the first page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from hdm_airflow.base import activation, endpoints, runs, today
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from tests.integration.incident_harness import Pack
from tests.integration.incident_model import Night
from tests.integration.test_activation import statements
from tests.integration.test_whole import attempt

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
WARDS = [Endpoint(name=f"ward_{number:02}", type="postgres", host="db") for number in range(25)]
METRIC, RULE, OTHER = ("metric", "basic"), ("rule", "basic"), ("metric", "other")


@pytest.fixture
def session(base: Any) -> Any:
    """A base with endpoints."""
    with HdmHook().session() as connection:
        for endpoint in WARDS:
            endpoints.add(connection, endpoint, None, actor="ada")
        connection.execute("TRUNCATE hdm_audit")
        yield connection


def activate(session: Any, *packs: Any, count: int = 3) -> None:
    activation.change(session, [(*pack, one.slug) for pack in packs for one in WARDS[:count]], active=True, actor="ada")


def ran(session: Any, pack: Any, when: date, *statuses: Any, reason: str = "no connection") -> None:
    """Write rows of the first wards; None: no row."""
    one = attempt(pack[1], when, pack[0])
    wanted = {ward.slug: status for ward, status in zip(WARDS, statuses, strict=False) if status}
    ids = runs.reserve(session, list(wanted))
    runs.start(session, one, ids)
    ended = [
        runs.Outcome(endpoint=slug, status=status, reason="" if status == "success" else reason)
        for slug, status in wanted.items()
        if status != "running"
    ]
    runs.close(session, one, ids, ended)


def brief(state: today.Today) -> list[tuple[Any, ...]]:
    return [(one.kind, one.pack, one.status, one.reason, one.count) for one in state.problems]


def test_a_base_without_runs_has_no_date(session: Any) -> None:
    """What is active is missing: nobody has started the Dag yet."""
    assert today.state(session) == today.Today(
        date=None, cells=0, complete=0, problems=[], unreachable=[], incidents={}, changes=[], last_all_well=None,
        running_since=None,
    )  # fmt: skip
    activate(session, METRIC)
    state = today.state(session)
    assert (state.date, state.cells, state.complete, brief(state)) == (None, 3, 0, [(*METRIC, "missing", "", 3)])


def test_a_night_without_problems_is_all_well(session: Any) -> None:
    activate(session, METRIC, RULE)
    for pack in (METRIC, RULE):
        ran(session, pack, TODAY, "success", "success", "success")
    state = today.state(session)
    assert (state.date, state.cells, state.complete, state.problems) == (TODAY, 6, 6, [])
    assert (state.last_all_well, state.running_since) == (TODAY, None)
    assert [(one.action, one.size) for one in state.changes] == [("activate", 6)]


def test_problems_are_grouped_worst_first(session: Any) -> None:
    """By pack, status and reason; a repeated run counts by its last row; what is not active does not count."""
    activate(session, METRIC, OTHER, count=4)
    activate(session, RULE, count=25)
    ran(session, METRIC, TODAY, "failed", "failed", "partial", "success", "failed")  # the last is not active
    ran(session, METRIC, TODAY, "success")
    ran(session, OTHER, TODAY, "success", "skipped", "failed", None, reason="x")
    ran(session, RULE, TODAY, *["skipped"] * 25, reason="gated")
    state = today.state(session)
    assert (state.cells, state.complete) == (33, 3)
    assert brief(state) == [
        (*METRIC, "failed", "no connection", 1),
        (*OTHER, "failed", "x", 1),
        (*METRIC, "partial", "no connection", 1),
        (*OTHER, "missing", "", 1),
        (*RULE, "skipped", "gated", 25),
        (*OTHER, "skipped", "x", 1),
    ]
    assert state.problems[0].endpoints == [WARDS[1].slug]
    assert state.problems[4].endpoints == [one.slug for one in WARDS[:20]]
    run = today.TaskRun(dag_id="hdm_pipeline", run_id=f"night {TODAY}", task_id="hdm-prod.mp_basic", try_number=1)
    assert state.problems[0].run == run
    assert state.problems[3].run is None
    assert brief(today.state(session, limit=2)) == brief(state)[:2]
    assert brief(today.state(session, [OTHER])) == [one for one in brief(state) if one[:2] == OTHER]


def test_a_running_pack_whose_lock_nobody_holds_is_dead(session: Any, base: Any) -> None:
    """The worker died; with the lock, it is running since its first row."""
    activate(session, METRIC, OTHER, count=1)
    one = attempt("basic", TODAY)
    with HdmHook().session() as worker:
        assert runs.try_lock(worker, one)
        ran(session, METRIC, TODAY, "running")
        ran(session, OTHER, TODAY, "running")
        state = today.state(session)
        assert brief(state) == [(*OTHER, "dead", "the worker died", 1), (*METRIC, "running", "", 1)]
        started = session.execute("SELECT min(started_at) AS at FROM hdm_pack_run WHERE pack = 'basic'").fetchone()
        assert state.running_since == started["at"]
    assert [one[2] for one in brief(today.state(session))] == ["dead", "dead"]


def test_a_date_after_tomorrow_is_a_mistake(session: Any) -> None:
    """Its rows hide none of today's."""
    activate(session, METRIC, count=2)
    ran(session, METRIC, TODAY, "success", "failed")
    ran(session, METRIC, TODAY + timedelta(days=99), "failed", "success")
    state = today.state(session)
    assert (state.date, state.complete, brief(state)) == (TODAY, 1, [(*METRIC, "failed", "no connection", 1)])


def test_endpoints_on_which_every_metric_pack_failed_are_unreachable(session: Any) -> None:
    """Not one on which another metric pack has succeeded, or is missing."""
    activate(session, METRIC, OTHER)
    activate(session, RULE)
    ran(session, METRIC, TODAY, "failed", "failed", "failed")
    ran(session, OTHER, TODAY, "failed", "success", None)
    ran(session, RULE, TODAY, "skipped", "success", "success")
    (down,) = today.state(session).unreachable
    assert down == today.Unreachable(endpoint=WARDS[0].slug, reason="no connection", packs=["mp_basic", "mp_other"])


def test_the_last_night_without_problems_is_an_earlier_one(session: Any) -> None:
    """Repaired in the same night counts; a night with a failure does not."""
    activate(session, METRIC, RULE)
    days = [TODAY - timedelta(days=number) for number in range(5)]
    for when, statuses in zip(days, ("failed", "partial", "failed", "success", "success"), strict=True):
        ran(session, METRIC, when, "success", statuses, "success")
        ran(session, RULE, when, "success", "success", "success")
    assert today.state(session).last_all_well == days[3]
    ran(session, METRIC, days[2], "success", "success", "success")
    assert today.state(session).last_all_well == days[2]
    activation.change(session, [(*METRIC, WARDS[1].slug)], active=False, actor="ada")
    assert today.state(session).last_all_well == TODAY


def test_an_old_form_of_a_slug_is_active_too(session: Any) -> None:
    session.execute(
        "INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', %s)", [WARDS[0].slug.replace(":false", ":False")]
    )
    ran(session, METRIC, TODAY, "success")
    state = today.state(session)
    assert (state.cells, state.complete) == (1, 1)
    session.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', %s)", [WARDS[0].slug])
    state = today.state(session)
    assert (state.cells, state.complete) == (1, 1)  # in both forms: once
    ran(session, METRIC, TODAY, "failed")
    (problem,) = today.state(session).problems
    assert (problem.count, problem.endpoints) == (1, [WARDS[0].slug])


def test_incidents_of_the_date_are_counted_by_level(session: Any) -> None:
    """Without muted ones, without history, and only of this date."""
    pack = Pack(session)
    fault, other, third = ("1", "visits", ""), ("2", "visits", ""), ("3", "visits", "")
    slug = WARDS[0].slug
    activate(session, RULE)
    pack.judge(YESTERDAY, Night(status="success", alerts={fault: "High"}), slug)
    pack.derive()
    pack.judge(TODAY, Night(status="success", alerts={fault: "High", other: "Warning", third: "High"}), slug)
    pack.derive()
    assert today.state(session).incidents == {"Warning": 1, "High": 1}
    assert today.state(session, [METRIC]).incidents == {}
    session.execute("UPDATE hdm_incident SET muted_until = 'infinity', muted_on = %s WHERE rule_id = '2'", [TODAY])
    assert today.state(session).incidents == {"High": 1}


def test_missing_cells_say_since_when(session: Any) -> None:
    """As the matrix calls them: never run, or older than the pack; or the whole pack is older."""
    activate(session, METRIC, OTHER, count=3)
    ran(session, METRIC, YESTERDAY, "success", "success")
    ran(session, OTHER, YESTERDAY, "success", "success", "success")
    ran(session, METRIC, TODAY, "success")
    found = [(one.pack, one.last, one.endpoints) for one in today.state(session).problems]
    slugs = [one.slug for one in WARDS[:3]]
    assert found == [("other", "pack old", slugs), ("basic", "old", [slugs[1]]), ("basic", "none", [slugs[2]])]


def test_all_endpoints_of_a_problem_can_be_had(session: Any) -> None:
    """A page names only some of them."""
    activate(session, METRIC, count=25)
    ran(session, METRIC, TODAY, "failed", *["partial"] * 24)
    _, partial = today.state(session).problems
    assert (len(partial.endpoints), partial.count) == (20, 24)
    slugs = [one.slug for one in WARDS[1:]]
    assert today.endpoints(session, partial, TODAY, limit=500) == slugs
    assert today.endpoints(session, partial, TODAY, limit=3) == slugs[:3]
    assert today.endpoints(session, replace(partial, reason="other"), TODAY, limit=3) == []


def test_one_endpoint_has_a_state_of_its_own(session: Any) -> None:
    """On the date of all: what others had meanwhile does not count for it."""
    activate(session, METRIC, OTHER)
    ran(session, METRIC, YESTERDAY, "success", "failed")
    ran(session, METRIC, TODAY, "failed", "success")
    mine, other, third = (today.state(session, endpoint=one.slug) for one in WARDS[:3])
    assert (mine.date, mine.cells, mine.complete, mine.last_all_well) == (TODAY, 2, 0, YESTERDAY)
    assert brief(mine) == [(*METRIC, "failed", "no connection", 1), (*OTHER, "missing", "", 1)]
    assert (other.cells, other.complete, other.last_all_well) == (2, 1, None)
    assert (third.date, third.cells, third.complete, third.last_all_well) == (TODAY, 2, 0, None)
    assert today.state(session, endpoint="nobody").cells == 0
    pack = Pack(session)
    pack.judge(TODAY, Night(status="success", alerts={("1", "visits", ""): "High"}), WARDS[0].slug)
    pack.derive()
    assert [today.state(session, endpoint=one.slug).incidents for one in WARDS[:2]] == [{"High": 1}, {}]
    assert [one.action for one in mine.changes] == ["activate"]


def test_the_number_of_statements_does_not_grow(session: Any) -> None:
    activate(session, METRIC, count=2)
    ran(session, METRIC, TODAY, "success", "failed")
    few = statements(session, lambda: today.state(session))
    activate(session, METRIC, RULE, OTHER, count=25)
    ran(session, RULE, TODAY, *["failed"] * 25)
    assert statements(session, lambda: today.state(session)) == few <= 8


@pytest.mark.parametrize("seed", range(8))
def test_the_state_is_what_the_ledger_says(session: Any, seed: int) -> None:
    """Row by row, in nights of any kind: repeated, backfilled, far in the future, of packs that are not active."""
    chance = Random(seed)  # noqa: S311  # chosen by the seed
    odds = chance.choice([(8, 1, 1, 1, 1), (1, 8, 1, 1, 1), (0, 1, 0, 0, 0), (1, 0, 0, 0, 8)])
    for when in (YESTERDAY, TODAY, TODAY, TODAY + timedelta(days=99)):
        for pack in (METRIC, RULE, OTHER):
            if chance.random() < 0.8:
                ran(session, pack, when, *chance.choices(("success", "failed", "partial", "skipped", None), odds, k=25))
    stranger = Endpoint(name="gone", type="postgres", host="db")
    every = [(*pack, ward.slug) for pack in (METRIC, RULE, OTHER) for ward in WARDS]
    cells = chance.sample(every, k=50)
    activation.change(session, cells, active=True, actor="ada")
    session.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', %s)", [stranger.slug])
    state = today.state(session, limit=1000)
    found = session.execute(
        "SELECT DISTINCT ON (kind, pack, endpoint) * FROM hdm_pack_run WHERE metric_date = %s"
        " ORDER BY kind, pack, endpoint, id DESC",
        [state.date],
    )
    newest = {(row["kind"], row["pack"], row["endpoint"]): row["status"] for row in found}
    said = {cell: newest.get(cell, "missing") for cell in cells}
    assert (state.cells, state.complete) == (50, list(said.values()).count("success"))
    poor = {cell: status for cell, status in said.items() if status != "success"}
    assert sum(one.count for one in state.problems) == len(poor)
    assert poor == {(one.kind, one.pack, slug): one.status for one in state.problems for slug in one.endpoints}
    by_slug: dict[str, set[str]] = {}
    for (kind, _, slug), status in said.items():
        if kind == "metric":
            by_slug.setdefault(slug, set()).add(status)
    down = [slug for slug, statuses in by_slug.items() if statuses == {"failed"}]
    assert [one.endpoint for one in state.unreachable] == sorted(down)
