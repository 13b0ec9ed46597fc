"""The audit trail, as pages and commands read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hdm_airflow.base import activation, audit, configuration
from hdm_airflow.base.hook import HdmHook

CELLS: Any = [("metric", "basic", slug) for slug in ("a", "b_%", "c")]


@pytest.fixture
def session(base: Any) -> Any:
    """A base in which ada and bob have changed something."""
    with HdmHook().session() as connection:
        configuration.write(connection, "rule", "basic", "{}", actor="ada", version="1.0")
        activation.change(connection, CELLS, active=True, actor="bob")
        activation.change(connection, CELLS[:1], active=False, actor="ada")
        connection.execute(
            """INSERT INTO hdm_audit (actor, action, object, old) VALUES
            ('migration', 'deduplicate', 'hdm_core_dblist', '{"id": 1}'), ('old', 'activate', 'rule pack x y', NULL),
            ('old', 'deactivate', 'rule pack x y', NULL)"""
        )
        yield connection


def brief(entries: list[audit.Entry]) -> list[tuple[Any, ...]]:
    return [(one.actor, one.action, one.object, one.old, one.new, one.size) for one in entries]


BATCH = ("bob", "activate", "metric pack basic a", False, True, 3)
SINGLE = ("ada", "deactivate", "metric pack basic a", True, False, 1)
SET = ("ada", "config set", "hdm_pack_rule_conf basic:1.0", None, "{}", 1)


def test_everything_is_listed_newest_first_and_a_batch_once(session: Any) -> None:
    """Values of earlier releases are decoded: activations had none."""
    assert brief(audit.listed(session)) == [
        ("old", "deactivate", "rule pack x y", True, False, 1),
        ("old", "activate", "rule pack x y", False, True, 1),
        ("migration", "deduplicate", "hdm_core_dblist", {"id": 1}, None, 1),
        SINGLE,
        BATCH,
        SET,
    ]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"actor": "ada"}, [SINGLE, SET]),
        ({"action": "activate", "actor": "bob"}, [BATCH]),
        ({"object": "pack basic"}, [SINGLE, BATCH]),
        ({"object": "b_%"}, [("bob", "activate", "metric pack basic b_%", False, True, 3)]),  # text, not a pattern
        ({"object": "%"}, [("bob", "activate", "metric pack basic b_%", False, True, 3)]),
        ({"object": "pack basic", "actor": "bob"}, [BATCH]),
        ({"object": "nothing"}, []),
        ({"since": datetime.now(UTC) + timedelta(days=1)}, []),
        ({"since": datetime.now(UTC) - timedelta(days=1), "actor": "bob"}, [BATCH]),
    ],
)
def test_filters_hold_together(session: Any, filters: Any, found: Any) -> None:
    assert brief(audit.listed(session, **filters)) == found


@pytest.mark.parametrize("object_", [None, "a"])
def test_pages_follow_each_other_without_gap_or_repetition(session: Any, object_: str | None) -> None:
    """By the id of the last entry, which of a batch is the batch's."""
    every = audit.listed(session, object=object_)
    pages, before = [], None
    while found := audit.listed(session, object=object_, before_id=before, limit=2):
        pages += found
        before = found[-1].id
    assert pages == every


def test_a_batch_can_be_opened(session: Any) -> None:
    """Each of its rows, up to a limit."""
    (batch,) = audit.listed(session, actor="bob")
    assert batch.batch == batch.id
    assert [(one.object[-1], one.size) for one in audit.of_batch(session, batch.id)] == [("a", 3), ("%", 3), ("c", 3)]
    assert len(audit.of_batch(session, batch.id, limit=2)) == 2
    assert audit.of_batch(session, 999) == []


def test_the_names_for_filters(session: Any) -> None:
    assert audit.actors(session) == ["ada", "bob", "migration", "old"]
    assert audit.actions(session) == ["activate", "config set", "deactivate", "deduplicate"]
