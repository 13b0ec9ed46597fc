"""Metric pack basic: which columns are compared, and which counts of few patients are hidden."""

from __future__ import annotations

import datetime as dt
from itertools import product
from typing import Any

import pytest
from hdm_profile import Cell, Newest, Pair
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metric_basic_harness import column, pack, settings, stats_of, table

DATE = dt.date(2026, 1, 31)


def event(*columns: tuple[Any, ...], **known: Any) -> str | None:
    """The event column among dates of these names; a second element is its kind, a third whether it is required."""
    made = [column(name, *kind[:1] or ["date"], required=bool(kind[1:])) for name, *kind in columns]
    found = pack.events.chosen(made, known)
    return found.name if found else None


def night(missing: float = 0, latest: dt.date | None = DATE, **more: Any) -> Any:
    """What the base holds of a column."""
    values = {"levels_count": None, "is_categorical": None} | more
    return pack.events.LastNight(date=DATE, percent_na_values=missing, latest=latest, **values)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["birth_date"], None),
        (["valid_from", "valid_until", "expiry_date", "end_date", "due_on", "planned_for"], None),
        (["visit_start_date", "visit_end_date"], "visit_start_date"),
        (["admission_date", "loaded_at"], "loaded_at"),
        (["LoadedAt", "admissionDate"], "LoadedAt"),
        (["discharge_date", "admitted"], "admitted"),
        (["discharge_date"], "discharge_date"),
        (["updated_at", "created_at", "start_date"], "created_at"),
        (["last_modified", "anything"], "anything"),
        (["measurement_date", "measurement_datetime"], "measurement_date"),
        (["date_naissance", "date_entree", "date_sortie"], "date_entree"),
        (["calendar"], "calendar"),  # not end
        ([], None),
    ],
)
def test_the_event_column_is_chosen_by_name(names: list[str], wanted: str | None) -> None:
    """Load before record before event; never a birth, nor the end of anything."""
    assert event(*((name,) for name in names)) == wanted


def test_declarations_and_last_night_decide_between_names() -> None:
    """Not null first; a column that was empty, or whose dates are all old, comes last."""
    assert event(("start_date",), ("other_start", "datetime", True)) == "other_start"
    two = ("loaded_at", "datetime"), ("start_date",)
    assert event(*two, loaded_at=night(), start_date=night()) == "loaded_at"
    assert event(*two, loaded_at=night(missing=51)) == "start_date"
    assert event(*two, loaded_at=night(latest=None)) == "start_date"
    assert event(*two, loaded_at=night(latest=DATE - dt.timedelta(days=401))) == "start_date"
    assert event(*two, loaded_at=night(missing=100), start_date=night(missing=100)) == "loaded_at"
    assert event(("n", "integer"), ("loaded_at", "text")) is None


def plan(*columns: Any, is_sample: bool = False, known: Any = None, **more: Any) -> Any:
    """The plan of a table of these columns."""
    made = pack.tables.Table("", "t", "t", columns, **more)
    return pack.plans.of_table(made, known or {}, is_sample=is_sample)


def test_pairs_are_dates_and_numbers_that_say_low_and_high() -> None:
    """In the order that their names say; never two numbers without such names."""
    found = plan(
        column("end_date", "date"), column("start_date", "datetime"), column("systolic_bp"), column("diastolic_bp"),
        column("RangeHigh", "float"), column("RangeLow", "float"), column("weight", "float"), column("min_x", "text"),
        column("max_x", "text"),
    )  # fmt: skip
    assert set(found.pairs) == {
        *(("diastolic_bp", "systolic_bp"), ("RangeLow", "RangeHigh"), ("start_date", "end_date")),
    }


@given(st.integers(0, 40), st.integers(0, 40))
def test_there_are_never_more_than_28_pairs(dates: int, numbers: int) -> None:
    """Named ones first."""
    columns = [column(f"d{i}x", "date") for i in range(dates)]
    columns += [column(f"{side}_{'x' * (i + 1)}") for i in range(numbers) for side in ("low", "high")]
    found = plan(*columns).pairs
    assert len(found) == min(28, dates * (dates - 1) // 2 + numbers)
    assert len(set(map(frozenset, found))) == len(found) <= 28


def test_codes_and_numbers_are_never_private() -> None:
    """A unit and the main code; codes are no numbers; nothing of a person."""
    lab = [
        column("patient_id"), column("measurement_type_concept_id"), column("measurement_concept_id"),
        column("unit_concept_id"), column("value_as_number", "float"), column("quantity"), column("year_of_birth"),
        column("phone", "text"), column("patient_code", "text"), column("visit_id", foreign=True),
    ]  # fmt: skip
    found = plan(*lab)
    assert found.codes == ("unit_concept_id", "measurement_concept_id")
    assert found.numbers == ("value_as_number", "quantity")
    many = {"measurement_concept_id": night(levels_count=257)}
    assert plan(*lab, known=many).codes == ("unit_concept_id", "measurement_type_concept_id")
    sites = [column("ward", "text"), column("weight", "float")]
    assert plan(*sites).codes == plan(*sites).numbers == ()
    assert plan(*sites, known={"ward": night(is_categorical=True, levels_count=9)}).codes == ("ward",)


def test_whole_rows_are_compared_only_where_they_may_repeat() -> None:
    """Not with a key, a column that is not read or not comparable, or in a sample."""
    assert plan(column()).whole
    assert not plan(column(), has_key=True).whole
    assert not plan(column(), is_whole=False).whole
    assert not plan(column(), column("d", "other")).whole
    assert not plan(column(), is_sample=True).whole
    assert not plan().whole


# Suppression ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [1, 3, 5])
def test_no_low_count_follows_from_a_pair(least: int) -> None:
    """Neither greater, nor equal, nor less, whatever the others are."""
    for greater, equal, less in product(range(9), repeat=3):
        both, shown_greater, shown_equal = pack.rows._compared(Pair(greater + equal + less, greater, equal), least)
        assert both == greater + equal + less
        possible = [
            (g, e, both - g - e)
            for g, e in product(range(both + 1), repeat=2)
            if g + e <= both and shown_greater in {None, g} and shown_equal in {None, e}
        ]
        assert (greater, equal, less) in possible
        for place, count in enumerate((greater, equal, less)):
            if 0 < count < least:
                assert len({one[place] for one in possible}) > 1, (greater, equal, less)
        if least == 1:
            assert (shown_greater, shown_equal) == (greater, equal)


COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 12), max_size=8)


@given(COUNTS, st.integers(0, 12))
def test_no_level_of_few_numbers_follows_from_the_others(counts: dict[str, int], without: int) -> None:
    """The total is published, so what is hidden has at least min_count numbers; rows without a code count, too."""
    cells = {level: Cell(count, 1.0) for level, count in counts.items()} | {None: Cell(without, 1.0)}
    shown = pack.rows._shown_cells(cells, pack.rows.ColumnFacts(1000, without, {}), 5)
    assert all(counts[level] >= 5 for level in shown)
    hidden = sum(count for level, count in counts.items() if level not in shown) + without
    assert hidden == 0 or hidden >= 5 or not shown


def measured_newest(one: Any, newest: Newest, rows: int, values: list[Any], **config: Any) -> Any:
    """The metrics of the newest rows."""
    stats = stats_of(values, one.kind)
    found = pack.metrics.of_column(one, stats, 100, settings(**config), newest=pack.metrics.NewestRows(rows, newest))
    return {name: value for name, value in found.items() if name.startswith("newest_")}


def test_newest_rows_are_hidden_if_they_are_few() -> None:
    """All of them below min_count rows, means below min_count values."""
    weights = [50.5 + i for i in range(100)]
    weight = column("weight", "float")
    assert measured_newest(weight, Newest(4, 4, 60.0, 1.0), 4, weights) == {}
    few = measured_newest(weight, Newest(4, 4, 60.0, 1.0), 9, weights)
    assert few == {"newest_values": 4, "newest_na_values": 5}
    many = measured_newest(weight, Newest(5, 5, 60.0, 1.0), 9, weights)
    assert many == {"newest_values": 5, "newest_na_values": 4, "newest_mean": 60.0, "newest_deviation": 1.0}
    phone = measured_newest(column("phone"), Newest(9, 9, 60.0, 1.0), 9, list(range(100)))
    assert set(phone) == {"newest_values", "newest_na_values"}
    for ones in (1, 4, 5, 95, 96, 99):
        flag = measured_newest(column("flag"), Newest(100, 100, ones / 100, 0.1), 100, [0, 1] * 50)
        assert ("newest_mean" in flag) is (5 <= ones <= 95)


def test_days_of_few_rows_are_null_and_those_of_none_are_zero() -> None:
    """One row per day."""
    across = pack.across.Across(event="at", days=(0, 1, 4, 5, *[0] * 9, 9), newest_day=13)
    facts = {"at": pack.rows.ColumnFacts(1000, 0, {})}
    found = pack.rows.of_table(table("t"), across, DATE, settings(), lambda _: {}, frozenset(), facts)
    assert found.days == (0, None, None, 5, *[0] * 9, 9)
    assert (found.event_column, found.first_day) == ("at", dt.date(2026, 1, 17))
    assert (found.newest_day, found.newest_rows) == (dt.date(2026, 1, 30), 9)


def days_of(*days: int, dated: int, levels: Any = None, **config: Any) -> Any:
    """What is published of these days, which end with the one before the metric date; `dated`: rows with a date."""
    across = pack.across.Across(event="at", days=(*[0] * (14 - len(days)), *days), newest_day=13)
    dates = column("at", "date")
    found = pack.rows.of_table(
        table("t", dates), across, DATE, settings(**config), lambda _: {}, frozenset(),
        facts={"at": pack.rows.ColumnFacts(dated, 0, levels or {})},
    )  # fmt: skip
    return found, list(found.days)[-len(days) :]


def test_no_day_of_few_rows_follows_from_the_number_of_dates() -> None:
    """If no other row has a date, the hidden day would be the difference from the published total."""
    assert days_of(20, 3, 17, dated=40)[1] == [20, None, None]
    assert days_of(20, 3, 17, dated=1000)[1] == [20, None, 17]  # others are older, nobody knows how many
    assert days_of(20, 3, 17, dated=42)[1] == [20, None, 17]  # 3 and 2 others: 5 rows, in which parts is unknown
    assert days_of(20, 30, 17, dated=69)[1] == [20, 30, None]  # 2 others
    assert days_of(20, 30, 17, dated=67)[1] == [20, 30, 17]
    assert days_of(3, 3, 17, dated=23)[1] == [None, None, None]  # equal ones: half of their sum
    assert days_of(3, 17, dated=20)[1] == [None, None]
    assert days_of(3, 17, dated=20, min_count=1)[1] == [3, 17]


@given(st.lists(st.integers(0, 9), min_size=14, max_size=14), st.integers(0, 9))
def test_hidden_days_have_min_count_rows_together(days: list[int], others: int) -> None:
    """At least two numbers of rows are unknown, that of the rows of other days among them."""
    shown = days_of(*days, dated=sum(days) + others)[1]
    assert all(count is None or count == day for count, day in zip(shown, days, strict=True))
    assert all(count in {None, 0} or count >= 5 for count in shown)
    hidden = [day for day, count in zip(days, shown, strict=True) if count is None]
    unknown = hidden + [others] * bool(others)
    if hidden or 0 < others < 5:
        everything = not any(shown)
        assert everything or (len(unknown) > 1 and sum(unknown) >= 5 and min(unknown) < max(unknown))


def test_days_follow_the_levels_of_their_column() -> None:
    """A level that is hidden so that no other follows from it is hidden here too."""
    levels = {"2026-01-28": 40, "2026-01-30": 50}
    assert days_of(40, 10, 50, dated=103, levels=levels)[1] == [40, None, 50]
    assert days_of(40, 10, 50, dated=103)[1] == [40, None, 50]  # 3 others
    moments = {"2026-01-28 10:00:00": 30, "2026-01-28 11:00:00": 10, "2026-01-30 00:00:00": 47}
    assert days_of(40, 10, 50, dated=100, levels=moments)[1] == [40, None, None]
    found, _ = days_of(40, 10, 50, dated=100, levels=moments)
    assert (found.newest_day, found.newest_rows) == (dt.date(2026, 1, 30), None)


def test_a_column_without_levels_has_no_days() -> None:
    """exclude_levels: rows per day are levels."""
    found, days = days_of(40, 50, dated=100, exclude_levels=["t.at"])
    assert (found.event_column, found.days, found.newest_day, found.newest_rows) == ("", (), None, None)
    assert days == []


def test_rounded_dates_hide_which_day_has_few_rows() -> None:
    """With round_dates, the newest day of a single row would be its date."""
    found, days = days_of(40, 0, 1, dated=100, round_dates="month")
    assert days == [40, None, None]
    assert found.newest_day is None
    found, days = days_of(40, 0, 10, dated=100, round_dates="month")
    assert (days, found.newest_day) == ([40, 0, 10], dt.date(2026, 1, 30))


def test_a_mean_of_few_other_values_does_not_follow() -> None:
    """The mean of all, and of the newest, would give that of the few others."""
    weight, values = column("weight", "float"), [50.5 + i for i in range(100)]
    for others, has_mean in ((0, True), (1, False), (4, False), (5, True)):
        count = 100 - others
        found = measured_newest(weight, Newest(count, count, 60.0, 1.0), count, values)
        assert ("newest_mean" in found, "newest_deviation" in found) == (has_mean, has_mean), others
        assert found["newest_values"] == count


@pytest.mark.parametrize(
    ("kind", "values", "least", "greatest"),
    [("integer", [1, 2] * 50, 1, 2), ("float", [0.5, 2.5] * 50, 0.5, 2.5), ("text", ["no", "maybe"] * 50, 2, 5)],
)
def test_a_mean_of_two_values_does_not_tell_how_many_have_the_rarer_one(
    kind: str, values: list[Any], least: float, greatest: float
) -> None:
    """Whatever the two are; of texts, their lengths."""
    for ones in (1, 4, 5, 85, 86, 89):
        mean = least + (greatest - least) * ones / 90
        found = measured_newest(column("answer", kind), Newest(90, 90, mean, 0.1), 90, values)
        assert ("newest_mean" in found) is (5 <= ones <= 85), ones


def numbers_of(cells: dict[str | None, int], frequencies: dict[str, int], published: Any, without: int) -> set[str]:
    """The levels of a code by which a number is told; the code has `without` nulls among 1000 rows."""
    kept = {level: (Cell(count, 1.5 if count else None),) for level, count in cells.items()}

    class Profile:
        def cells(self, code: int) -> Any:
            return kept if code == 0 else None

    one = pack.plans.RowPlan(codes=("unit_code",), numbers=("dose",))
    across = pack.across.Across(plan=one, profile=Profile())
    found = pack.rows.of_table(
        table("t", column("unit_code", "text"), column("dose", "float")),
        *(across, DATE, settings(), lambda _: frequencies, frozenset()),
        facts={"unit_code": pack.rows.ColumnFacts(1000 - without, without, published)},
    )
    return {row[2] for row in found.numbers}


def test_few_nulls_of_a_level_do_not_follow_from_its_frequency() -> None:
    """A level's frequency minus its numbers is a number of rows."""
    frequencies = {"mg": 500, "g": 300, "kg": 80, "ml": 60, "l": 60}
    cells = {"mg": 500, "g": 297, "kg": 75, "ml": 60, "l": 0, None: 0}
    assert numbers_of(cells, frequencies, {}, 0) == {"mg", "g", "kg", "ml"}  # frequencies are not told
    assert numbers_of(cells, frequencies, frequencies, 0) == {"mg", "kg"}
    assert numbers_of(cells | {"g": 300}, frequencies, frequencies, 0) == {"mg", "g", "kg", "ml"}


def test_few_nulls_among_rows_without_a_code_do_not_follow() -> None:
    """The total minus all levels is the number of rows without a code that have a number."""
    frequencies = {"mg": 500, "g": 300, "kg": 80}
    cells = {"mg": 500, "g": 300, "kg": 80}
    assert numbers_of({**cells, None: 120}, frequencies, frequencies, 120) == {"mg", "g", "kg"}
    assert numbers_of({**cells, None: 118}, frequencies, frequencies, 120) == {"mg", "g"}
    assert numbers_of({**cells, None: 110}, frequencies, frequencies, 120) == {"mg", "g", "kg"}


@pytest.mark.parametrize(
    ("values", "both", "wanted"),
    [
        ((100, 60), 60, 60),  # the first has no nulls: nothing new
        ((100, 3), 3, 3),
        ((60, 50), 40, 40),  # 40, 20, 10, 30
        ((60, 50), 47, None),  # 3 with the second alone
        ((60, 50), 13, None),  # 3 with neither
        ((60, 30), 2, None),
        ((60, 30), 0, 0),
    ],
)
def test_few_rows_with_one_value_of_two_are_not_told(values: tuple[int, int], both: int, wanted: int | None) -> None:
    """Unless the columns' own counts tell: one of them has no nulls."""
    across = pack.across.Across(pairs={("a", "b"): Pair(both, both, 0)})
    facts = {name: pack.rows.ColumnFacts(count, 100 - count, {}) for name, count in zip("ab", values, strict=True)}
    found = pack.rows.of_table(table("t"), across, DATE, settings(), lambda _: {}, frozenset(), facts=facts)
    assert found.pairs[0][2] == wanted
