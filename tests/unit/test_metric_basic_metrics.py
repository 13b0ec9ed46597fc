"""The metrics of one column: what they are, what is rounded, and what is held back because few have it."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metric_basic_harness import column, counted, measured, pack, settings, stats_of, table

EVERY_COUNT = (
    *("zero_count", "negative_count", "non_finite_count", "empty_count", "future_dates"),
    *("true_count", "false_count"),
)


def moment(*parts: int) -> dt.datetime:
    """A datetime as databases without zones have them."""
    return dt.datetime(*parts)  # noqa: DTZ001 # type: ignore[arg-type]


# What is measured -------------------------------------------------------------------------------------------


def test_numbers_have_the_metrics_of_numbers() -> None:
    """With counts of what is missing, and the three highest frequencies."""
    found = measured(column(), [0, 0, 0, 2, 2, 3, -1, 9], rows=10, min_count=1)
    assert found == {
        "data_type": "integer",
        "infered_data_type": "integer",
        "key_constraint": "",
        "value_counts": 8,
        "na_values": 2,
        "percent_na_values": 20.0,
        "levels_count": 5,
        "highest_frequency": 3,
        "sndHighestFrequency": 2,
        "thrdHighestFrequency": 1,
        "ratio_level_frequency": 0.6,
        "is_key": False,
        "is_categorical": True,
        "min_num_var": -1.0,
        "max_num_var": 9.0,
        "mean_num_var": 1.875,
        "median_num_var": 1.0,
        "std_num_var": pytest.approx(3.18198, abs=1e-5),
        "p01_num_var": pytest.approx(-0.93),
        "p99_num_var": pytest.approx(8.58),
        "zero_count": 3,
        "negative_count": 1,
        "non_finite_count": 0,
    }


def test_texts_dates_booleans_and_times_have_theirs() -> None:
    """Of texts only lengths, never the least and the greatest; microseconds stay."""
    word = measured(column(kind="text"), ["abc", "", "a"], min_count=1)
    assert (word["min_length"], word["max_length"], word["mean_length"], word["empty_count"]) == (0, 3, 4 / 3, 1)
    assert "min_num_var" not in word
    day = measured(column(kind="date"), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], min_count=1)
    assert (day["min_date_var"], day["max_date_var"]) == (moment(1, 1, 1), moment(9999, 12, 31))
    assert day["future_dates"] == 1
    seen = measured(column(kind="datetime"), [moment(1999, 12, 31, 23, 59, 59, 999_999)] * 2, min_count=1)
    assert seen["max_date_var"] == moment(1999, 12, 31, 23, 59, 59, 999_999)
    flag = measured(column(kind="boolean"), [1, 1, 0], min_count=1)
    assert (flag["true_count"], flag["false_count"]) == (2, 1)
    assert measured(column(kind="time"), ["10:00"], min_count=1)["levels_count"] == 1


def test_other_types_have_counts_only() -> None:
    """JSON, arrays and the like have no levels."""
    found = measured(column(kind="other"), ["{}", "{}"], rows=4)
    assert (found["value_counts"], found["na_values"], found["is_key"], found["is_categorical"]) == (2, 2, False, False)
    assert "levels_count" not in found


@pytest.mark.parametrize("kind", ["integer", "float", "text", "date", "datetime", "time", "boolean", "other"])
def test_an_empty_column_has_zeros_and_nothing_else(kind: str) -> None:
    """Nothing is small about nobody."""
    found = measured(column(kind=kind), [])
    assert (found["value_counts"], found["percent_na_values"]) == (0, None)
    assert {found[name] for name in EVERY_COUNT if name in found} <= {0}
    assert found.get("highest_frequency", 0) == 0
    assert found.get("ratio_level_frequency") is None


def test_a_declared_boolean_with_other_values_is_an_integer() -> None:
    """tinyint(1) holds -128 to 127; one without values is what it was declared."""
    flag = column(kind="boolean")
    refined = pack.metrics.refined
    assert refined(flag, stats_of([0, 1], "boolean")) is flag
    assert refined(flag, stats_of([], "boolean")) is flag
    assert refined(flag, stats_of([1, 2], "boolean")).kind == "integer"
    assert refined(flag, stats_of([-1, 0], "boolean")).kind == "integer"
    assert refined(column(), stats_of([0, 1], "integer")).kind == "integer"


def test_infinite_results_are_no_metrics() -> None:
    """A sum may leave the range of doubles."""
    stats = stats_of([1.0] * 20, "float")
    stats.mean, stats.deviation, stats.finite = math.inf, math.nan, 20
    found = pack.metrics.of_column(column(kind="float"), stats, 20, counted([1.0] * 20), settings())
    assert (found["mean_num_var"], found["std_num_var"], found["max_num_var"]) == (None, None, 1.0)


# Keys and categories ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "values", "is_key"),
    [
        (column("patient_id"), range(20), True),
        (column("patient_id"), [*range(20), 1], False),
        (column("patient_id", "float"), range(20), False),
        (column("Code", "text"), map(str, range(20)), True),
        (column("code", "text"), ["a b", "b"], False),
        (column("code", "text"), ["a" * 64, "b"], True),
        (column("code", "text"), ["a" * 65, "b"], False),
        (column("name", "text"), map(str, range(20)), False),
        (column("weight", "float"), range(20), False),
        (column("id"), [1], False),
        (column("id"), [], False),
        (column("c", key_constraint="primary"), [1], True),
        (column("c", "float", key_constraint="unique"), [1, 2], True),
        (column("c", key_constraint="unique"), [1, 1], False),
        (column("c", key_constraint="referenced"), [1, 2], False),
    ],
)
def test_a_key_is_unique_and_declared_or_named_like_one(one: Any, values: Any, *, is_key: bool) -> None:
    """Narrower than the original's."""
    assert measured(one, list(values))["is_key"] is is_key
    assert measured(one, list(values), rows=100)["is_key"] is False


def test_a_sample_says_nothing_of_keys_that_are_not_declared() -> None:
    """What is there once may be there again."""
    assert measured(column("patient_id"), [1, 2], sampled=True)["is_key"] is None
    assert measured(column("patient_id"), [1, 1], sampled=True)["is_key"] is None
    assert measured(column("c", key_constraint="primary"), [1, 2], sampled=True)["is_key"] is True


def test_categories_are_those_of_the_original() -> None:
    """Few levels and few missing, or many values per level."""
    assert measured(column(), [*range(9)], rows=17)["is_categorical"] is True
    assert measured(column(), [*range(9)], rows=18)["is_categorical"] is False
    assert measured(column(), [*range(10)])["is_categorical"] is False
    assert measured(column(), [*range(10)] + [0] * 1000)["is_categorical"] is True
    assert measured(column(), [*range(10)] + [0] * 999)["is_categorical"] is False
    assert measured(column("id"), [*range(9)])["is_categorical"] is False


# Rounding and persons ---------------------------------------------------------------------------------------


def test_extremes_are_rounded_where_that_is_configured() -> None:
    """Least, greatest and the outer percentiles; mean, median and deviation are of all."""
    values = [123_456.7 + i for i in range(40)]
    found = measured(column(kind="float"), values, round_numbers=2)
    assert {found[name] for name in ("min_num_var", "max_num_var", "p01_num_var", "p99_num_var")} == {120_000.0}
    assert found["median_num_var"] == 123_476.2
    days = [dt.date(1999, 5, 17), dt.date(2020, 2, 29)] * 5
    for unit, wanted in {
        "": (moment(1999, 5, 17), moment(2020, 2, 29)),
        "month": (moment(1999, 5, 1), moment(2020, 2, 1)),
        "year": (moment(1999, 1, 1), moment(2020, 1, 1)),
    }.items():
        found = measured(column(kind="date"), days, round_dates=unit)
        assert (found["min_date_var"], found["max_date_var"]) == wanted
    seen = measured(column(kind="datetime"), [moment(2020, 2, 29, 8, 30, 1, 5)] * 5, round_dates="month")
    assert seen["max_date_var"] == moment(2020, 2, 1)


@pytest.mark.parametrize("name", ["birth_date", "DateNaissance", "dob", "ddn", "patient_dob"])
@pytest.mark.parametrize("unit", ["", "month", "year"])
def test_dates_of_birth_are_told_by_the_year(name: str, unit: str) -> None:
    """The earliest is one patient's."""
    found = measured(column(name, "date"), [dt.date(1931, 5, 17)] * 5 + [dt.date(2020, 2, 29)] * 5, round_dates=unit)
    assert (found["min_date_var"], found["max_date_var"]) == (moment(1931, 1, 1), moment(2020, 1, 1))


def test_numbers_of_persons_are_not_told() -> None:
    """The least telephone number is somebody's. A year of birth, and a weight, are not such numbers."""
    values = [331_000_000 + i for i in range(30)]
    for name in ("phone", "nir", "ipp", "zip", "ssn", "mrn"):
        found = measured(column(name), values)
        assert [found[metric] for metric in pack.metrics.SINGLE_VALUES] == [None] * 5
        assert found["levels_count"] == 30
    assert measured(column("year_of_birth"), [1900 + i for i in range(30)])["min_num_var"] == 1900
    assert measured(column("birth_weight", "float"), [3.5] * 30)["max_num_var"] == 3.5


# What is held back ------------------------------------------------------------------------------------------


def test_a_flag_that_few_have_tells_nothing_of_how_many() -> None:
    """Neither by its counts, nor by the frequencies, nor, as a number or a text, by its mean."""
    for kind, no, yes in (("boolean", 0, 1), ("integer", 0, 1), ("float", 0.0, 1.0), ("text", "no", "yes")):
        found = measured(column(kind=kind), [no] * 98 + [yes] * 2)
        held = {name for name, value in found.items() if value is None}
        frequencies = {"highest_frequency", "sndHighestFrequency", "ratio_level_frequency"}
        assert held == frequencies | {
            "boolean": {"true_count", "false_count"},
            "text": {"mean_length"},
        }.get(kind, {"zero_count", "mean_num_var", "median_num_var", "std_num_var", "p01_num_var", "p99_num_var"})
        assert (found["value_counts"], found["levels_count"], found["thrdHighestFrequency"]) == (100, 2, 0)


def test_a_flag_that_many_have_is_told_in_full() -> None:
    """Five are enough; zeros are no persons."""
    for values in ([0] * 95 + [1] * 5, [0] * 5, [1] * 50 + [0] * 50):
        for kind in ("boolean", "integer"):
            found = measured(column(kind=kind), values)
            assert not [name for name, value in found.items() if value is None]
    assert measured(column(kind="boolean"), [1] * 5)["false_count"] == 0
    few = measured(column(kind="boolean"), [1] * 4)
    assert (few["true_count"], few["false_count"]) == (None, None)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        # zeros, negatives; the rest are positive
        ([0] * 20 + [-1] * 20, (20, 20)),
        ([0] * 2, (None, 0)),
        ([0] * 5, (5, 0)),
        ([-1] * 4, (0, None)),
        ([0] * 4 + [-1] * 4, (None, None)),
        ([0] * 3 + [-1] * 20, (None, 20)),
    ],
)
def test_counts_of_numbers_of_many_levels_hide_the_few(values: list[int], wanted: tuple[Any, Any]) -> None:
    """The positive ones are nobody's metric, but what the others leave."""
    found = measured(column(), [*range(1, 41), *values])
    assert (found["zero_count"], found["negative_count"], found["non_finite_count"]) == (*wanted, 0)
    assert found["mean_num_var"] is not None


def test_a_small_rest_is_hidden_with_the_next_larger_count() -> None:
    """Two positive values among negatives and zeros would be the difference to all."""
    found = measured(column(), [*range(-40, 0), *[0] * 10, 1, 2])
    assert (found["zero_count"], found["negative_count"]) == (None, 40)
    found = measured(column(kind="text"), [""] * 3 + [f"w{i}" for i in range(40)])
    assert found["empty_count"] is None
    found = measured(column(kind="date"), [dt.date(2026, 2, 1) + dt.timedelta(days=i) for i in range(40)])
    assert found["future_dates"] == 40
    found = measured(column(kind="date"), [dt.date(2026, 1, 28) + dt.timedelta(days=i) for i in range(40)])
    assert (found["future_dates"], found["max_date_var"]) == (None, moment(2026, 3, 8))


def test_not_numbers_are_counts_like_others() -> None:
    """Two NaN in a column of thousands are as hidden as two zeros."""
    found = measured(column(kind="float"), [math.nan] * 2 + [float(i) for i in range(1, 50)])
    assert (found["non_finite_count"], found["zero_count"], found["min_num_var"]) == (None, 0, 1.0)


def test_frequencies_that_rules_about_keys_need_are_kept() -> None:
    """A key of which one value is there twice is not a key any more, and the rule has to see it."""
    for one in (column("stay_id"), column("c", key_constraint="primary"), column("ward_code", "text")):
        values = [*range(7), 6] if one.kind == "integer" else [*"abcdefgg"]
        found = measured(one, values)
        assert (found["highest_frequency"], found["sndHighestFrequency"]) == (2, None)
    assert measured(column("stay_id"), [1] * 98 + [2] * 2)["highest_frequency"] == 98
    assert measured(column("gender_concept_id"), [1] * 98 + [2] * 2)["highest_frequency"] is None
    assert measured(column("sex_code"), [1] * 98 + [2] * 2)["highest_frequency"] is None


def test_frequencies_of_columns_that_are_no_categories_are_kept() -> None:
    """Weights have no levels whose names are stored."""
    found = measured(column("weight", "float"), [float(i) for i in range(50)] + [1.0, 1.0, 2.0])
    assert [found[name] for name in pack.metrics.HIGHEST] == [3, 2, 1]
    assert found["ratio_level_frequency"] == 3 / 50


def test_levels_that_cannot_be_looked_at_are_taken_for_rare_ones() -> None:
    """Free text has no list of frequencies."""
    stats = stats_of(["x" * 60] * 50 + ["y" * 70] * 50, "text")
    found = pack.metrics.of_column(column(kind="text"), stats, 100, lambda: None, settings())
    assert (found["mean_length"], found["empty_count"], found["highest_frequency"]) == (None, 0, 50)


NUMBERS = st.lists(st.sampled_from([0, 1, 2, -1, 7]) | st.integers(-40, 40), max_size=60)


@given(values=NUMBERS, min_count=st.integers(2, 12))
def test_no_count_of_a_few_is_published_nor_left_as_the_rest(values: list[int], min_count: int) -> None:
    """The law for any numbers: not from 1 to min_count - 1, and not all but so many."""
    found = measured(column(), values, min_count=min_count)
    shown = [found[name] for name in ("zero_count", "negative_count") if found[name] is not None]
    rests = [len(values) - count for count in shown if count]
    if len(shown) == 2 and sum(shown):
        rests.append(len(values) - sum(shown))
    assert not [count for count in (*shown, *rests) if 0 < count < min_count]


@given(values=NUMBERS)
def test_a_min_count_of_one_holds_nothing_back(values: list[int]) -> None:
    """For data that is nobody's."""
    found = measured(column(), values, min_count=1)
    allowed = {"percent_na_values", "ratio_level_frequency", "std_num_var"} if len(values) < 2 else set()
    if not values:
        allowed |= {name for name in found if name.endswith("_num_var")}
    assert {name for name, value in found.items() if value is None} <= allowed


LABELS = {
    "boolean": (0, 1),
    "integer": (0, 1, 2),
    "float": (-1.5, 0.0, 4.0),
    "text": ("", "no", "yes"),
    "date": (dt.date(2020, 1, 1), dt.date(2025, 1, 1), dt.date(2027, 1, 1)),
}
MOST_ROWS = 13


@pytest.mark.parametrize("min_count", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", LABELS)
def test_who_knows_the_labels_cannot_compute_a_small_count(kind: str, min_count: int) -> None:
    """Every way to fill a small column, and what is published of each: with the same publication, the number of
    values with a label could be another one, too, if it is small.

    Not where numbers of values and levels say it all: one level, or as many as values.
    """
    one = column("outcome", kind)
    owner = table("stays", one)
    configured = settings(min_count=min_count)
    publications: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(MOST_ROWS + 1), repeat=len(LABELS[kind])):
        if not 1 < sum(counts) <= MOST_ROWS:
            continue
        values = [label for label, count in zip(LABELS[kind], counts, strict=True) for _ in range(count)]
        found = measured(one, values, min_count=min_count)
        found["levels"] = pack.levels.of_column(owner, one, found, counted(values), configured)
        publications[repr(found)].append(counts)
    for alike in publications.values():
        total, levels = sum(alike[0]), sum(map(bool, alike[0]))
        if levels in {1, total}:
            continue
        for possible in zip(*alike, strict=True):
            if any(0 < count < min_count for count in possible):
                assert len(set(possible)) > 1, alike
