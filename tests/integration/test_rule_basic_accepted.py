"""What somebody has accepted: an alert of each kind, then silence, then a new fault of the same kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights
from tests.integration.test_rule_basic_nights import (
    ORPHANS,
    WHOLE,
    judged_again,
    night,
    numbers,
    text,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.services import Database

FAULT, SECOND = 8, 16  # nights, of a Tuesday and a Wednesday. The fault is accepted on its first night
JUDGED = (0, FAULT - 1, FAULT, FAULT + 1, FAULT + 3, SECOND - 2, SECOND - 1, SECOND)  # all are written


@pytest.fixture
def written(database: Database, tmp_path: Path) -> Iterator[Nights]:
    """A base for made-up nights."""
    with nights(Base(database, tmp_path)) as writer:
        yield writer


class Kind(NamedTuple):
    """A fault that is accepted, and a second one of its kind."""

    rule: str
    place: tuple[str | None, str | None]  # of the alert
    write: Callable[[Nights, int], None]  # writes a night
    content: dict[str, Any] | None = None  # of a rule that does not come with the pack
    is_alone: bool = False  # no other rule is enabled, which would explain what it finds


def of(*values: Any) -> Callable[[int], Any]:
    """A number by night: before FAULT, from it on, from SECOND on."""
    return lambda number: values[(number >= FAULT) + (number >= SECOND)]


def stays(write: Callable[[int], tuple[int, dict[str, Any]]]) -> Callable[[Nights, int], None]:
    """A table `stays` with an id and the columns of a night."""

    def of_night(written: Nights, number: int) -> None:
        rows, columns = write(number)
        visits = measured("visits", {"id": numbers(1000)}, rows=1000)
        written.write(night(number), [measured("stays", {"id": numbers(rows), **columns}, rows=rows), visits])

    return of_night


def comes_and_goes(written: Nights, number: int) -> None:
    """Column x empties, is filled again, and empties again."""
    nulls = 1000 if FAULT <= number < SECOND - 2 or number >= SECOND else 0
    stays(lambda _: (1000, {"x": text(1000, nulls)}))(written, number)


def dated(rows_of: Callable[[int], int]) -> Callable[[Nights, int], None]:
    """A table that gets so many rows a day, and one that gets 100."""

    def of_night(written: Nights, number: int) -> None:
        counts = {
            "stays": {day: rows_of(day + 1) for day in range(-30, number)},
            "visits": dict.fromkeys(range(-30, number), 100),
        }
        tables = []
        for name, days in counts.items():
            rows = 5000 + sum(days.values())
            tables.append(measured(name, {"id": numbers(rows), "at": column("date", value_counts=rows)}, rows=rows))
        written.write(night(number), tables)
        for name, days in counts.items():
            newest = max(day for day, rows in days.items() if rows)
            written.base.execute(
                """UPDATE metric_basic_table SET event_column = 'at', newest_day = %s, newest_rows = %s
                WHERE "table" = %s AND "date" = %s""",
                *(night(newest), days[newest], name, night(number)),
            )
            last = range(number - 14, number)
            written.base.execute(
                """INSERT INTO metric_basic_day
                SELECT %s, 'ward', '0.0', %s, 'at', %s, day, rows
                FROM unnest(%s::date[], %s::bigint[]) AS d (day, rows)""",
                *(SLUG, name, night(number), [night(day) for day in last], [days[day] for day in last]),
            )

    return of_night


def orphans(written: Nights, number: int) -> None:
    """Two tables refer to a third, which loses rows twice."""
    names = ("stays", "visits")
    refer = {"id": numbers(1000), "patient": column(value_counts=1000, levels_count=50)}
    tables = [measured(name, refer, rows=1000) for name in names]
    written.write(night(number), [*tables, measured("patients", {"id": numbers(100)}, rows=100)])
    for name in names:
        written.base.execute(ORPHANS, *(SLUG, name, night(number), 1000, of(0, 200, 700)(number)))


def null_share(*shares: int) -> Callable[[Nights, int], None]:
    """A column of which so many per thousand are null."""
    return stays(lambda number: (1000, {"x": text(1000, of(*shares)(number))}))


def appended(number: int) -> tuple[int, dict[str, Any]]:
    """A table that gets 50 rows a night; of the new ones, 40 per cent are null, later all, later none."""
    rows = 2000 + 50 * number
    nulls = 800 + 20 * min(number, FAULT - 1) + 50 * max(min(number, SECOND - 1) - FAULT + 1, 0)
    return rows, {"x": text(rows, nulls)}


CONDITION = {"metric": "percent_na_values", "condition": ">", "conditionValue": 20}
KINDS = {
    "step": Kind("more nulls", ("stays", "x"), null_share(10, 300, 800)),
    "emptied": Kind("empty column", ("stays", "x"), comes_and_goes),
    "rows": Kind("rows lost", ("stays", None), stays(lambda number: (of(1000, 400, 250)(number), {}))),
    "usual": Kind("unusually many nulls", ("stays", "x"), null_share(100, 300, 700), is_alone=True),
    "missing day": Kind(
        "missing day", ("stays", None), dated(lambda day: 0 if day in {FAULT, FAULT + 1, SECOND} else 100)
    ),
    "night without rows": Kind(
        "missing day",
        ("stays", None),
        stays(lambda number: (5000 + 100 * (number - (number >= FAULT) - (number >= SECOND)), {})),
    ),
    "few rows of a day": Kind("few rows of a day", ("stays", None), dated(of(100, 30, 5))),
    "too many rows of a day": Kind("too many rows of a day", ("stays", None), dated(of(100, 300, 900))),
    "orphans of two tables": Kind("orphans", ("patients", "id"), orphans),
    "new rows": Kind("other nulls in new rows", ("stays", "x"), stays(appended)),
    "baseline": Kind("own", ("stays", "x"), comes_and_goes, {**CONDITION, "baseline": True}),
    "condition": Kind("own", ("stays", "x"), comes_and_goes, CONDITION),
}


def accept(written: Nights, rule: str, place: tuple[str | None, str | None], number: int) -> None:
    """What a rule found in a place is right from a night on."""
    written.base.execute(
        """INSERT INTO rule_basic_baseline (id_rule, endpoint, "table", "column", from_date)
        SELECT id_rule, %s, %s, %s, %s FROM rule_basic WHERE rule_name = %s""",
        *(SLUG, *(name or "" for name in place), night(number), rule),
    )


def loud(alerts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rule, table and column of alerts of level High and Warning."""
    return [alert[1:] for alert in told(alerts) if alert[0] != "Info"]


def test_an_older_night_is_judged_as_it_was(written: Nights) -> None:
    """What is right from a later night on was none before; and a column that is new later is news."""
    for number in range(FAULT, FAULT + 3):
        new = {f"x{n}": text(1000) for n in range(number - FAULT)}
        stays(lambda _, new=new: (1000, new))(written, number)
        written.base.execute(WHOLE, SLUG, night(number))
        found = loud(judged_again(written, number))
        assert found == [("new column", "stays", f"x{n}") for n in range(number - FAULT)][-1:]
        if number == FAULT + 1:
            accept(written, "new column", ("stays", None), number)
            assert loud(judged_again(written, number)) == []
    written.base.execute("UPDATE rule_basic_baseline SET from_date = %s", night(FAULT + 2))
    assert loud(judged_again(written, FAULT + 1)) == [("new column", "stays", "x0")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_accepted_is_silent_until_a_new_fault_of_its_kind(written: Nights, kind: str) -> None:
    """Also if the night on which it was accepted is judged again."""
    one = KINDS[kind]
    found = {}
    if one.content:
        written.base.execute(
            "INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES (%s, 'all', %s)",
            *(one.rule, json.dumps(one.content)),
        )
    for number in range(SECOND + 1):
        one.write(written, number)
        written.base.execute(WHOLE, SLUG, night(number))
        if number not in JUDGED:
            continue
        found[number] = loud(judged_again(written, number))
        if number == 0 and (one.content or one.is_alone):
            written.base.execute("UPDATE rule_basic SET enabled = rule_name = %s", one.rule)
        if number == FAULT:
            assert found[number] == [(one.rule, *one.place)]
            accept(written, one.rule, one.place, FAULT)
            assert loud(judged_again(written, number)) == []
    silent = [number for number in JUDGED if number not in {FAULT, SECOND}]
    assert {number: found[number] for number in silent} == {number: [] for number in silent}
    assert (one.rule, *one.place) in found[SECOND]
