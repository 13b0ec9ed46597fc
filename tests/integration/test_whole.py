"""hdm_whole: the one definition of results that may be used. The gate follows it on every ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from demo.services import Database
from hdm_airflow.base import runs
from hdm_airflow.base.gate import Gate
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.base.runs import Attempt, Outcome, Run, Status
from hdm_airflow.packs.pack import Requirement

FIRST = date(2024, 5, 1)
SLUGS = ["a:postgres::::false", "b:postgres::::false", "c%3A:mysql::::true"]
PACKS = ["basic", "row-count"]
STATUSES: list[Status] = ["running", "success", "partial", "failed", "skipped"]


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        yield opened


def attempt(pack: str, day: date, kind: Any = "metric") -> Attempt:
    return Attempt(
        kind=kind,
        pack=pack,
        pack_version="1.0",
        metric_date=day,
        environment="prod",
        dag_id="hdm_pipeline",
        run_id=f"night {day}",
        task_id=f"hdm-prod.mp_{pack}",
        try_number=1,
    )


def write(base: BaseConnection, one: Attempt, slug: str, status: Status, incomplete: tuple[str, ...] = ()) -> None:
    """Add a ledger row, as an attempt does."""
    ids = runs.reserve(base, [slug])
    runs.start(base, one, ids)
    if status != "running":
        runs.close(base, one, ids, [Outcome(endpoint=slug, status=status, reported=True, incomplete=incomplete)])


def whole(base: BaseConnection) -> dict[tuple[str, str, str, date], tuple[str, Any]]:
    rows = base.execute('SELECT kind, pack, endpoint, "date", state, incomplete FROM hdm_whole').fetchall()
    found = {
        (row["kind"], row["pack"], row["endpoint"], row["date"]): (row["state"], row["incomplete"]) for row in rows
    }
    assert len(found) == len(rows), "one row per kind, pack, endpoint and date"
    return found


@pytest.mark.parametrize("seed", range(8))
def test_gate_and_view_agree_on_random_ledgers(session: BaseConnection, seed: int) -> None:
    """A whole date passes; a partial one only to packs that accept it, with the same objects; no other passes."""
    random = Random(seed)  # noqa: S311  # not for secrets
    days = [FIRST + timedelta(days=number) for number in range(4)]
    with session.transaction():
        for _ in range(random.randrange(60, 160)):
            status = random.choice(STATUSES)
            objects = tuple(random.sample(["visits", "visits.start", "levels"], random.randrange(3)))
            one = attempt(random.choice(PACKS), random.choice(days), random.choice(["metric", "rule"]))
            write(session, one, random.choice(SLUGS), status, objects if status == "partial" else ())
    view, passed = whole(session), 0
    for day in days:
        for pack in PACKS:
            rows = runs.newest(session, attempt("judge", day, "rule"), [pack], SLUGS)
            newest = {(run.pack, run.endpoint): run for run in rows if run.kind == "metric"}
            for slug in SLUGS:
                state, incomplete = view.get(("metric", pack, slug, day), (None, []))
                strict, lenient = (verdict(pack, newest, slug, partial=partial) for partial in (False, True))
                assert strict.passed == (state == "whole")
                assert lenient.passed == (state is not None)
                assert list(lenient.incomplete) == incomplete
                passed += lenient.passed
    assert passed, "a ledger that says nothing proves nothing"


def verdict(pack: str, newest: dict[tuple[str, str], Run], slug: str, *, partial: bool) -> Any:
    gate = Gate(
        requires=(Requirement(name=pack, explicit=True),),
        activated=frozenset(),
        runs=newest,
        accepts_partial=partial,
        require_reports=False,
    )
    return gate.judge(slug)


def test_row_with_the_highest_id_counts_not_the_last_to_end(session: BaseConnection) -> None:
    """An attempt that has lost its lock and ends later does not make a failed date whole."""
    one = attempt("basic", FIRST)
    early, late = (runs.reserve(session, [SLUGS[0]]) for _ in range(2))
    for ids in (early, late):
        runs.start(session, one, ids)
    runs.close(session, one, late, [Outcome(endpoint=SLUGS[0], status="failed")])
    runs.close(session, one, early, [Outcome(endpoint=SLUGS[0], status="success")])
    assert whole(session) == {}


def test_view_reads_little_of_a_large_ledger(session: BaseConnection) -> None:
    """All dates of one pack and endpoint, and all endpoints of one date, each by an index that starts with them."""
    session.execute(
        """INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
            task_id, try_number, status, finished_at)
        SELECT kind, 'basic', '1', 'e' || e, %s::date + d, 'prod', 'd', 'r', 't', 1, 'success', now()
        FROM generate_series(0, 299) AS d, generate_series(1, 60) AS e, unnest(ARRAY['metric', 'rule']) AS kind""",
        [FIRST],
    )
    session.execute("ANALYZE hdm_pack_run")
    for condition, rows in (("endpoint = 'e7'", 300), ("\"date\" = '2024-06-01'", 60)):
        query = f"SELECT * FROM hdm_whole WHERE kind = 'metric' AND pack = 'basic' AND {condition}"
        assert len(session.execute(query.encode()).fetchall()) == rows
        plan = session.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode()).fetchone()
        assert plan is not None
        top = plan["QUERY PLAN"][0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 2 * rows, json.dumps(top)
