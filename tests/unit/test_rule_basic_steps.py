"""Steps: what has moved in one night, and what only seems to have."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from tests.unit.rule_basic_harness import pack

FORMER, STEPS = pack.steps.FORMER, {step.name: step for step in pack.column_steps.STEPS}
KEYS = {
    "column": ("table", "column"),
    "table": ("table",),
    "pair": ("table", "column", "other_column"),
    "number_by_level": ("table", "column", "level_column"),
}
TODAY = 20_000  # days since 1970
EMPTY: dict[str, Any] = {"key_constraint": "", "is_key": 0}


def micros(text: str) -> int:
    """Microseconds since 1970."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc).timestamp()) * 1_000_000


def step(
    name: str, now: dict[str, Any], former: dict[str, Any], past: list[dict[str, Any]] | None = None, **more: Any
) -> Any:
    """One step of one object.

    Args:
        name: of the step.
        now, former: its metrics on both dates.
        past: its metrics on earlier dates, the former included; None: only on the former.
        more: kept, is_foreign.
    """
    declared = STEPS[name]
    keys = KEYS[declared.of]
    place = dict(zip(keys, ("stays", "age", "height"), strict=False))
    flags = {"kept": True, "is_foreign": False, "is_own_key": False, **more}
    numbers = {"day_number": TODAY, f"day_number{FORMER}": TODAY - 1}
    both = pl.DataFrame(
        [{**place, **now, **{f"{key}{FORMER}": value for key, value in former.items()}, **flags, **numbers}]
    )
    earlier = [former] if past is None else past

    def recall(names: Any, objects: pl.DataFrame) -> pl.DataFrame:
        assert objects.height == 1
        dated = zip(range(TODAY - len(earlier), TODAY), earlier, strict=True)
        return pl.DataFrame([{**place, "day_number": day, **{name: one[name] for name in names}} for day, one in dated])

    return pack.seen.of_night([declared], keys, both, recall)[name][0]


def nulls(missing: int, rows: int) -> dict[str, Any]:
    """Metrics of a column."""
    return {
        "na_values": missing,
        "value_counts": rows - missing,
        "percent_na_values": 100 * missing / rows if rows else None,
    }


@pytest.mark.parametrize(
    ("missing", "rows", "before", "rows_before", "least"),
    [
        (5_000, 10_000, 0, 10_000, 49),  # half emptied
        (500, 10_000, 0, 10_000, 4.9),  # one in twenty
        (14, 28, 0, 28, 49),  # half of a small table
    ],
)
def test_a_share_moves(missing: int, rows: int, before: int, rows_before: int, least: float) -> None:
    assert step("step_na", nulls(missing, rows), nulls(before, rows_before)) >= least


@pytest.mark.parametrize(
    ("missing", "rows", "before", "rows_before"),
    [
        (4, 100, 0, 100),  # too few
        (5_500, 10_000, 5_000, 10_000),  # the odds have not doubled
        (200, 10_200, 100, 10_000),  # by chance
        (18, 200, 4, 200),
    ],
)
def test_a_share_does_not_move_by_chance(missing: int, rows: int, before: int, rows_before: int) -> None:
    kept = step("step_na", nulls(missing, rows), nulls(before, rows_before), kept=False)
    assert kept < 2


def test_a_share_that_has_been_as_high_before_has_not_moved() -> None:
    """A column that flaps is no news."""
    now, former = nulls(5_000, 10_000), nulls(0, 10_000)
    assert step("step_na", now, former, [nulls(6_000, 10_000), former]) == 0
    assert step("step_na", now, former, [nulls(3_000, 10_000), former]) > 49


def test_few_values_tell_nothing() -> None:
    assert step("step_na", nulls(10, 19), nulls(0, 19)) is None


def test_a_falling_share_of_nulls_is_no_step() -> None:
    assert step("step_na", nulls(0, 10_000), nulls(5_000, 10_000)) == 0


@pytest.mark.parametrize(("before", "emptied"), [(1_000, True), (5, True), (4, False)])
def test_a_column_is_emptied_if_it_had_a_few_values(before: int, emptied: bool) -> None:
    found = step("step_emptied", nulls(1_000, 1_000), nulls(1_000 - before, 1_000))
    assert (found > 0) == emptied


def test_a_table_without_rows_has_no_emptied_columns() -> None:
    assert step("step_emptied", nulls(0, 0), nulls(0, 1_000)) == 0


def number(mean: float, deviation: float = 10.0, count: int = 1_000) -> dict[str, Any]:
    """Metrics of a column."""
    return {"mean_num_var": mean, "std_num_var": deviation, "value_counts": count}


def test_a_mean_moves_by_deviations_of_the_column() -> None:
    assert step("step_mean", number(70_000, 10_000), number(70)) == pytest.approx(6993)
    assert step("step_mean", number(72), number(70)) == 0  # less than a quarter
    assert step("step_mean", number(100, 40, 20), number(70, 40, 20)) == 0  # by chance


def test_a_scale_moves_if_median_and_high_values_do() -> None:
    former = {"median_num_var": 70.0, "p99_num_var": 120.0, "value_counts": 1_000}
    assert step(
        "step_scale", {"median_num_var": 154.0, "p99_num_var": 264.0, "value_counts": 1_000}, former
    ) == pytest.approx(2.2)
    assert step("step_scale", {"median_num_var": 154.0, "p99_num_var": 120.0, "value_counts": 1_000}, former) == 0
    assert step("step_scale", {"median_num_var": 0.0, "p99_num_var": 264.0, "value_counts": 1_000}, former) is None


def dates(first: str, last: str, count: int = 1_000, future: int = 0) -> dict[str, Any]:
    """Metrics of a column."""
    return {"min_date_var": micros(first), "max_date_var": micros(last), "value_counts": count, "future_dates": future}


def test_dates_fall_far_below_all_others() -> None:
    former = dates("2015-01-01", "2024-10-03")
    assert step("step_earliest", dates("1900-01-01", "2024-10-04"), former) == pytest.approx(115, abs=1)
    assert step("step_earliest", dates("1999-01-01", "2024-10-04"), former) == 0
    births = dates("1923-01-01", "2024-01-01")
    assert step("step_earliest", dates("1899-01-01", "2024-01-01"), births) == 0  # an old patient
    assert step("step_earliest", dates("1799-01-01", "2024-01-01"), births) > 120


def test_future_dates_are_news_only_where_none_were() -> None:
    former = dates("2015-01-01", "2024-10-03")
    assert step("step_first_future", dates("2015-01-01", "2124-10-03", future=40), former) == pytest.approx(4)
    assert step("step_first_future", dates("2015-01-01", "2124-10-03", future=4), former) == 0
    valid = dates("2015-01-01", "2099-12-31", future=900)
    assert step("step_first_future", dates("2015-01-01", "2099-12-31", 1_100, future=1_000), valid) == 0


def test_one_date_in_a_hundred_years_is_far_ahead() -> None:
    former = dates("2015-01-01", "2024-10-03")
    assert step("step_latest", dates("2015-01-01", "2124-10-03", future=1), former) == pytest.approx(100, abs=1)
    assert step("step_latest", dates("2015-01-01", "2024-10-04"), former) == 0
    assert step("step_latest", dates("1980-01-01", "2024-10-04"), dates("1980-01-01", "1999-01-01")) == 0  # fed again


def test_all_dates_move_together() -> None:
    former = dates("2015-01-01", "2024-10-03")
    assert step("step_dates_moved", dates("2014-01-01", "2023-10-04"), former) > 360
    assert step("step_dates_moved", dates("2015-01-02", "2024-10-04"), former) == 0
    assert step("step_dates_moved", dates("2014-01-01", "2024-10-04"), former) == 0


def key(count: int, levels: int, frequency: int = 1, **more: Any) -> dict[str, Any]:
    """Metrics of a column: numbers without gaps."""
    is_key = int(count == levels)
    found = {
        "infered_data_type": "integer",
        "value_counts": count,
        "levels_count": levels,
        "highest_frequency": frequency,
        "is_key": is_key,
        "key_constraint": "",
        "min_length": None,
        "max_length": None,
        "min_num_var": 1,
        "max_num_var": levels,
    }
    return {**found, **more}


@pytest.mark.parametrize(
    ("rows", "constraint", "is_foreign", "found"),
    [
        (1_000, "", False, True),
        (49, "", False, False),  # so few may differ by chance
        (49, "primary", False, True),
        (1_000, "", True, False),  # as references do more often
    ],
)
def test_duplicates_in_a_column_that_was_a_key(rows: int, constraint: str, is_foreign: bool, found: bool) -> None:
    former = key(rows, rows, key_constraint=constraint)
    moved = step("step_duplicates", key(rows, rows - 5, 2), former, is_foreign=is_foreign)
    assert (moved > 0) == found


@pytest.mark.parametrize(("came", "repeats", "found"), [(5, 1, False), (5, 4, False), (5, 5, True), (1, 1, True)])
def test_the_first_patients_return(came: int, repeats: int, found: bool) -> None:
    """Sixty stays of different patients: that the next five are of known ones tells of no key."""
    moved = step("step_duplicates", key(60 + came, 60 + came - repeats, 2), key(60, 60))
    assert (moved > 0) == found


def test_a_key_named_like_its_table_is_one_even_of_few_rows() -> None:
    assert step("step_duplicates", key(22, 20, 2), key(20, 20), is_own_key=True) == pytest.approx(100 * 2 / 22)


def test_a_key_with_nulls() -> None:
    former = {**key(100, 100), "na_values": 0}
    now = {**key(99, 99, is_key=0), "na_values": 1}
    assert step("step_key_na", now, former) == pytest.approx(1)
    assert step("step_key_na", now, {**former, "is_key": 0}) == 0


def test_a_number_that_one_of_the_next_patients_lacks() -> None:
    """Nobody of sixty lacked a telephone number."""
    now, former = {**key(64, 64, is_key=0), "na_values": 1}, {**key(60, 60), "na_values": 0}
    assert step("step_key_na", now, former) == 0
    assert step("step_key_na", now, former, is_own_key=True) == pytest.approx(100 / 65)


TEXT = {"infered_data_type": "text", "is_key": 0, "min_num_var": None, "max_num_var": None}


@pytest.mark.parametrize(
    ("now", "former", "found"),
    [
        (key(467, 407, 2), key(467, 467, is_key=0), True),
        (key(467, 407, 2), key(467, 467, is_key=0, max_num_var=10_000), True),
        (key(467, 407, 2), key(467, 467, is_key=0, max_num_var=99_000), False),  # amounts
        (key(467, 407, 2), key(467, 467, is_key=0, min_num_var=None, max_num_var=None), False),
        (key(5_000, 4_000, 2), key(5_000, 5_000, is_key=0, max_num_var=10**9), True),
        (key(624, 614, 2), key(614, 614, is_key=0), True),  # all of ten new rows
        (key(474, 470, 2), key(467, 467, is_key=0), False),  # four
        (key(700, 695, 2), key(467, 467, is_key=0), False),  # so many rows have come that some may repeat others
        (key(467, 407, 2), key(467, 466, 2, is_key=0), False),
        (key(467, 407, 2, infered_data_type="float"), key(467, 467, is_key=0), False),
        (key(467, 407, 2, **TEXT), key(467, 467, **TEXT, min_length=3, max_length=30), False),
        (key(467, 407, 2, **TEXT), key(467, 467, **TEXT, min_length=8, max_length=8), True),
        (key(5_000, 4_000, 2, **TEXT), key(5_000, 5_000, **TEXT, min_length=3, max_length=30), True),
        (key(5_000, 4_000, 2, **TEXT), key(5_000, 5_000, **TEXT, min_length=3, max_length=300), False),  # reports
    ],
)
def test_whole_numbers_and_codes_that_all_differed(now: dict[str, Any], former: dict[str, Any], found: bool) -> None:
    assert (step("step_repeats", now, former) > 0) == found
    assert step("step_duplicates", now, former) == 0


def test_what_was_a_key_is_told_once() -> None:
    now, former = key(467, 407, 2), key(467, 467)
    assert step("step_duplicates", now, former) > 0
    assert step("step_repeats", now, former) == 0


def test_nulls_where_all_values_differed() -> None:
    former = {**key(250, 250, is_key=0), "na_values": 0}
    now = {**key(238, 238, is_key=0), "na_values": 12}
    assert step("step_key_na", now, former) == pytest.approx(100 * 12 / 250)
    assert step("step_key_na", {**now, "na_values": 4}, former) == 0
    assert step("step_key_na", now, {**former, "na_values": 1}) == 0


@pytest.mark.parametrize(
    ("count", "values", "former", "found"),
    [
        (16, 1_620, 1_600, True),
        (7, 1_620, 1_600, False),  # an accident
        (16, 1_720, 1_600, True),
        (16, 210, 190, False),  # so few tell little
    ],
)
def test_the_first_negative_numbers(count: int, values: int, former: int, found: bool) -> None:
    now, before = {"negative_count": count, "value_counts": values}, {"negative_count": 0, "value_counts": former}
    assert (step("step_negative", now, before) > 0) == found
    assert step("step_negative", now, before, [{**before, "negative_count": 20}, before]) == 0


def test_nothing_moves_by_chance_where_nothing_has_moved() -> None:
    """Five of 40 are no step of a sample, but one of a table that does not change."""
    former, now = {"true_count": 30, "false_count": 10}, {"true_count": 18, "false_count": 22}
    assert step("step_true", now, former) == 0
    assert step("step_true", now, former, [former] * 4) == pytest.approx(30)
    assert step("step_true", now, former, [former] * 3) == 0
    assert step("step_true", now, former, [former, {"true_count": 31, "false_count": 9}, former, former]) > 0
    assert step("step_true", now, former, [former, {"true_count": 35, "false_count": 5}, former, former]) == 0
    assert step("step_true", {**now, "false_count": 23}, former, [former] * 4) == 0  # a row has come


def test_numbers_of_a_table_that_does_not_change() -> None:
    former = {"mean_num_var": 1983.2, "std_num_var": 20.0, "value_counts": 37}
    now = {**former, "mean_num_var": 2013.2}
    assert step("step_still_mean", now, former, [former] * 4) == pytest.approx(1.5)
    assert step("step_still_mean", now, former) == 0
    assert step("step_still_mean", {**now, "value_counts": 38}, former, [former] * 4) == 0


def levels(count: int, values: int) -> dict[str, Any]:
    """Metrics of a column."""
    return {"levels_count": count, "value_counts": values}


def test_codes_gain_levels_that_many_rows_did_not_bring() -> None:
    past = [levels(7, 1_000 + 60 * night) for night in range(6)]
    assert step("step_levels_gained", levels(12, 1_365), past[-1], past) == pytest.approx(12 / 7)
    assert step("step_levels_gained", levels(12, 1_365), past[-1], [levels(7, 1_300)] * 6) == 0  # the first batch
    assert step("step_levels_gained", levels(12, 1_365), past[-1], [levels(6, 900), *past]) == 0


def of_day(mean: float, deviation: float, count: int = 96, **more: Any) -> dict[str, Any]:
    """Metrics of a column whose mean is 38 with a deviation of 55, or whose texts have 20 characters."""
    found = {"newest_mean": mean, "newest_deviation": deviation, "newest_values": count}
    return {**found, "mean_num_var": 38.0, "std_num_var": 55.0, "mean_length": 20.0, **more}


def test_another_unit_on_the_newest_day() -> None:
    assert step("step_newest_scale", of_day(1.8, 3.0), of_day(37.0, 56.0)) == pytest.approx(55 / 3, abs=3)
    assert step("step_newest_scale", of_day(1.8, 50.0), of_day(37.0, 56.0)) == 0  # spread as before
    assert step("step_newest_scale", of_day(1.8, 3.0, 11), of_day(37.0, 56.0)) == 0
    assert step("step_newest_scale", of_day(1.8, 3.0), of_day(37.0, 56.0, mean_num_var=2.0)) == 0  # like the column
    nights = [of_day(3.0, 5.0), of_day(37.0, 56.0)]
    assert step("step_newest_scale", of_day(1.8, 3.0), of_day(37.0, 56.0), nights) == 0  # nights differ


def test_texts_of_the_newest_day_are_cut_off() -> None:
    assert step("step_newest_length", of_day(6.0, 0.0, 33), of_day(21.0, 12.0)) == pytest.approx(20 / 6)
    assert step("step_newest_length", of_day(6.0, 0.0, 33), of_day(21.0, 12.0, mean_length=8.0)) == 0


def test_the_mean_of_a_night_is_that_of_few_patients() -> None:
    nights = [of_day(30.0, 2.0), of_day(50.0, 2.0), of_day(40.0, 2.0)]
    assert step("step_newest_mean", of_day(58.0, 2.0), nights[-1], nights) == 0
    assert step("step_newest_mean", of_day(62.0, 2.0), nights[-1], nights) == pytest.approx(11)


@pytest.mark.parametrize(("count", "found"), [(20, False), (100, True)])
def test_the_mean_of_a_level_with_few_rows_varies(count: int, found: bool) -> None:
    now, former = ({"mean_num": mean, "values_count": count} for mean in (30.0, 14.0))
    assert (step("step_level_mean", now, former) > 0) == found


def test_nulls_on_the_newest_day_where_none_were() -> None:
    now = {"newest_na_values": 20, "newest_values": 0, "na_values": 20, "value_counts": 1_324}
    former = {"newest_na_values": 0, "newest_values": 12, "na_values": 0, "value_counts": 1_324}
    assert step("step_newest_na", now, former) == 100
    assert step("step_newest_na", {**now, "newest_na_values": 7}, {**former}) in (0, None)
    assert step("step_newest_na", now, {**former, "na_values": 3}) in (0, None)


def texts(mean: float, count: int, longest: int = 50) -> dict[str, Any]:
    """Metrics of a column."""
    return {"mean_length": mean, "value_counts": count, "max_length": longest}


@pytest.mark.parametrize(
    ("now", "percent"),
    [
        (texts(21.0, 1_000), 5),  # escaped
        (texts(19.0, 1_000), 5),  # cut off
        (texts(20.5, 1_020), 0),  # twenty new texts may be long
        (texts(20.0, 1_000), 0),
    ],
)
def test_old_texts_changed(now: dict[str, Any], percent: float) -> None:
    assert step("step_texts_changed", now, texts(20.0, 1_000)) == pytest.approx(percent)
    assert step("step_texts_changed", now, texts(20.0, 1_000), kept=False) == 0


def newest(deviation: float, count: int = 100, top: int = 300) -> dict[str, Any]:
    """Metrics of a column of 1,000 values."""
    found = {"newest_deviation": deviation, "newest_values": count, "highest_frequency": top, "value_counts": 1_000}
    return {**found, "infered_data_type": "float", "min_length": None, "max_length": None, "newest_mean": 4.0}


def test_the_values_of_one_day_are_all_the_same() -> None:
    assert step("step_newest_same", newest(0.0), newest(2.5)) == pytest.approx(52.3, abs=0.1)
    assert step("step_newest_same", newest(0.0), newest(2.5, top=990)) < 1  # most are anyway
    assert step("step_newest_same", newest(0.0), newest(0.0)) == 0
    assert step("step_newest_same", newest(0.0, count=10), newest(2.5)) == 0


def test_the_rows_of_a_day_may_be_of_one_patient() -> None:
    numbers = {"infered_data_type": "integer"}
    now, former = {**newest(0.0, count=20), **numbers}, {**newest(2.5, count=60), **numbers}
    assert step("step_newest_same", now, former) == 0
    assert step("step_newest_same", {**now, "newest_values": 40}, former) > 0
    assert step("step_newest_same", {**now, "newest_values": 40}, former, is_foreign=True) == 0


def test_the_texts_of_one_day_are_all_as_long() -> None:
    units = {"infered_data_type": "text", "min_length": 1, "max_length": 5}
    now, former = {**newest(0.0), **units}, {**newest(1.25), **units}
    assert step("step_newest_same", now, former) == pytest.approx(4.5, abs=0.1)
    assert step("step_newest_same", {**now, "newest_values": 1_000}, former) == pytest.approx(44.6, abs=0.1)
    assert step("step_newest_same", {**now, "newest_mean": 2.0}, former) == pytest.approx(55.1, abs=0.1)  # rare length
    assert step("step_newest_same", now, former, [now, former]) == 0


def pair(greater: int | None, both: int) -> dict[str, Any]:
    """Metrics of a pair."""
    return {"greater_count": greater, "both_count": both}


@pytest.mark.parametrize(
    ("now", "former", "moved"),
    [
        (pair(250, 1_000), pair(0, 1_000), True),
        (pair(750, 1_000), pair(1_000, 1_000), True),
        (pair(None, 1_000), pair(0, 1_000), False),
        (pair(None, 1_000), pair(1_000, 1_000), False),  # few that are not greater are hidden, too
        (pair(250, 1_000), pair(None, 1_000), True),
        (pair(990, 1_000), pair(None, 1_000), False),
    ],
)
def test_pairs_whose_counts_are_hidden(now: dict[str, Any], former: dict[str, Any], moved: bool) -> None:
    assert (step("step_greater", now, former) > 0) == moved


def test_lengths_of_a_table_that_has_not_kept_its_rows_need_more_values() -> None:
    former = {"mean_length": 30.0, "value_counts": 50}
    now = {"mean_length": 10.0, "value_counts": 50}
    assert step("step_length", now, former) == pytest.approx(3)
    assert step("step_length", now, former, kept=False) == 0


@pytest.mark.parametrize(
    ("rows", "former", "newest", "is_kept"),
    [
        (1_000, 1_000, None, True),
        (1_050, 1_000, 50, True),
        (800, 1_000, 50, False),
        (2_000, 1_000, 50, False),
        (1_000, 1_000, 900, False),
    ],
)
def test_a_table_has_kept_its_rows(rows: int, former: int, newest: int | None, is_kept: bool) -> None:
    frame = pl.DataFrame(
        {"table": ["t"], "rows_count": [rows], f"rows_count{FORMER}": [former], "newest_rows": [newest]},
        schema_overrides={"newest_rows": pl.Int64},
    )
    assert pack.steps.kept(frame)["kept"].to_list() == [is_kept]


def test_every_step_is_declared_with_what_it_needs() -> None:
    """An expression that reads another metric would fail only on some endpoints."""
    for declared in pack.column_steps.STEPS:
        read = {name.removesuffix(FORMER) for name in declared.moved.meta.root_names()}
        assert read <= {*declared.needs, *declared.also, "kept", "is_foreign", "is_own_key", "day_number"}, (
            declared.name
        )
        assert {*declared.quantity("").meta.root_names()} <= {*declared.needs}, declared.name


@pytest.mark.parametrize(
    ("column", "decimals", "found"),
    [
        ("value_as_number", 400, True),  # identifiers have no decimals
        ("value_as_number", 0, False),
        ("value_as_number", 4, False),
        ("geraeteNr", 0, False),
        ("weight", 0, True),
    ],
)
def test_what_measures_something(column: str, decimals: int, found: bool) -> None:
    metrics = {"infered_data_type": "float", "value_counts": 1_000, "levels_count": 300, "fraction_count": decimals}
    frame = pl.DataFrame([{"table": "results", "column": column, **EMPTY, **metrics}])
    assert bool(frame.select(pack.derived._is_measure(None))["is_measure"][0]) == found


def test_the_columns_of_a_key_of_several_refer_to_others() -> None:
    columns = pl.DataFrame({"table": ["stays"] * 4, "column": ["patient", "site", "ward", "a, b"]})
    keys = pl.DataFrame({"table": ["stays", "stays"], "column": ["patient, site", "a, b"]})
    found = columns.select(pack.derived._is_foreign(keys))["is_foreign"].to_list()
    assert found == [True, True, False, True]


@pytest.mark.parametrize(
    ("repeats", "rows", "before", "rows_before", "found"),
    [
        (17, 105, 0, 88, True),  # a fifth of a small table again
        (20, 1_520, 0, 1_500, True),  # one load again
        (7, 105, 0, 88, False),  # so many may be alike by chance
        (12, 200, 3, 100, False),  # twice the rows, four times the pairs
        (40, 400, 30, 380, False),  # they have not doubled
        (100, 10_000, 0, 10_000, True),
    ],
)
def test_repeated_rows(repeats: int, rows: int, before: int, rows_before: int, found: bool) -> None:
    now = {"duplicate_rows": repeats, "rows_count": rows}
    former = {"duplicate_rows": before, "rows_count": rows_before}
    for kept in (True, False):
        assert (step("step_duplicate_rows", now, former, kept=kept) > 0) == found


def test_rows_repeated_as_often_before_are_no_news() -> None:
    now, former = {"duplicate_rows": 17, "rows_count": 105}, {"duplicate_rows": 0, "rows_count": 88}
    past = [{"duplicate_rows": 20, "rows_count": 108}, former]
    assert step("step_duplicate_rows", now, former, past) == 0
