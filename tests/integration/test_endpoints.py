"""Endpoints in the HDM base: registered, changed, found, removed, and every change in the audit trail."""

from __future__ import annotations

import pytest

from hdm_airflow.base import activation, endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError

HEART = Endpoint(name="heart", type="mysql", host="db", port="3306", user="hdm")
STRANGE = [
    Endpoint(name="100% cœur: 心脏", type="postgres", host="fe80::1", port="5432", user="o'brien%s", ssl=True),
    Endpoint(name="%3A", type="mysql", host="%25", port="%", user=":"),
    Endpoint(name='"; DROP TABLE x', type="sqlite", host="/données/a:b.db"),
]


@pytest.fixture
def session(base):
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


def audit(session):
    return session.execute("SELECT actor, action, object, old, new FROM hdm_audit ORDER BY id").fetchall()


@pytest.mark.parametrize("endpoint", [HEART, *STRANGE], ids=lambda endpoint: endpoint.name)
def test_an_endpoint_is_read_as_it_was_registered(session, endpoint):
    """Unicode, quotes, `%` and `:` survive, and the base and the code make the same slug of it."""
    assert endpoints.add(session, endpoint, None, actor="ada") is True
    (one,) = endpoints.registered(session)
    assert (one.endpoint, one.conn_id) == (endpoint, None)
    assert session.execute("SELECT slug FROM hdm_endpoint").fetchone() == {"slug": endpoint.slug}
    assert Endpoint.from_slug(endpoint.slug) == endpoint
    assert endpoints.find(session, endpoint.slug) == endpoints.find(session, endpoint.name) == one


def test_registering_again_changes_only_the_connection(session):
    """One row, the same id, and an audit row with the connection before and after."""
    endpoints.add(session, HEART, None, actor="ada")
    before = endpoints.find(session, "heart")
    assert endpoints.add(session, HEART, "vault_heart", actor="bob") is False
    after = endpoints.find(session, "heart")
    assert (after.id, after.endpoint, after.conn_id) == (before.id, HEART, "vault_heart")
    item = f"hdm_core_dblist {HEART.slug}"
    assert audit(session) == [
        {"actor": "ada", "action": "endpoint add", "object": item, "old": None, "new": {"conn_id": None}},
        {
            "actor": "bob",
            "action": "endpoint change",
            "object": item,
            "old": {"conn_id": None},
            "new": {"conn_id": "vault_heart"},
        },
    ]


def test_endpoints_that_differ_in_one_part_are_different(session):
    """Two hosts may have a database of the same name: the name finds neither, and the error lists both."""
    other = Endpoint(name="heart", type="mysql", host="db2", port="3306", user="hdm")
    for endpoint in (HEART, other):
        assert endpoints.add(session, endpoint, None, actor="ada")
    assert [one.endpoint for one in endpoints.registered(session)] == [other, HEART]  # by slug
    with pytest.raises(ConfigurationError) as failure:
        endpoints.find(session, "heart")
    assert failure.value.what == "'heart' names 2 endpoints"
    assert HEART.slug in failure.value.hint
    assert other.slug in failure.value.hint
    assert endpoints.find(session, HEART.slug).endpoint == HEART


def test_an_unknown_endpoint_is_an_error_that_lists_the_known_ones(session):
    """Even if there are none."""
    with pytest.raises(ConfigurationError, match="the endpoints are: none"):
        endpoints.find(session, "heart")
    endpoints.add(session, HEART, None, actor="ada")
    with pytest.raises(ConfigurationError, match=f"the endpoints are: {HEART.slug}"):
        endpoints.find(session, "lungs")


def test_an_endpoint_is_found_by_an_old_form_of_its_slug(session):
    """For example with a bare IPv6 host, which the original wrote."""
    endpoint = Endpoint(name="lungs", type="postgres", host="fe80::1", port="5432", user="hdm")
    endpoints.add(session, endpoint, None, actor="ada")
    assert endpoints.find(session, "lungs:postgres:fe80::1:5432:hdm:False").endpoint == endpoint


def test_removing_an_endpoint_removes_its_activations_in_every_form(session):
    """No activation remains without an endpoint; other endpoints keep theirs; the audit row lists the removed ones."""
    lungs = Endpoint(name="lungs", type="postgres", host="fe80::1", port="5432", user="hdm")
    for endpoint in (HEART, lungs):
        endpoints.add(session, endpoint, "vault", actor="ada")
        activation.change(
            session,
            [("metric", "basic", endpoints.find(session, endpoint.slug).endpoint.slug)],
            active=True,
            actor="ada",
        )
    session.execute(
        "INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', %(old)s), ('row-count', %(old)s)",
        {"old": "lungs:postgres:fe80::1:5432:hdm:false"},
    )
    session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', 'lungs:postgres:fe80::1:5432:hdm:False')")
    activated = endpoints.remove(session, endpoints.find(session, "lungs"), actor="bob")
    assert activated == 3
    assert [one.endpoint for one in endpoints.registered(session)] == [HEART]
    assert activation.activated(session) == [("metric", "basic", HEART.slug)]
    old = {"conn_id": "vault", "activated": ["mp_basic", "mp_row-count", "rp_basic"]}
    wanted = {"actor": "bob", "action": "endpoint remove", "object": f"hdm_core_dblist {lungs.slug}"}
    assert audit(session)[-1] == {**wanted, "old": old, "new": None}


def test_a_change_and_its_audit_row_are_one_transaction(session):
    """If the audit row cannot be written, nothing changes."""
    session.execute("ALTER TABLE hdm_audit ADD CONSTRAINT shut CHECK (actor <> 'mallory')")
    with pytest.raises(Exception, match="shut"):
        endpoints.add(session, HEART, None, actor="mallory")
    assert endpoints.registered(session) == []
