"""The metrics of one column: what they are, what is rounded, and what is not told because few have it."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.unit.metric_basic_harness import column, measured, pack, settings, stats_of

EVERY_COUNT = (
    *("zero_count", "negative_count", "non_finite_count", "empty_count", "future_dates"),
    *("true_count", "false_count"),
)


def moment(*parts: int) -> dt.datetime:
    """A datetime as databases without zones have them."""
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # the metrics hold UTC without a zone


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
    assert (seen["midnight_count"], seen["hour_mean"]) == (0, pytest.approx(24, abs=1e-9))
    assert not {"midnight_count", "hour_mean"} & set(day)
    flag = measured(column(kind="boolean"), [1, 1, 0], min_count=1)
    assert (flag["true_count"], flag["false_count"]) == (2, 1)
    assert measured(column(kind="time"), ["10:00"], min_count=1)["levels_count"] == 1


SHAPE = ("edge_blank_count", "upper_count", "lower_count", "mojibake_count", "placeholder_count")


def test_texts_have_the_counts_of_their_shapes() -> None:
    """One of each suffices, whatever min_count: they are counts of possible errors, and name no level."""
    for text, wanted in {
        "a1 ": ("edge_blank_count", "lower_count"),
        "B-12": ("upper_count",),
        "aÃ©": ("mojibake_count",),
        "Unknown": ("placeholder_count",),
        "12": (),
    }.items():
        found = measured(column(kind="text"), [text, "Sound one", "Sound two"], min_count=10)
        assert tuple(name for name in SHAPE if found[name]) == wanted, text


def test_floats_have_decimals_and_integers_have_none() -> None:
    """Of 0 and 1 stored as floats, whichever is rare, both are 0."""
    price = measured(column(kind="float"), [1.5, 2.0, 19.999])
    assert (price["fraction_count"], price["decimals_max"]) == (2, 3)
    whole = measured(column(kind="float"), [0.0] * 98 + [1.0] * 2)
    assert (whole["fraction_count"], whole["decimals_max"]) == (0, 0)
    assert measured(column(kind="float"), [math.nan])["decimals_max"] is None
    assert not {"fraction_count", "decimals_max"} & set(measured(column(), [1, 2]))


def test_an_hour_of_few_is_not_told() -> None:
    """Below min_count it is nearly the hour of one patient's birth; how many are at midnight is told."""
    midnights = [moment(2020, 1, day) for day in range(1, 9)]
    late = [moment(2020, 1, day, 18, 30) for day in range(1, 6)]
    few, many = (measured(column("born", "datetime"), midnights + late[:count]) for count in (4, 5))
    assert (few["midnight_count"], few["hour_mean"]) == (8, None)
    assert (many["midnight_count"], many["hour_mean"]) == (8, 18.5)
    assert measured(column(kind="datetime"), midnights, min_count=1)["hour_mean"] is None


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
    found = pack.metrics.of_column(column(kind="float"), stats, 20, settings())
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
        (column("code", "text"), ["a".ljust(80), "b".rjust(80)], True),
        (column("code", "text"), ["a b".ljust(20), "b".ljust(20)], False),
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
        assert [found[metric] for metric in pack.metrics.SINGLE_VALUES] == [None] * len(pack.metrics.SINGLE_VALUES)
        assert found["levels_count"] == 30
    assert measured(column("year_of_birth"), [1900 + i for i in range(30)])["min_num_var"] == 1900
    assert measured(column("birth_weight", "float"), [3.5] * 30)["max_num_var"] == 3.5


@pytest.mark.parametrize("name", ["stillbirth", "livebirth", "childbirth", "naissances", "birthcontrol"])
def test_dates_of_births_are_told_by_the_year_whatever_the_name(name: str) -> None:
    """The day of a stillbirth is a mother's; how many there were is nobody's."""
    found = measured(column(name, "datetime"), [moment(2020, 2, 29, 8)] * 9)
    assert found["min_date_var"] == moment(2020, 1, 1)
    assert measured(column(name), [3, 7] * 9)["max_num_var"] == 7
    found = measured(column(name), [20_240_131, 20_250_228] * 9)
    assert {found[metric] for metric in pack.metrics.SINGLE_VALUES} == {None}
    assert measured(column(name, not_identifying=True), [20_240_131] * 9)["max_num_var"] == 20_240_131


def test_a_column_that_the_configuration_calls_harmless_is_measured_in_full() -> None:
    """Its numbers are no telephone numbers, its dates no births."""
    values = [331_000_000 + i for i in range(30)]
    assert measured(column("phone", not_identifying=True), values)["min_num_var"] == 331_000_000
    assert measured(column("birth_no", not_identifying=True), values)["min_num_var"] == 331_000_000
    day = column("birth_date", "date", not_identifying=True)
    assert measured(day, [dt.date(1931, 5, 17)] * 9)["min_date_var"] == moment(1931, 5, 17)


def test_dates_of_birth_in_numbers_are_not_told() -> None:
    """19480312, seconds of 1970 and days before it are days of birth; a year is a year."""
    for values in ([19_480_312, 19_770_101], [-687_916_800, 1], [20_000, 24_000], [1948.19]):
        found = measured(column("birth_date", "float"), values * 20)
        told = [found[metric] for metric in pack.metrics.SINGLE_VALUES]
        assert (told == [None] * len(told)) is (max(values) != 1948.19), values
    assert measured(column("dob"), [1948, 2020] * 9)["max_num_var"] == 2020


def test_numbers_that_may_be_dates_of_births_are_personal() -> None:
    """As dates would be; a number of births, a weight, and what the configuration calls harmless are not."""
    refined, is_personal = pack.metrics.refined, pack.privacy.is_personal
    days, counts = stats_of([20_240_131, 20_250_228], "integer"), stats_of([0, 9_999], "integer")
    births = column("stillbirth")
    assert is_personal(refined(births, days))
    assert not is_personal(refined(births, counts))
    assert is_personal(refined(births, stats_of([-7_200, 500], "integer")))
    assert not is_personal(refined(column("stillbirth", not_identifying=True), days))
    assert not is_personal(refined(column("admission"), days))


# Flags ------------------------------------------------------------------------------------------------------


def measured_flag(kind: str, zeros: int, ones: int, **config: Any) -> Any:
    """The metrics of so many zeros and ones."""
    return measured(column(kind=kind), [0] * zeros + [1] * ones, **config)


TELLING = {
    "boolean": {"true_count", "false_count"},
    "integer": set(pack.metrics.REVEALING),
    "float": set(pack.metrics.REVEALING),
}


@pytest.mark.parametrize("kind", TELLING)
@pytest.mark.parametrize(("zeros", "ones"), [(98, 2), (4, 5), (5, 4), (1, 1)])
def test_a_flag_that_few_have_does_not_tell_how_many_have_it(kind: str, zeros: int, ones: int) -> None:
    """Nor that few lack it. That some level is rare is told, which of them is not."""
    found = measured_flag(kind, zeros, ones)
    assert {name for name, value in found.items() if value is None} == TELLING[kind] & set(found)
    assert found["highest_frequency"] == max(zeros, ones)
    assert found == measured_flag(kind, ones, zeros)


def test_a_flag_that_many_have_is_told_in_full() -> None:
    """Five are enough; nobody is nobody's secret."""
    for zeros, ones in ((95, 5), (5, 5), (50, 50)):
        for kind in TELLING:
            assert None not in measured_flag(kind, zeros, ones).values()
    counts = {(0, 5): (5, 0), (7, 0): (0, 7), (0, 0): (0, 0), (0, 4): (None, None), (4, 0): (None, None)}
    for (zeros, ones), wanted in counts.items():
        found = measured_flag("boolean", zeros, ones)
        assert (found["true_count"], found["false_count"]) == wanted
    found = measured_flag("boolean", 1, 2, min_count=1)
    assert (found["true_count"], found["false_count"]) == (2, 1)


@pytest.mark.parametrize(
    "values", [[0] * 4, [1] * 4, [0, 2, 2], [0, 1, 2], [-1, 0], [-1, 1], [0.0, 0.5, 1.0], [0.0, 1.0, math.nan]]
)
def test_numbers_other_than_zero_and_one_are_no_flag(values: list[Any]) -> None:
    """Both have to be there, and nothing else."""
    for kind in ("integer", "float"):
        found = measured(column(kind=kind), values)
        assert (found["zero_count"], found["mean_num_var"] is None) == (values.count(0), False)


# What is exact ----------------------------------------------------------------------------------------------


def test_one_suspicious_value_is_counted() -> None:
    """That is what rules are for."""
    found = measured(column(kind="float"), [*range(1, 50), 0, -1, math.nan])
    assert (found["zero_count"], found["negative_count"], found["non_finite_count"]) == (1, 1, 1)
    assert measured(column(kind="text"), ["", "a"])["empty_count"] == 1
    assert measured(column(kind="date"), [dt.date(2020, 1, 1), dt.date(2026, 2, 1)])["future_dates"] == 1


KINDS = {
    "integer": st.integers(-2, 3),
    "float": st.sampled_from([-1.0, 0.0, 0.5, 1.0, math.inf]),
    "text": st.sampled_from(["", "no", "yes"]),
    "date": st.sampled_from([dt.date(2020, 1, 1), dt.date(2027, 1, 1)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_but_for_flags_min_count_changes_no_metric(kind: str) -> None:
    """Rules rely on them, and they name no level."""

    @given(values=st.lists(KINDS[kind], max_size=12))
    @examples(max_examples=25)
    def check(values: list[Any]) -> None:
        if set(values) != {0, 1}:
            one = column(kind=kind)
            assert measured(one, values, min_count=10) == measured(one, values, min_count=1)

    check()
