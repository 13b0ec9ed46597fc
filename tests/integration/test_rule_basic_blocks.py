"""Rule pack basic reads and computes some tables at a time: what it finds does not depend on how many."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from polars.testing import assert_frame_equal

from tests.integration.test_rule_basic_exceptions import (
    DATES,
    EMPTY,
    ENDPOINT,
    FILLED,
    RETYPED,
    SLUG,
    installed,
    judged,
    written,
)
from tests.pack_modules import load

if TYPE_CHECKING:
    from tests.integration.pack_harness import Base
    from tests.integration.store_harness import Nights

__all__ = ["written"]

pack = load(
    (
        *("conditions", "checks", "transfer", "relations", "usable_dates", "earlier", "steps", "seen", "date_steps"),
        *("key_steps", "number_steps", "text_steps", "row_steps", "column_steps", "new_rows", "level_steps", "sizes"),
        *("days", "since", "derived", "rules", "accepted"),
    ),
    "rule-packs/basic",
)
STATEMENTS = 50  # of a run with the shipped rules, besides savepoints
LEDGER = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at, incomplete)
VALUES ('metric', 'basic', '1.2', %s, %s, 'test', 'dag', 'run', 'task', 1, 'success', true, now(), '[]')"""


def derived(base: Base) -> dict[str, Any]:
    """All derived metrics of the last night."""
    date = dt.date.fromisoformat(DATES[2])
    with base.database.connect() as connection:
        known = pack.relations.known(connection)
        metrics = {*pack.derived.METRICS} & {*pack.derived.known(known)}
        read = pack.relations.read(connection, SLUG, date, pack.derived.needed(metrics, known), known)
        earlier = pack.earlier.Earlier(connection, SLUG, date, known)
        found, errors = pack.derived.add(read, metrics, earlier, pack.accepted.Accepted(earlier.starts, []))
        return {of: one.frame for of, one in found.items()} | {"errors": errors}


@pytest.mark.parametrize(("block", "recalled"), [(1, 1), (1, 60_000), (20_000, 1), (10, 20)])
def test_blocks_and_slices_change_nothing(
    written: tuple[Base, Nights], monkeypatch: pytest.MonkeyPatch, block: int, recalled: int
) -> None:
    """Also of a column that is new, and of tables of different size."""
    base = installed(written)
    judged(written, {"comment": EMPTY, "ward": RETYPED, "postcode": FILLED}, added="remark")
    expected = derived(base)
    assert (expected["column"]["step_emptied"] > 0).sum() == len({*expected["column"]["table"]})
    monkeypatch.setattr(pack.derived, "BLOCK", block)
    monkeypatch.setattr(pack.steps, "RECALLED", recalled)
    monkeypatch.setattr(pack.level_steps, "RECALLED", recalled)
    found = derived(base)
    assert found.keys() == expected.keys()
    assert expected.pop("errors") == found.pop("errors") == {}
    for of, frame in expected.items():
        assert_frame_equal(found[of], frame)


def test_what_fails_of_some_tables_is_an_error_of_all(
    written: tuple[Base, Nights], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other metrics are those of all tables."""
    base = installed(written)
    judged(written, {"comment": EMPTY})
    expected = derived(base)
    last = max(expected["column"]["table"])
    of_columns = pack.level_steps.of_columns

    def fail(columns: Any, *others: Any) -> Any:
        if last in columns["table"].to_list():
            raise ValueError("of the last table")
        return of_columns(columns, *others)

    monkeypatch.setattr(pack.derived, "BLOCK", 1)
    monkeypatch.setattr(pack.level_steps, "of_columns", fail)
    found = derived(base)
    assert {name for _, name in found.pop("errors")} == {*pack.level_steps.METRICS}
    assert expected.pop("errors") == {}
    for of, frame in expected.items():
        assert_frame_equal(found[of], frame.drop(pack.level_steps.METRICS, strict=False))


def test_days_are_judged_of_all_tables_at_once(written: tuple[Base, Nights], monkeypatch: pytest.MonkeyPatch) -> None:
    """A holiday is told from what most tables are like."""
    base = installed(written)
    judged(written, {"comment": EMPTY})
    of_tables, asked = pack.days.of_tables, []

    def record(tables: Any, *others: Any, **named: Any) -> Any:
        asked.append(tables.height)
        return of_tables(tables, *others, **named)

    monkeypatch.setattr(pack.derived, "BLOCK", 1)
    monkeypatch.setattr(pack.days, "of_tables", record)
    found = derived(base)
    assert asked == [found["table"].height]
    assert asked[0] > 1


def test_a_run_with_the_shipped_rules_sends_few_statements(written: tuple[Base, Nights]) -> None:
    """As the server logs them: on the third night, with columns that have changed."""
    base = installed(written)
    judged(written, {"comment": EMPTY, "ward": RETYPED}, added="remark")
    for date in DATES:
        base.execute(LEDGER, SLUG, date)
    server, name = base.database.server, base.database.name
    with base.database.connect(autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'".encode())
    before = len(server.log.read_text(errors="replace"))
    assert base.judge(DATES[2], ENDPOINT).only()["status"] == "ok"
    text = server.log.read_text(errors="replace")[before:]
    sent = sum(text.count(f"LOG:  {kind} ") for kind in ("statement:", "execute"))
    sent -= sum(text.count(f"LOG:  statement: {command} ") for command in ("SAVEPOINT", "RELEASE"))
    assert 0 < sent <= STATEMENTS, sent
    assert text.count("WITH ORDINALITY AS d") == len(("table", "column")), "usual values: each relation once"
