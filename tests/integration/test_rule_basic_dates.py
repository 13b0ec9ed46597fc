"""Which earlier dates rule pack `basic` compares with: what was measured, since a new baseline if there is one."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database
    from tests.integration.store_harness import Nights

FIRST = dt.date(2026, 3, 2)
ENDPOINT = {"slug": SLUG, "database": "ward", "type": "postgres", "config": {}, "incomplete": []}


@pytest.fixture
def written(database: Database, tmp_path: Path) -> Iterator[Nights]:
    """Nights of a ward."""
    with nights(Base(database, tmp_path)) as made:
        yield made


def day(number: int) -> str:
    return str(FIRST + dt.timedelta(number))


def ends(base: Base, number: int, *missing: str) -> None:
    """The ledger says that the date's metrics are whole, or without what is missing."""
    base.execute(
        """INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
               task_id, try_number, status, reported, finished_at, incomplete)
           VALUES ('metric', 'basic', '1.2', %s, %s, 'test', 'dag', 'run', 'task', 1, %s, true, now(), %s)""",
        *(SLUG, day(number), "partial" if missing else "success", json.dumps(missing)),
    )


def found(base: Base, number: int, **config: Any) -> list[tuple[Any, ...]]:
    """Judge a date; its alerts: level, rule, table, column."""
    run = base.judge(day(number), {**ENDPOINT, "config": config})
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    rows = base.rows(
        """SELECT a.alert_level, rule_name, a."table", a."column" FROM hdm_alerts a
        JOIN rule_basic r ON r.id_rule::text = a.rule_id WHERE a."date" = %s""",
        day(number),
    )
    return sorted((tuple(row.values()) for row in rows), key=str)


def text(nulls: int) -> dict[str, Any]:
    """A column of 100 texts, of which so many are null."""
    return column("text", value_counts=100 - nulls, na_values=nulls, percent_na_values=float(nulls), levels_count=3)


FOREIGN_KEY = """
INSERT INTO metric_basic_foreign_key (endpoint, "database", dbversion, "table", "column", parent_table, parent_column,
    "date", declared, values_count, orphans, parents, parents_covered, percent_orphans)
VALUES (%s, 'ward', '0.0', 'stays', %s, 'patients', %s, %s, true, 100, %s, 100, 20, %s)"""


def test_orphans_are_not_compared_with_a_night_without_the_parent(written: Nights) -> None:
    """Nothing of the parent was read: no value seemed to be an orphan."""
    base = written.base
    for number, orphans in enumerate((0, 60)):
        tables = {"stays": {"patient": column(value_counts=100, levels_count=50)}, "patients": {"id": column()}}
        written.write(day(number), tables)
        base.execute(FOREIGN_KEY, SLUG, "patient", "id", day(number), orphans, orphans)
    ends(base, 0, "patients")
    ends(base, 1)
    assert [alert for alert in found(base, 1) if alert[0] != "Info"] == []
    ends(base, 0, "another")
    assert [alert[1:] for alert in found(base, 1) if alert[0] != "Info"] == [("orphans", "stays", "patient")]


@pytest.mark.parametrize(
    ("missing", "is_compared"),
    [("stays.site", False), ("patients.site", False), ("stays.id", True), ("patients.patient", True)],
)
def test_orphans_of_a_key_of_several_columns_are_not_compared_with_a_night_without_one_of_them(
    written: Nights, missing: str, is_compared: bool
) -> None:
    """A key of several columns is stored with all their names; a date names those that it lacks one by one."""
    base = written.base
    for number, orphans in enumerate((0, 60)):
        tables = {"stays": {"patient": column(value_counts=100), "site": column()}, "patients": {"id": column()}}
        written.write(day(number), tables)
        base.execute(FOREIGN_KEY, SLUG, "patient, site", "id, site", day(number), orphans, orphans)
    ends(base, 0, missing)
    ends(base, 1)
    rules = [alert[1] for alert in found(base, 1) if alert[0] != "Info"]
    assert rules == (["orphans"] if is_compared else [])


STATE = json.dumps({"metric": "percent_na_values", "condition": "==", "conditionValue": 100, "baseline": True})
RULE = "INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES ('state', 'all', %s)"


@pytest.mark.parametrize(
    ("missing", "expected"), [("stays", []), ("stays.x", []), ("other", [("Warning", "state", "stays", "x")])]
)
def test_a_state_is_not_refuted_by_a_night_without_the_table(
    written: Nights, missing: str, expected: list[tuple[Any, ...]]
) -> None:
    """What is stored of a table that was not measured says nothing of it."""
    written.base.execute(RULE, STATE)
    for number, nulls in enumerate((100, 97, 100)):
        written.write(day(number), [measured("stays", {"x": text(nulls)}, rows=100)])
        ends(written.base, number, *([missing] if number == 1 else []))
    assert found(written.base, 2, generate=False) == expected


def test_a_baseline_of_a_column_in_all_tables_starts_anew(written: Nights) -> None:
    """As one of a whole table, and as one of a rule with `usual` does."""
    written.base.execute(RULE, STATE)
    for number in range(3):
        nulls = text(100 if number else 0)
        written.write(day(number), [measured("stays", {"x": nulls, "y": nulls}, rows=100)])
        ends(written.base, number)
    assert [place[2:] for place in found(written.base, 2, generate=False)] == [("stays", "x"), ("stays", "y")]
    query = """INSERT INTO rule_basic_baseline (id_rule, endpoint, "column", from_date)
        SELECT id_rule, %s, 'x', %s FROM rule_basic"""
    written.base.execute(query, SLUG, day(1))
    assert [place[2:] for place in found(written.base, 2, generate=False)] == [("stays", "y")]
