"""The assignments of a pack: a thousand endpoints need as many queries as one."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.assignments import PACK_NAME, REQUIRED, VERSION, attempt_and_pack, fill, queries_sent
from hdm_airflow.base import activation, assignments, configuration, endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.operators import plan

HEART = Endpoint(name="heart", type="mysql", host="db", port="3306", user="hdm")
LUNGS = Endpoint(name="lungs: 100%", type="postgres", host="fe80::1", port="5432", user="hdm")


@pytest.fixture
def session(base):
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


def read(session):
    return assignments.read(session, "rule", PACK_NAME, REQUIRED)


def test_a_thousand_endpoints_are_planned_in_three_queries_at_most(session):
    """Endpoints, both configurations and the gate: counted on the connection, and complete."""
    fill(session, 1_000)
    attempt, pack = attempt_and_pack()
    with queries_sent(session) as sent:
        planned = plan.read(session, attempt, pack, require_reports=True)
    assert 1 <= len(sent) <= 3
    assert len(planned.run) == 1_000
    assert (planned.broken, planned.gated, planned.kept) == ({}, {}, ())
    item = planned.run[0]
    assert item.config == {"limit_enabled": True, "search_results_limit": 10000, "min_count": 5}
    table = "hdm_pack_rule_conf"
    assert item.config_sources == (f"{table} {PACK_NAME}:{VERSION}", f"{table} {PACK_NAME}:{item.slug}")


def test_the_count_of_queries_counts(session):
    """The trace of the other test contains every kind of query, and no answers."""
    with queries_sent(session) as sent:
        session.execute("SELECT 1")
        session.execute("SELECT %s", [1])
        session.cursor().executemany("SELECT %s", [[1], [2], [3]])
    assert len(sent) == 5


def test_the_assignments_of_a_pack_are_one_query(session):
    """Activations, endpoints and configurations in one round trip."""
    fill(session, 10)
    with queries_sent(session) as sent:
        assigned = read(session)
    assert len(sent) == 1
    assert len(assigned.slugs) == len(assigned.endpoints) == 10
    assert assigned.required == {(name, slug) for name in REQUIRED for slug in assigned.slugs}


def test_an_empty_base_assigns_nothing(session):
    """Empty collections, not nulls."""
    assert read(session) == assignments.Assignments(
        slugs=(),
        endpoints={},
        required=frozenset(),
        configurations=configuration.Configurations(table="hdm_pack_rule_conf", pack=PACK_NAME),
    )


def test_a_pack_sees_its_own_activations_and_those_of_what_it_requires(session):
    """Not those of another pack, nor of a metric pack of its own name that it does not require."""
    for endpoint in (HEART, LUNGS):
        endpoints.add(session, endpoint, None, actor="ada")
    heart, lungs = endpoints.find(session, HEART.slug), endpoints.find(session, LUNGS.slug)
    activation.change(session, [("rule", PACK_NAME, heart.endpoint.slug)], active=True, actor="ada")
    activation.change(session, [("rule", "other", lungs.endpoint.slug)], active=True, actor="ada")
    activation.change(session, [("metric", PACK_NAME, lungs.endpoint.slug)], active=True, actor="ada")
    activation.change(session, [("metric", REQUIRED[0], lungs.endpoint.slug)], active=True, actor="ada")
    assigned = read(session)
    assert assigned.slugs == (HEART.slug,)
    assert assigned.required == {(REQUIRED[0], LUNGS.slug)}
    assert assigned.endpoints == {HEART.slug: heart, LUNGS.slug: lungs}


def test_a_metric_pack_may_require_metric_packs(session):
    """Its own activations and theirs stay separate."""
    endpoints.add(session, HEART, None, actor="ada")
    heart = endpoints.find(session, HEART.slug)
    activation.change(session, [("metric", "basic", heart.endpoint.slug)], active=True, actor="ada")
    assigned = assignments.read(session, "metric", "derived", ["basic"])
    assert (assigned.slugs, assigned.required) == ((), {("basic", HEART.slug)})


def test_an_activation_that_matches_no_endpoint_is_kept_and_fails_that_one_alone(session):
    """A slug that is not registered, or not a slug, is reported; the others run."""
    endpoints.add(session, HEART, None, actor="ada")
    activation.change(
        session, [("rule", PACK_NAME, endpoints.find(session, "heart").endpoint.slug)], active=True, actor="ada"
    )
    session.execute(
        "INSERT INTO hdm_core_table_corr_db_rp VALUES (%(pack)s, 'gone:mysql:db:1:hdm:false'), (%(pack)s, 'nonsense')",
        {"pack": PACK_NAME},
    )
    assert read(session).slugs == ("gone:mysql:db:1:hdm:false", HEART.slug, "nonsense")
    attempt, pack = attempt_and_pack()
    planned = plan.read(session, attempt, dataclasses.replace(pack, requires=()), require_reports=False)
    assert [item.slug for item in planned.run] == [HEART.slug]
    reason = "the activated slug matches no endpoint (hdm_core_dblist)"
    assert planned.broken == {"gone:mysql:db:1:hdm:false": reason, "nonsense": reason}


def test_slugs_of_old_and_new_form_count_once(session):
    """An endpoint that the original and hdm_airflow have activated is one endpoint, with its configuration."""
    endpoints.add(session, LUNGS, None, actor="ada")
    lungs = endpoints.find(session, LUNGS.slug)
    plain = Endpoint(name="eyes", type="postgres", host="fe80::1", port="5432", user="hdm")
    endpoints.add(session, plain, None, actor="ada")
    for slug in ("eyes:postgres:fe80::1:5432:hdm:False", plain.slug, "eyes:postgres:fe80%3a%3a1:5432:hdm:"):
        session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES (%s, %s)", [PACK_NAME, slug])
    activation.change(session, [("rule", PACK_NAME, lungs.endpoint.slug)], active=True, actor="ada")
    assigned = read(session)
    assert assigned.slugs == (plain.slug, LUNGS.slug)
    assert set(assigned.slugs) == set(assigned.endpoints)
