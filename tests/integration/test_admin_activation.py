"""Activation as people change it: checked, in one transaction, never over somebody else's change."""

from __future__ import annotations

import pytest

from hdm_airflow.admin import activation
from hdm_airflow.base import activation as stored
from hdm_airflow.base import endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, ConflictError

HEART = Endpoint(name="heart", type="postgres", host="h", port="1", user="u")
LUNG = Endpoint(name="lung", type="postgres", host="h", port="1", user="u")
GONE = "gone:mysql:h:1:u:false"


@pytest.fixture
def session(base):
    """A session on a base with two endpoints."""
    with HdmHook().session() as connection:
        for one in (HEART, LUNG):
            endpoints.add(connection, one, None, actor="ada")
        connection.execute("TRUNCATE hdm_audit")
        yield connection


def test_cells_change_together_and_are_undone_together(session):
    """Those that were so already are told apart, and stay at an undo."""
    activation.change(session, [("metric", "basic", HEART.slug)], active=True, actor="ada")
    cells = [(kind, "basic", one.slug) for kind in ("metric", "rule") for one in (LUNG, HEART)]
    done = activation.change(session, cells, active=True, actor="bob")
    assert done.unchanged == [("metric", "basic", HEART.slug)]
    assert len(done.changed) == 3
    activation.change(session, [("rule", "basic", LUNG.slug)], active=False, actor="eve")
    undone = activation.undo(session, done.batch, actor="bob")
    assert undone.changed == [("metric", "basic", LUNG.slug), ("rule", "basic", HEART.slug)]
    assert undone.unchanged == [("rule", "basic", LUNG.slug)]
    assert stored.activated(session) == [("metric", "basic", HEART.slug)]


def test_endpoint_that_is_not_registered_changes_nothing(session):
    """All that are missing are named at once. Taking it away again must stay possible."""
    cells = [("metric", "basic", slug) for slug in (HEART.slug, GONE, "garbage")]
    with pytest.raises(ConfigurationError, match=f"there is no endpoint 'garbage', '{GONE}'"):
        activation.change(session, cells, active=True, actor="ada")
    assert stored.activated(session) == []
    session.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('odd name', 'garbage')")
    done = activation.change(session, [("metric", "odd name", "garbage")], active=False, actor="ada")
    assert done.changed == [("metric", "odd name", "garbage")]


@pytest.mark.parametrize(
    "cell",
    [("metric", "a b", HEART.slug), ("other", "basic", HEART.slug), ("rule", "x\0", "y"), ("rule", "x", "\ud800")],
)
def test_cell_that_cannot_be_is_refused(session, cell):
    """What a page sends may be anything."""
    with pytest.raises(ConfigurationError, match=r"cannot|is no kind"):
        activation.change(session, [cell], active=True, actor="ada")
    with pytest.raises(ConfigurationError, match=r"cannot|is no kind"):
        activation.toggle(session, *cell, active=True, seen=False, actor="ada")


def test_toggle_changes_what_the_person_saw(session):
    """Both ways, with a row in the audit trail each."""
    for seen in (False, True):
        done = activation.toggle(session, "rule", "basic", HEART.slug, active=not seen, seen=seen, actor="ada")
        assert done.changed == [("rule", "basic", HEART.slug)]
    assert session.execute("SELECT count(*) AS many FROM hdm_audit").fetchone()["many"] == 2


@pytest.mark.parametrize("seen", [False, True])
def test_toggle_after_somebody_else_s_says_how_it_is_and_who_did_it(session, seen):
    """The second of two people who wanted the same learns that it is done."""
    activation.change(session, [("rule", "basic", HEART.slug)], active=True, actor="ada")
    if seen:
        activation.change(session, [("rule", "basic", HEART.slug)], active=False, actor="bob")
    before = session.execute("SELECT * FROM hdm_audit").fetchall()
    now, actor = ("no longer", "bob") if seen else ("already", "ada")
    with pytest.raises(
        ConflictError, match=f"rp_basic is {now} activated on {HEART.slug}: by {actor}, at 20"
    ) as caught:
        activation.toggle(session, "rule", "basic", HEART.slug, active=not seen, seen=seen, actor="eve")
    assert caught.value.where == f"rule pack basic {HEART.slug}"
    assert session.execute("SELECT * FROM hdm_audit").fetchall() == before


def test_toggle_to_what_the_person_saw_is_refused(session):
    """It is a fault of the page; to change nothing would hide it."""
    with pytest.raises(ConfigurationError, match="would leave rp_basic not activated"):
        activation.toggle(session, "rule", "basic", HEART.slug, active=False, seen=False, actor="ada")
