"""Activation in the HDM base: which packs run on which endpoints."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hdm_airflow.base import activation, endpoints, incident_lock, pack_rename, rename
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, HdmBaseError

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


LUNGS = Endpoint(name="lungs", type="postgres", host="db")
CELLS = [("metric", "basic", HEART.slug), ("rule", "basic", HEART.slug), ("rule", "basic", LUNGS.slug)]


def entries(session):
    rows = session.execute("SELECT id, action, object, old, new, batch FROM hdm_audit ORDER BY id").fetchall()
    return [tuple(row.values()) for row in rows]


def test_a_bulk_change_is_one_batch_with_a_row_per_cell(session):
    """Under the id of its first row; what was active already has no row."""
    activation.change(session, [CELLS[1]], active=True, actor="ada")
    changed = activation.change(session, [*CELLS, CELLS[0]], active=True, actor="bob")
    assert changed.cells == [CELLS[0], CELLS[2]]
    (_, *single), *batch = entries(session)
    assert single == ["activate", f"rule pack basic {HEART.slug}", False, True, None]
    assert [row[0] for row in batch] == [changed.batch, changed.batch + 1]
    assert {row[1:2] + row[3:] for row in batch} == {("activate", False, True, changed.batch)}
    assert activation.change(session, CELLS, active=True, actor="bob") == activation.Changed(cells=[], batch=None)
    assert activation.change(session, [], active=True, actor="bob") == activation.Changed(cells=[], batch=None)
    removed = activation.change(session, CELLS, active=False, actor="bob")
    assert (removed.cells, activation.activated(session)) == (CELLS, [])
    assert {row[1:2] + row[3:] for row in entries(session)[3:]} == {("deactivate", True, False, removed.batch)}


def test_a_cell_that_is_active_under_an_old_form_is_not_activated_again(session):
    """There would be two rows for one endpoint."""
    session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [OLD_SLUG])
    assert activation.change(session, [("rule", "basic", HEART.slug)], active=True, actor="ada").cells == []
    assert activation.change(session, [("rule", "basic", OLD_SLUG)], active=False, actor="ada").cells == [
        ("rule", "basic", HEART.slug)
    ]
    assert activation.activated(session) == []


@pytest.mark.parametrize("active", [True, False])
def test_a_bulk_change_takes_the_same_number_of_statements_for_any_number_of_cells(session, active):
    """A page waits for it."""
    counts = []
    for number in (2, 200):
        cells = [(kind, f"p{one}", HEART.slug) for one in range(number) for kind in ("metric", "rule")]
        activation.change(session, cells, active=not active, actor="ada")
        counts.append(
            statements(session, lambda cells=cells: activation.change(session, cells, active=active, actor="ada"))
        )
    assert counts[0] == counts[1] <= 8


def statements(session, work):
    """The number of statements that work sends."""
    sent = []
    execute = type(session).execute

    def counting(query, *args, **kwargs):
        sent.append(query)
        return execute(session, query, *args, **kwargs)

    session.execute = counting
    try:
        work()
    finally:
        del session.execute
    return len(sent)


def test_undo_reverses_what_nobody_has_changed_since(session):
    """One cell was changed twice: it stays as somebody wanted it. The undo can be undone."""
    activation.change(session, [CELLS[0]], active=True, actor="ada")
    done = activation.change(session, CELLS, active=True, actor="ada")
    activation.change(session, [CELLS[1]], active=False, actor="bob")
    activation.change(session, [CELLS[1]], active=True, actor="bob")
    undone = activation.undo(session, done.batch, actor="eve")
    assert undone.cells == [CELLS[2]]
    assert activation.activated(session) == CELLS[:2]
    assert entries(session)[-1][1:] == ("deactivate", f"rule pack basic {LUNGS.slug}", True, False, None)
    again = activation.undo(session, entries(session)[-1][0], actor="eve")
    assert (again.cells, activation.activated(session)) == ([CELLS[2]], CELLS)
    assert activation.undo(session, done.batch, actor="eve").cells == []


@pytest.mark.parametrize("change", ["remove", "rename", "pack rename"])
def test_undo_leaves_out_what_has_another_name_or_is_gone(session, heart, change):
    """A deactivation that is undone would activate packs on a slug that does not exist any more."""
    activation.change(session, CELLS[:2], active=True, actor="ada")
    done = activation.change(session, CELLS[:2], active=False, actor="ada")
    left = []
    if change == "remove":
        endpoints.remove(session, heart, actor="bob")
    elif change == "rename":
        rename.start(session, heart, LUNGS, [], actor="bob")
        rename.finish(session, HEART.slug, LUNGS.slug, actor="bob")
    else:
        session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', 'x')")
        pack_rename.rename(session, "rule", "basic", "newer", actor="bob")
        left = [CELLS[0]]
    assert activation.undo(session, done.batch, actor="eve").cells == left


def test_undo_of_what_never_was_is_an_error(session):
    """A number that somebody has mistyped, or that is of another change."""
    with pytest.raises(ConfigurationError, match="there is no activation or deactivation 12345"):
        activation.undo(session, 12345, actor="ada")


def test_a_deactivation_waits_three_seconds_for_a_derivation_and_then_changes_nothing(session, base):
    """Its lock is held by another session."""
    activation.change(session, CELLS, active=True, actor="ada")
    with HdmHook().session() as other, other.transaction():
        incident_lock.take(other, "basic")
        started = time.monotonic()
        with pytest.raises(HdmBaseError, match="incidents are being derived, try again"):
            activation.change(session, CELLS, active=False, actor="ada")
        assert 2.5 < time.monotonic() - started < 10
        assert activation.activated(session) == CELLS
        assert activation.change(session, CELLS[:1], active=False, actor="ada").cells == CELLS[:1]
    assert activation.change(session, CELLS[1:], active=False, actor="ada").cells == CELLS[1:]


def test_two_bulk_changes_at_once_both_end_well(session, base):
    """Of the same cells in opposite orders: each changes what the other has left."""
    cells = [(kind, f"p{number}", HEART.slug) for number in range(40) for kind in ("metric", "rule")]

    def flip(number):
        with HdmHook().session() as own:
            for turn in range(6):
                activation.change(own, cells[:: 1 - 2 * number], active=bool(turn % 2), actor="ada")

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(flip, number) for number in range(2)]:
            done.result(timeout=60)
    assert set(activation.activated(session)) == set(cells)
