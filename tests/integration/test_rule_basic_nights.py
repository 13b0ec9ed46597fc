"""One night after the other, of made-up metrics: which alerts the shipped rules raise, and what they say."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

SERVER = {"type": "postgres", "host": "db.example", "port": 5432, "user": "reader", "password": "x", "ssl": False}
ENDPOINT = {"slug": SLUG, "database": "ward", **SERVER, "config": {}}
MONDAY = dt.date(2026, 3, 2)
WHOLE = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at, incomplete)
VALUES ('metric', 'basic', '1.2', %s, %s, 'test', 'dag', 'run', 'task', 1, 'success', true, now(), '[]')"""
ORPHANS = """
INSERT INTO metric_basic_foreign_key (endpoint, "database", dbversion, "table", "column", parent_table, parent_column,
    "date", declared, values_count, orphans, parents, parents_covered, percent_orphans)
VALUES (%s, 'ward', '0.0', %s, 'patient', 'patients', 'id', %s, true, %s, %s, 100, 20, 0)"""


def night(number: int) -> str:
    """A metric date; 0 is a Monday."""
    return str(MONDAY + dt.timedelta(number))


@pytest.fixture
def written(database: Database, tmp_path: Path) -> Iterator[Nights]:
    """A base for made-up nights."""
    with nights(Base(database, tmp_path)) as writer:
        yield writer


def judged(written: Nights, number: int, *tables: Any) -> list[dict[str, Any]]:
    """Write a whole night, judge it, and give its alerts: level, rule, table, column, alert_message, ..."""
    written.write(night(number), list(tables))
    written.base.execute(WHOLE, SLUG, night(number))
    return judged_again(written, number)


def judged_again(written: Nights, number: int) -> list[dict[str, Any]]:
    """Judge a night that is written, and give its alerts."""
    run = written.base.judge(night(number), ENDPOINT)
    assert run.exit_code == 0, run.output
    return written.base.rows(
        """SELECT a.alert_level AS level, r.rule_name AS rule, a."table", a."column", a.alert_message AS message,
            a.observed, a.former, a.threshold
        FROM hdm_alerts a JOIN rule_basic r ON r.id_rule::text = a.rule_id
        WHERE a."date" = %s AND a.endpoint = %s ORDER BY 1, 2, 3, 4""",
        *(night(number), SLUG),
    )


def told(alerts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Level, rule, table and column of alerts."""
    return [(alert["level"], alert["rule"], alert["table"], alert["column"]) for alert in alerts]


def text(rows: int, nulls: int = 0, **metrics: Any) -> dict[str, Any]:
    """A column of three codes."""
    share = 100.0 * nulls / rows
    counts = {"value_counts": rows - nulls, "na_values": nulls, "percent_na_values": share}
    return column("text", **{**counts, "levels_count": 3 if nulls < rows else 0, **metrics})


def numbers(rows: int) -> dict[str, Any]:
    """A column of numbers that are all different."""
    return column(value_counts=rows, levels_count=rows, percent_na_values=0.0)


def test_a_column_that_empties_stands_for_three_nights_and_then_is_silent(written: Nights) -> None:
    found = []
    for number in range(10):
        nulls = 100 if number >= 4 else 0
        found.append(
            told(judged(written, number, measured("stays", {"id": numbers(100), "x": text(100, nulls)}, rows=100)))
        )
    alert = [("High", "empty column", "stays", "x")]
    assert found == [[], [], [], [], alert, alert, alert, [], [], []]


def test_a_state_that_comes_and_goes_is_one_info(written: Nights) -> None:
    """A column of appointments, without any in the future on one night in seven."""
    found = []
    for number in range(9):
        at = column("date", value_counts=100, levels_count=90, future_dates=0 if number % 7 == 5 else 3)
        found += told(judged(written, number, measured("plans", {"id": numbers(100), "at": at}, rows=100)))
    assert found == [("Info", "future dates", None, None)]


def test_orphans_of_a_table_are_not_explained_by_another_tables_lost_rows(written: Nights) -> None:
    """Rows of `orders` are lost, and some of the rest refer to no patient; so do some of `stays`, which is whole."""
    found = []
    for number in range(2):
        sizes = {"orders": 1000 - 500 * number, "stays": 1000, "patients": 100}
        tables = [
            measured(name, {"id": numbers(rows), "patient": column(value_counts=rows, levels_count=50)}, rows=rows)
            for name, rows in sizes.items()
        ]
        judged(written, number, *tables)
        for name in ("orders", "stays"):
            written.base.execute(ORPHANS, *(SLUG, name, night(number), sizes[name], 200 * number))
        found = told(judged_again(written, number))
    assert [alert for alert in found if alert[0] == "High"] == [
        ("High", "orphans", "stays", "patient"), ("High", "rows lost", "orders", None),
    ]  # fmt: skip


def test_lost_rows_do_not_explain_nulls(written: Nights) -> None:
    """Shares do not follow from the number of rows. What lost rows do explain is named."""
    found = []
    for number in range(2):
        rows, nulls = (1000, 0) if number == 0 else (700, 300)
        stays = {
            "id": numbers(rows),
            "ward": text(rows, nulls),
            "at": column("date", value_counts=rows, future_dates=0),
        }
        found = told(judged(written, number, measured("stays", stays, rows=rows)))
    assert found == [("High", "more nulls", "stays", "ward"), ("High", "rows lost", "stays", None)]


def test_what_may_be_a_weekend_is_no_second_alert(written: Nights) -> None:
    """On the first Saturday the tables are nearly empty, and means differ: one alert per table."""
    found = []
    for number in range(6):
        rows, mean = (10, 50.0) if number == 5 else (1000, 5.0)
        cost = {"na_values": 0, "percent_na_values": 0.0, "mean_num_var": mean, "std_num_var": 1.0, "levels_count": 50}
        tables = [
            measured(name, {"id": numbers(rows), "x": column("double precision", value_counts=rows, **cost)}, rows=rows)
            for name in ("stays", "visits")
        ]
        found = told(judged(written, number, *tables))
    assert [(alert[2], alert[3]) for alert in found] == [("stays", None), ("visits", None)]


def test_an_exception_stands_for_three_nights_as_its_rule_does(written: Nights) -> None:
    """Its alerts keep a night out of what later ones are compared with, too."""
    found = []
    for number in range(6):
        stays = {"id": numbers(100), "ward": text(100, 100 if number >= 2 else 0)}
        found.append(told(judged(written, number, measured("stays", stays, rows=100))))
        if number == 0:
            names = "rule_name, condition_scope, alert_scope, rule_content, alert_message, cause, yields_to"
            written.base.execute(
                f"""INSERT INTO rule_basic ({names}, "table", "column", alert_level)
                SELECT {names}, 'stays', 'ward', 'High' FROM rule_basic
                WHERE shipped IN ('empty column', 'more nulls', 'some more nulls')"""
            )
    alert = [("High", "empty column", "stays", "ward")]
    assert found == [[], [], alert, alert, alert, []]


def test_a_fault_on_the_second_night_of_a_new_table_is_found(written: Nights) -> None:
    """Its first night, on which it was alerted as new, is what it is compared with."""
    visits = measured("visits", {"id": numbers(100)}, rows=100)
    assert judged(written, 0, visits) == []
    stays = {"id": numbers(100), "ward": text(100)}
    assert told(judged(written, 1, visits, measured("stays", stays, rows=100))) == [
        ("Warning", "new table", "stays", None)
    ]
    stays["ward"] = text(100, 100)
    assert told(judged(written, 2, visits, measured("stays", stays, rows=100))) == [
        ("High", "empty column", "stays", "ward")
    ]


PAIR = """
INSERT INTO metric_basic_pair (endpoint, "database", dbversion, "table", "column", other_column, "date", both_count,
    greater_count, equal_count)
VALUES (%s, 'ward', '0.0', 'stays', 'begins', 'ends', %s, 100, 50, 0)"""
OF_PAIRS = '{"metric": "greater_count", "of": "pair", "condition": ">", "conditionValue": 0, "baseline": true}'


def test_one_pair_of_columns_is_told_in_the_singular_and_names_both(written: Nights) -> None:
    dates = {name: column("date", value_counts=100) for name in ("begins", "ends")}
    judged(written, 0, measured("stays", dates, rows=100))
    written.base.execute(PAIR, SLUG, night(0))
    written.base.execute(
        """INSERT INTO rule_basic (rule_name, alert_message, condition_scope, rule_content)
        VALUES ('order', 'The order is wrong', 'all', %s)""",
        OF_PAIRS,
    )
    (alert,) = judged_again(written, 0)
    expected = "The order is wrong (since the first date, 1 pair of columns): stays.begins and ends"
    assert (alert["level"], alert["message"]) == ("Info", expected)


def test_large_counts_have_no_exponent(written: Nights) -> None:
    """Neither in the message nor beside it."""
    found = []
    for number in range(5):
        rows = 2_345_678 if number == 4 else 12_345_678 + number
        found = judged(written, number, measured("stays", {"id": numbers(1000)}, rows=rows))
        if number == 0:
            written.base.execute("UPDATE rule_basic SET enabled = rule_name = 'unusually few rows'")
    (alert,) = found
    assert (alert["observed"], alert["former"]) == ("2345678", "12345681")
    assert alert["message"].startswith("Far fewer rows than usual: now 2,345,678; usual is ")
