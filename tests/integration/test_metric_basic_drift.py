"""Schema drift as metric pack basic stores it: what is new, gone, of another type, or looks renamed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import Nights, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

FIRST, SECOND, THIRD, FOURTH = "2026-01-31", "2026-02-03", "2026-02-04", "2026-02-05"
NEW, DROPPED, RETYPED = ("new", None), ("dropped", None), ("retyped", None)


@pytest.fixture
def ward(database: Database, tmp_path: Path) -> Iterator[Nights]:
    """Nights of one endpoint, in an HDM base of their own."""
    with nights(Base(database, tmp_path)) as written:
        yield written


def counts(ward: Nights, date: str, label: str) -> tuple[int, ...]:
    """New, dropped, renamed and retyped columns of a table."""
    row = ward.tables(date)[label]
    return tuple(row[f"columns_{change}"] for change in ("new", "dropped", "renamed", "retyped"))


def test_what_came_went_or_changed_its_type_is_noted_once(ward: Nights) -> None:
    """On the first date without it, with the date on which it was last measured; when it is back it is new."""
    ward.write(FIRST, {"t": {"a": column("text"), "b": column(), "c": column()}, "u": {"x": column()}})
    assert ward.changes(FIRST) == {}
    now = {"t": {"b": column("text"), "c": column(), "d": column("date")}}
    for run_id in ("one", "two"):  # a second run on the same date says the same
        assert ward.write(SECOND, now, run_id=run_id) == 5
        assert ward.changes(SECOND) == {("t", "a"): DROPPED, ("u", "x"): DROPPED, ("t", "b"): RETYPED, ("t", "d"): NEW}
        assert counts(ward, SECOND, "t") == (1, 1, 0, 1)
        assert counts(ward, SECOND, "u")[1] == 1
    found = ward.base.metrics(SECOND)
    gone, retyped = found["t", "a"], found["t", "b"]
    assert (gone["value_counts"], gone["previous_date"]) == (None, dt.date(2026, 1, 31))
    assert (retyped["delta_data_type"], retyped["delta_infered_data_type"], retyped["delta_levels_count"]) == (1, 1, 0)
    assert ward.tables(SECOND)["u"]["schema_change"] == "dropped"
    ward.write(THIRD, now)
    assert ward.changes(THIRD) == {}
    assert {label: row["schema_change"] for label, row in ward.tables(THIRD).items()} == {"t": ""}
    ward.write(FOURTH, {"t": {**now["t"], "a": column()}, "u": {"x": column()}})
    assert ward.changes(FOURTH) == {("t", "a"): NEW, ("u", "x"): NEW}
    assert ward.base.metrics(FOURTH)["t", "a"]["previous_date"] == dt.date(2026, 1, 31)
    assert ward.tables(FOURTH)["u"]["schema_change"] == "new"


def test_what_was_not_measured_is_not_gone(ward: Nights) -> None:
    """A table that failed, one that the configuration leaves out, a column that it leaves out."""
    columns = {"a": column(), "b": column()}
    ward.write(FIRST, {"t": columns, "u": columns, "v": columns})
    some = [measured("t", {"a": column()})]
    ward.write(SECOND, some, {"t": columns, "u": columns, "v": {"a": column()}}, unreadable=("v",))
    assert ward.changes(SECOND) == {}
    assert set(ward.base.metrics(SECOND)) == {("t", "a")}
    assert set(ward.tables(SECOND)) == {"t"}
    ward.write(THIRD, some, {"t": columns, "u": {"a": column()}, "v": {"a": column()}})
    assert ward.changes(THIRD) == {("u", "b"): DROPPED, ("v", "b"): DROPPED}  # now they are known to be
    ward.write(FOURTH, {"t": columns, "u": {"a": column()}, "v": {"a": column()}})
    assert ward.changes(FOURTH) == {}


def test_what_was_there_and_not_measured_is_not_new(ward: Nights) -> None:
    """A table that was locked or left out, a column without a right; what came is new, and what came back."""
    columns = {"a": column(), "b": column()}
    ward.write(FIRST, {"t": {"a": column()}}, {"t": columns, "u": columns, "v": columns}, unreadable=("u",))
    ward.write(SECOND, {"t": columns, "u": columns, "v": columns | {"c": column()}, "w": columns})
    assert ward.changes(SECOND) == {("v", "c"): NEW, ("w", "a"): NEW, ("w", "b"): NEW}
    assert {label: row["schema_change"] for label, row in ward.tables(SECOND).items()} == {
        "t": "",
        "u": "",
        "v": "",
        "w": "new",
    }
    version = ward.level("version", SECOND)
    assert (version["tables_new"], version["columns_new"]) == (1, 3)
    ward.write(FIRST, {"t": {"a": column()}}, run_id="once more")  # what a later date knows says nothing of this one
    ward.write(THIRD, {"t": columns, "v": columns})
    ward.write(FOURTH, {"t": columns, "u": columns, "v": columns})
    assert ward.changes(FOURTH) == {("u", "a"): NEW, ("u", "b"): NEW}


def test_columns_without_values_are_not_called_renamed(ward: Nights) -> None:
    """Two columns that are both empty are no evidence of anything."""
    empty = {"value_counts": 0, "levels_count": 0}
    ward.write(FIRST, {"t": {"kept": column(), "old_remark": column("text", **empty)}})
    ward.write(SECOND, {"t": {"kept": column(), "consent_text": column("text", **empty)}})
    assert ward.changes(SECOND) == {("t", "old_remark"): DROPPED, ("t", "consent_text"): NEW}


def test_a_column_that_looks_renamed_is_told_with_its_former_name(ward: Nights) -> None:
    """Same type, numbers of values and levels within 10 %; the former one is dropped all the same."""
    before = {"born": column("date", 100), "nr": column("integer", 100), "kept": column("integer", 100)}
    ward.write(FIRST, {"t": before})
    ward.write(SECOND, {"t": {"birth": column("date", 109), "no": column("integer", 91), "kept": before["kept"]}})
    assert ward.changes(SECOND) == {
        ("t", "birth"): ("renamed", "born"),
        ("t", "no"): ("renamed", "nr"),
        ("t", "born"): DROPPED,
        ("t", "nr"): DROPPED,
    }
    assert counts(ward, SECOND, "t") == (0, 2, 2, 0)
    version = ward.level("version", SECOND)
    assert (version["columns_renamed"], version["columns_dropped"], version["columns_new"]) == (2, 2, 0)


@pytest.mark.parametrize(
    "now",
    [
        {"x": column("date", 100), "y": column("date", 100)},  # which of them?
        {"x": column("text", 100)},
        {"x": column("date", 112)},
        {"x": column("date", 88)},
        {"x": column("date", 100, levels_count=50)},
        {"x": column("date", 100, levels_count=None)},
    ],
)
def test_what_does_not_look_the_same_is_not_called_renamed(ward: Nights, now: dict[str, dict[str, object]]) -> None:
    """A wrong name would be worse than none."""
    ward.write(FIRST, {"t": {"born": column("date", 100)}, "u": {"a": column()}})
    ward.write(SECOND, {"t": now, "u": {"a": column()}})
    assert ward.changes(SECOND) == {("t", "born"): DROPPED, **{("t", name): NEW for name in now}}


def test_a_column_does_not_move_to_another_table(ward: Nights) -> None:
    """Renamed is within one table."""
    ward.write(FIRST, {"t": {"a": column(), "born": column("date")}, "u": {"a": column()}})
    ward.write(SECOND, {"t": {"a": column()}, "u": {"a": column(), "birth": column("date")}})
    assert ward.changes(SECOND) == {("t", "born"): DROPPED, ("u", "birth"): NEW}


def test_a_table_that_looks_renamed_is_told_with_its_former_name(ward: Nights) -> None:
    """The same columns with the same types, two at least, and no second table like it."""
    beds, twin, one = {"a": column(), "b": column("text")}, {"k": column(), "l": column()}, {"n": column("date")}
    ward.write(FIRST, {"beds": beds, "twin": twin, "twin too": twin, "one": one})
    ward.write(SECOND, {"beds_2026": beds, "twins": twin, "two": one})
    found = {label: (row["schema_change"], row["renamed_from"]) for label, row in ward.tables(SECOND).items()}
    assert found == {
        "beds_2026": ("renamed", "beds"),
        "beds": DROPPED,
        "twins": NEW,
        "twin": DROPPED,
        "twin too": DROPPED,
        "two": NEW,
        "one": DROPPED,
    }
    version = ward.level("version", SECOND)
    assert (version["tables_renamed"], version["tables_new"], version["tables_dropped"]) == (1, 2, 4)
    assert version["tables_count"] == 3


def test_a_retry_thinks_again_about_what_is_gone(ward: Nights) -> None:
    """The first attempt could not read the table; what the second one reads changes the picture."""
    ward.write(FIRST, {"t": {"born": column("date")}, "u": {"a": column(), "b": column()}})
    night = {"t": {"birth": column("date")}}
    ward.write(SECOND, night, {"u2": {"a": column(), "b": column()}}, unreadable=("u2",), run_id="run")
    assert ward.changes(SECOND)["t", "birth"] == ("renamed", "born")
    with ward.open(SECOND, "run") as store:
        assert set(store.finished()) == {"t"}
        late = measured("u2", {"a": column(), "b": column()})
        store.add(late)
        store.complete([measured("t", {"birth": column("date"), "born": column("date")}).table, late.table], [])
    assert ward.changes(SECOND)["t", "birth"] == NEW
    assert ("t", "born") not in ward.base.metrics(SECOND)
    assert ward.tables(SECOND)["u2"]["renamed_from"] == "u"
    assert counts(ward, SECOND, "t") == (1, 0, 0, 0)


def test_a_table_that_went_after_it_was_measured_stays_measured(ward: Nights) -> None:
    """Between two attempts of one run; the next night notes that it is gone."""
    ward.write(FIRST, {"t": {"a": column()}, "u": {"a": column()}})
    with ward.open(SECOND, "run") as store:
        store.add(measured("u", {"a": column()}))
    ward.write(SECOND, {"t": {"a": column()}}, run_id="run")
    assert ward.changes(SECOND) == {}
    assert set(ward.tables(SECOND)) == {"t", "u"}
    ward.write(THIRD, {"t": {"a": column()}})
    assert ward.changes(THIRD) == {("u", "a"): DROPPED}
