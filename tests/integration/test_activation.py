"""Activation in the HDM base: which packs run on which endpoints."""

from __future__ import annotations

import pytest

from hdm_airflow.base import activation, endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook

HEART = Endpoint(name="100% cœur", type="postgres", host="fe80::1", port="5432", user="hdm")
OLD_SLUG = "100% cœur:postgres:fe80::1:5432:hdm:False"


@pytest.fixture
def session(base):
    """A session on a migrated base with one endpoint."""
    with HdmHook().session() as connection:
        endpoints.add(connection, HEART, None, actor="ada")
        connection.execute("TRUNCATE hdm_audit")
        yield connection


@pytest.fixture
def heart(session):
    """The endpoint as registered."""
    return endpoints.find(session, HEART.slug)


def audit(session):
    rows = session.execute("SELECT actor, action, object FROM hdm_audit ORDER BY id")
    return [(row["actor"], row["action"], row["object"]) for row in rows]


@pytest.mark.parametrize("kind", ["metric", "rule"])
def test_a_pack_is_activated_once_and_deactivated_once(session, heart, kind):
    """Only a change returns true, and only a change leaves an audit row."""
    assert activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=True, actor="ada").cells
    assert not activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=True, actor="bob").cells
    assert activation.activated(session) == [(kind, "basic", HEART.slug)]
    assert activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=False, actor="bob").cells
    assert not activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=False, actor="ada").cells
    assert activation.activated(session) == []
    item = f"{kind} pack basic {HEART.slug}"
    assert audit(session) == [("ada", "activate", item), ("bob", "deactivate", item)]


def test_metric_and_rule_packs_of_one_name_are_activated_separately(session, heart):
    """There is a metric pack `basic` and a rule pack `basic`: each may run without the other."""
    activation.change(session, [("metric", "basic", heart.endpoint.slug)], active=True, actor="ada")
    activation.change(session, [("rule", "basic", heart.endpoint.slug)], active=True, actor="ada")
    activation.change(session, [("metric", "basic", heart.endpoint.slug)], active=False, actor="ada")
    assert activation.activated(session) == [("rule", "basic", HEART.slug)]


@pytest.mark.parametrize(
    ("kind", "table"), [("metric", "hdm_core_table_corr_db_mp"), ("rule", "hdm_core_table_corr_db_rp")]
)
def test_an_old_form_of_the_slug_is_deactivated_too(session, heart, kind, table):
    """The original's row and ours name one endpoint: both are removed, those of other packs and endpoints stay."""
    other = "lungs:postgres:fe80::1:5432:hdm:False"
    for pack, slug in (("basic", OLD_SLUG), ("basic", other), ("other", OLD_SLUG)):
        session.execute(f"INSERT INTO {table} VALUES (%s, %s)", [pack, slug])
    activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=True, actor="ada")
    assert activation.change(session, [(kind, "basic", heart.endpoint.slug)], active=False, actor="ada").cells
    assert activation.activated(session) == [(kind, "basic", other), (kind, "other", OLD_SLUG)]


@pytest.mark.parametrize(
    ("kind", "table"), [("metric", "hdm_core_table_corr_db_mp"), ("rule", "hdm_core_table_corr_db_rp")]
)
def test_an_activation_whose_slug_is_invalid_is_removed_by_its_text(session, kind, table):
    """A row of another program can be removed, and only that row."""
    for slug in ("garbage", "garbage:2", OLD_SLUG):
        session.execute(f"INSERT INTO {table} VALUES ('basic', %s)", [slug])
    assert activation.change(session, [(kind, "basic", "garbage")], active=False, actor="ada").cells
    assert not activation.change(session, [(kind, "basic", "garbage")], active=False, actor="ada").cells
    assert activation.activated(session) == [(kind, "basic", OLD_SLUG), (kind, "basic", "garbage:2")]
    assert audit(session) == [("ada", "deactivate", f"{kind} pack basic garbage")]


def test_an_activation_and_its_audit_row_are_one_transaction(session, heart):
    """If the audit row cannot be written, nothing is activated."""
    session.execute("ALTER TABLE hdm_audit ADD CONSTRAINT shut CHECK (actor <> 'mallory')")
    with pytest.raises(Exception, match="shut"):
        activation.change(session, [("metric", "basic", heart.endpoint.slug)], active=True, actor="mallory")
    assert activation.activated(session) == []
