"""The bench of planted faults: what an alert names, when two alerts are the same, which places a fault can have."""

from __future__ import annotations

import datetime as dt

import pytest

from benchmarks.faults.data import DATASETS
from benchmarks.faults.data.dataset import FIRST, HOLIDAYS, event_day, is_working, metric_date
from benchmarks.faults.hdm_base import Alert
from benchmarks.faults.judge import names
from benchmarks.faults.kinds import FAULTS
from benchmarks.faults.schema import FK, tables

WEEKEND = (5, 6)


def alert(table: str, column: str, message: str) -> Alert:
    return Alert(level="High", table=table, column=column, rule="rows", message=message)


@pytest.mark.parametrize(
    ("found", "table", "column", "is_named"),
    [
        (alert("stays", "drg", "The column is empty"), "stays", "drg", True),
        (alert("stays", "drg", "The column is empty"), "stays", "", True),  # a table's fault may show in a column
        (alert("stays", "drg", "The column is empty"), "stays", "cost", False),
        (alert("stays", "drg", "The column is empty"), "wards", "", False),
        (alert("stays", "", "More nulls in drg, cost"), "stays", "cost", True),  # one alert for several columns
        (alert("stays", "", "More nulls in drg, costs"), "stays", "cost", False),
        (alert("", "", "tables were dropped: stays"), "stays", "", True),
        (alert("", "", "a table was dropped"), "stays", "", False),
    ],
)
def test_an_alert_is_in_the_right_place_if_it_names_table_and_column(
    found: Alert, table: str, column: str, is_named: bool
) -> None:
    """Somebody must be able to find the fault: an alert of the table alone does not tell which column."""
    assert names(found, table, column) is is_named


def test_alerts_are_the_same_as_the_twins_whatever_their_numbers() -> None:
    """The faulty night has other rows: only a new statement is the fault's."""
    twin = alert("stays", "drg", "41.2 % are empty; the 7 dates before were between 1 and 2 %")
    same = alert("stays", "drg", "43 % are empty; the 7 dates before were between 1.5 and 2 %")
    assert twin.identity == same.identity
    assert twin.identity != alert("stays", "drg", "43 % are empty").identity


def test_nights_have_weekends_a_holiday_and_the_end_of_a_month_but_faults_come_on_working_days() -> None:
    """Rules that are silent only on ordinary days are not silent."""
    days = [event_day(night) for night in range(1, 25)]
    assert sum(day.weekday() in WEEKEND for day in days) == 6
    assert HOLIDAYS & set(days)
    assert len({day.month for day in days}) > 1
    assert all(is_working(event_day(k + 1)) for k in (1, 5, 20))
    assert metric_date(1) == FIRST == event_day(1) + dt.timedelta(days=1)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"omop"}))
def test_foreign_keys_lead_to_columns_that_exist(name: str) -> None:
    """A fault that has no parent to break would never be planted, and nobody would notice."""
    dataset = DATASETS[name]()
    for table in dataset.tables:
        for column in table.of(FK):
            assert column.parent
            parent, key = column.parent
            assert dataset[parent][key].type == column.type, f"{table.name}.{column.name}"


def test_a_table_is_read_from_text() -> None:
    """One line per column, as people write it."""
    one, two = tables("""
wards declared
  ward_id integer key
stays declared fed
  stay_id bigint key
  ward_id integer fk wards.ward_id
  weight double_precision number
""")
    assert (one.key, two.is_fed, two["ward_id"].parent) == (one["ward_id"], True, ("wards", "ward_id"))
    assert two.statement() == (
        'CREATE TABLE "stays" ("stay_id" bigint, "ward_id" integer, "weight" double precision,'
        ' PRIMARY KEY ("stay_id"), FOREIGN KEY ("ward_id") REFERENCES "wards" ("ward_id"))'
    )


def test_there_are_more_than_forty_kinds_of_faults_in_every_group() -> None:
    """A fault that nobody plants is one that nobody misses."""
    assert len(FAULTS) > 40
    assert {fault.group for fault in FAULTS.values()} == {
        *("rows", "structure", "nulls", "keys", "levels", "dates", "numbers", "texts")
    }
