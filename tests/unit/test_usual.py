"""The laws of usual values: cases computed by hand, properties, and a slow reference in plain Python."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.pack_modules import load
from tests.unit.usual_reference import Reference

pack = load(("forecast_errors", "usual_past", "usual_replay", "usual"), "rule-packs/basic")
usual, replay = pack.usual, pack.usual_replay
Law = usual.Law
MONDAY = dt.date(2024, 1, 1)
NAN = float("nan")

Floats = NDArray[np.float64]


def days(count: int, first: dt.date = MONDAY) -> list[dt.date]:
    return [first + dt.timedelta(number) for number in range(count)]


def judge(*values: float, dates: list[dt.date] | None = None, **law: Any) -> Any:
    """The verdicts on the last of some values of one object."""
    matrix = np.array([values], dtype=float)
    return usual.judge(matrix, dates or days(len(values)), Law(**law))


def outcome(*values: float, dates: list[dt.date] | None = None, **law: Any) -> int:
    return int(judge(*values, dates=dates, **law).outcome[0])


def breaches(values: list[float], dates: list[dt.date] | None = None, **law: Any) -> list[int]:
    """The positions whose value is a breach, if each is judged on its own date."""
    dates = dates or days(len(values))
    return [
        at for at in range(len(values)) if outcome(*values[: at + 1], dates=dates[: at + 1], **law) == usual.BREACHED
    ]


def wave(count: int, level: float = 1000, size: float = 10) -> list[float]:
    """Values that go up and down by `size`, with a period of 5 that no week has."""
    return [level + size * (number % 5 - 2) / 2 for number in range(count)]


# Stages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "stage"), [(2, 1), (6, 1), (7, 2), (13, 2), (14, 3), (61, 3), (62, 4)])
def test_the_number_of_dates_before_decides_the_law(count: int, stage: int) -> None:
    """Dates 3 to 7, 8 to 14, 15 to 62, from 63."""
    verdicts = judge(*wave(count + 1))
    assert (verdicts.stage[0], verdicts.dates[0], verdicts.outcome[0]) == (stage, count, usual.OK)


@pytest.mark.parametrize("values", [[1000.0], [1000.0, 0.0]])
def test_the_first_two_dates_are_not_judged(values: list[float]) -> None:
    assert outcome(*values) == usual.NOT_JUDGED


def test_the_third_date_is_below_a_tenth_of_the_least() -> None:
    """1,000 and 800: a tenth of the least is 80."""
    assert outcome(1000, 800, 79) == usual.BREACHED
    assert outcome(1000, 800, 80) == usual.OK
    assert judge(1000, 800, 80).low[0] == 80


def test_what_never_changed_is_unusual_from_the_third_date_on() -> None:
    """A drop to less than 60 %, a rise to more than 1 / 60 %, and by 5 floors of 5."""
    assert outcome(1000, 1000, 599) == usual.BREACHED
    assert outcome(1000, 1000, 600) == usual.OK
    assert outcome(1000, 1000, 1667) == usual.BREACHED
    assert outcome(1000, 1000, 1666) == usual.OK
    assert outcome(30, 30, 6) == usual.OK
    assert outcome(0, 0, 25) == usual.OK
    assert outcome(0, 0, 26) == usual.BREACHED


def test_early_dates_are_compared_with_ranges() -> None:
    """Of 4 values with a range of 20, 6.2 ranges below the least of 990 is 866; the share of 40 % counts: 594."""
    assert judge(990, 1010, 1000, 1005, 1000).low[0] == pytest.approx(594)
    # with a range of 100 of 950 to 1,050: 950 - 620 = 330
    assert judge(950, 1050, 1000, 1005, 1000).low[0] == pytest.approx(330)


@pytest.mark.parametrize("count", [14, 20, 61, 62, 63, 80])
def test_halved_and_doubled_values_are_found_by_forecasts(count: int) -> None:
    assert outcome(*wave(count), 500) == usual.BREACHED
    assert outcome(*wave(count), 2000) == usual.BREACHED
    assert outcome(*wave(count), 1000) == usual.OK


def test_a_forecast_is_the_mean_of_the_newest_week() -> None:
    """Of a constant, so the width is 5 %: 950 to 1,050; what never changed may rise by half."""
    verdicts = judge(*[1000.0] * 20, 1000)
    assert (verdicts.low[0], verdicts.expected[0], verdicts.high[0]) == (950, 1000, 1500)
    assert verdicts.steady[0]


def test_weekends_are_forecast_as_weekends() -> None:
    """400 on weekends: it is usual on a Saturday, unusual on a Friday, and 200 is unusual on a Saturday."""
    week = [1000.0, 1010, 990, 1000, 1005, 400, 404]
    assert breaches(week * 4) == [5]  # the first Saturday
    friday, saturday = week * 4 + week[:4], week * 4 + week[:5]
    assert outcome(*friday, 400) == usual.BREACHED
    assert outcome(*saturday, 400) == usual.OK
    assert outcome(*saturday, 200) == usual.BREACHED
    assert outcome(*saturday, 800) == usual.BREACHED


def test_growth_is_no_fault_and_its_loss_is() -> None:
    growth = [1000 * 1.01**number for number in range(90)]
    assert breaches(growth) == []
    assert outcome(*growth[:80], growth[80] / 2) == usual.BREACHED


def test_a_cumulative_table_may_grow_every_night() -> None:
    values = [10_000.0 + 100 * number for number in range(80)]
    assert breaches(values) == []
    assert outcome(*values, 9000) == usual.BREACHED


# Weekends of the first 14 dates --------------------------------------------------------------------------------------


def test_the_first_drop_on_a_weekend_is_told_apart() -> None:
    values = [1000.0, 1000, 1000, 1000, 1000, 300]
    verdicts = judge(*values)
    assert (verdicts.outcome[0], verdicts.weekend[0]) == (usual.BREACHED, True)
    assert "weekend" in usual.words(verdicts, 0, quotable=True)
    friday = judge(*values, dates=days(6, MONDAY - dt.timedelta(1)))
    assert (friday.outcome[0], friday.weekend[0]) == (usual.BREACHED, False)


def test_a_first_weekend_is_the_baseline_of_the_next() -> None:
    week = [1000.0, 1000, 1000, 1000, 1000, 300, 300]
    assert breaches(week * 2) == [5]
    assert breaches(week) == [5]


def test_a_series_that_begins_on_a_weekend_may_rise_on_monday() -> None:
    verdicts = judge(300, 300, 1000, dates=days(3, MONDAY - dt.timedelta(2)))
    assert (verdicts.outcome[0], verdicts.weekend[0]) == (usual.BREACHED, True)


# What stays out of the baseline --------------------------------------------------------------------------------------


def test_an_unusual_date_stays_out_of_the_baseline() -> None:
    values = wave(30)
    after = judge(*values, 0, 1000)
    without = judge(*values, NAN, 1000)
    assert after.outcome[0] == usual.OK
    assert after.low[0] == without.low[0]
    assert after.former[0] == values[-1]


def test_the_third_unusual_date_in_a_row_is_a_new_level() -> None:
    assert breaches(wave(30) + wave(20, level=500, size=5)) == [30, 31, 32]
    assert breaches([1000.0] * 30 + [900.0] * 20) == [30, 31, 32]


def test_a_new_level_is_judged_at_once() -> None:
    """No week of blindness after it: half of the new level is found the next night."""
    values = wave(30) + wave(3, level=500, size=5)
    assert outcome(*values, 250) == usual.BREACHED
    assert outcome(*values, 500) == usual.OK


def test_the_end_of_an_interruption_is_no_breach() -> None:
    """Four days closed, then as before."""
    assert breaches(wave(30) + [100.0] * 4 + wave(20)) == [30, 31, 32]


def test_a_new_pattern_of_the_week_is_accepted_after_three_weeks() -> None:
    """From the 43rd date on, a Monday, Wednesdays are closed."""
    values = [1000.0 + (number % 5) for number in range(84)]
    for number in range(42, 84):
        if number % 7 == 2:
            values[number] = 300
    assert breaches(values) == [44, 51, 58]


def test_a_step_of_what_never_changed_is_accepted_at_once() -> None:
    """A list of codes that gains a fifth once is no fault; what loses a tenth, or doubles, is one."""
    assert breaches([1000.0] * 40 + [1200.0] * 20) == []
    assert outcome(*[1000.0] * 40, 900) == usual.BREACHED
    assert outcome(*[1000.0] * 40, 2000) == usual.BREACHED
    assert outcome(*[1000.0] * 40, *[1200.0] * 3, 1100) == usual.BREACHED


def test_dates_that_may_not_be_used_do_not_count() -> None:
    values = np.array([[*wave(20), 0.0, 500.0]])
    values[0, 20] = NAN
    verdicts = usual.judge(values, days(22), Law())
    assert (verdicts.outcome[0], verdicts.dates[0]) == (usual.BREACHED, 20)
    values[0, 21] = NAN
    assert usual.judge(values, days(22), Law()).outcome[0] == usual.NOT_JUDGED


def test_a_baseline_can_start_anew() -> None:
    """From the 21st date on: with two earlier dates, 500 is what it was."""
    values = np.array([[*wave(20), 500.0, 500.0, 500.0]] * 2)
    since = np.array([0, days(21)[-1].toordinal()])
    verdicts = usual.judge(values, days(23), Law(), since)
    assert verdicts.outcome.tolist() == [usual.BREACHED, usual.OK]
    assert verdicts.dates.tolist() == [22, 2]


# Gaps ----------------------------------------------------------------------------------------------------------------


def test_the_same_weekday_counts_not_the_same_position() -> None:
    """Nights are missing, so a Saturday is never seven rows after a Saturday."""
    week = [1000.0, 1010, 990, 1000, 1005, 400, 404]
    dates = [day for number, day in enumerate(days(70)) if number % 9 != 4]
    values = [week[day.weekday()] for day in dates]
    assert set(breaches(values, dates)) <= {dates.index(day) for day in dates[:7] if day.weekday() > 4}
    saturday = next(day for day in days(80)[70:] if day.weekday() == 5)
    assert outcome(*values, 400, dates=[*dates, saturday]) == usual.OK
    assert outcome(*values, 1000, dates=[*dates, saturday]) == usual.BREACHED


@pytest.mark.parametrize("step", [2, 7, 30])
def test_rare_dates_are_judged_like_others(step: int) -> None:
    """Measured every second day, weekly, monthly."""
    dates = [MONDAY + dt.timedelta(step * number) for number in range(41)]
    assert outcome(*wave(40), 500, dates=dates) == usual.BREACHED
    assert breaches(wave(41), dates) == []


def test_after_a_long_gap_growth_is_no_breach() -> None:
    dates = [*days(60), *days(10, MONDAY + dt.timedelta(100))]
    values = [1000 * 1.005 ** (day - MONDAY).days for day in dates]
    assert breaches(values, dates) == []
    assert outcome(*values[:61], values[61] / 3, dates=dates[:62]) == usual.BREACHED


# Values --------------------------------------------------------------------------------------------------------------


def test_values_that_are_no_numbers_are_not_judged() -> None:
    for value in (NAN, float("inf"), -float("inf"), 1e200):
        assert outcome(*wave(20), value) == usual.NOT_JUDGED
    assert breaches([*wave(20), NAN, float("inf"), *wave(20)]) == []


def test_counts_that_vary_need_the_floor() -> None:
    rare = [float(number % 19 == 0) for number in range(80)]
    assert breaches(rare) == []
    assert outcome(*[0.0] * 30, 6) == usual.BREACHED
    assert outcome(*[0.0] * 30, 5) == usual.OK


def test_values_below_zero_are_judged_like_others() -> None:
    week = [-1000.0, -1010, -990, -1000, -1005, -400, -404]
    assert breaches(week * 6, side="low") == []
    assert outcome(*week * 6, -500) == usual.BREACHED
    mixed = [3.0 * (number % 5 - 2) for number in range(60)]
    assert breaches(mixed, floor=0) == []
    assert outcome(*mixed, 60, floor=0) == usual.BREACHED
    assert outcome(*mixed, -60, floor=0) == usual.BREACHED


def test_the_scale_of_a_mean_does_not_matter() -> None:
    for factor in (1e-9, 1e9, 1e140):
        values = [factor * value for value in wave(40)]
        assert outcome(*values, 500 * factor, floor=0) == usual.BREACHED
        assert outcome(*values, 1000 * factor, floor=0) == usual.OK


def test_a_side_limits_breaches_not_the_baseline() -> None:
    assert outcome(*wave(30), 500, side="high") == usual.OK
    assert outcome(*wave(30), 2000, side="high") == usual.BREACHED
    high, both = judge(*wave(30), 500, 1000, side="high"), judge(*wave(30), 500, 1000)
    assert high.low[0] == both.low[0]


@pytest.mark.parametrize("law", [{"side": "left"}, {"floor": -1}, {"percent": NAN}, {"limit": 0.5}])
def test_a_law_that_cannot_be_is_refused(law: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(law))):
        Law(**law)


def test_shapes_and_dates_must_match() -> None:
    values = np.ones((2, 3))
    with pytest.raises(ValueError, match="objects x dates"):
        usual.judge(values, days(2), Law())
    with pytest.raises(ValueError, match="ascend"):
        usual.judge(values, [MONDAY] * 3, Law())


def test_no_objects_have_no_verdicts() -> None:
    assert usual.judge(np.empty((0, 5)), days(5), Law()).outcome.shape == (0,)


# Words ---------------------------------------------------------------------------------------------------------------


def test_words_tell_the_range_the_former_value_and_the_method() -> None:
    verdicts = judge(*wave(30), 500)
    assert usual.words(verdicts, 0, quotable=True) == (
        "expected 950.4 to 1,054 by weekday and newest week, judged by 30 dates before; last 1,010"
    )
    assert usual.words(judge(990, 1010, 1000, 1005, 50), 0, quotable=True) == (
        "usual is 594 to 1,683, judged by 4 dates before; last 1,005"
    )
    assert usual.words(judge(*[7.0] * 20, 30), 0, quotable=True) == ("on the 20 dates before always 7")
    assert usual.words(judge(5.0), 0, quotable=True) == "not judged: two earlier dates are needed, there are none"


def test_words_quote_no_number_that_may_be_a_patients() -> None:
    values = [81_234.5, 81_734.25, 81_534.125, 81_634.75]
    for count in (1, 2, 4, 20):
        told = usual.words(judge(*(values * 5)[:count], 4321.5), 0, quotable=False)
        assert not any(digits in told for digits in ("81", "4,321", "4321", "734")), told


# Properties ----------------------------------------------------------------------------------------------------------


def series(draw: np.random.Generator, objects: int, count: int) -> tuple[Floats, NDArray[np.bool_], list[dt.date]]:
    """Objects of many kinds, with shifts, interruptions and gaps."""
    age, shape = np.arange(count), (objects, count)
    week = np.where(age % 7 > 4, 0.3, 1.0)
    kinds = [
        1000 * (1 + 0.05 * draw.standard_normal(shape)),
        draw.poisson(4, shape).astype(float),
        500 * week * (1 + 0.03 * draw.standard_normal(shape)),
        10 * draw.standard_normal(shape),
        np.full(shape, 40.0),
        -300 * 1.01**age * (1 + 0.02 * draw.standard_normal(shape)),
        np.cumsum(draw.poisson(50, shape), axis=1).astype(float),
        np.where(week < 1, 0.0, np.full(shape, 800.0)),
    ]
    kind = draw.integers(0, len(kinds), objects)
    values = np.stack(kinds)[kind, np.arange(objects)]
    for number in range(objects):
        for _ in range(draw.integers(0, 4)):
            first = draw.integers(0, count)
            values[number, first : first + draw.integers(1, 12)] *= draw.choice([0, 0.3, 0.5, 2, 5, -1])
        if draw.random() < 0.3:
            first = draw.integers(0, count)
            values[number, first:] *= np.where(age[first:] % 7 == draw.integers(0, 7), 0.2, 1.0)
    has = draw.random(shape) > draw.choice([0, 0, 0.15, 0.5], (objects, 1))
    steps = draw.choice([1, 1, 1, 1, 2, 7, 20], count) if draw.random() < 0.3 else np.ones(count)
    return values, has, [MONDAY + dt.timedelta(int(step)) for step in np.cumsum(steps) + draw.integers(0, 7)]


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
@examples(max_examples=12)
def test_the_laws_are_those_of_the_reference(seed: int) -> None:
    """Each date of each object, in both ways of the replay."""
    draw = np.random.default_rng(seed)
    objects, count, floor = 4, int(draw.integers(3, 120)), float(draw.choice([0, 5]))
    values, has, dates = series(draw, objects, count)
    law = {"floor": floor, "percent": 5.0, "limit": 5.0}
    exact, quick = replay.Replay(objects, **law), replay.Replay(objects, **law)
    references = [Reference(**law) for _ in range(objects)]
    for at, date in enumerate(dates):
        known = np.where(has[:, at], values[:, at], NAN)
        judged = exact.step(known.copy(), has[:, at], date)
        assert quick.step(known.copy(), has[:, at], date, exact=False).unusual.tolist() == judged.unusual.tolist()
        for number in np.flatnonzero(has[:, at]):
            one = references[number].step(date, float(values[number, at]))
            assert bool(judged.unusual[number]) == one.unusual, (date, number)
            found = [getattr(judged, name)[number] for name in ("low", "high", "expected")]
            np.testing.assert_allclose(found, [one.low, one.high, one.expected], rtol=1e-7, atol=1e-9)
            assert not one.unusual or bool(judged.weekend[number]) == one.weekend


@given(seeds)
@examples(max_examples=10)
def test_objects_are_judged_independently(seed: int) -> None:
    """In another order, each has its verdict; and alone."""
    draw = np.random.default_rng(seed)
    values, has, dates = series(draw, 12, int(draw.integers(3, 90)))
    order = draw.permutation(12)
    values = np.where(has, values, NAN)
    together = usual.judge(values, dates, Law())
    same(usual.judge(values[order], dates, Law()), together, order)
    same(usual.judge(values[3:4], dates, Law()), together, np.array([3]))


@given(seeds)
@examples(max_examples=10)
def test_a_date_that_may_not_be_used_changes_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values, has, dates = series(draw, 8, int(draw.integers(3, 90)))
    at = int(draw.integers(0, len(dates)))
    before = dates[at - 1] if at else dates[0] - dt.timedelta(2)
    if (dates[at] - before).days < 2:
        dates = [*dates[:at], *(date + dt.timedelta(7) for date in dates[at:])]
    more = [*dates[:at], dates[at] - dt.timedelta(1), *dates[at:]]
    values = np.where(has, values, NAN)
    same(usual.judge(np.insert(values, at, NAN, axis=1), more, Law()), usual.judge(values, dates, Law()), np.arange(8))


@given(seeds)
@examples(max_examples=10)
def test_no_verdict_depends_on_later_dates(seed: int) -> None:
    """The replay of a whole history says of each date what judging that date said."""
    draw = np.random.default_rng(seed)
    values, has, dates = series(draw, 8, 70)
    law = Law()
    state = replay.Replay(8, floor=law.floor, percent=law.percent, limit=law.limit)
    for at, date in enumerate(dates):
        judged = state.step(np.where(has[:, at], values[:, at], NAN), has[:, at], date)
        if at % 7 == 0:
            found = usual.judge(np.where(has, values, NAN)[:, : at + 1], dates[: at + 1], law)
            assert (found.outcome == usual.BREACHED).tolist() == judged.unusual.tolist()


def test_many_objects_are_judged_in_blocks() -> None:
    values = np.tile(np.array([*wave(30), 500.0]), (usual.BLOCK + 3, 1))
    values[:, 0] += np.arange(len(values)) / 1e6
    values[:-1, -1] = 1000
    verdicts = usual.judge(values, days(31), Law())
    assert np.flatnonzero(verdicts.outcome == usual.BREACHED).tolist() == [usual.BLOCK + 2]


def test_objects_with_the_same_values_have_the_same_verdict() -> None:
    """They are judged once; those whose dates count differently are not the same."""
    values = np.array([[*wave(30), 500.0]] * 3 + [[*wave(30), 1000.0]])
    values[1, 5:] = NAN
    since = np.array([0, 0, days(31)[-1].toordinal(), 0])
    verdicts = usual.judge(values, days(31), Law(), since)
    assert verdicts.outcome.tolist() == [usual.BREACHED, usual.NOT_JUDGED, usual.NOT_JUDGED, usual.OK]
    assert verdicts.dates.tolist() == [30, 5, 0, 30]


def same(found: Any, expected: Any, rows: NDArray[np.int64]) -> None:
    for name in usual.Verdicts.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name)[rows], name)
